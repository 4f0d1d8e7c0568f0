// Batch servers and their clients as a scenario writes them.

#include "scenario_text.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

// The users of a source over time: milliseconds and how many there are.
std::vector<std::pair<int64_t, int32_t>> users_over(const std::string& over) {
  Scenario s =
      read("  duration: 5m\n  seed: 7\n  traffic: {t: {service: x, pattern: {users: {over: " + over + "}}}}\n");
  std::vector<std::pair<int64_t, int32_t>> out;
  for (const UserStep& step : s.traffic.at(0).user_steps) out.emplace_back(step.at.ns / 1'000'000, step.users);
  return out;
}

}  // namespace

TEST_CASE("a batch server's models, queues and laws are read", "[scenario]") {
  Scenario s = read(R"(
  duration: 1h
  models:
    zoo:
      engine: batch
      overlap: 0.25
      serves:
        detector:
          maxBatchSize: 8
          instances: 2
          prefetchedBatches: 4
          latency: {table: {1: 2ms, 8: 9ms}, host: 1ms, compute: 0.5, bandwidth: 0.75}
          latencyOn: {t4: {base: 5ms, perItem: 1ms}}
          memory: {weights: 1GiB, perInstance: 512MiB}
        classifier:
          priorityLevels: 2
          defaultPriorityLevel: 2
          defaultQueuePolicy: {defaultTimeout: 1s, timeoutAction: delay, allowTimeoutOverride: true}
          priorityQueuePolicy: {"1": {maxQueueSize: 5}}
          latency: {base: 1ms}
        both: {steps: [detector, classifier]}
)");
  const ModelSpec& zoo = s.models.at(0);
  CHECK(zoo.overlap == 0.25);
  REQUIRE(zoo.served.size() == 3);
  const BatchModelSpec& detector = zoo.served[0];
  CHECK(detector.max_batch_size == 8);
  CHECK(detector.prefetched_batches == 4);
  REQUIRE(detector.latency->table.size() == 2);
  CHECK(detector.latency->table.at("1") == Approx(0.002));
  CHECK(detector.latency->table.at("8") == Approx(0.009));
  CHECK(detector.latency->bandwidth == 0.75);
  CHECK(detector.latency_on.at("t4").base.mean() == 0.005);
  CHECK(detector.weights_bytes == 1024.0 * 1024 * 1024);
  const BatchModelSpec& classifier = zoo.served[1];
  CHECK(classifier.default_queue_policy.timeout_action == "delay");
  CHECK(classifier.default_queue_policy.default_timeout == Duration::seconds(1));
  CHECK(classifier.priority_queue_policy.at("1").max_queue_size == 5);
  CHECK(zoo.served[2].steps == std::vector<std::string>{"detector", "classifier"});
}

TEST_CASE("a client's program, its tasks, network and gateway are read", "[scenario]") {
  Scenario s = read(R"(
  duration: 1h
  traffic:
    locust:
      service: x
      pattern: {users: {count: 10, think: {uniform: {min: 1s, max: 2s}}}}
      client: event-loop
      tasks:
        inference: {weight: 5, untimed: 20ms, send: 5ms, sendTurns: 1, receive: 2ms, receiveTurns: 2, samples: 3}
        health: {frontend: 1ms, receive: 1ms, receiveTurns: 1}
      network: {out: 1ms, back: 2ms}
      connections: 4
      hedge: 50ms
      admission: {rate: 100/s, burst: 20, maxOutstanding: 8}
)");
  const TrafficSpec& t = s.traffic.at(0);
  CHECK(t.client == "event-loop");
  REQUIRE(t.tasks.size() == 2);
  CHECK(t.tasks[0].weight == 5);
  CHECK(t.tasks[0].samples == 3);
  CHECK(t.tasks[0].receive_turns == 2);
  CHECK_FALSE(t.tasks[0].frontend);
  CHECK(t.tasks[1].frontend->mean() == 0.001);
  CHECK(t.network_back.mean() == 0.002);
  CHECK(t.connections == 4);
  CHECK(t.hedge_delay == Duration::seconds(0.05));
  CHECK(t.admission.max_outstanding == 8);
}

TEST_CASE("users come and go: ramp, spike, periodic, random, list", "[scenario]") {
  auto ramp = users_over("{ramp: {min: 10, max: 100}}");
  REQUIRE(ramp.size() == 20);
  CHECK(ramp[0] == std::pair(int64_t{0}, 14));
  CHECK(ramp[1] == std::pair(int64_t{15000}, 19));
  CHECK(ramp[19] == std::pair(int64_t{285000}, 100));

  using Steps = std::vector<std::pair<int64_t, int32_t>>;
  CHECK(users_over("{spike: {min: 10, max: 100}}") == Steps{{0, 10}, {90000, 100}, {210000, 10}});

  auto periodic = users_over("{periodic: {min: 10, max: 100}}");
  REQUIRE(periodic.size() == 60);
  CHECK(periodic[0] == std::pair(int64_t{0}, 55));
  CHECK(periodic[5] == std::pair(int64_t{25000}, 100));
  CHECK(periodic[15] == std::pair(int64_t{75000}, 10));

  CHECK(users_over("{spike: {min: 10, max: 100, start: 1m, period: 100s}}") ==
        Steps{{60000, 10}, {90000, 100}, {130000, 10}});

  auto random = users_over("{random: {min: 10, max: 100, every: 30s}}");
  REQUIRE(random.size() == 10);
  for (const auto& [at, users] : random) CHECK((users >= 10 && users <= 100));
  CHECK(random == users_over("{random: {min: 10, max: 100, every: 30s}}"));

  CHECK(users_over("{list: [{at: 60s, users: 3}, {at: 0s, users: 1}]}") == Steps{{0, 1}, {60000, 3}});
}

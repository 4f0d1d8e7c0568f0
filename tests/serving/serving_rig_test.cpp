// Servers and clients at random: no request lost or served twice, whatever happens to it; and the client's part alone,
// with exact times.

#include "serving/serving_rig.hpp"

#include "allocations.hpp"
#include "core/hash.hpp"
#include "policy/registry.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <set>

using namespace kisim;

namespace {

constexpr int64_t kMs = 1'000'000;

Distribution ms(double value) { return Distribution::constant(value * 1e-3); }

struct Rows : RequestSink {
  std::vector<RequestRecord> rows;
  void record(const RequestRecord& r) override { rows.push_back(r); }
};

SourceModel users(int32_t n, Distribution think) {
  SourceModel s;
  s.name = "users";
  s.entity = hash_text("Traffic/users");
  s.pattern = SourceModel::Pattern::Users;
  s.users = n;
  s.think = std::move(think);
  return s;
}

SourceModel arrivals_at(const std::vector<int64_t>& at_ms) {
  SourceModel s;
  s.name = "trace";
  s.entity = hash_text("Traffic/trace");
  s.pattern = SourceModel::Pattern::Trace;
  auto columns = std::make_shared<TraceColumns>();
  for (int64_t t : at_ms) columns->time_ns.push_back(t * kMs);
  s.trace = columns;
  return s;
}

ServingRigModel rig(SourceModel source, double service_ms) {
  ServingRigModel m;
  m.server.name = "server";
  m.server.batch.models[0].laws[0].base = ms(service_ms);
  ClientModel client;
  client.name = source.name;
  client.entity = source.entity;
  client.closed_loop = source.pattern == SourceModel::Pattern::Users;
  m.clients = {client};
  m.traffic.sources = {std::move(source)};
  return m;
}

std::shared_ptr<const Router> least_requests() {
  Params none;
  return std::shared_ptr<const Router>(Registry<Router>::instance().find("least-requests")->make(none));
}

std::shared_ptr<const Interference> interference(const std::string& name, std::map<std::string, std::string> given) {
  const auto* entry = Registry<Interference>::instance().find(name);
  REQUIRE(entry);
  Params params;
  REQUIRE_FALSE(fill_params(entry->params, given, params));
  return std::shared_ptr<const Interference>(entry->make(params));
}

using Micros = std::vector<int64_t>;

// Microseconds from send to answer, in order of arrival.
Micros latencies(ServingRigModel model, Time until = Time::max()) {
  ServingRig world(std::move(model));
  Rows rows;
  world.serving().sink = &rows;
  world.run_until(until);
  world.serving().check_conservation();
  std::sort(rows.rows.begin(), rows.rows.end(), [](auto& a, auto& b) { return a.ordinal < b.ordinal; });
  Micros micros;
  for (const RequestRecord& r : rows.rows) micros.push_back(std::llround(r.e2e_s * 1e6));
  return micros;
}

}  // namespace

TEST_CASE("the thread of a client's program takes turns in order of asking", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0}), 10);
  m.clients[0].process = true;
  TaskModel& task = m.clients[0].tasks[0];
  task.untimed = ms(5);
  task.send = ms(2);
  task.send_turns = 2;
  task.receive = ms(3);
  task.receive_turns = 1;
  // Turns: both prepare (0-5, 5-10). The first one's clock runs from 5 on: it waits behind the second one's
  // preparation, sends at 10-12, again at 14-16, is served 16-26 and reads 26-29. The second one's runs from 10 on: it
  // sends at 12-14 and 16-18, is served 26-36 and reads until 39.
  CHECK(latencies(m) == Micros{24000, 29000});
}

TEST_CASE("the network delays the request and its answer", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0}), 10);
  m.clients[0].network_out = ms(1);
  m.clients[0].network_back = ms(4);
  CHECK(latencies(m) == Micros{15000, 25000});
}

TEST_CASE("further requests wait for a connection", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0, 0}), 10);
  m.server.batch.models[0].instances = 3;
  m.clients[0].connections = 2;
  CHECK(latencies(m) == Micros{10000, 10000, 20000});
  m.clients[0].timeout = Duration{8 * kMs};
  // Nobody is answered in time; the third one gets its connection and no time to use it.
  CHECK(latencies(m) == Micros{8000, 8000, 8000});
}

TEST_CASE("a front end answers without a model", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0, 0}), 10);
  m.clients[0].tasks[0].frontend = ms(2);
  CHECK(latencies(m) == Micros{2000, 2000, 2000});
}

TEST_CASE("a token bucket admits its burst and then its rate", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0, 0, 50, 100, 100}), 1);
  m.clients[0].admission = {10, 2, 0};
  ServingRig world(m);
  world.run_until(Time::max());
  // Two of the burst, one gained after 100 ms.
  CHECK(world.state().clients[0].completed == 3);
  CHECK(world.state().clients[0].refused_rate == 3);
  CHECK(world.state().clients[0].dropped == 3);
}

TEST_CASE("a gateway turns away what is too much for the replicas", "[client]") {
  ServingRigModel m = rig(arrivals_at({0, 0, 0, 15}), 10);
  m.clients[0].admission.max_outstanding = 2;
  ServingRig world(m);
  world.run_until(Time::max());
  CHECK(world.state().clients[0].completed == 3);
  CHECK(world.serving().decisions() == std::map<std::string, uint64_t>{{"RequestRefused: outstanding", 1}});
}

TEST_CASE("a hedge goes to another replica, and the first answer wins", "[client]") {
  // Two replicas. The third request waits behind the first for 100 ms and would be done at 200; its hedge finds the
  // second replica, whose own request ends at 100 too, in line: both would be done at 200, so the first wins.
  ServingRigModel m = rig(arrivals_at({0, 0, 0}), 100);
  m.replicas = 2;
  m.router = least_requests();
  m.clients[0].hedge_delay = Duration{150 * kMs};
  CHECK(latencies(m) == Micros{100000, 100000, 200000});
  // One that hangs: with a hedge after 10 ms a second answers.
  ServingRigModel two = rig(arrivals_at({0}), 100);
  two.replicas = 2;
  two.router = least_requests();
  two.clients[0].hedge_delay = Duration{10 * kMs};
  ServingRig world(two);
  Rows rows;
  world.serving().sink = &rows;
  world.run_until(Time{5 * kMs});
  world.serving().lose_replica(world.replicas()[0]);
  world.run_until(Time::max());
  REQUIRE(rows.rows.size() == 1);
  CHECK(rows.rows[0].outcome == Outcome::Completed);
  CHECK(rows.rows[0].e2e_s == Approx(0.11));
  CHECK(world.state().clients[0].hedged == 1);
  CHECK(world.state().clients[0].hedges_won == 1);
  world.serving().check_conservation();
}

TEST_CASE("instances that overlap by w progress at 1 + w (k - 1), to the nanosecond", "[batch]") {
  ServingRigModel m = rig(arrivals_at({0, 4}), 10);
  m.server.batch.models[0].instances = 2;
  m.server.batch.overlap = 0.5;
  // Alone until 4, then both at 0.75: the first has 6 left and ends at 12; the second did 6 by then and ends at 16.
  CHECK(latencies(m) == Micros{12000, 12000});
  m.server.batch.overlap = 0;
  CHECK(latencies(m) == Micros{16000, 16000});
  m.server.batch.overlap = 1;
  CHECK(latencies(m) == Micros{10000, 10000});
}

TEST_CASE("neighbours on a GPU slow each other only while they work", "[batch]") {
  ServingRigModel m = rig(arrivals_at({0, 4}), 10);
  m.replicas = 2;
  m.gpu_milli = 500;
  m.router = least_requests();
  m.interference = interference("time-slicing", {{"switching", "0"}});
  CHECK(latencies(m) == Micros{16000, 16000});
  m.interference = interference("none", {});
  CHECK(latencies(m) == Micros{10000, 10000});
  m.interference = interference("table", {{"speeds", "0.75,0.5"}});
  CHECK(latencies(m) == Micros{12000, 12000});
  // MPS: what both need fits the GPU, so that only gamma is left; else the SMs are shared.
  LatencyLaw& law = m.server.batch.models[0].laws[0];
  law.compute = 0.4;
  law.bandwidth = 0.5;
  m.interference = interference("mps", {{"gamma", "0"}});
  CHECK(latencies(m) == Micros{10000, 10000});
  law.compute = 1;
  CHECK(latencies(m) == Micros{16000, 16000});
  m.gpu_milli = 1000;  // a GPU each
  CHECK(latencies(m) == Micros{10000, 10000});
}

TEST_CASE("an ensemble is a chain through the queues of its models", "[batch]") {
  ServingRigModel m = rig(arrivals_at({0, 0}), 10);
  BatchServerModel& server = m.server.batch;
  server.models.resize(3);
  server.models[1].laws[0].base = ms(5);
  server.models[2].steps = {0, 1};
  m.clients[0].tasks[0].model = {2};
  CHECK(latencies(m) == Micros{15000, 25000});
}

TEST_CASE("a closed loop of one client is its cycle; of many, the server's capacity", "[rig]") {
  BatchServerModel server;
  server.models[0].laws[0].table = {{1, 0.002}, {8, 0.009}};
  server.models[0].max_batch_size = 8;
  ClosedLoop loop;
  loop.host_in = loop.host_out = ms(0.5);
  loop.warmup = 10;
  ClosedLoopResult one = simulate_closed_loop(server, loop);
  CHECK(one.mean_s == Approx(0.003));
  CHECK(one.p95_s == Approx(0.003));
  CHECK(one.samples_per_s == Approx(1 / 0.003).epsilon(0.01));
  // 64 clients: full batches of eight every 9 ms, the host has time to spare (8 ms per batch).
  loop.clients = 64;
  loop.warmup = 640;
  loop.completions = 8000;
  ClosedLoopResult many = simulate_closed_loop(server, loop);
  CHECK(many.samples_per_s == Approx(8 / 0.009).epsilon(0.01));
  CHECK(many.samples_per_s * many.mean_s == Approx(64).epsilon(0.02));  // Little's law
  // Half as many requests of two samples are the same load.
  loop.samples = 2;
  loop.clients = 32;
  CHECK(simulate_closed_loop(server, loop).samples_per_s == Approx(8 / 0.009).epsilon(0.02));
}

TEST_CASE("random servers, clients and losses: no request lost or served twice", "[property]") {
  uint64_t seed = GENERATE(range(uint64_t{1}, uint64_t{61}));
  Stream dice(seed, hash_text("property"), Purpose::Policy);
  auto between = [&](uint32_t low, uint32_t high) { return low + dice.below(high - low + 1); };
  auto chance = [&](double p) { return dice.uniform() < p; };

  ServingRigModel m;
  m.seed = m.traffic.seed = m.server.batch.seed = seed;
  m.server.name = "server";
  m.replicas = static_cast<int32_t>(between(1, 4));
  m.router = least_requests();
  if (chance(0.5)) {
    m.gpu_milli = 250;
    m.interference = interference(chance(0.5) ? "time-slicing" : "mps", {});
  }
  if (chance(0.3)) m.server.max_queue_size = 10;
  if (chance(0.3)) m.server.request_overhead = Duration{kMs};
  BatchServerModel& server = m.server.batch;
  server.models.resize(between(1, 3));
  for (BatchModel& model : server.models) {
    model.max_batch_size = static_cast<int32_t>(between(1, 16));
    model.instances = static_cast<int32_t>(between(1, 3));
    if (chance(0.5)) model.preferred = {static_cast<int32_t>(between(1, model.max_batch_size))};
    if (chance(0.5)) model.max_queue_delay = Duration{static_cast<int64_t>(between(1, 20)) * kMs};
    if (chance(0.5)) model.prefetched = 2 * model.instances;
    model.levels.resize(between(1, 3));
    for (QueuePolicy& policy : model.levels) {
      if (chance(0.4)) policy.default_timeout = Duration{static_cast<int64_t>(between(5, 50)) * kMs};
      policy.timeout_delays = chance(0.5);
      policy.allow_timeout_override = chance(0.5);
      if (chance(0.3)) policy.max_queue_size = static_cast<int32_t>(between(1, 20));
    }
    model.laws[0].base = Distribution::exponential(0.004);
    model.laws[0].per_sample = ms(0.5);
  }
  if (server.models.size() == 3) server.models[2].steps = {1, 0};
  server.overlap = dice.uniform() - 0.1;

  for (const char* name : {"users", "open"}) {
    bool closed = name[0] == 'u';
    SourceModel source = users(static_cast<int32_t>(between(1, 40)), Distribution::exponential(0.01));
    source.name = name;
    source.entity = hash_text(name);
    if (closed && chance(0.5))
      source.steps = {{Time{}, source.users / 2}, {Time{400 * kMs}, source.users}, {Time{800 * kMs}, 1}};
    if (!closed) {
      source.pattern = SourceModel::Pattern::Constant;
      source.rate = 300;
    }
    ClientModel client;
    client.name = name;
    client.entity = source.entity;
    client.closed_loop = closed;
    client.tasks.resize(2);
    source.task_weights = {1, 3};
    for (TaskModel& task : client.tasks) {
      task.samples = static_cast<int32_t>(between(1, 4));
      task.priority = between(0, 4);
      task.model = {static_cast<uint16_t>(dice.below(static_cast<uint32_t>(server.models.size())))};
      if (chance(0.3)) task.queue_timeout = Duration{7 * kMs};
      task.untimed = ms(between(0, 2) * 0.1);
      task.send = task.receive = Distribution::exponential(1e-4);
      task.send_turns = static_cast<int32_t>(between(0, 2));
      task.receive_turns = static_cast<int32_t>(between(0, 2));
    }
    if (chance(0.3)) client.tasks[0].frontend = ms(1);
    client.process = chance(0.5);
    if (chance(0.5)) client.timeout = Duration{static_cast<int64_t>(between(5, 60)) * kMs};
    client.retries = static_cast<int32_t>(between(0, 2));
    client.retry_backoff = Duration{3 * kMs};
    if (chance(0.5)) client.network_out = client.network_back = Distribution::exponential(0.001);
    if (chance(0.4)) client.connections = static_cast<int32_t>(between(1, 10));
    if (chance(0.6)) client.hedge_delay = Duration{static_cast<int64_t>(between(2, 20)) * kMs};
    if (chance(0.3)) client.admission = {200, 5, 0};
    if (chance(0.3)) client.admission.max_outstanding = 8;
    m.clients.push_back(client);
    m.traffic.sources.push_back(source);
  }

  auto run = [&] {
    ServingRig world(m);
    Rows rows;
    world.serving().sink = &rows;
    Stream losses(seed, hash_text("losses"), Purpose::Policy);
    for (int64_t t = 50; t <= 1500; t += 50) {
      world.run_until(Time{t * kMs});
      world.engine().advance_to(Time{t * kMs});
      world.serving().check_conservation();
      uint32_t dice_of = losses.below(6);
      if (world.replicas().size() > 1 && dice_of == 0) {  // a pod dies
        world.serving().remove_replica(world.replicas().back());
        world.replicas().pop_back();
      } else if (world.replicas().size() > 1 && dice_of == 1) {  // its machine does, and is given up
        world.serving().lose_replica(world.replicas().back());
        world.run_until(Time{(t + 10) * kMs});
        world.serving().remove_replica(world.replicas().back());
        world.replicas().pop_back();
      } else if (dice_of > 3 && world.replicas().size() < static_cast<size_t>(m.replicas)) {
        world.replicas().push_back(world.add_replica());
      }
    }
    world.serving().check_conservation();
    // Each that left did so once.
    std::set<std::pair<uint32_t, uint64_t>> seen;
    for (const RequestRecord& r : rows.rows) CHECK(seen.insert({r.source, r.ordinal}).second);
    uint64_t arrived = 0, here = static_cast<uint64_t>(world.state().in_flight.value());
    for (const ClientState& c : world.state().clients) arrived += c.arrived;
    CHECK(arrived == rows.rows.size() + here);
    CHECK(rows.rows.size() > 50);
    return std::pair(world.engine().signature(), rows.rows.size());
  };
  CHECK(run() == run());
}

TEST_CASE("a server in the steady state allocates nothing", "[rig]") {
  ServingRigModel m = rig(users(200, Distribution::exponential(0.01)), 1);
  BatchModel& model = m.server.batch.models[0];
  model.max_batch_size = 16;
  model.instances = 2;
  model.prefetched = 4;
  model.laws[0].per_sample = ms(0.1);
  m.server.batch.overlap = 0.3;
  m.replicas = 4;
  m.router = least_requests();
  m.clients[0].hedge_delay = Duration{4 * kMs};
  m.clients[0].process = true;
  m.clients[0].tasks[0].send = m.clients[0].tasks[0].receive = ms(0.01);
  m.clients[0].tasks[0].send_turns = m.clients[0].tasks[0].receive_turns = 1;
  ServingRig world(m);
  world.run_until(Time{60'000 * kMs});
  uint64_t before = test::allocations();
  world.run_until(Time{80'000 * kMs});
  CHECK(test::allocations() == before);
  CHECK(world.state().clients[0].completed > 300'000);
}

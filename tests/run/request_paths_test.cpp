// The ways a request can go, each in a small deterministic scenario with exact times.

#include "recorded_rows.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using namespace kisim::test;

namespace {

// A batch server of one instance; requests arrive at the given milliseconds.
Scenario arrivals_at(const std::vector<int64_t>& ms, double service_s) {
  Scenario s = queue(Distribution::constant(service_s), 1, 0, Duration::seconds(100), 1);
  auto trace = std::make_shared<TraceColumns>();
  for (int64_t t : ms) {
    trace->time_ns.push_back(t * 1'000'000);
    trace->prompt_tokens.push_back(0);
    trace->output_tokens.push_back(1);
  }
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = trace;
  return s;
}

}  // namespace

TEST_CASE("a preferred batch goes at once, an incomplete one after the queue delay") {
  Scenario s = arrivals_at({0, 0, 0, 50, 1100, 1100, 1100}, 1);
  s.models[0].max_batch_size = 8;
  s.models[0].preferred_batch_sizes = {4};
  s.models[0].max_queue_delay = Duration::seconds(0.1);
  auto [rows, summary] = simulate(s);
  REQUIRE(rows.size() == 7);
  for (int i = 0; i < 3; ++i) CHECK(rows[i].e2e_s == Approx(1.05));
  CHECK(rows[3].e2e_s == Approx(1.0));
  for (int i = 4; i < 7; ++i) {
    CHECK(rows[i].queue_s == Approx(0.1));
    CHECK(rows[i].e2e_s == Approx(1.1));
  }
}

TEST_CASE("a full batch does not wait for a preferred size") {
  Scenario s = arrivals_at({0, 0, 0, 0, 0, 0}, 1);
  s.models[0].max_batch_size = 3;
  s.models[0].max_queue_delay = Duration::seconds(5);
  auto [rows, summary] = simulate(s);
  for (int i = 0; i < 3; ++i) CHECK(rows[i].e2e_s == Approx(1));
  for (int i = 3; i < 6; ++i) CHECK(rows[i].e2e_s == Approx(2));
}

TEST_CASE("a full queue drops, and a client that retries comes back") {
  Scenario s = arrivals_at({0, 0, 0, 0, 0}, 1);
  s.models[0].max_queue_size = 2;
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.dropped == 2);
  CHECK(summary.requests.admitted == 3);
  CHECK(rows[4].outcome == Outcome::Dropped);
  CHECK(rows[4].e2e_s == 0);

  s.traffic[0].retries = 1;
  s.traffic[0].retry_backoff = Duration::seconds(10);
  auto [again, retried] = simulate(s);
  CHECK(retried.requests.dropped == 0);
  CHECK(retried.requests.retried == 2);
  CHECK(again[3].e2e_s == Approx(11));
  CHECK(again[4].e2e_s == Approx(12));
  CHECK(again[4].attempts == 2);
}

TEST_CASE("a time-out ends each attempt on the nanosecond") {
  Scenario s = arrivals_at({0, 500}, 10);
  s.traffic[0].timeout = Duration::seconds(3);
  s.traffic[0].retries = 2;
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.timed_out == 2);
  CHECK(summary.requests.retried == 4);
  CHECK(rows[0].e2e_s == 9);
  CHECK(rows[0].attempts == 3);
  CHECK(rows[1].e2e_s == 9);
}

TEST_CASE("requests wait for the first endpoint and then go on in order") {
  Scenario s = arrivals_at({0, 100, 200}, 1);
  s.models[0].startup.container = Distribution::constant(5);
  auto [rows, summary] = simulate(s);
  CHECK(rows[0].e2e_s == Approx(6));
  CHECK(rows[1].e2e_s == Approx(6.9));
  CHECK(rows[2].e2e_s == Approx(7.8));
}

TEST_CASE("what is at a lost node hangs, until the client gives up or the machine is back") {
  Scenario s = arrivals_at({0, 0, 7000, 20000}, 10);
  FaultSpec fault;
  fault.at = Distribution::constant(5);
  fault.for_ = Distribution::constant(10);
  fault.node = "node-0";
  s.faults = {fault};
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.failed == 3);
  CHECK(rows[0].e2e_s == Approx(15));
  CHECK(rows[2].e2e_s == Approx(8));
  CHECK(rows[3].outcome == Outcome::Completed);

  s.traffic[0].timeout = Duration::seconds(12);
  auto [impatient, given_up] = simulate(s);
  CHECK(given_up.requests.timed_out == 2);
  CHECK(impatient[0].e2e_s == Approx(12));
  CHECK(impatient[2].outcome == Outcome::Failed);
}

TEST_CASE("those who waited for an endpoint share all that become ready at once") {
  Scenario s = arrivals_at({0, 100, 200, 300}, 1);
  s.models[0].startup.container = Distribution::constant(5);
  s.manifests.deployments[0].replicas = 2;
  s.routers = {{"server", {"round-robin", {}, {}}}};
  auto [rows, summary] = simulate(s);
  CHECK(rows[0].replica_pod != rows[1].replica_pod);
  CHECK(rows[0].replica_pod == rows[2].replica_pod);
  CHECK(rows[1].e2e_s == Approx(5.9));
  CHECK(rows[2].e2e_s == Approx(6.8));
}

TEST_CASE("scale-down: requests finish within the grace period and fail after it") {
  // Two replicas, one request on each; the constant policy wants one from the first sync (15 s) on.
  Scenario s = arrivals_at({1000, 1000}, 30);
  s.manifests.deployments[0].replicas = 2;
  s.routers = {{"server", {"round-robin", {}, {}}}};
  s.autoscalers = {{"server", {"constant", {{"replicas", "1"}}, {}}}};
  s.manifests.deployments[0].pod_template.spec.termination_grace_period = Duration::seconds(30);
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.completed == 2);
  CHECK(summary.replicas.at("default/server").scale_downs == 1);

  s.manifests.deployments[0].pod_template.spec.termination_grace_period = Duration::seconds(2);
  auto [killed, after] = simulate(s);
  CHECK(after.requests.completed == 1);
  CHECK(after.requests.failed == 1);
}

TEST_CASE("SLO: unfinished requests miss; without eligible requests there is no attainment") {
  Scenario s = arrivals_at({0, 0, 99000}, 2);
  s.slo = {{"clients", {}, {}, Duration::seconds(3), 0.9, {}}};
  auto [rows, summary] = simulate(s);
  REQUIRE(summary.slo);
  CHECK(summary.slo->attainment == Approx(1.0 / 3));  // 2 s meets, 4 s misses, the last is in flight
  CHECK(summary.requests.in_flight == 1);
  s.warmup = Duration::seconds(99.5);
  CHECK_FALSE(simulate(s).second.slo);
  s.slo[0].ttft = Duration::seconds(1);
  CHECK_THROWS_WITH(compile(s), Catch::Contains("service server is a batch server, allowed: e2e"));
}

TEST_CASE("a gateway refuses whose first token would come too late, and everybody while all are saturated") {
  Scenario s = llama(1, 0, Duration::seconds(100), 1);
  auto trace = std::make_shared<TraceColumns>();
  for (int i = 0; i < 6; ++i) {
    trace->time_ns.push_back(1'000'000'000 + i);
    trace->prompt_tokens.push_back(8000);
    trace->output_tokens.push_back(10);
  }
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = trace;
  // A prompt takes 8,000 tokens of the linear law; with the third the first token would come after half a second or so.
  LlmEngineModel model;
  model.llm = s.llms[0];
  model.profile = s.engines[0];
  Accelerator on;
  on.memory_bytes = s.gpus[0].memory_bytes;
  const LinearLaw law = llm_cost(model, s.gpus[0], on).linear;
  auto expected = [&](int prompts) { return 0.015563 + law.prefill_base + 8000 * prompts * law.prefill_per_token; };
  s.traffic[0].admission.ttft = Duration::seconds(0.5 * (expected(2) + expected(3)));
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.completed == 2);
  CHECK(summary.requests.dropped == 4);
  CHECK(summary.decisions.at("RequestRefused: expected TTFT") == 4);

  s.traffic[0].admission = {};
  s.traffic[0].admission.shed_queue_depth = 1;
  s.traffic[0].admission.shed_kv_usage = 0.9;
  s.models[0].max_num_seqs = 1;
  for (int i = 0; i < 6; ++i) trace->time_ns[i] = (1 + 20ll * (i > 4)) * 1'000'000'000 + 50'000'000 * i;
  auto [shed, saturated] = simulate(s);
  // One runs, two wait, and more than one waits then; the last comes when all is over.
  CHECK(saturated.requests.completed == 4);
  CHECK(saturated.decisions.at("RequestRefused: saturated") == 2);
  CHECK(shed[5].outcome == Outcome::Completed);
}

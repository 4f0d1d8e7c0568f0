// What holds for every run: same seed, same bits; forks and threads too; books that balance; no allocations.

#include "run/world.hpp"

#include "allocations.hpp"
#include "core/random.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>

using namespace kisim;
using namespace kisim::test;

namespace {

// Everything that can happen: autoscaling on queue depth, cold starts, time-outs, retries, drops, a lost node.
Scenario eventful(uint64_t seed, const std::string& detail = "iteration") {
  Scenario s = llama(2, 14, Duration::seconds(1800), seed);
  s.manifests.nodes = {node("gpu-0", 2), node("gpu-1", 2), node("gpu-2", 2)};
  s.models[0].detail = detail;
  s.models[0].max_num_seqs = 32;
  s.models[0].max_queue_size = 20;
  s.models[0].startup.image = Distribution::constant(8e9);
  s.models[0].startup.weights = Distribution::constant(16e9);
  s.models[0].startup.engine = Distribution::uniform(5, 15);
  s.traffic[0].pattern = TrafficSpec::Pattern::Diurnal;
  s.traffic[0].diurnal_mean = 10;
  s.traffic[0].diurnal_peak = 25;
  s.traffic[0].diurnal_period = Duration::seconds(900);
  s.traffic[0].timeout = Duration::seconds(20);
  s.traffic[0].retries = 2;
  s.traffic[0].retry_backoff = Duration::seconds(0.5);
  HorizontalPodAutoscaler hpa;
  hpa.meta.name = "llama";
  hpa.target_kind = "Deployment";
  hpa.target_name = "llama";
  hpa.min_replicas = 2;
  hpa.max_replicas = 6;
  MetricSpec metric;
  metric.source = MetricSpec::Source::Pods;
  metric.name = "vllm:num_requests_waiting";
  metric.target.milli_value = 3000;
  hpa.metrics = {metric};
  hpa.scale_down = ScalingRules{Duration::seconds(60),
                                ScalingRules::Select::Max,
                                {{ScalingPolicy::Type::Percent, 100, Duration::seconds(15)}},
                                {}};
  hpa.scale_up =
      ScalingRules{Duration{}, ScalingRules::Select::Max, {{ScalingPolicy::Type::Pods, 2, Duration::seconds(15)}}, {}};
  s.manifests.hpas = {hpa};
  FaultSpec fault;
  fault.at = Distribution::constant(600);
  fault.for_ = Distribution::constant(500);  // longer than 40 s of grace and 300 s of toleration
  fault.node = "gpu-0";
  s.faults = {fault};
  SloSpec slo;
  slo.traffic = "chat";
  slo.ttft = Duration::seconds(2);
  s.slo = {slo};
  return s;
}

uint64_t signature_of(World& world) {
  world.run_until(Time::max());
  return world.summary().signature;
}

struct Seen : RequestSink {
  std::vector<RequestRecord> rows;
  void record(const RequestRecord& r) override { rows.push_back(r); }
};

}  // namespace

TEST_CASE("equal runs have equal signatures, different seeds do not") {
  auto detail = GENERATE(as<std::string>(), "iteration", "linear");
  Summary a = run(compile(eventful(1, detail))), b = run(compile(eventful(1, detail))),
          c = run(compile(eventful(2, detail)));
  CHECK(a.signature == b.signature);
  CHECK(canonical_text(a) == canonical_text(b));
  CHECK(a.signature != c.signature);
  // The scenario does what it says: all of these paths were walked.
  CHECK(a.requests.completed > 5000);
  CHECK(a.requests.timed_out > 0);
  CHECK(a.requests.retried > 0);
  CHECK(a.replicas.at("default/llama").scale_ups > 0);
  CHECK(a.replicas.at("default/llama").scale_downs > 0);
  CHECK(a.pods.evicted > 0);
  CHECK(a.slo->attainment > 0.1);
  CHECK(a.slo->attainment < 1);
}

TEST_CASE("a recorder changes nothing") {
  Recorder recorder(Record::Sample, nullptr);
  RunOptions options;
  options.recorder = &recorder;
  Summary with = run(compile(eventful(3)), options), without = run(compile(eventful(3)));
  CHECK(with.signature == without.signature);
  CHECK(recorder.requests.size() == with.requests.arrived - with.requests.in_flight);
  CHECK(recorder.series.size() > 10);
  CHECK(recorder.scalings.size() > 2);
}

TEST_CASE("fork() at any event continues to the same signature") {
  auto model = compile(eventful(4));
  World whole(model);
  uint64_t expected = signature_of(whole);
  uint64_t events = whole.summary().events;
  Stream where(4, 4, Purpose::Policy);
  for (int i = 0; i < 12; ++i) {
    World original(model);
    uint64_t at = where.below(static_cast<uint32_t>(events));
    for (uint64_t e = 0; e < at; ++e) original.step(Time::max());
    auto copy = original.fork();
    CHECK(signature_of(*copy) == expected);
    CHECK(signature_of(original) == expected);  // and the copy took nothing away
  }
}

TEST_CASE("runs side by side on threads give the same signature", "[threads]") {
  auto model = compile(eventful(5));
  World alone(model);
  uint64_t expected = signature_of(alone);
  std::vector<uint64_t> signatures(4);
  std::vector<std::thread> threads;
  for (uint64_t& s : signatures)
    threads.emplace_back([&] {
      World world(model);
      s = signature_of(world);
    });
  for (std::thread& t : threads) t.join();
  for (uint64_t s : signatures) CHECK(s == expected);
}

TEST_CASE("two policies on one seed see identical arrivals and sizes") {
  auto requests = [](const std::string& router, int32_t replicas) {
    Scenario s = eventful(6);
    s.routers = {{"llama", {router, {}, {}}}};
    s.manifests.deployments[0].replicas = replicas;
    Seen seen;
    World world(compile(s));
    Recorder recorder(Record::All, &seen);
    world.set_recorder(&recorder);
    world.run_until(Time::max());
    std::sort(seen.rows.begin(), seen.rows.end(), [](const auto& a, const auto& b) { return a.ordinal < b.ordinal; });
    return seen.rows;
  };
  auto a = requests("random", 2), b = requests("least-requests", 4);
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].ordinal != b[j].ordinal) {
      ++(a[i].ordinal < b[j].ordinal ? i : j);
      continue;
    }
    REQUIRE(a[i].arrival_s == b[j].arrival_s);
    REQUIRE(a[i].prompt_tokens == b[j].prompt_tokens);
    REQUIRE(a[i].output_tokens == b[j].output_tokens);
    ++common, ++i, ++j;
  }
  CHECK(common > 10000);
}

TEST_CASE("the books balance at any time") {
  auto detail = GENERATE(as<std::string>(), "iteration", "linear");
  for (uint64_t seed = 10; seed < 16; ++seed) {
    World world(compile(eventful(seed, detail)));
    for (int minute = 1; minute <= 30; ++minute) {
      world.run_until(Time{} + Duration::seconds(60.0 * minute));
      Summary s = world.summary();  // throws where they do not
      CHECK(s.requests.arrived == s.requests.completed + s.requests.failed + s.requests.dropped + s.requests.timed_out +
                                      s.requests.in_flight);
    }
    CHECK(world.finished());
  }
}

TEST_CASE("GPU-seconds: the busy time of the GPUs is that of the replicas") {
  World world(compile(llama(8, 20, Duration::seconds(600), 7)));
  world.run_until(Time::max());
  __int128 gpus = 0, replicas = 0;
  for (const GpuState& g : world.state().cluster.gpus) gpus += g.busy.integral(world.now());
  for (const ReplicaState& r : world.state().serving.replicas) replicas += r.busy.integral(world.now());
  CHECK(gpus == replicas * kWholeGpu);
  CHECK(gpus > 0);
}

TEST_CASE("no heap allocation per event in the steady state") {
  auto detail = GENERATE(as<std::string>(), "iteration", "linear");
  Scenario s = llama(4, 20, Duration::seconds(4000), 8);
  s.models[0].detail = detail;
  s.traffic[0].timeout = Duration::seconds(60);
  World world(compile(s));
  world.run_until(Time{} + Duration::seconds(2000));
  uint64_t events = world.state().engine.events(), before = allocations();
  world.run_until(Time{} + Duration::seconds(3900));
  CHECK(allocations() - before == 0);
  CHECK(world.state().engine.events() - events > 50000);
}

TEST_CASE("an interrupted run has a partial summary and says so") {
  std::atomic<bool> stop{true};
  RunOptions options;
  options.stop = &stop;
  Summary s = run(compile(eventful(9)), options);
  CHECK(s.interrupted);
  CHECK(s.simulated_s < 1800);
  CHECK(s.signature != run(compile(eventful(9))).signature);
}

TEST_CASE("a rollout beyond its progress deadline is a warning of the run") {
  Scenario s = llama(1, 1, Duration::seconds(1200), 1);
  s.manifests.deployments[0].progress_deadline = Duration::seconds(300);
  s.manifests.deployments[0].pod_template.spec.containers[0].requests[0].second = 1'000'000;
  const Summary summary = run(compile(s));
  REQUIRE_FALSE(summary.warnings.empty());
  CHECK_THAT(summary.warnings.back(),
             Catch::Matchers::StartsWith("deployment \"default/llama\" exceeded its progress deadline at 300 s: "
                                         "ReplicaSet \"llama-") &&
                 Catch::Matchers::EndsWith("\" has timed out progressing."));
}

TEST_CASE("nodes are counted for as long as they are there") {
  Scenario s = llama(1, 1, Duration::seconds(3600), 1);
  s.manifests.nodes.push_back(node("spare", 0));
  s.warmup = Duration::seconds(600);
  ActionSpec gone;
  gone.kind = ActionSpec::Kind::Delete;
  gone.at = Duration::seconds(1800);
  gone.object_kind = "Node";
  gone.object_name = "spare";
  s.actions = {gone};
  const Summary summary = run(compile(s));
  CHECK(summary.nodes.hours == Approx((2 * 1200 + 1800) / 3600.0));
  CHECK(summary.nodes.mean == Approx(1.4));
  CHECK(summary.nodes.max == 2);
}

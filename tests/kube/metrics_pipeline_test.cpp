#include "kube/metrics_pipeline.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// Writes down what it sees and leaves the replicas alone.
struct Sight {
  Time now;
  bool available;
  std::vector<std::optional<MetricSample>> samples;
  std::vector<int64_t> values;
};
class Watcher : public Autoscaler {
 public:
  Watcher(MetricSpec::Source source, std::string name, std::vector<Sight>& log)
      : specs_{{.source = source, .name = std::move(name)}}, log_(log) {}
  struct Nothing : CopyableMemory<Nothing> {};
  std::span<const MetricSpec> required_metrics(const HorizontalPodAutoscaler*) const override { return specs_; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<Nothing>(); }
  Decision decide(const Observation& seen, PolicyMemory&, Stream&) const override {
    const ObservedMetric& m = seen.metrics[0];
    log_.push_back(
        {seen.now, m.available, {m.samples.begin(), m.samples.end()}, {m.values_milli.begin(), m.values_milli.end()}});
    Decision d;
    d.desired = seen.replicas;
    return d;
  }

 private:
  std::vector<MetricSpec> specs_;
  std::vector<Sight>& log_;
};

// One server of 1 s per request; syncs at 15, 30, …, scrapes at 5, 20, …
std::vector<Sight> watch(MetricSpec::Source source, const std::string& metric, Duration delay, int requests,
                         double until) {
  std::vector<Sight> log;
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 1);
  setup.kube.metrics = {.scrape_interval = 15_s, .offset = 5_s, .delay = delay, .window = 30_s};
  setup.kube.workloads[w].autoscaler.policy = std::make_shared<Watcher>(source, metric, log);
  KubeRun run(setup);
  run.run_until(at(4));
  for (int i = 0; i < requests; ++i) run.submit();
  run.run_until(at(until));
  return log;
}

TEST_CASE("an autoscaler acts on data as old as interval, offset and delay make it", "[metrics]") {
  auto source = MetricSpec::Source::Pods;
  const char* metric = "nv_inference_pending_request_count";
  SECTION("a short delay: the scrape of 10 s ago") {
    auto log = watch(source, metric, 2_s, 10, 31);
    REQUIRE(log.size() == 2);
    REQUIRE(log[0].samples.at(0));
    // Ten arrive at 4 s; at 5 s the first has just ended and the second runs.
    CHECK(log[0].samples[0]->milli == 8000);
    CHECK(log[0].now - log[0].samples[0]->timestamp == 10_s);
    CHECK(log[1].samples[0]->milli == 0);
  }
  SECTION("a long delay: one scrape further back") {
    auto log = watch(source, metric, 12_s, 10, 31);
    REQUIRE(log.size() == 2);
    CHECK_FALSE(log[0].samples.at(0));  // the scrape at 5 s is not out at 15 s
    REQUIRE(log[1].samples.at(0));
    CHECK(log[1].samples[0]->milli == 8000);
    CHECK(log[1].now - log[1].samples[0]->timestamp == 25_s);
  }
}

TEST_CASE("rates and shares need two scrapes of the window", "[metrics]") {
  auto source = MetricSpec::Source::Pods;
  SECTION("requests per second") {
    auto log = watch(source, "kisim:requests_per_second", 0_s, 31, 46);
    REQUIRE(log.size() == 3);
    CHECK_FALSE(log[0].samples.at(0));
    // One request completes per second; scrapes at 5, 20, 35.
    REQUIRE(log[1].samples.at(0));
    CHECK(log[1].samples[0]->milli == 1000);
    CHECK(log[1].samples[0]->window == 15_s);
    REQUIRE(log[2].samples.at(0));
    CHECK(log[2].samples[0]->milli == 1000);
    CHECK(log[2].samples[0]->window == 30_s);
  }
  SECTION("GPU utilisation is the busy share of the window, in per cent") {
    // Busy from 4 s to 10 s: 5 of the 15 s between the scrapes, and of the 30 s.
    auto log = watch(source, "DCGM_FI_DEV_GPU_UTIL", 0_s, 6, 46);
    CHECK(log[1].samples.at(0).value().milli == 33333);
    CHECK(log[2].samples.at(0).value().milli == 16666);
  }
  SECTION("Triton's goes from 0 to 1") {
    auto log = watch(source, "nv_gpu_utilization", 0_s, 6, 46);
    CHECK(log[1].samples.at(0).value().milli == 333);
  }
}

TEST_CASE("an External metric is the sum over the workload", "[metrics]") {
  auto log = watch(MetricSpec::Source::External, "nv_inference_pending_request_count", 0_s, 10, 16);
  REQUIRE(log.size() == 1);
  CHECK(log[0].values == std::vector<int64_t>{8000});
}

TEST_CASE("what nobody exports is not available", "[metrics]") {
  for (const char* name : {"vllm:num_requests_waiting", "no_such_metric", "kisim:held_requests"}) {
    auto log = watch(MetricSpec::Source::Pods, name, 0_s, 0, 16);
    REQUIRE(log.size() == 1);
    bool nothing = !log[0].available || !log[0].samples.at(0);
    CHECK(nothing);
  }
  auto cpu = watch(MetricSpec::Source::Resource, "cpu", 0_s, 0, 16);
  CHECK_FALSE(cpu[0].available);
}

TEST_CASE("requests held at the Service are seen without any pod", "[metrics]") {
  std::vector<Sight> log;
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 0, setup.pod(), 1);
  setup.kube.metrics = {.scrape_interval = 15_s, .offset = 5_s, .delay = 0_s, .window = 30_s};
  setup.kube.workloads[w].autoscaler.policy =
      std::make_shared<Watcher>(MetricSpec::Source::External, "kisim:held_requests", log);
  setup.kube.workloads[w].autoscaler.min_replicas = 0;
  KubeRun run(setup);
  run.submit();
  run.submit();
  run.run_until(at(16));
  REQUIRE(log.size() == 1);
  CHECK(log[0].values == std::vector<int64_t>{2000});
}

TEST_CASE("metrics that an HPA cannot get are told beforehand", "[metrics]") {
  HorizontalPodAutoscaler object;
  object.metrics = {{.source = MetricSpec::Source::Resource, .name = "cpu"},
                    {.source = MetricSpec::Source::Pods, .name = "vllm:num_requests_waiting"},
                    {.source = MetricSpec::Source::Pods, .name = "no_such_metric"}};
  auto complaints = check_metrics(object);
  REQUIRE(complaints.size() == 2);
  CHECK_THAT(complaints[0].message, Catch::Matchers::Contains("'cpu'"));
  CHECK_THAT(complaints[1].message, Catch::Matchers::Contains("exported: vllm:num_requests_running"));
}

TEST_CASE("scrape offsets are the workload's own and lie within the interval", "[metrics]") {
  auto first_scrape = [](const std::string& name) {
    KubeSetup setup;
    setup.add_node("a");
    WorkloadId w = setup.add_server(name, 1, setup.pod());
    KubeRun run(setup);
    run.run_until(at(15));
    return run.kube().state.scrapes[w].back(0).at;
  };
  CHECK(first_scrape("one") != first_scrape("two"));
  CHECK(first_scrape("one") == first_scrape("one"));
  CHECK(first_scrape("one") < at(15));
}

}  // namespace
}  // namespace kisim::test

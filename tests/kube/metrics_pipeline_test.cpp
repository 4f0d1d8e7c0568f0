#include "kube/metrics_pipeline.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

#include <set>

namespace kisim::test {
namespace {

// Writes down what it sees and leaves the replicas alone.
using Answer = ObservedMetric::Answer;
struct Sight {
  Time now;
  Answer answer;
  std::vector<std::optional<MetricSample>> samples;
  std::vector<int64_t> values;
};
class Watcher : public Autoscaler {
 public:
  Watcher(MetricSpec::Source source, std::string name, std::vector<Sight>& log, std::string container = "")
      : specs_{{.source = source, .name = std::move(name), .container = std::move(container)}}, log_(log) {}
  struct Nothing : CopyableMemory<Nothing> {};
  std::span<const MetricSpec> required_metrics(const HorizontalPodAutoscaler*) const override { return specs_; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<Nothing>(); }
  void decide(const Observation& seen, PolicyMemory&, Stream&, Decision& decision) const override {
    const ObservedMetric& m = seen.metrics[0];
    log_.push_back(
        {seen.now, m.answer, {m.samples.begin(), m.samples.end()}, {m.values_milli.begin(), m.values_milli.end()}});
    decision.desired = seen.replicas;
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
  setup.add_gpu_node("a", 1);
  WorkloadId w = setup.add_server("web", 1, setup.gpu_pod(), 1);
  setup.kube.metrics = {.scrape_interval = 15_s, .offset = 5_s, .delay = delay, .window = 30_s};
  setup.autoscaler(w).policy = std::make_shared<Watcher>(source, metric, log);
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

TEST_CASE("what nobody exports is not there", "[metrics]") {
  for (const char* name : {"vllm:num_requests_waiting", "no_such_metric", "kisim:held_requests"}) {
    auto log = watch(MetricSpec::Source::Pods, name, 0_s, 0, 16);
    REQUIRE(log.size() == 1);
    CHECK(log[0].answer == Answer::None);
  }
  auto cpu = watch(MetricSpec::Source::Resource, "cpu", 0_s, 0, 16);
  CHECK(cpu[0].answer == Answer::None);
}

TEST_CASE("a value that is too old is none", "[metrics]") {
  std::vector<Sight> log;
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 1);
  setup.kube.metrics = {.scrape_interval = 60_s, .offset = 5_s, .staleness = 30_s};
  setup.autoscaler(w).policy =
      std::make_shared<Watcher>(MetricSpec::Source::Pods, "nv_inference_pending_request_count", log);
  KubeRun run(setup);
  run.run_until(at(76));  // scrapes at 5 and 65
  REQUIRE(log.size() == 5);
  CHECK(log[0].answer == Answer::Values);
  CHECK(log[1].answer == Answer::Values);  // 25 s old
  CHECK(log[2].answer == Answer::None);    // 40 s
  CHECK(log[3].answer == Answer::None);
  CHECK(log[4].answer == Answer::Values);
}

// Pods that use `cpu` cores and a gigabyte, and half a core for every request. metrics-server asks at 5, 20, …
std::vector<Sight> watch_usage(const std::string& metric, double per_request, double until, int requests = 0,
                               MetricsSettings settings = {.offset = 5_s}, const std::string& container = "") {
  std::vector<Sight> log;
  KubeSetup setup;
  setup.add_node("a");
  PodSpec pod = setup.pod();
  pod.containers.push_back(pod.containers[0]);
  pod.containers[1].name = "sidecar";
  WorkloadId w = setup.add_server("web", 1, pod, 1000);
  KubeWorkload& workload = setup.kube.workloads[w];
  workload.behaviour.cpu = Distribution::constant(0.25);
  workload.behaviour.memory = Distribution::constant(1e9);
  workload.behaviour.cpu_per_request = per_request;
  setup.kube.metrics = settings;
  auto source = container.empty() ? MetricSpec::Source::Resource : MetricSpec::Source::ContainerResource;
  setup.autoscaler(w).policy = std::make_shared<Watcher>(source, metric, log, container);
  KubeRun run(setup);
  for (int i = 0; i < requests; ++i) run.submit();
  run.run_until(at(until));
  return log;
}

TEST_CASE("metrics-server needs two samples of a container", "[metrics]") {
  auto log = watch_usage("cpu", 0, 31);
  REQUIRE(log.size() == 2);
  CHECK(log[0].answer == Answer::None);  // seen at 5 only, five seconds old
  REQUIRE(log[1].answer == Answer::Values);
  CHECK(log[1].samples[0]->milli == 250);
  CHECK(log[1].samples[0]->timestamp == at(20));
  CHECK(log[1].samples[0]->window == 15_s);
}

TEST_CASE("the start of a young container stands for its first sample", "[metrics]") {
  auto log = watch_usage("cpu", 0, 16, 0, {.offset = 12_s});
  REQUIRE(log[0].answer == Answer::Values);  // twelve seconds old at 12
  CHECK(log[0].samples[0]->timestamp == at(12));
  CHECK(log[0].samples[0]->window == 12_s);
  CHECK(log[0].samples[0]->milli == 250);
}

TEST_CASE("resource metrics are as old as resolution, window and delay make them", "[metrics]") {
  SECTION("a resolution of a minute") {
    auto log = watch_usage("cpu", 0, 136, 0, {.offset = 5_s, .resource_resolution = 60_s});
    REQUIRE(log.size() == 9);
    CHECK(log[3].answer == Answer::None);  // at 60: asked at 5
    REQUIRE(log[4].answer == Answer::Values);
    CHECK(log[4].samples[0]->timestamp == at(65));
    CHECK(log[4].samples[0]->window == 60_s);
    CHECK(log[7].samples[0]->timestamp == at(65));
    CHECK(log[8].samples[0]->timestamp == at(125));
  }
  SECTION("kubelets that sample every minute") {
    auto log = watch_usage("cpu", 0, 91, 0, {.offset = 5_s, .resource_window = 60_s});
    REQUIRE(log.size() == 6);
    CHECK(log[3].answer == Answer::None);
    REQUIRE(log[4].answer == Answer::Values);
    CHECK(log[4].samples[0]->timestamp == at(65));
    CHECK(log[5].samples[0]->timestamp == at(65));
    CHECK(log[5].samples[0]->window == 60_s);
  }
  SECTION("a delay") {
    auto log = watch_usage("cpu", 0, 46, 0, {.offset = 5_s, .delay = 12_s});
    REQUIRE(log.size() == 3);
    CHECK(log[1].answer == Answer::None);  // that of 20 is out at 32
    CHECK(log[2].samples[0]->timestamp == at(20));
  }
}

TEST_CASE("usage that follows the requests is sampled", "[metrics]") {
  auto log = watch_usage("cpu", 0.5, 46, 3);  // 0.25 + 3 · 0.5 cores from the start on
  REQUIRE(log.size() == 3);
  CHECK(log[0].answer == Answer::None);
  REQUIRE(log[1].answer == Answer::Values);
  CHECK(log[1].samples[0]->milli == 1750);
  CHECK(log[1].samples[0]->timestamp == at(20));
  CHECK(log[2].samples[0]->timestamp == at(35));
  auto memory = watch_usage("memory", 0.5, 31, 3);
  REQUIRE(memory[1].answer == Answer::Values);
  CHECK(memory[1].samples[0]->milli == 1'000'000'000'000);
}

TEST_CASE("a pod's usage is its first container's", "[metrics]") {
  auto of = [](const char* container) { return watch_usage("cpu", 0, 31, 0, {.offset = 5_s}, container)[1]; };
  CHECK(of("server").samples[0]->milli == 250);
  CHECK(of("sidecar").samples[0]->milli == 0);
  CHECK(of("absent").answer == Answer::None);
}

TEST_CASE("requests held at the Service are seen without any pod", "[metrics]") {
  std::vector<Sight> log;
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 0, setup.pod(), 1);
  setup.kube.metrics = {.scrape_interval = 15_s, .offset = 5_s, .delay = 0_s, .window = 30_s};
  setup.autoscaler(w).policy = std::make_shared<Watcher>(MetricSpec::Source::External, "kisim:held_requests", log);
  setup.autoscaler(w).min_replicas = 0;
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
                    {.source = MetricSpec::Source::Pods, .name = "no_such_metric"},
                    {.source = MetricSpec::Source::Pods, .name = "kisim:held_requests"},
                    {.source = MetricSpec::Source::Resource, .name = "nvidia.com/gpu"}};
  auto complaints = check_metrics(object);
  REQUIRE(complaints.size() == 4);
  CHECK_THAT(complaints[0].message, Catch::Matchers::Contains("'cpu'"));
  CHECK_THAT(complaints[1].message, Catch::Matchers::Contains("exported: vllm:num_requests_running"));
  CHECK_THAT(complaints[2].message, Catch::Matchers::Contains("allowed: Object, External"));
  CHECK_THAT(complaints[3].message, Catch::Matchers::Contains("allowed: cpu, memory"));
  PodBehaviour known;
  known.cpu = Distribution::constant(1);
  CHECK(check_metrics(object, known).size() == 3);
}

TEST_CASE("only workloads whose autoscaler asks for it are scraped", "[metrics]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add_server("web", 1, setup.pod());
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.state().scrapes[WorkloadId(0u)].size == 0);
}

TEST_CASE("scrape offsets are the workload's own and lie within the interval", "[metrics]") {
  auto first_scrape = [](const std::string& name) {
    std::vector<Sight> log;
    KubeSetup setup;
    setup.add_node("a");
    WorkloadId w = setup.add_server(name, 1, setup.pod());
    setup.autoscaler(w).policy = std::make_shared<Watcher>(MetricSpec::Source::Pods, "nv_gpu_utilization", log);
    KubeRun run(setup);
    run.run_until(at(15));
    return run.state().scrapes[w].back(0).at;
  };
  CHECK(first_scrape("one") != first_scrape("two"));
  CHECK(first_scrape("one") == first_scrape("one"));
  CHECK(first_scrape("one") < at(15));
}

TEST_CASE("every metric is documented once", "[metrics]") {
  std::set<std::string_view> names;
  for (const MetricDoc& doc : metric_docs()) {
    CHECK(names.insert(doc.name).second);
    CHECK_FALSE(doc.doc.empty());
    CHECK_FALSE(doc.source.empty());
  }
}

}  // namespace
}  // namespace kisim::test

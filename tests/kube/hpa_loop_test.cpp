#include "kube/hpa_loop.hpp"

#include "kube_world.hpp"
#include "policy/registry.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

std::shared_ptr<const Autoscaler> hpa() {
  Params p;
  p.set("tolerance", 0.1);
  p.set("downscaleStabilization", 300.0);
  p.set("cpuInitializationPeriod", 300.0);
  p.set("initialReadinessDelay", 30.0);
  p.set("featureGates", "");
  return Registry<Autoscaler>::instance().find("hpa")->make(p);
}

// A server of 1000 s per request, so that a queue stays; HPA at two waiting per pod; scrapes at 5, 20, …
KubeSetup queue_scaled(const std::string& metric, MetricSpec::Source source = MetricSpec::Source::Pods) {
  KubeSetup setup;
  setup.add_node("a", 64000);
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 1000);
  setup.kube.metrics = {.scrape_interval = 15_s, .offset = 5_s, .delay = 0_s, .window = 30_s};
  AutoscalerBinding& binding = setup.kube.workloads[w].autoscaler;
  MetricSpec spec{.source = source, .name = metric};
  spec.target.milli_value = 2000;
  binding.policy = hpa();
  binding.object = HorizontalPodAutoscaler{.max_replicas = 8, .metrics = {spec}};
  binding.max_replicas = 8;
  return setup;
}

TEST_CASE("the HPA scales a Deployment on its queue and says why", "[hpa]") {
  KubeRun run(queue_scaled("nv_inference_pending_request_count"));
  run.run_until(at(1));
  for (int i = 0; i < 11; ++i) run.submit();
  run.run_until(at(14.9));
  CHECK(run.statistics().scalings.empty());
  // Ten wait, two are wanted: 5, of which 4 are allowed at once. Then 10 / 4 pods = 2.5: 5 by the ratio 1.25 · 4.
  run.run_until(at(15));
  REQUIRE(run.statistics().scalings.size() == 1);
  CHECK(run.statistics().scalings[0].to == 4);
  CHECK(run.statistics().scalings[0].reason == "pods metric nv_inference_pending_request_count above target");
  CHECK(run.decided("ScaleUpLimit") == 1);
  run.run_until(at(30));
  REQUIRE(run.statistics().scalings.size() == 2);
  CHECK(run.statistics().scalings[1].at == at(30));
  CHECK(run.statistics().scalings[1].to == 5);
  CHECK(run.decided("SuccessfulRescale: pods metric nv_inference_pending_request_count above target") == 2);
  CHECK(run.statistics().workloads[WorkloadId(0u)].scale_ups == 2);
}

TEST_CASE("a metric that cannot be had stops scaling and is counted", "[hpa]") {
  SECTION("nobody exports it") {
    KubeRun run(queue_scaled("no_such_metric"));
    run.run_until(at(60));
    CHECK(run.decided("FailedGetPodsMetric") == 4);
    CHECK(run.statistics().scalings.empty());
  }
  SECTION("cpu has no model") {
    KubeRun run(queue_scaled("cpu", MetricSpec::Source::Resource));
    run.run_until(at(60));
    CHECK(run.decided("FailedGetResourceMetric") == 4);
  }
}

TEST_CASE("a workload without an autoscaler keeps its replicas", "[hpa]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add_server("web", 3, setup.pod());
  KubeRun run(setup);
  run.run_until(at(3600));
  CHECK(run.statistics().scalings.empty());
  CHECK(run.statistics().workloads[WorkloadId(0u)].ready.value() == 3);
}

TEST_CASE("what a policy wants is kept within the binding's limits", "[hpa]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  WorkloadId w = setup.add_server("web", 1, setup.pod());
  Params params;
  params.set("replicas", 12.0);
  setup.kube.workloads[w].autoscaler.policy = Registry<Autoscaler>::instance().find("constant")->make(params);
  setup.kube.workloads[w].autoscaler.max_replicas = 5;
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.kube().state.workloads[w].replicas == 5);
  CHECK(run.decided("TooManyReplicas") == 1);
  CHECK(run.decided("SuccessfulRescale: constant") == 1);
}

}  // namespace
}  // namespace kisim::test

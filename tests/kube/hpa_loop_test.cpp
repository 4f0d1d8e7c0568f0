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
  AutoscalerBinding& binding = setup.autoscaler(w);
  MetricSpec spec{.source = source, .name = metric};
  spec.target.milli_value = 2000;
  binding.policy = hpa();
  binding.object = HorizontalPodAutoscaler{.max_replicas = 8, .metrics = {spec}};
  binding.object->meta.name = "h";
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
  SECTION("nothing is known of what the pods use") {
    KubeRun run(queue_scaled("cpu", MetricSpec::Source::Resource));
    run.run_until(at(60));
    CHECK(run.decided("FailedGetResourceMetric") == 4);
  }
}

// Writes down what is recorded of an object of that kind.
struct HpaEvents : EventSink {
  void record(KubeEvent event) override {
    if (event.kind != "HorizontalPodAutoscaler" || event.name != "h") return;
    texts.push_back(fmt::format("{} {} {}", event.at.ns / 1'000'000'000, event.reason, event.message));
    CHECK(event.component == "horizontal-pod-autoscaler");
  }
  std::vector<std::string> texts;
};

const AutoscalerState& autoscaler(KubeRun& run) { return run.state().autoscalers[AutoscalerId(0u)]; }

TEST_CASE("the status of the object is kept", "[hpa]") {
  KubeRun run(queue_scaled("nv_inference_pending_request_count"));
  for (int i = 0; i < 5; ++i) run.submit();  // four wait: 2 · 1
  run.run_until(at(16));
  const AutoscalerState& a = autoscaler(run);
  CHECK(a.synced == at(15));
  CHECK(a.current_replicas == 1);
  CHECK(a.desired_replicas == 2);
  CHECK(a.last_scale == at(15));
  CHECK(a.able_to_scale.value.reason == "SucceededRescale");
  CHECK(a.able_to_scale.value.detail == 2);
  CHECK(a.scaling_active.value.reason == "ValidMetricFound");
  CHECK(a.scaling_limited.value.reason == "DesiredWithinRange");
  CHECK_FALSE(a.scaled_to_zero.known);
  REQUIRE(a.decision.metrics.size() == 1);
  CHECK(a.decision.metrics[0].average_milli_value == 4000);
  // A condition is as old as its status, whatever its reason.
  run.run_until(at(31));
  CHECK(a.able_to_scale.value.reason == "ReadyForNewScale");
  CHECK(a.able_to_scale.since == at(15));
  CHECK(a.reconciliations[static_cast<size_t>(ScalingAction::ScaleUp)][0] == 1);
  CHECK(a.reconciliations[static_cast<size_t>(ScalingAction::None)][0] == 1);
}

TEST_CASE("events say what the controller says", "[hpa]") {
  HpaEvents events;
  SECTION("a rescale") {
    KubeRun run(queue_scaled("nv_inference_pending_request_count"));
    run.kube().set_event_sink(&events);
    for (int i = 0; i < 5; ++i) run.submit();
    run.run_until(at(16));
    CHECK(events.texts == std::vector<std::string>{"15 SuccessfulRescale New size: 2; reason: pods metric "
                                                   "nv_inference_pending_request_count above target"});
  }
  SECTION("a metric that nobody exports") {
    KubeRun run(queue_scaled("no_such_metric"));
    run.kube().set_event_sink(&events);
    run.run_until(at(16));
    const std::string text =
        "unable to get metric no_such_metric: unable to fetch metrics from custom metrics API: the server could not "
        "find the metric no_such_metric for pods";
    CHECK(events.texts == std::vector<std::string>{
                              "15 FailedGetPodsMetric " + text,
                              "15 FailedComputeMetricsReplicas invalid metrics (1 invalid out of 1), first error is: "
                              "failed to get pods metric value: " +
                                  text});
  }
}

TEST_CASE("the metrics APIs do not answer while they are out", "[hpa]") {
  KubeSetup setup = queue_scaled("nv_inference_pending_request_count");
  Fault outage;
  outage.kind = Fault::Kind::MetricsOutage;
  outage.at = Distribution::constant(40);
  outage.for_ = Distribution::constant(20);
  setup.kube.faults.push_back(outage);
  KubeRun run(setup);
  run.run_until(at(31));
  const AutoscalerState& a = autoscaler(run);
  CHECK(a.scaling_active.value.status);
  run.run_until(at(46));
  CHECK(a.scaling_active.value.failure == MetricFailure::NoAnswer);
  CHECK(a.scaling_active.since == at(45));
  CHECK(a.able_to_scale.value.status);
  run.run_until(at(61));
  CHECK(a.scaling_active.value.status);
  CHECK(a.scaling_active.since == at(60));
}

TEST_CASE("an object whose target is not there cannot get its scale", "[hpa]") {
  KubeSetup setup = queue_scaled("nv_inference_pending_request_count");
  WorkloadId w(0u);
  SpecId later = std::exchange(setup.kube.workloads[w].spec, SpecId{});
  setup.apply(20, w, later);
  KubeRun run(setup);
  HpaEvents events;
  run.kube().set_event_sink(&events);
  run.run_until(at(16));
  CHECK_FALSE(autoscaler(run).able_to_scale.value.status);
  CHECK(events.texts == std::vector<std::string>{"15 FailedGetScale deployments.apps \"web\" not found"});
  run.run_until(at(31));
  CHECK(autoscaler(run).able_to_scale.value.status);
  CHECK(autoscaler(run).able_to_scale.since == at(30));
}

TEST_CASE("two objects over the same pods: neither computes anything once both are known", "[hpa]") {
  KubeSetup setup = queue_scaled("nv_inference_pending_request_count");
  auto& web = std::get<Deployment>(setup.kube.specs[SpecId(0u)].object);
  web.selector.requirements = {{"app", SelectorOperator::In, {"web"}}};
  AutoscalerBinding other = setup.autoscaler(WorkloadId(0u));
  other.object->meta.name = "other";
  setup.kube.autoscalers.push_back(other);
  KubeRun run(setup);
  HpaEvents events;
  run.kube().set_event_sink(&events);
  run.run_until(at(20));
  for (int i = 0; i < 9; ++i) run.submit();
  run.run_until(at(50));
  CHECK(run.statistics().scalings.empty());
  // Only the first look of the first one found the pods its own.
  CHECK(run.decided("AmbiguousSelector") == 5);
  const AutoscalerState& a = autoscaler(run);
  CHECK(a.able_to_scale.value.status);
  CHECK_FALSE(a.scaling_active.value.status);
  CHECK(a.scaling_active.since == at(30));
  const std::string text = "pods by selector app=web are controlled by multiple HPAs: [default/h default/other]";
  CHECK(events.texts ==
        std::vector<std::string>{"30 AmbiguousSelector " + text, "30 FailedComputeMetricsReplicas " + text,
                                 "45 AmbiguousSelector " + text, "45 FailedComputeMetricsReplicas " + text});
}

TEST_CASE("an object whose target nobody ever made says so", "[hpa]") {
  KubeSetup setup = queue_scaled("nv_inference_pending_request_count");
  AutoscalerBinding lost = setup.autoscaler(WorkloadId(0u));
  lost.workload = {};
  lost.object->target_kind = "Deployment";
  lost.object->target_name = "wbe";
  setup.kube.autoscalers[AutoscalerId(0u)] = lost;
  KubeRun run(setup);
  HpaEvents events;
  run.kube().set_event_sink(&events);
  run.run_until(at(31));
  CHECK(events.texts == std::vector<std::string>{"15 FailedGetScale deployments.apps \"wbe\" not found",
                                                 "30 FailedGetScale deployments.apps \"wbe\" not found"});
  CHECK_FALSE(autoscaler(run).able_to_scale.value.status);
  CHECK(autoscaler(run).able_to_scale.since == at(15));
  CHECK_FALSE(autoscaler(run).scaling_active.known);
}

TEST_CASE("a record takes the place of the cluster", "[hpa]") {
  KubeSetup setup = queue_scaled("anything", MetricSpec::Source::External);
  RecordedTarget target;
  for (int64_t t : {3, 7, 90}) {
    RecordedMetric metric;
    metric.answer = ObservedMetric::Answer::Values;
    metric.values_milli = {t * 1000};
    target.syncs.push_back({.at = at(static_cast<double>(t)), .status_replicas = 1, .metrics = {metric}});
  }
  setup.autoscaler(WorkloadId(0u)).recorded = std::make_shared<RecordedTarget>(target);
  KubeRun run(setup);
  run.run_until(at(1000));
  const auto& scalings = run.statistics().scalings;
  REQUIRE(scalings.size() == 3);
  CHECK(scalings[0].at == at(3));
  CHECK(scalings[0].to == 2);  // ceil(3 / 2)
  CHECK(scalings[1].at == at(7));
  CHECK(scalings[1].to == 4);
  CHECK(scalings[2].at == at(90));
  CHECK(scalings[2].to == 8);
  CHECK(autoscaler(run).syncs == 3);
}

TEST_CASE("CPU utilisation of the request scales", "[hpa]") {
  KubeSetup setup = queue_scaled("cpu", MetricSpec::Source::Resource);
  KubeWorkload& workload = setup.kube.workloads[WorkloadId(0u)];
  workload.behaviour.cpu = Distribution::constant(0.9);  // of one core requested
  setup.autoscaler(WorkloadId(0u)).object->metrics[0].target = {MetricTarget::Type::Utilization, 0, 60};
  KubeRun run(setup);
  run.run_until(at(600));
  // Every pod uses 90 % whatever there are: 1.5 times as many, again and again, at most doubled, up to eight.
  CHECK(run.statistics().scalings.front().to == 2);
  CHECK(run.statistics().scalings.front().reason == "cpu resource utilization (percentage of request) above target");
  CHECK(run.cluster().state.replicas[0] == 8);
  const MetricStatus& status = autoscaler(run).decision.metrics[0];
  CHECK(status.average_utilization == 90);
  CHECK(status.average_milli_value == 900);
}

TEST_CASE("a pod that was ready counts when it ceases to be, one that never was does not", "[hpa]") {
  KubeSetup setup = queue_scaled("cpu", MetricSpec::Source::Resource);
  KubeWorkload& workload = setup.kube.workloads[WorkloadId(0u)];
  workload.behaviour.cpu = Distribution::constant(0.9);
  setup.autoscaler(WorkloadId(0u)).object->metrics[0].target = {MetricTarget::Type::Utilization, 0, 90};
  workload.startup.engine = Distribution::constant(28);  // ready before the initial readiness delay has passed
  Fault kill;
  kill.kind = Fault::Kind::OomKill;
  kill.workload = WorkloadId(0u);
  kill.at = Distribution::constant(484);
  setup.kube.faults = {kill};
  KubeRun run(setup);
  run.run_until(at(510));
  CHECK(run.pod(0).phase == PodPhase::Loading);
  CHECK(run.pod(0).ready == at(28));
  CHECK(run.pod(0).unready == at(484));
  CHECK(autoscaler(run).decision.metrics[0].ready == 1);
}

TEST_CASE("a missing request is told with its container and pod", "[hpa]") {
  KubeSetup setup = queue_scaled("memory", MetricSpec::Source::Resource);
  KubeWorkload& workload = setup.kube.workloads[WorkloadId(0u)];
  workload.behaviour.memory = Distribution::constant(1e9);
  setup.autoscaler(WorkloadId(0u)).object->metrics[0].target = {MetricTarget::Type::Utilization, 0, 60};
  KubeRun run(setup);
  HpaEvents events;
  run.kube().set_event_sink(&events);
  run.run_until(at(46));
  REQUIRE_FALSE(events.texts.empty());
  CHECK_THAT(events.texts.back(), Catch::Matchers::Contains("missing request for memory in container server of Pod " +
                                                            run.cluster().pod_name(PodId(0u))));
  CHECK(autoscaler(run).scaling_active.value.failure == MetricFailure::NoRequest);
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
  setup.autoscaler(w).policy = Registry<Autoscaler>::instance().find("constant")->make(params);
  setup.autoscaler(w).max_replicas = 5;
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.cluster().state.replicas[w.value] == 5);
  CHECK(run.decided("TooManyReplicas") == 1);
  CHECK(run.decided("SuccessfulRescale: constant") == 1);
}

}  // namespace
}  // namespace kisim::test

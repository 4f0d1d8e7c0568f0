// Worked examples of the hpa policy, each with its arithmetic; tests/conformance has the records of the real one.

#include "core/error.hpp"
#include "policy/autoscaler.hpp"
#include "policy/registry.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

Params default_params() {
  Params p;
  p.set("tolerance", 0.1);
  p.set("downscaleStabilization", 300.0);
  p.set("cpuInitializationPeriod", 300.0);
  p.set("initialReadinessDelay", 30.0);
  p.set("featureGates", "");
  return p;
}

// One workload under one HPA with a Pods metric and a target of 10 per pod.
struct Bench {
  HorizontalPodAutoscaler object{.min_replicas = 1, .max_replicas = 100, .metrics = {queue_metric()}};
  std::shared_ptr<const Autoscaler> policy = Registry<Autoscaler>::instance().find("hpa")->make(default_params());
  PolicyMemoryBox memory{policy->make_memory()};
  Stream stream;
  int32_t minor = 36;
  bool ambiguous = false;
  std::vector<ObservedPod> pods;
  std::vector<std::optional<MetricSample>> samples;
  std::vector<int64_t> requests, values;  // of the metric, where it has any

  static MetricSpec queue_metric() {
    MetricSpec spec{.source = MetricSpec::Source::Pods, .name = "queue"};
    spec.target.milli_value = 10'000;
    return spec;
  }
  void pod(std::optional<int64_t> value, ObservedPod::Phase phase = ObservedPod::Phase::Running) {
    ObservedPod p;
    p.phase = phase;
    p.ready = ObservedPod::Ready::True;
    p.start = Time{};
    pods.push_back(p);
    samples.push_back(value ? std::optional(MetricSample{*value * 1000, {}, {}}) : std::nullopt);
  }
  // `n` ready pods with the same value.
  void all(int32_t n, int64_t value) {
    pods.clear();
    samples.clear();
    for (int32_t i = 0; i < n; ++i) pod(value);
  }
  Decision decide(Duration now, int32_t replicas, bool available = true) {
    using Answer = ObservedMetric::Answer;
    ObservedMetric metric{.answer = available ? Answer::Values : Answer::Unavailable, .samples = samples};
    metric.request_milli = requests;
    metric.values_milli = values;
    Observation seen;
    seen.now = Time{} + now;
    seen.kubernetes_minor = minor;
    seen.replicas = seen.status_replicas = replicas;
    seen.min_replicas = object.min_replicas;
    seen.max_replicas = object.max_replicas;
    seen.object = &object;
    seen.pods = pods;
    seen.required = object.metrics;
    seen.metrics = {&metric, 1};
    seen.ambiguous = ambiguous;
    Decision decision;
    policy->decide(seen, *memory, stream, decision);
    return decision;
  }
};

TEST_CASE("replicas follow the ratio of average and target", "[hpa]") {
  Bench b;
  b.all(4, 15);  // 15/10 · 4 = 6
  Decision d = b.decide(15_s, 4);
  CHECK(d.desired == 6);
  CHECK(d.reason == "pods metric queue above target");
  CHECK(d.able_to_scale.reason == "SucceededRescale");
  CHECK(d.scaling_limited.reason == "DesiredWithinRange");
}

TEST_CASE("nothing happens within the tolerance, its edges included", "[hpa]") {
  Bench b;
  b.all(10, 11);  // 1.1
  CHECK(b.decide(15_s, 10).desired == 10);
  b.all(10, 9);  // 0.9
  CHECK(b.decide(30_s, 10).desired == 10);
  b.all(10, 12);  // 1.2 · 10
  CHECK(b.decide(45_s, 10).desired == 12);
}

TEST_CASE("the average is truncated to milli-units before the ratio", "[hpa]") {
  Bench b;
  b.object.metrics[0].target.milli_value = 1;
  b.samples = {MetricSample{1, {}, {}}, MetricSample{2, {}, {}}};
  b.pods.resize(2);
  for (ObservedPod& p : b.pods) p.phase = ObservedPod::Phase::Running;
  CHECK(b.decide(15_s, 2).desired == 2);  // (1 + 2) / 2 = 1, not 1.5
}

TEST_CASE("pods that do not report speak against the move", "[hpa]") {
  Bench b;
  SECTION("on the way up they count as idle") {
    b.pod(30);
    b.pod(30);
    b.pod({});
    b.pod({});  // (30 + 30 + 0 + 0) / 4 = 15: 1.5 · 4 = 6
    CHECK(b.decide(15_s, 4).desired == 6);
  }
  SECTION("on the way down as on target") {
    b.pod(2);
    b.pod(2);
    b.pod({});
    b.pod({});  // (2 + 2 + 10 + 10) / 4 = 6: 0.6 · 4 = 2.4 -> 3, held by the recommendation of 4
    Decision d = b.decide(15_s, 4);
    CHECK(d.desired == 4);
    CHECK(d.able_to_scale.reason == "ScaleDownStabilized");
    CHECK(b.decide(400_s, 4).desired == 3);
  }
  SECTION("pending pods count as idle on the way up") {
    b.pod(30);
    b.pod({}, ObservedPod::Phase::Pending);
    b.pod({}, ObservedPod::Phase::Pending);  // 30 / 3 = 10: no more
    CHECK(b.decide(15_s, 3).desired == 3);
  }
}

TEST_CASE("without behavior a scale-up at most doubles, from four on", "[hpa]") {
  Bench b;
  b.all(1, 1000);
  Decision d = b.decide(15_s, 1);
  CHECK(d.desired == 4);
  CHECK(d.scaling_limited.reason == "ScaleUpLimit");
  b.all(4, 1000);
  CHECK(b.decide(30_s, 4).desired == 8);
  b.object.max_replicas = 10;
  b.all(8, 1000);
  d = b.decide(45_s, 8);
  CHECK(d.desired == 10);
  CHECK(d.scaling_limited.reason == "TooManyReplicas");
}

TEST_CASE("a scale-down waits for the whole window to agree", "[hpa]") {
  Bench b;
  b.all(10, 10);
  b.decide(0_s, 10);
  b.all(10, 1);  // wants 1
  for (int64_t t = 15; t <= 300; t += 15) {
    Decision d = b.decide(1_s * t, 10);
    REQUIRE(d.desired == 10);
    REQUIRE(d.able_to_scale.reason == "ScaleDownStabilized");
  }
  CHECK(b.decide(315_s, 10).desired == 1);
}

TEST_CASE("a policy that allows any number of pods", "[hpa]") {
  Bench b;
  b.object.scale_up =
      ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, INT32_MAX, 60_s}}};
  b.object.scale_down =
      ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, INT32_MAX, 60_s}}};
  b.all(4, 15);  // 15/10 · 4 = 6
  CHECK(b.decide(15_s, 4).desired == 6);
  b.all(6, 5);
  CHECK(b.decide(30_s, 6).desired == 3);
}

TEST_CASE("behavior limits how much changes per period", "[hpa]") {
  Bench b;
  b.object.scale_up = ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, 2, 60_s}}};
  b.object.scale_down =
      ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Percent, 10, 60_s}}};
  b.all(4, 100);
  Decision d = b.decide(15_s, 4);
  CHECK(d.desired == 6);
  CHECK(d.scaling_limited.reason == "ScaleUpLimit");
  b.all(6, 100);
  CHECK(b.decide(30_s, 6).desired == 6);  // two were added within the minute
  CHECK(b.decide(75_s, 6).desired == 8);  // events strictly newer than 60 s count
  b.all(8, 0);
  d = b.decide(300_s, 8);  // trunc(8 · 0.9) = 7
  CHECK(d.desired == 7);
  CHECK(d.scaling_limited.reason == "ScaleDownLimit");
  b.object.scale_down->select = ScalingRules::Select::Disabled;
  b.all(7, 0);
  CHECK(b.decide(600_s, 7).desired == 7);
}

TEST_CASE("tolerances of their own directions need Kubernetes 1.35 or the gate", "[hpa]") {
  Bench b;
  b.object.scale_up = ScalingRules{.stabilization_window = 0_s, .tolerance_milli = 0};
  b.all(20, 10);
  b.samples[0]->milli += 20'000;  // average 11: ratio 1.1
  b.minor = 34;
  CHECK(b.decide(15_s, 20).desired == 20);
  b.minor = 35;
  CHECK(b.decide(30_s, 20).desired == 22);
}

TEST_CASE("limits of the object act at once and without metrics", "[hpa]") {
  Bench b;
  b.object.min_replicas = 3;
  b.object.max_replicas = 5;
  Decision d = b.decide(15_s, 9, false);
  CHECK(d.desired == 5);
  CHECK(d.reason == "Current number of replicas above Spec.MaxReplicas");
  CHECK(b.decide(30_s, 1, false).desired == 3);
  d = b.decide(45_s, 0, false);
  CHECK(d.desired == 0);
  CHECK(d.scaling_active.reason == "ScalingDisabled");
}

TEST_CASE("a metric that fails leaves the replicas as they are", "[hpa]") {
  Bench b;
  b.all(4, 100);
  Decision d = b.decide(15_s, 4, false);
  CHECK(d.desired == 4);
  CHECK(d.error);
  CHECK_FALSE(d.scaling_active.status);
  CHECK(d.scaling_active.reason == "FailedGetPodsMetric");
}

TEST_CASE("a decision tells how it came about", "[hpa]") {
  Bench b;
  b.object.scale_up = ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, 4, 15_s}}};
  b.object.scale_down = ScalingRules{.stabilization_window = 300_s};
  SECTION("limited by a policy") {
    b.all(4, 30);  // 3 · 4 = 12
    Decision d = b.decide(15_s, 4);
    CHECK(d.steps.taken);
    CHECK(d.steps.proposed == 12);
    CHECK(d.steps.stabilized == 12);
    CHECK(d.steps.desired == 8);
    REQUIRE(d.steps.policy);
    CHECK(d.steps.policy->value == 4);
    CHECK(d.steps.base == 4);
  }
  SECTION("held by a recommendation") {
    b.all(10, 12);  // 12, recommended at 15 s
    CHECK(b.decide(15_s, 10).desired == 12);
    b.all(12, 5);  // 6
    Decision d = b.decide(30_s, 12);
    CHECK(d.steps.proposed == 6);
    CHECK(d.steps.stabilized == 12);
    CHECK(d.steps.window == 300_s);
    CHECK(d.steps.recommended == Time{} + 15_s);
    CHECK_FALSE(d.steps.policy);
  }
  SECTION("the limits of the object ask no metric") {
    b.object.max_replicas = 3;
    Decision d = b.decide(15_s, 9);
    CHECK_FALSE(d.steps.taken);
    CHECK(d.metrics.empty());
  }
}

TEST_CASE("the status of a metric has its value and its pods", "[hpa]") {
  Bench b;
  b.pod(20);
  b.pod(25);
  b.pod({});
  b.pod({}, ObservedPod::Phase::Pending);
  b.pod({}, ObservedPod::Phase::Failed);
  Decision d = b.decide(15_s, 5);
  REQUIRE(d.metrics.size() == 1);
  const MetricStatus& status = d.metrics[0];
  CHECK(status.failure == MetricFailure::None);
  CHECK(status.average_milli_value == 22'500);
  CHECK_FALSE(status.average_utilization);
  CHECK(status.ready == 2);
  CHECK(status.missing == 1);
  CHECK(status.unready == 1);
  CHECK(status.ignored == 1);
}

TEST_CASE("pods that several objects select are scaled by none", "[hpa]") {
  Bench b;
  b.ambiguous = true;
  b.all(4, 100);
  Decision d = b.decide(15_s, 4);
  CHECK(d.desired == 4);
  CHECK(d.error);
  CHECK(d.scaling_active.reason == "AmbiguousSelector");
  CHECK(d.metrics.empty());
  CHECK(b.decide(30_s, 200).desired == 100);  // but within their limits
}

TEST_CASE("a container that pods do not have is an error since 1.35", "[hpa]") {
  Bench b;
  b.object.metrics[0].source = MetricSpec::Source::ContainerResource;
  b.object.metrics[0].name = "memory";
  b.object.metrics[0].target = {MetricTarget::Type::Utilization, 0, 50};
  b.all(2, 10);
  std::vector<int64_t> requests{10'000, kNoContainer};
  b.requests = requests;
  b.minor = 34;  // it requests nothing: 20 of 10 used, 200 % of 50
  CHECK(b.decide(15_s, 2).steps.proposed == 8);
  b.minor = 36;
  Decision d = b.decide(30_s, 2);
  REQUIRE(d.metrics.size() == 1);
  CHECK(d.metrics[0].failure == MetricFailure::NoContainer);
  CHECK(d.metrics[0].pod == 1);
}

TEST_CASE("from zero a raised minimum is reached at once", "[hpa]") {
  Bench b;
  Params p = default_params();
  p.set("featureGates", "HPAScaleToZero=true");
  b.policy = Registry<Autoscaler>::instance().find("hpa")->make(p);
  b.object.metrics[0].source = MetricSpec::Source::External;
  b.object.min_replicas = 0;
  b.object.scale_up = ScalingRules{.stabilization_window = 0_s};
  b.object.scale_down = ScalingRules{.stabilization_window = 0_s};
  b.values = {0};
  Decision d = b.decide(15_s, 3);
  CHECK(d.desired == 0);
  CHECK(d.scaled_to_zero == true);
  b.object.min_replicas = 2;
  b.values = {5'000};
  d = b.decide(30_s, 0);  // ceil(5 / 10) = 1
  CHECK(d.steps.proposed == 1);
  CHECK(d.desired == 2);
  CHECK(d.scaled_to_zero == false);
}

TEST_CASE("a manual zero stays since 1.36", "[hpa]") {
  Bench b;
  b.object.metrics[0].source = MetricSpec::Source::External;
  b.object.min_replicas = 0;
  b.values = {50'000};
  CHECK(b.decide(15_s, 0).scaling_active.reason == "ScalingDisabled");
  b.minor = 34;
  CHECK(b.decide(30_s, 0).desired == 4);
}

TEST_CASE("a copy of the memory remembers on its own", "[hpa]") {
  Bench b;
  b.all(10, 10);
  b.decide(0_s, 10);
  PolicyMemoryBox copy = b.memory;
  b.all(10, 1);
  CHECK(b.decide(315_s, 10).desired == 1);
  std::swap(b.memory, copy);
  b.all(20, 10);
  CHECK(b.decide(20_s, 20).desired == 20);  // the copy is still before that
}

TEST_CASE("hpa refuses what it cannot run", "[hpa]") {
  Bench b;
  CHECK(b.policy->complaint(nullptr));
  CHECK_FALSE(b.policy->complaint(&b.object));
  Params p = default_params();
  p.set("featureGates", "HPAScaleToZero=yes");
  CHECK_THROWS_AS(Registry<Autoscaler>::instance().find("hpa")->make(p), InputError);
  p.set("featureGates", "NoSuchGate=true");
  CHECK_THROWS_AS(Registry<Autoscaler>::instance().find("hpa")->make(p), InputError);
}

}  // namespace
}  // namespace kisim

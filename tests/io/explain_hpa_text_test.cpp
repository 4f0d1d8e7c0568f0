#include "io/explain_hpa_text.hpp"

#include "io/value.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using Catch::Matchers::Contains;

// 78 % on five pods asks for 7, held at 9, of which the policy lets 8.
HpaExplanation sample() {
  HpaExplanation e;
  e.autoscaler = "ml/web";
  e.workload = "Deployment ml/web";
  e.at = Time{} + 120_s;
  e.synced = Time{} + 105_s;
  e.replicas = 8;
  e.current = 5;
  e.desired = 8;
  e.min_replicas = 1;
  e.max_replicas = 10;
  MetricExplanation cpu;
  cpu.spec.name = "cpu";
  cpu.spec.target = {MetricTarget::Type::Utilization, 0, 60};
  cpu.name = "cpu resource utilization (percentage of request)";
  cpu.status.average_utilization = 78;
  cpu.status.average_milli_value = 780;
  cpu.status.replicas = 7;
  cpu.status.ready = 5;
  MetricExplanation queue;
  queue.spec.source = MetricSpec::Source::Pods;
  queue.spec.name = "queue";
  queue.spec.target.milli_value = 2000;
  queue.name = "pods metric queue";
  queue.status.failure = MetricFailure::NoMetrics;
  queue.failure = "unable to get metric queue";
  e.metrics = {cpu, queue};
  e.steps = {.taken = true,
             .proposed = 7,
             .leader = 0,
             .stabilized = 9,
             .window = 300_s,
             .recommended = Time{} + 45_s,
             .desired = 8,
             .policy = ScalingPolicy{ScalingPolicy::Type::Pods, 4, 15_s},
             .base = 4};
  e.conditions = {{"ScalingLimited", true, "ScaleUpLimit", "the message", Time{} + 105_s}};
  e.scalings = {{Time{} + 105_s, 5, 8, "cpu above target"}};
  return e;
}

TEST_CASE("the explanation of an autoscaler for people", "[explain]") {
  std::string text = hpa_explanation_text(sample(), false, {.width = 300});
  CHECK_THAT(text, Contains("HorizontalPodAutoscaler ml/web of Deployment ml/web at 0:02:00"));
  CHECK_THAT(text, Contains("8 replicas, 1 to 10 allowed; at its last sync, 0:01:45, it saw 5 and wanted 8"));
  CHECK_THAT(text,
             Contains("cpu resource utilization (percentage of request) asks for 7; stabilised by the 300 s window "
                      "to 9 (recommendation of 0:00:45); limited to 8 by scaleUp policy 4 pods/15 s, from 4 at "
                      "its start."));
  CHECK_THAT(text, Contains("78 % (780m)"));
  CHECK_THAT(text, Contains("60 %"));
  CHECK_THAT(text, Contains("5 ready"));
  CHECK_THAT(text, Contains("pods metric queue: unable to get metric queue"));
  CHECK_THAT(text, Contains("ScaleUpLimit"));
  CHECK_THAT(text, Contains("cpu above target"));
}

TEST_CASE("only the last scalings are listed, and the number of the others", "[explain]") {
  HpaExplanation e = sample();
  for (int i = 0; i < 13; ++i) e.scalings.push_back({Time{} + 200_s, 8, 9, fmt::format("reason {}.", i)});
  const std::string some = hpa_explanation_text(e, false, {.width = 300});
  CHECK_THAT(some, Contains("reason 12.") && Contains("reason 3.") && !Contains("reason 2."));
  CHECK_THAT(some, Contains("… and 4 earlier; -o wide lists them"));
  CHECK_THAT(hpa_explanation_text(e, true, {.width = 300}), Contains("reason 0.") && !Contains("earlier"));
}

TEST_CASE("what decided where no metric did", "[explain]") {
  auto verdict = [](HpaExplanation e) { return hpa_explanation_text(e, false, {.width = 300}); };
  HpaExplanation e = sample();
  e.steps = {};
  e.metrics.clear();
  SECTION("a limit of the object") {
    e.reason = "Current number of replicas above Spec.MaxReplicas";
    CHECK_THAT(verdict(e), Contains("Current number of replicas above Spec.MaxReplicas: it scaled to 8"));
  }
  SECTION("a condition") {
    e.conditions = {{"ScalingActive", false, "ScalingDisabled", "scaling is disabled", {}}};
    CHECK_THAT(verdict(e), Contains("It did not scale: scaling is disabled."));
  }
  SECTION("no sync yet") {
    e.synced.reset();
    CHECK_THAT(verdict(e), Contains("It has not synced yet."));
  }
}

TEST_CASE("the explanation of an autoscaler for programs", "[explain]") {
  nlohmann::json json = nlohmann::json::parse(hpa_explanation_json(sample()));
  CHECK(json["autoscaler"] == "ml/web");
  CHECK(json["synced_s"] == 105);
  CHECK(json["last_scale_s"].is_null());
  CHECK(json["metrics"][0]["averageUtilization"] == 78);
  CHECK(json["metrics"][0]["replicas"] == 7);
  CHECK(json["metrics"][0]["failure"].is_null());
  CHECK(json["metrics"][1]["replicas"].is_null());
  CHECK(json["metrics"][1]["failure"] == "unable to get metric queue");
  CHECK(json["steps"]["stabilized"] == 9);
  CHECK(json["steps"]["recommendation_s"] == 45);
  CHECK(json["steps"]["policy"]["replicas_at_start"] == 4);
  CHECK(json["conditions"][0]["status"] == "True");
  CHECK(json["scalings"][0]["to"] == 8);

  Value yaml = parse_yaml(hpa_explanation_yaml(sample()), "explanation").at(0);
  REQUIRE(yaml.find("desired_replicas"));
  CHECK(yaml.find("desired_replicas")->text == "8");
  REQUIRE(yaml.find("metrics"));
  CHECK(yaml.find("metrics")->items.size() == 2);
}

}  // namespace
}  // namespace kisim

#include "run/explain_hpa.hpp"

#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

// Ten pods that use 80 % of their core under a target of 40 %: twice as many, four at a time.
Scenario scenario() {
  Scenario s;
  s.name = "web";
  s.duration = 600_s;
  s.manifests.nodes = {test::node("node", 0)};
  s.manifests.deployments = {test::deployment("web", 10, 0)};
  MetricSpec cpu;
  cpu.name = "cpu";
  cpu.target = {MetricTarget::Type::Utilization, 0, 40};
  HorizontalPodAutoscaler hpa;
  hpa.meta.name = "scaler";
  hpa.target_kind = "Deployment";
  hpa.target_name = "web";
  hpa.max_replicas = 30;
  hpa.metrics = {cpu};
  hpa.scale_up = ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, 4, 60_s}}};
  hpa.scale_down = ScalingRules{};
  s.manifests.hpas = {hpa};
  PodBehaviourSpec pods;
  pods.name = "web";
  pods.selector = {{"app", "web"}};
  pods.cpu = Distribution::constant(0.8);
  s.pods = {pods};
  s.metrics.offset = 5_s;
  return s;
}

HpaExplanation explain(double seconds, const std::string& name = "scaler") {
  return explain_hpa(compile(scenario()), name, Time{} + Duration::seconds(seconds));
}

TEST_CASE("an autoscaler tells what its metrics ask for and what limited it", "[explain]") {
  HpaExplanation e = explain(31);
  CHECK(e.autoscaler == "default/scaler");
  CHECK(e.workload == "Deployment default/web");
  CHECK(e.synced == Time{} + 30_s);
  CHECK(e.current == 10);
  CHECK(e.desired == 14);
  CHECK(e.replicas == 14);
  REQUIRE(e.metrics.size() == 1);
  CHECK(e.metrics[0].name == "cpu resource utilization (percentage of request)");
  CHECK(e.metrics[0].status.average_utilization == 80);
  CHECK(e.metrics[0].status.replicas == 20);
  CHECK(e.steps.proposed == 20);
  CHECK(e.steps.desired == 14);
  REQUIRE(e.steps.policy);
  CHECK(e.steps.policy->value == 4);
  CHECK(e.reason == "cpu resource utilization (percentage of request) above target");
  REQUIRE(e.scalings.size() == 1);
  CHECK(e.scalings[0].at == Time{} + 30_s);
  CHECK(e.scalings[0].to == 14);
  REQUIRE(e.conditions.size() == 3);
  CHECK(e.conditions[0].message == "the HPA controller was able to update the target scale to 14");
  CHECK(e.conditions[2].reason == "ScaleUpLimit");
}

TEST_CASE("it tells the moment that is asked for", "[explain]") {
  HpaExplanation before = explain(14);
  CHECK_FALSE(before.synced);
  CHECK(before.conditions.empty());
  CHECK(before.replicas == 10);
  HpaExplanation first = explain(16);  // metrics-server has seen no pod twice
  CHECK(first.error);
  REQUIRE(first.metrics.size() == 1);
  CHECK(first.metrics[0].failure ==
        "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource "
        "metrics API");
  CHECK(first.conditions[1].status == false);
  CHECK(first.conditions[1].message == "the HPA was unable to compute the replica count: " + first.metrics[0].failure);
  HpaExplanation held = explain(46);  // four were added within the minute
  CHECK(held.desired == 14);
  CHECK(held.steps.base == 10);
}

TEST_CASE("an autoscaler is found by its own name or its workload's", "[explain]") {
  for (const char* name : {"scaler", "default/scaler", "web", "default/web"})
    CHECK(explain(1, name).autoscaler == "default/scaler");
  CHECK_THROWS_WITH(explain(1, "scalar"), Catch::Matchers::Contains("found: default/scaler"));
}

TEST_CASE("an object whose target does not exist, and two over one workload, are there to be asked", "[explain]") {
  Scenario s = scenario();
  HorizontalPodAutoscaler other = s.manifests.hpas[0], lost = other;
  other.meta.name = "other";
  lost.meta.name = "lost";
  lost.target_name = "wbe";
  s.manifests.hpas.insert(s.manifests.hpas.end(), {other, lost});
  std::shared_ptr<const Model> model = compile(s);
  REQUIRE(model->warnings.size() == 2);
  HpaExplanation e = explain_hpa(model, "lost", Time{} + 40_s);
  CHECK(e.workload == "Deployment default/wbe");
  CHECK(e.replicas == 0);
  REQUIRE(e.conditions.size() == 1);
  CHECK(e.conditions[0].reason == "FailedGetScale");
  CHECK(e.conditions[0].message ==
        "the HPA controller was unable to get the target's current scale: deployments.apps \"wbe\" not found");
  CHECK_THAT(model->warnings[1], Catch::Matchers::EndsWith(e.conditions[0].message));
  for (const char* name : {"scaler", "other"}) {
    e = explain_hpa(model, name, Time{} + 40_s);
    CHECK(e.error);
    REQUIRE(e.conditions.size() == 2);
    CHECK(e.conditions[1].reason == "AmbiguousSelector");
    CHECK(e.conditions[1].message ==
          "pods by selector app=web are controlled by multiple HPAs: [default/other default/scaler]");
  }
}

}  // namespace
}  // namespace kisim

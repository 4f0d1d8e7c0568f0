// Priority classes, pod disruption budgets, namespaces, and what admission makes of them.
#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

std::string priority_class(const std::string& name, const std::string& rest) {
  return "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: " + name + "}\n" + rest + "---\n";
}
const std::string kGold = priority_class("gold", "value: 1000\npreemptionPolicy: Never\n");
const std::string kPlain = priority_class("plain", "value: 7\nglobalDefault: true\n");

std::string budget(const std::string& rest) {
  return "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b, namespace: team-a}\n" + rest;
}

}  // namespace

TEST_CASE("a priority class gives its pods their priority and preemption policy") {
  PodSpec spec = good(pod(kContainers + "priorityClassName: gold") + "---\n" + kGold).pods[0].spec;
  CHECK(spec.priority == 1000);
  CHECK(spec.preemption_policy == PreemptionPolicy::Never);
  CHECK(spec.priority_class_mark.line == 6);
  CHECK(spec.priority_class_mark.column == 22);

  spec = good(kGold + kPlain + pod(kContainers)).pods[0].spec;
  CHECK(spec.priority == 7);
  CHECK(spec.priority_class_name == "plain");
  CHECK(spec.preemption_policy == PreemptionPolicy::PreemptLowerPriority);

  spec = good(kGold + pod(kContainers + "preemptionPolicy: Never")).pods[0].spec;
  CHECK(spec.priority == 0);
  CHECK(spec.preemption_policy == PreemptionPolicy::Never);
  CHECK_FALSE(good(pod(kContainers)).pods[0].spec.preemption_policy);

  std::string workload = deployment("llama");
  workload.insert(workload.find("containers"), "priorityClassName: gold, ");
  CHECK(good(kGold + workload).deployments[0].pod_template.spec.priority == 1000);
}

TEST_CASE("a dump may name the priority beside a class that it lacks") {
  PodSpec spec =
      good(pod(kContainers + "priorityClassName: absent\npriority: 5\npreemptionPolicy: Never")).pods[0].spec;
  CHECK(spec.priority == 5);
  CHECK(spec.preemption_policy == PreemptionPolicy::Never);
  CHECK(good(kPlain + pod(kContainers + "priority: 5")).pods[0].spec.priority == 5);
}

TEST_CASE("what a pod says against its priority class is refused") {
  CHECK(errors_of(pod(kContainers + "priorityClassName: golf") + "---\n" + kGold) ==
        "m.yaml:6:22: spec.priorityClassName: no PriorityClass with name golf was found, allowed: gold, "
        "system-cluster-critical, system-node-critical (did you mean 'gold'?)\n");
  CHECK(errors_of(pod(kContainers + "priorityClassName: gold\npriority: 5") + "---\n" + kGold) ==
        "m.yaml:6:22: spec.priority: the integer value of priority (5) must not be provided in pod spec; priority "
        "admission controller computed 1000 from the given PriorityClass name\n");
  CHECK(errors_of(pod(kContainers + "priorityClassName: gold\npreemptionPolicy: PreemptLowerPriority") + "---\n" +
                  kGold) ==
        "m.yaml:6:22: spec.preemptionPolicy: the string value of PreemptionPolicy (PreemptLowerPriority) must not be "
        "provided in pod spec; priority admission controller computed Never from the given PriorityClass name\n");
  CHECK(errors_of(kPlain + priority_class("other", "value: 8\nglobalDefault: true\n")) ==
        "m.yaml:7:1: globalDefault: PriorityClass plain is already marked as default. Only one default can exist\n");
}

TEST_CASE("the system's own classes may be written down") {
  CHECK(good(priority_class("system-node-critical", "value: 2000001000\n")).priority_classes[0].value == 2000001000);
}

TEST_CASE("a disruption budget: no selector is no pod, an empty one every pod") {
  PodDisruptionBudget none = good(budget("spec: {minAvailable: 2}\n")).pod_disruption_budgets.at(0);
  CHECK(none.meta.namespace_ == "team-a");
  CHECK_FALSE(none.selector);
  REQUIRE(none.min_available);
  CHECK(none.min_available->value == 2);
  CHECK_FALSE(none.min_available->percent);
  CHECK_FALSE(none.max_unavailable);
  CHECK_FALSE(none.disruptions_allowed);

  PodDisruptionBudget dumped = good(budget(R"(spec: {selector: {}, maxUnavailable: 25%}
status:
  disruptionsAllowed: 0
  currentHealthy: 3
  disruptedPods: {llama-b: "2026-01-01T00:00:00Z", llama-a: "2026-01-01T00:00:00Z"}
)"))
                                   .pod_disruption_budgets.at(0);
  REQUIRE(dumped.selector);
  CHECK(dumped.selector->requirements.empty());
  REQUIRE(dumped.max_unavailable);
  CHECK(dumped.max_unavailable->value == 25);
  CHECK(dumped.max_unavailable->percent);
  CHECK(dumped.disruptions_allowed == 0);
  CHECK(dumped.unhealthy_pod_eviction_policy == PodDisruptionBudget::UnhealthyPods::IfHealthyBudget);
  CHECK(dumped.disrupted_pods == std::vector<std::string>{"llama-a", "llama-b"});
}

TEST_CASE("a budget may let pods go that are not ready") {
  CHECK(good(budget("spec: {unhealthyPodEvictionPolicy: AlwaysAllow, maxUnavailable: 1}\n"))
            .pod_disruption_budgets[0]
            .unhealthy_pod_eviction_policy == PodDisruptionBudget::UnhealthyPods::AlwaysAllow);
}

TEST_CASE("a budget that never lets a ready pod go is told") {
  const std::string never = "no voluntary eviction of a ready pod will ever pass: ";
  auto warnings = [](const std::string& spec, const std::string& objects) {
    std::string budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: " + spec;
    return read(budget + "\n---\n" + objects).warnings();
  };
  auto once = [&](const std::string& message) { return std::vector<std::string>{"m.yaml:1:1: " + message}; };
  const std::string two = deployment("llama", "  replicas: 2\n"), hpa_of_4 = "---\n" + hpa("maxReplicas: 4");
  const std::string selects = "selector: {matchLabels: {app: llama}}";

  CHECK(warnings("{maxUnavailable: 0, " + selects + "}", two) ==
        once("spec.maxUnavailable: " + never + "maxUnavailable is 0"));
  CHECK(warnings("{maxUnavailable: 0%, " + selects + "}", two) ==
        once("spec.maxUnavailable: " + never + "maxUnavailable is 0"));
  CHECK(warnings("{minAvailable: 2, " + selects + "}", two) ==
        once("spec.minAvailable: " + never + "minAvailable is 2, and there are at most 2 such pods"));
  CHECK(warnings("{minAvailable: 51%, " + selects + "}", two) ==
        once("spec.minAvailable: " + never + "minAvailable is 51%, and there are at most 2 such pods"));
  CHECK(warnings("{minAvailable: 4, " + selects + "}", two + hpa_of_4) ==
        once("spec.minAvailable: " + never + "minAvailable is 4, and there are at most 4 such pods"));

  CHECK(warnings("{minAvailable: 50%, " + selects + "}", two).empty());
  CHECK(warnings("{minAvailable: 1, " + selects + "}", two).empty());
  CHECK(warnings("{minAvailable: 3, " + selects + "}", two + hpa_of_4).empty());
  CHECK(warnings("{maxUnavailable: 1%, " + selects + "}", two).empty());
  CHECK(warnings("{maxUnavailable: 0, selector: {matchLabels: {app: other}}}", two).empty());
  CHECK(warnings("{maxUnavailable: 0}", two).empty());  // no selector: no pod
}

TEST_CASE("every namespace has its name as a label, and exists where it is used") {
  Manifests m = good("apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a, labels: {env: prod}}\n---\n" +
                     pod(kContainers) + "---\n" + budget("spec: {minAvailable: 2}\n"));
  REQUIRE(m.namespaces.size() == 2);
  CHECK(m.namespaces[0].meta.labels == Labels{{"env", "prod"}, {"kubernetes.io/metadata.name", "team-a"}});
  CHECK(m.namespaces[1].meta.name == "default");
  CHECK(m.namespaces[1].meta.labels == Labels{{"kubernetes.io/metadata.name", "default"}});
}

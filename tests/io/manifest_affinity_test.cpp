#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

using Op = SelectorOperator;
using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
using Policy = TopologySpreadConstraint::InclusionPolicy;

// A Pod with the labels app: llama and hash: h1.
std::string labelled(const std::string& spec) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: llama, hash: h1}}\nspec:\n" +
         indented(kContainers + spec, 2);
}

void check(const SelectorRequirement& r, const std::string& key, Op op, const std::vector<std::string>& values) {
  CHECK(r.key == key);
  CHECK(r.op == op);
  CHECK(r.values == values);
}

}  // namespace

TEST_CASE("pod affinity is read whole") {
  PodSpec spec = good(labelled(R"(
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: topology.kubernetes.io/zone
      labelSelector: {matchLabels: {app: cache}, matchExpressions: [{key: tier, operator: NotIn, values: [dev]}]}
      namespaces: [team-a, team-b]
      namespaceSelector: {matchLabels: {env: prod}}
    preferredDuringSchedulingIgnoredDuringExecution:
    - {weight: 30, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {}, namespaceSelector: {}}}
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]
)"))
                     .pods.at(0)
                     .spec;
  REQUIRE(spec.pod_affinity.required.size() == 1);
  const PodAffinityTerm& required = spec.pod_affinity.required[0];
  CHECK(required.topology_key == "topology.kubernetes.io/zone");
  REQUIRE(required.label_selector);
  REQUIRE(required.label_selector->requirements.size() == 2);
  check(required.label_selector->requirements[0], "app", Op::In, {"cache"});
  check(required.label_selector->requirements[1], "tier", Op::NotIn, {"dev"});
  CHECK(required.namespaces == std::vector<std::string>{"team-a", "team-b"});
  REQUIRE(required.namespace_selector);
  check(required.namespace_selector->requirements.at(0), "env", Op::In, {"prod"});

  REQUIRE(spec.pod_affinity.preferred.size() == 1);
  CHECK(spec.pod_affinity.preferred[0].weight == 30);
  const PodAffinityTerm& preferred = spec.pod_affinity.preferred[0].term;
  REQUIRE(preferred.label_selector);  // empty: every pod
  CHECK(preferred.label_selector->requirements.empty());
  REQUIRE(preferred.namespace_selector);  // empty: every namespace
  CHECK(preferred.namespace_selector->requirements.empty());

  REQUIRE(spec.pod_anti_affinity.required.size() == 1);
  CHECK_FALSE(spec.pod_anti_affinity.required[0].label_selector);  // none: no pod
  CHECK_FALSE(spec.pod_anti_affinity.required[0].namespace_selector);
  CHECK(spec.pod_anti_affinity.preferred.empty());
}

TEST_CASE("matchLabelKeys and mismatchLabelKeys become requirements on the pod's own values") {
  const std::string affinity = R"(
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: zone
      labelSelector: {matchLabels: {app: llama}}
      matchLabelKeys: [hash, absent]
      mismatchLabelKeys: [app]
)";
  PodAffinityTerm term = good(labelled(affinity)).pods.at(0).spec.pod_anti_affinity.required.at(0);
  REQUIRE(term.label_selector->requirements.size() == 3);  // what the pod lacks is dropped
  check(term.label_selector->requirements[1], "hash", Op::In, {"h1"});
  check(term.label_selector->requirements[2], "app", Op::NotIn, {"llama"});

  // The pods of a workload have the labels of its template.
  std::string workload = deployment("llama");
  workload.insert(workload.find("containers"),
                  "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                  "[{topologyKey: zone, labelSelector: {}, matchLabelKeys: [app]}]}}, ");
  PodSpec stamped = good(workload).deployments.at(0).pod_template.spec;
  check(stamped.pod_affinity.required.at(0).label_selector->requirements.at(0), "app", Op::In, {"llama"});
}

TEST_CASE("in a dump the keys are merged already") {
  PodSpec spec = good(labelled(R"(
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: zone
  whenUnsatisfiable: DoNotSchedule
  labelSelector: {matchLabels: {app: llama}, matchExpressions: [{key: hash, operator: In, values: [h1]}]}
  matchLabelKeys: [hash]
)"))
                     .pods.at(0)
                     .spec;
  CHECK(spec.topology_spread_constraints.at(0).label_selector->requirements.size() == 2);
}

TEST_CASE("topology spread constraints, with the defaults of the API server") {
  PodSpec spec = good(labelled(R"(
topologySpreadConstraints:
- {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
- maxSkew: 2
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {}
  nodeAffinityPolicy: Ignore
  nodeTaintsPolicy: Honor
  matchLabelKeys: [app, absent]
- {maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, minDomains: 3}
)"))
                     .pods.at(0)
                     .spec;
  REQUIRE(spec.topology_spread_constraints.size() == 3);
  const TopologySpreadConstraint& plain = spec.topology_spread_constraints[0];
  CHECK(plain.when_unsatisfiable == Unsatisfiable::DoNotSchedule);
  CHECK_FALSE(plain.label_selector);
  CHECK(plain.min_domains == 1);
  CHECK(plain.node_affinity_policy == Policy::Honor);
  CHECK(plain.node_taints_policy == Policy::Ignore);
  const TopologySpreadConstraint& full = spec.topology_spread_constraints[1];
  CHECK(full.max_skew == 2);
  CHECK(full.when_unsatisfiable == Unsatisfiable::ScheduleAnyway);
  REQUIRE(full.label_selector);
  REQUIRE(full.label_selector->requirements.size() == 1);
  check(full.label_selector->requirements[0], "app", Op::In, {"llama"});
  CHECK(full.node_affinity_policy == Policy::Ignore);
  CHECK(full.node_taints_policy == Policy::Honor);
  CHECK(spec.topology_spread_constraints[2].min_domains == 3);
}

TEST_CASE("a preferred node affinity may hold what no label can have") {
  PodSpec spec = good(labelled(R"(
affinity:
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - {weight: 1, preference: {matchExpressions: [{key: generation, operator: Gt, values: ["-1"]}]}}
)"))
                     .pods.at(0)
                     .spec;
  CHECK(spec.preferred_node_affinity.at(0).preference.match_expressions.at(0).values == std::vector<std::string>{"-1"});
}

#include "io/scheduler_configuration.hpp"

#include "policy/registry.hpp"
#include "policy/scheduler_args.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Strategy = NodeResourcesFitArgs::Strategy;
using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;

namespace {

// A plugin that takes scalars.
class Dice final : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score}; }
};
KISIM_POLICY(SchedulerPlugin, "TestDice", "of this test",
             {{.name = "sides", .type = ParamSpec::Type::Integer, .default_text = "6", .doc = "of a die", .min = 1}},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<Dice>(); });

struct Read {
  KubeSchedulerConfiguration configuration;
  std::vector<Diagnostic> diagnostics;
};

Read read(const std::string& rest) {
  const std::string text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" + rest;
  Diagnostics diagnostics;
  Read out{read_scheduler_configuration(parse_yaml(text, "s.yaml").at(0), diagnostics), {}};
  out.diagnostics = diagnostics.all();
  return out;
}

KubeSchedulerConfiguration good(const std::string& rest) {
  Read r = read(rest);
  for (const Diagnostic& d : r.diagnostics) UNSCOPED_INFO(d.text());
  REQUIRE(r.diagnostics.empty());
  return r.configuration;
}

// The arguments of the only plugin that is configured.
template <class Args>
Args args(const std::string& plugin, const std::string& text) {
  SchedulerProfile profile =
      good("profiles: [{pluginConfig: [{name: " + plugin + ", args: " + text + "}]}]\n").profiles.at(0);
  return std::any_cast<Args>(profile.plugin_config.at(plugin).args);
}

const PluginSet& at(const SchedulerProfile& profile, ExtensionPoint point) {
  return profile.points[static_cast<size_t>(point)];
}

}  // namespace

TEST_CASE("an empty configuration is one default profile") {
  KubeSchedulerConfiguration c = good("");
  CHECK(c.parallelism == 16);
  CHECK(c.percentage_of_nodes_to_score == 0);
  CHECK(c.pod_initial_backoff == Duration::seconds(1));
  CHECK(c.pod_max_backoff == Duration::seconds(10));
  REQUIRE(c.profiles.size() == 1);
  CHECK(c.profiles[0].scheduler_name == "default-scheduler");
  CHECK_FALSE(c.profiles[0].percentage_of_nodes_to_score);
  CHECK(c.profiles[0].plugin_config.empty());
}

TEST_CASE("a configuration as users write it") {
  KubeSchedulerConfiguration c = good(R"(
leaderElection: {leaderElect: false, resourceLock: leases}
clientConnection: {kubeconfig: /etc/kubernetes/scheduler.conf, qps: 50, burst: 100}
enableProfiling: true
delayCacheUntilActive: true
extenders: []
parallelism: 1
percentageOfNodesToScore: 50
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 30
profiles:
- schedulerName: packing
  percentageOfNodesToScore: 100
  plugins:
    multiPoint: {enabled: [{name: TaintToleration, weight: 5}], disabled: [{name: ImageLocality}]}
    score: {enabled: [{name: NodeResourcesFit, weight: 4}], disabled: [{name: "*"}]}
    preBind: {disabled: [{name: VolumeBinding}]}
- schedulerName: spreading
)");
  CHECK(c.parallelism == 1);
  CHECK(c.percentage_of_nodes_to_score == 50);
  CHECK(c.pod_initial_backoff == Duration::seconds(2));
  CHECK(c.pod_max_backoff == Duration::seconds(30));
  REQUIRE(c.profiles.size() == 2);
  const SchedulerProfile& packing = c.profiles[0];
  CHECK(packing.scheduler_name == "packing");
  CHECK(packing.mark.line == 14);
  CHECK(packing.percentage_of_nodes_to_score == 100);
  REQUIRE(packing.multi_point.enabled.size() == 1);
  CHECK(packing.multi_point.enabled[0].name == "TaintToleration");
  CHECK(packing.multi_point.enabled[0].weight == 5);
  CHECK(packing.multi_point.enabled[0].mark.line == 17);
  CHECK(packing.multi_point.disabled.at(0).name == "ImageLocality");
  CHECK(at(packing, ExtensionPoint::Score).enabled.at(0).weight == 4);
  CHECK(at(packing, ExtensionPoint::Score).disabled.at(0).name == "*");
  CHECK(at(packing, ExtensionPoint::PreBind).disabled.at(0).name == "VolumeBinding");
  CHECK(at(packing, ExtensionPoint::Filter).enabled.empty());
  CHECK(c.profiles[1].scheduler_name == "spreading");
}

TEST_CASE("arguments of NodeResourcesFit") {
  auto plain = args<NodeResourcesFitArgs>("NodeResourcesFit", "{}");
  CHECK(plain.strategy == Strategy::LeastAllocated);
  REQUIRE(plain.resources.size() == 2);
  CHECK(plain.resources[1].name == "memory");

  auto ratio = args<NodeResourcesFitArgs>("NodeResourcesFit", R"({
      apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeResourcesFitArgs,
      ignoredResources: [example.com/foo], ignoredResourceGroups: [example.com],
      scoringStrategy: {type: RequestedToCapacityRatio, resources: [{name: nvidia.com/gpu, weight: 5}, {name: cpu}],
        requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}}})");
  CHECK(ratio.ignored_resources == std::vector<std::string>{"example.com/foo"});
  CHECK(ratio.ignored_resource_groups == std::vector<std::string>{"example.com"});
  CHECK(ratio.strategy == Strategy::RequestedToCapacityRatio);
  REQUIRE(ratio.resources.size() == 2);
  CHECK(ratio.resources[0].name == "nvidia.com/gpu");
  CHECK(ratio.resources[0].weight == 5);
  CHECK(ratio.resources[1].weight == 1);
  REQUIRE(ratio.shape.size() == 2);
  CHECK(ratio.shape[1].utilization == 100);
  CHECK(ratio.shape[1].score == 10);

  auto most = args<NodeResourcesFitArgs>("NodeResourcesFit", "{scoringStrategy: {type: MostAllocated}}");
  CHECK(most.strategy == Strategy::MostAllocated);
  CHECK(most.resources.size() == 2);
}

TEST_CASE("arguments of the other plugins") {
  auto balanced = args<NodeResourcesBalancedAllocationArgs>("NodeResourcesBalancedAllocation",
                                                            "{resources: [{name: nvidia.com/gpu, weight: 1}]}");
  REQUIRE(balanced.resources.size() == 1);
  CHECK(balanced.resources[0].name == "nvidia.com/gpu");

  auto affinity = args<NodeAffinityArgs>("NodeAffinity", R"({addedAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: Exists}]}]},
      preferredDuringSchedulingIgnoredDuringExecution: [{weight: 40, preference: {matchExpressions: [{key: gen, operator: Gt, values: ["3"]}]}}]}})");
  REQUIRE(affinity.required);
  CHECK(affinity.required->at(0).match_expressions.at(0).key == "pool");
  CHECK(affinity.preferred.at(0).weight == 40);

  auto spread = args<PodTopologySpreadArgs>("PodTopologySpread",
                                            "{defaultingType: List, defaultConstraints: [{maxSkew: 2, topologyKey: "
                                            "zone, whenUnsatisfiable: ScheduleAnyway}]}");
  CHECK(spread.defaulting == PodTopologySpreadArgs::Defaulting::List);
  REQUIRE(spread.default_constraints.size() == 1);
  CHECK(spread.default_constraints[0].max_skew == 2);
  CHECK(spread.default_constraints[0].when_unsatisfiable == Unsatisfiable::ScheduleAnyway);
  CHECK(args<PodTopologySpreadArgs>("PodTopologySpread", "{}").defaulting == PodTopologySpreadArgs::Defaulting::System);

  auto pods = args<InterPodAffinityArgs>("InterPodAffinity",
                                         "{hardPodAffinityWeight: 0, ignorePreferredTermsOfExistingPods: true}");
  CHECK(pods.hard_pod_affinity_weight == 0);
  CHECK(pods.ignore_preferred_terms_of_existing_pods);

  auto preemption = args<DefaultPreemptionArgs>("DefaultPreemption", "{minCandidateNodesPercentage: 0}");
  CHECK(preemption.min_candidate_nodes_percentage == 0);
  CHECK(preemption.min_candidate_nodes_absolute == 100);

  auto fgd = args<FgdArgs>("FGD", R"({typicalPods: [
      {cpu: 1500m, gpuMilli: 500, gpuModels: [V100M16, V100M32], share: 0.25}, {cpu: 4, gpuCount: 2, share: 0.5},
      {cpu: 8, share: 0.25}]})");
  REQUIRE(fgd.typical_pods.size() == 3);
  CHECK(fgd.typical_pods[0].milli_cpu == 1500);
  CHECK(fgd.typical_pods[0].gpu_milli == 500);
  CHECK(fgd.typical_pods[0].gpu_count == 1);
  CHECK(fgd.typical_pods[0].gpu_products == std::vector<std::string>{"V100M16", "V100M32"});
  CHECK(fgd.typical_pods[0].share == 0.25);
  CHECK(fgd.typical_pods[1].gpu_milli == 1000);
  CHECK(fgd.typical_pods[1].gpu_count == 2);
  CHECK(fgd.typical_pods[2].gpu_count == 0);
}

TEST_CASE("arguments without effect are accepted, scalars go to plugins that declare them") {
  SchedulerProfile profile = good(R"(
profiles:
- pluginConfig:
  - {name: VolumeBinding, args: {bindTimeoutSeconds: 10}}
  - {name: DynamicResources, args: {filterTimeout: 5s, bindingTimeout: 10s}}
  - {name: TestDice, args: {sides: 20}}
)")
                                 .profiles.at(0);
  CHECK_FALSE(profile.plugin_config.at("VolumeBinding").args.has_value());
  CHECK(profile.plugin_config.at("TestDice").params == std::map<std::string, std::string>{{"sides", "20"}});
  CHECK(profile.plugin_config.at("TestDice").mark.line == 8);

  Read unknown = read("profiles: [{pluginConfig: [{name: Coscheduling, args: {a: 1}}]}]\n");
  REQUIRE(unknown.diagnostics.size() == 1);
  CHECK(unknown.diagnostics[0].severity == Severity::Warning);
  CHECK(unknown.diagnostics[0].text() ==
        "s.yaml:3:28: profiles[0].pluginConfig[0].args: no plugin Coscheduling takes arguments, ignored");
}

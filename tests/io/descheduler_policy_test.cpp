#include "io/descheduler_policy.hpp"
#include "io/label_selector_text.hpp"
#include "policy/registry.hpp"
#include "shared_data.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Protection = PodProtection;

namespace {

// A plugin that takes scalars.
class Dice final : public DeschedulerPlugin {
 public:
  Points points() const override { return {.deschedule = true}; }
};
KISIM_POLICY(DeschedulerPlugin, "TestDice", "of this test",
             {{.name = "sides", .type = ParamSpec::Type::Integer, .default_text = "6", .doc = "of a die", .min = 1}},
             [](const Params&) -> std::unique_ptr<const DeschedulerPlugin> { return std::make_unique<Dice>(); });

struct Read {
  DeschedulerPolicy policy;
  std::vector<Diagnostic> diagnostics;
};

Read read(const std::string& version, const std::string& rest) {
  PriorityClass batch;
  batch.meta.name = "batch";
  batch.value = 100;
  Diagnostics diagnostics;
  const std::string text = "apiVersion: descheduler/" + version + "\nkind: DeschedulerPolicy\n" + rest;
  Read out{read_descheduler_policy(parse_yaml(text, "p.yaml").at(0), {batch}, diagnostics), {}};
  out.diagnostics = diagnostics.all();
  return out;
}

// The texts of all complaints, errors and warnings.
std::vector<std::string> complaints(const std::string& version, const std::string& rest) {
  std::vector<std::string> out;
  for (const Diagnostic& d : read(version, rest).diagnostics)
    out.push_back((d.severity == Severity::Error ? "" : "warning: ") + d.text());
  return out;
}

DeschedulerPolicy good(const std::string& version, const std::string& rest) {
  Read r = read(version, rest);
  for (const Diagnostic& d : r.diagnostics) UNSCOPED_INFO(d.text());
  REQUIRE(r.diagnostics.empty());
  return r.policy;
}

// The arguments of the only plugin that is configured.
template <class Args>
Args args(const std::string& plugin, const std::string& text) {
  DeschedulerPolicy policy =
      good("v1alpha2", "profiles: [{pluginConfig: [{name: " + plugin + ", args: " + text + "}]}]\n");
  return std::any_cast<Args>(policy.profiles.at(0).plugin_config.at(plugin).args);
}

// What is wrong with them, without file and path up to args.
std::vector<std::string> args_complaints(const std::string& plugin, const std::string& text) {
  std::vector<std::string> out;
  for (std::string c :
       complaints("v1alpha2", "profiles: [{pluginConfig: [{name: " + plugin + ", args: " + text + "}]}]\n")) {
    size_t at = c.find("args");
    out.push_back(at == c.npos ? c : c.substr(at));
  }
  return out;
}

template <class Args>
Args old_args(const std::string& strategy, const std::string& params) {
  DeschedulerPolicy policy =
      good("v1alpha1", "strategies: {" + strategy + ": {enabled: true, params: " + params + "}}\n");
  return std::any_cast<Args>(policy.profiles.at(0).plugin_config.at(strategy).args);
}

using Texts = std::vector<std::string>;

const Texts kEvictor{"DefaultEvictor"};

}  // namespace

// ---------------------------------------------------------------------------------------------------------- v1alpha2

TEST_CASE("a policy of two profiles") {
  DeschedulerPolicy p = good("v1alpha2", R"(
nodeSelector: gpu-type!=v100
maxNoOfPodsToEvictPerNode: 1
maxNoOfPodsToEvictPerNamespace: 2
maxNoOfPodsToEvictTotal: 3
gracePeriodSeconds: 0
evictionFailureEventNotification: true
profiles:
- name: first
  pluginConfig:
  - {name: RemoveDuplicates}
  - {name: PodLifeTime, args: {maxPodLifeTimeSeconds: 60}}
  plugins:
    deschedule: {enabled: [PodLifeTime]}
    balance: {enabled: [RemoveDuplicates]}
- name: second
  pluginConfig:
  - {name: DefaultEvictor, args: {nodeFit: true}}
  plugins:
    filter: {enabled: [DefaultEvictor]}
)");
  CHECK(p.max_pods_per_node == 1u);
  CHECK(p.max_pods_per_namespace == 2u);
  CHECK(p.max_pods_total == 3u);
  CHECK(p.grace_period_seconds == 0);
  CHECK(p.node_selector.matches({{"gpu-type", "a100"}}));
  CHECK_FALSE(p.node_selector.matches({{"gpu-type", "v100"}}));
  REQUIRE(p.profiles.size() == 2);
  CHECK(p.profiles[0].deschedule == Texts{"PodLifeTime"});
  CHECK(p.profiles[0].balance == Texts{"RemoveDuplicates"});
  // DefaultEvictor is there without being named.
  CHECK(p.profiles[0].filter == kEvictor);
  CHECK(p.profiles[0].pre_eviction_filter == kEvictor);
  CHECK(std::any_cast<DefaultEvictorArgs>(p.profiles[0].plugin_config.at("DefaultEvictor").args) ==
        DefaultEvictorArgs());
  CHECK(p.profiles[1].filter == kEvictor);
  CHECK(std::any_cast<DefaultEvictorArgs>(p.profiles[1].plugin_config.at("DefaultEvictor").args).node_fit);
}

TEST_CASE("kind and version") {
  CHECK(complaints("v1", "") == Texts{"p.yaml:1:13: apiVersion: found 'descheduler/v1', allowed: descheduler/v1alpha2, "
                                      "descheduler/v1alpha1"});
  Diagnostics diagnostics;
  read_descheduler_policy(parse_yaml("{apiVersion: descheduler/v1alpha2, kind: Policy}", "p.yaml").at(0), {},
                          diagnostics);
  REQUIRE(diagnostics.all().size() == 1);
  CHECK(diagnostics.all()[0].text() == "p.yaml:1:42: kind: found 'Policy', allowed: DeschedulerPolicy");
}

TEST_CASE("plugins that are not there, not configured or not of the point") {
  CHECK(complaints("v1alpha2", "profiles: [{plugins: {balance: {enabled: [RemoveDuplicate]}}}]\n") ==
        Texts{"p.yaml:3:43: profiles[0].plugins.balance.enabled[0]: found 'RemoveDuplicate', allowed: "
              "HighNodeUtilization, LowNodeUtilization, RemoveDuplicates, RemovePodsViolatingTopologySpreadConstraint "
              "(did you mean 'RemoveDuplicates'?)"});
  CHECK(complaints("v1alpha2", "profiles: [{plugins: {balance: {enabled: [RemoveDuplicates]}}}]\n") ==
        Texts{"p.yaml:3:43: profiles[0].plugins.balance.enabled[0]: found RemoveDuplicates without an entry in "
              "pluginConfig, allowed: one with its args, which may be empty"});
  CHECK(complaints("v1alpha2",
                   "profiles: [{pluginConfig: [{name: PodLifeTime, args: {states: [Failed]}}], plugins: "
                   "{filter: {enabled: [PodLifeTime]}}}]\n") ==
        Texts{"p.yaml:3:105: profiles[0].plugins.filter.enabled[0]: found 'PodLifeTime', allowed: DefaultEvictor"});
  Texts unknown = complaints("v1alpha2", "profiles: [{pluginConfig: [{name: PodLifetime}]}]\n");
  REQUIRE(unknown.size() == 1);
  CHECK(unknown[0].starts_with("p.yaml:3:35: profiles[0].pluginConfig[0].name: found 'PodLifetime', allowed: "));
  CHECK(unknown[0].ends_with("(did you mean 'PodLifeTime'?)"));
}

TEST_CASE("arguments are read strictly, what is around them is not") {
  CHECK(args_complaints("RemoveDuplicates", "{excludeOwnerKind: [Job]}") ==
        Texts{"args.excludeOwnerKind\"; did you mean excludeOwnerKinds?"});
  CHECK(complaints("v1alpha2", "maxNoOfPodsToEvict: 3\n") ==
        Texts{"warning: p.yaml:3:1: maxNoOfPodsToEvict: unknown field"});
  CHECK(complaints("v1alpha2", "profiles: [{plugins: {sort: {enabled: [x]}, balance: {disabled: [y]}}}]\n") ==
        Texts{"warning: p.yaml:3:65: profiles[0].plugins.balance.disabled: has no effect, as in the descheduler",
              "warning: p.yaml:3:39: profiles[0].plugins.sort.enabled: has no effect, as in the descheduler"});
  CHECK(complaints("v1alpha2", "maxNoOfPodsToEvictTotal: -1\nprofiles: {}\n").size() == 2);
}

TEST_CASE("a plugin configured twice keeps its first arguments, as in the descheduler") {
  Read r = read("v1alpha2",
                "profiles: [{pluginConfig: [{name: PodLifeTime, args: {states: [Failed]}}, {name: "
                "PodLifeTime, args: {states: [Running]}}]}]\n");
  REQUIRE(r.diagnostics.size() == 1);
  CHECK(r.diagnostics[0].severity == Severity::Warning);
  auto args = std::any_cast<PodLifeTimeArgs>(r.policy.profiles[0].plugin_config.at("PodLifeTime").args);
  CHECK(args.states == Texts{"Failed"});
}

TEST_CASE("LowNodeUtilization") {
  auto a = args<LowNodeUtilizationArgs>("LowNodeUtilization",
                                        "{thresholds: {nvidia.com/gpu: 20.5, cpu: 10}, targetThresholds: {cpu: 50, "
                                        "nvidia.com/gpu: 80}, numberOfNodes: 2, useDeviationThresholds: true, "
                                        "evictableNamespaces: {exclude: [a]}, evictionLimits: {node: 3}}");
  CHECK(a.thresholds == ResourceThresholds{{"cpu", 10}, {"nvidia.com/gpu", 20.5}});
  CHECK(a.target_thresholds == ResourceThresholds{{"cpu", 50}, {"nvidia.com/gpu", 80}});
  CHECK(a.number_of_nodes == 2);
  CHECK(a.use_deviation_thresholds);
  CHECK(a.exclude_namespaces == Texts{"a"});
  CHECK(a.node_limit == 3u);
}

TEST_CASE("LowNodeUtilization: what its thresholds may be") {
  auto wrong = [](const std::string& text) { return args_complaints("LowNodeUtilization", text); };
  CHECK(
      wrong("{}") ==
      Texts{
          "args.thresholds: found nothing, allowed: at least one resource and its percentage, such as cpu: 20",
          "args.targetThresholds: found nothing, allowed: at least one resource and its percentage, such as cpu: 20"});
  CHECK(wrong("{thresholds: {cpu: 101}, targetThresholds: {cpu: \"50\"}}") ==
        Texts{"args.thresholds.cpu: found '101', allowed: a number from 0 to 100",
              "args.targetThresholds.cpu: found '50', allowed: a number from 0 to 100"});
  CHECK(wrong("{thresholds: {cpu: 20}, targetThresholds: {memory: 50}}") ==
        Texts{"args.targetThresholds: found other resources than thresholds has, allowed: the same"});
  CHECK(wrong("{thresholds: {cpu: 60}, targetThresholds: {cpu: 50}}") ==
        Texts{"args.thresholds.cpu: found '60', allowed: at most its targetThresholds, 50"});
  CHECK(wrong("{thresholds: {cpu: 60}, targetThresholds: {cpu: 50}, useDeviationThresholds: true}").empty());
  CHECK(wrong("{thresholds: {cpu: 20}, targetThresholds: {cpu: 50}, evictableNamespaces: {include: [a]}}") ==
        Texts{"args.evictableNamespaces.include: found namespaces, allowed: exclude only"});
}

TEST_CASE("LowNodeUtilization: metrics") {
  auto wrong = [](const std::string& metrics, const char* resource = "cpu") {
    return args_complaints("LowNodeUtilization",
                           fmt::format("{{thresholds: {{{0}: 20}}, targetThresholds: {{{0}: 50}}, "
                                       "metricsUtilization: {1}}}",
                                       resource, metrics));
  };
  CHECK(wrong("{source: KubernetesMetrics}").empty());
  CHECK(wrong("{metricsServer: true}").empty());
  CHECK(wrong("{source: Prometheus, prometheus: {query: q}}", "MetricResource").empty());
  CHECK(wrong("{source: Prometheus, prometheus: {query: q}}").size() == 2);  // not of MetricResource
  CHECK(wrong("{source: Prometheus}", "MetricResource") ==
        Texts{"args.metricsUtilization.prometheus.query: Required value"});
  CHECK(wrong("{}") == Texts{"args.metricsUtilization.source: Required value"});
  CHECK(wrong("{source: KubernetesMetrics, metricsServer: true}") ==
        Texts{"args.metricsUtilization.metricsServer: Forbidden: source says the same"});
  CHECK(wrong("{source: KubernetesMetrics, prometheus: {query: q}}") ==
        Texts{"args.metricsUtilization.prometheus: Forbidden: the source is KubernetesMetrics"});
}

TEST_CASE("HighNodeUtilization") {
  auto a = args<HighNodeUtilizationArgs>("HighNodeUtilization",
                                         "{thresholds: {cpu: 20}, evictionModes: [OnlyThresholdingResources]}");
  CHECK(a.only_thresholding_resources);
  CHECK(args_complaints("HighNodeUtilization", "{thresholds: {cpu: 20}, evictionModes: [Only]}") ==
        Texts{"args.evictionModes[0]: found 'Only', allowed: OnlyThresholdingResources (did you mean "
              "'OnlyThresholdingResources'?)"});
}

TEST_CASE("namespaces: include or exclude") {
  auto a = args<RemoveDuplicatesArgs>("RemoveDuplicates", "{namespaces: {include: [a, b]}, excludeOwnerKinds: [Job]}");
  CHECK(a.namespaces.admits("a"));
  CHECK_FALSE(a.namespaces.admits("c"));
  CHECK(a.exclude_owner_kinds == Texts{"Job"});
  CHECK(args_complaints("RemoveDuplicates", "{namespaces: {include: [a], exclude: [b]}}") ==
        Texts{"args.namespaces: found include and exclude, allowed: one of the two for namespaces"});
}

TEST_CASE("RemovePodsViolatingNodeAffinity needs a type, and ignores those it does not know") {
  using Type = NodeAffinityType;
  auto a = args<RemovePodsViolatingNodeAffinityArgs>(
      "RemovePodsViolatingNodeAffinity",
      "{nodeAffinityType: [preferredDuringSchedulingIgnoredDuringExecution, "
      "requiredDuringSchedulingIgnoredDuringExecution], labelSelector: {matchLabels: {app: a}}}");
  CHECK(a.node_affinity_type == std::vector<Type>{Type::PreferredDuringSchedulingIgnoredDuringExecution,
                                                  Type::RequiredDuringSchedulingIgnoredDuringExecution});
  CHECK(a.pods.label_selector.matches({{"app", "a"}}));
  CHECK(args_complaints("RemovePodsViolatingNodeAffinity", "{}").size() == 1);
  Read r = read("v1alpha2",
                "profiles: [{pluginConfig: [{name: RemovePodsViolatingNodeAffinity, args: "
                "{nodeAffinityType: [other]}}]}]\n");
  REQUIRE(r.diagnostics.size() == 1);
  CHECK(r.diagnostics[0].severity == Severity::Warning);
}

TEST_CASE("RemovePodsViolatingTopologySpreadConstraint") {
  using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
  const char* name = "RemovePodsViolatingTopologySpreadConstraint";
  auto plain = args<RemovePodsViolatingTopologySpreadConstraintArgs>(name, "{}");
  CHECK(plain.constraints == std::vector{Unsatisfiable::DoNotSchedule});
  CHECK(plain.topology_balance_node_fit);
  auto soft = args<RemovePodsViolatingTopologySpreadConstraintArgs>(
      name, "{constraints: [ScheduleAnyway], topologyBalanceNodeFit: false}");
  CHECK(soft.constraints == std::vector{Unsatisfiable::ScheduleAnyway});
  CHECK_FALSE(soft.topology_balance_node_fit);
  CHECK(args_complaints(name, "{constraints: [Never]}") ==
        Texts{"args.constraints[0]: found 'Never', allowed: DoNotSchedule, ScheduleAnyway"});
}

TEST_CASE("RemovePodsViolatingNodeTaints: included or excluded taints") {
  const char* name = "RemovePodsViolatingNodeTaints";
  CHECK_FALSE(args<RemovePodsViolatingNodeTaintsArgs>(name, "{}").included_taints);
  CHECK(args<RemovePodsViolatingNodeTaintsArgs>(name, "{includedTaints: []}").included_taints == Texts{});
  CHECK(args_complaints(name, "{includedTaints: [a], excludedTaints: [b]}") ==
        Texts{"args.includedTaints: found excludedTaints as well, allowed: one of the two"});
}

TEST_CASE("RemovePodsHavingTooManyRestarts") {
  const char* name = "RemovePodsHavingTooManyRestarts";
  auto a = args<RemovePodsHavingTooManyRestartsArgs>(name, "{podRestartThreshold: 5, states: [Running]}");
  CHECK(a.pod_restart_threshold == 5);
  CHECK(a.states == Texts{"Running"});
  CHECK(args_complaints(name, "{}") ==
        Texts{"args.podRestartThreshold: found nothing, allowed: an integer of at least 1"});
  CHECK(args_complaints(name, "{podRestartThreshold: 0}") ==
        Texts{"args.podRestartThreshold: Invalid value: 0: must be greater than or equal to 1"});
  CHECK(args_complaints(name, "{podRestartThreshold: 1, states: [Pending]}") ==
        Texts{"args.states[0]: found 'Pending', allowed: Running, CrashLoopBackOff"});
}

TEST_CASE("PodLifeTime") {
  auto a = args<PodLifeTimeArgs>("PodLifeTime",
                                 "{maxPodLifeTimeSeconds: 60, states: [OOMKilled], exitCodes: [1, -1], ownerKinds: "
                                 "{exclude: [Job]}, conditions: [{type: Ready, minTimeSinceLastTransitionSeconds: 5}], "
                                 "includingEphemeralContainers: true}");
  CHECK(a.max_pod_life_time_seconds == 60u);
  CHECK(a.states == Texts{"OOMKilled"});
  CHECK(a.exit_codes == std::vector<int32_t>{1, -1});
  CHECK(a.owner_kinds.exclude == Texts{"Job"});
  CHECK(a.conditions == std::vector<PodLifeTimeArgs::Condition>{{"Ready", "", "", 5}});
  CHECK(a.including_ephemeral_containers);
}

TEST_CASE("PodLifeTime: what it needs and refuses") {
  auto wrong = [](const std::string& text) { return args_complaints("PodLifeTime", text); };
  CHECK(wrong("{}") == Texts{"args: found no criterion, allowed: any of maxPodLifeTimeSeconds, states, conditions, "
                             "exitCodes"});
  CHECK(wrong("{maxPodLifeTimeSeconds: -1}") ==
        Texts{"args.maxPodLifeTimeSeconds: Invalid value: -1: must be greater than or equal to 0"});
  CHECK(wrong("{conditions: [{}]}") == Texts{"args.conditions[0]: found nothing, allowed: any of type, status, reason, "
                                             "minTimeSinceLastTransitionSeconds"});
  CHECK(wrong("{exitCodes: [one]}") ==
        Texts{"args.exitCodes[0]: found 'one', allowed: an integer",
              "args: found no criterion, allowed: any of maxPodLifeTimeSeconds, states, conditions, exitCodes"});
  CHECK(wrong("{states: [Failed], ownerKinds: {include: [a], exclude: [b]}}") ==
        Texts{"args.ownerKinds: found include and exclude, allowed: one of the two for kinds"});
  CHECK(wrong("{states: [Sleeping]}").size() == 1);
}

TEST_CASE("RemoveFailedPods waits an hour unless told otherwise") {
  CHECK(args<RemoveFailedPodsArgs>("RemoveFailedPods", "{}").min_pod_lifetime_seconds == 3600);
  auto a = args<RemoveFailedPodsArgs>("RemoveFailedPods", "{minPodLifetimeSeconds: 0, reasons: [OutOfcpu]}");
  CHECK(a.min_pod_lifetime_seconds == 0);
  CHECK(a.reasons == Texts{"OutOfcpu"});
}

TEST_CASE("DefaultEvictor") {
  auto a = args<DefaultEvictorArgs>("DefaultEvictor",
                                    "{nodeSelector: \"zone in (a, b)\", namespaceLabelSelector: {matchLabels: {t: b}}, "
                                    "priorityThreshold: {name: batch}, minReplicas: 2, minPodAge: 1h0m30s, "
                                    "noEvictionPolicy: Mandatory}");
  CHECK(a.node_selector.matches({{"zone", "b"}}));
  CHECK_FALSE(a.node_selector.matches({{"zone", "c"}}));
  CHECK(a.namespace_label_selector.matches({{"t", "b"}}));
  CHECK(a.priority_threshold == 100);
  CHECK(a.min_replicas == 2);
  CHECK(a.min_pod_age == Duration::seconds(3630));
  CHECK(a.no_eviction_policy == DefaultEvictorArgs::NoEvictionPolicy::Mandatory);
  CHECK(args<DefaultEvictorArgs>("DefaultEvictor", "{}").priority_threshold == 2'000'000'000);
  CHECK(args<DefaultEvictorArgs>("DefaultEvictor", "{priorityThreshold: {value: -5}}").priority_threshold == -5);
}

TEST_CASE("DefaultEvictor: protections by list or by the older flags mean the same") {
  auto a = args<DefaultEvictorArgs>("DefaultEvictor",
                                    "{podProtections: {defaultDisabled: [DaemonSetPods, FailedBarePods], extraEnabled: "
                                    "[PodsWithoutPDB, PodsWithPVC]}}");
  auto b = args<DefaultEvictorArgs>(
      "DefaultEvictor",
      "{evictDaemonSetPods: true, evictFailedBarePods: true, ignorePvcPods: true, ignorePodsWithoutPDB: true}");
  CHECK(a == b);
  CHECK(a.protections == std::vector{Protection::PodsWithLocalStorage, Protection::SystemCriticalPods,
                                     Protection::PodsWithPVC, Protection::PodsWithoutPDB});
  auto classes = args<DefaultEvictorArgs>("DefaultEvictor",
                                          "{podProtections: {extraEnabled: [PodsWithPVC], config: {PodsWithPVC: "
                                          "{protectedStorageClasses: [{name: fast}]}}}}");
  CHECK(classes.protected_storage_classes == Texts{"fast"});
}

TEST_CASE("DefaultEvictor: what it refuses") {
  auto wrong = [](const std::string& text) { return args_complaints("DefaultEvictor", text); };
  CHECK(wrong("{priorityThreshold: {value: 1, name: batch}}") ==
        Texts{"args.priorityThreshold.name: found value as well, allowed: one of the two"});
  CHECK(wrong("{priorityThreshold: {name: bach}}") ==
        Texts{"args.priorityThreshold.name: found 'bach', allowed: system-cluster-critical, batch (did you mean "
              "'batch'?)"});
  CHECK(wrong("{priorityThreshold: {value: 2000000001}}") ==
        Texts{"args.priorityThreshold.value: Invalid value: 2000000001: must be less than or equal to 2000000000"});
  CHECK(wrong("{evictDaemonSetPods: true, podProtections: {extraEnabled: [PodsWithPVC]}}") ==
        Texts{"args.podProtections: found the older flags (evict…, ignore…) beside it, allowed: one of the two ways"});
  CHECK(wrong("{podProtections: {defaultDisabled: [PodsWithPVC]}}") ==
        Texts{"args.podProtections.defaultDisabled[0]: found 'PodsWithPVC', allowed: PodsWithLocalStorage, "
              "SystemCriticalPods, FailedBarePods, DaemonSetPods"});
  CHECK(wrong("{podProtections: {extraEnabled: [PodsWithPVC, PodsWithPVC]}}") ==
        Texts{"args.podProtections.extraEnabled[1]: Duplicate value: \"PodsWithPVC\""});
  CHECK(wrong("{noEvictionPolicy: Maybe}") ==
        Texts{"args.noEvictionPolicy: Unsupported value: \"Maybe\": supported values: \"Preferred\", \"Mandatory\""});
  CHECK(wrong("{minPodAge: 60}").size() == 1);
  CHECK(wrong("{minPodAge: \"60\"}").size() == 1);
  CHECK(wrong("{minReplicas: -1}").size() == 1);
  CHECK(wrong("{nodeFit: yes}") == Texts{"args.nodeFit: found 'yes', allowed: true, false"});
  CHECK(wrong("{nodeSelector: \"a in b\"}") ==
        Texts{"args.nodeSelector: found 'a in b' (values in parentheses are missing), allowed: a selector such as "
              "gpu-type=a100,zone in (a, b),!spot"});
}

TEST_CASE("metrics providers") {
  CHECK(good("v1alpha2", "metricsCollector: {enabled: true}\n").kubernetes_metrics);
  CHECK(good("v1alpha2", "metricsProviders: [{source: Prometheus, prometheus: {url: http://p}}]\n").prometheus);
  CHECK(complaints("v1alpha2", "metricsProviders: [{source: Prometheus}]\n") ==
        Texts{"p.yaml:3:20: metricsProviders[0].prometheus: Required value"});
  CHECK(
      complaints("v1alpha2", "metricsProviders: [{source: KubernetesMetrics}, {source: KubernetesMetrics}]\n").size() ==
      1);
  CHECK(
      complaints("v1alpha2", "metricsCollector: {enabled: true}\nmetricsProviders: [{source: KubernetesMetrics}]\n") ==
      Texts{"p.yaml:3:19: metricsCollector: found KubernetesMetrics among metricsProviders as well, allowed: one of "
            "the two"});
}

TEST_CASE("a plugin of one's own takes the scalars it declares") {
  DeschedulerPolicy p = good("v1alpha2",
                             "profiles: [{pluginConfig: [{name: TestDice, args: {sides: 12}}], plugins: "
                             "{deschedule: {enabled: [TestDice]}}}]\n");
  CHECK(p.profiles[0].plugin_config.at("TestDice").params.at("sides") == "12");
  CHECK(args_complaints("TestDice", "{sides: 0}") ==
        Texts{"args: parameter 'sides': found '0', allowed: an integer of at least 1"});
  CHECK(args_complaints("TestDice", "{faces: 6}").size() == 1);
}

// ---------------------------------------------------------------------------------------------------------- v1alpha1

TEST_CASE("v1alpha1: a profile for each enabled strategy, with the flags of the policy") {
  DeschedulerPolicy p = good("v1alpha1", R"(
evictLocalStoragePods: true
evictDaemonSetPods: true
ignorePvcPods: true
nodeSelector: pool=gpu
maxNoOfPodsToEvictPerNode: 5
strategies:
  RemoveDuplicates: {enabled: true, params: {nodeFit: true, thresholdPriority: 1000}}
  PodLifeTime: {enabled: true, weight: 3, params: {podLifeTime: {maxPodLifeTimeSeconds: 60}}}
  RemoveFailedPods: {enabled: false, params: {nonsense: true}}
)");
  CHECK(p.max_pods_per_node == 5u);
  CHECK(p.node_selector.matches({{"pool", "gpu"}}));
  REQUIRE(p.profiles.size() == 2);
  CHECK(p.profiles[0].name == "strategy-RemoveDuplicates-profile");
  CHECK(p.profiles[0].balance == Texts{"RemoveDuplicates"});
  CHECK(p.profiles[0].filter == kEvictor);
  auto evictor = std::any_cast<DefaultEvictorArgs>(p.profiles[0].plugin_config.at("DefaultEvictor").args);
  CHECK(evictor.node_fit);
  CHECK(evictor.priority_threshold == 1000);
  CHECK(evictor.protections ==
        std::vector{Protection::SystemCriticalPods, Protection::FailedBarePods, Protection::PodsWithPVC});
  CHECK(p.profiles[1].deschedule == Texts{"PodLifeTime"});
}

TEST_CASE("v1alpha1: the parameters of each strategy") {
  auto low =
      old_args<LowNodeUtilizationArgs>("LowNodeUtilization",
                                       "{nodeResourceUtilizationThresholds: {thresholds: {cpu: 10}, "
                                       "targetThresholds: {cpu: 50}, numberOfNodes: 2}, namespaces: {exclude: [a]}}");
  CHECK(low.thresholds == ResourceThresholds{{"cpu", 10}});
  CHECK(low.number_of_nodes == 2);
  CHECK(low.exclude_namespaces == Texts{"a"});
  auto life = old_args<PodLifeTimeArgs>(
      "PodLifeTime", "{podLifeTime: {maxPodLifeTimeSeconds: 1, podStatusPhases: [Pending], states: [Running]}}");
  CHECK(life.states == Texts{"Pending", "Running"});
  auto spread = old_args<RemovePodsViolatingTopologySpreadConstraintArgs>("RemovePodsViolatingTopologySpreadConstraint",
                                                                          "{includeSoftConstraints: true}");
  CHECK(spread.constraints.size() == 2);
  auto restarts = old_args<RemovePodsHavingTooManyRestartsArgs>(
      "RemovePodsHavingTooManyRestarts", "{podsHavingTooManyRestarts: {podRestartThreshold: 7}}");
  CHECK(restarts.pod_restart_threshold == 7);
  auto taints = old_args<RemovePodsViolatingNodeTaintsArgs>(
      "RemovePodsViolatingNodeTaints",
      "{includePreferNoSchedule: true, excludedTaints: [a], labelSelector: {matchLabels: {x: y}}}");
  CHECK(taints.include_prefer_no_schedule);
  CHECK(taints.pods.label_selector.matches({{"x", "y"}}));
  auto owners = old_args<RemoveDuplicatesArgs>("RemoveDuplicates", "{removeDuplicates: {excludeOwnerKinds: [Job]}}");
  CHECK(owners.exclude_owner_kinds == Texts{"Job"});
  auto failed = old_args<RemoveFailedPodsArgs>("RemoveFailedPods", "{failedPods: {reasons: [Error]}}");
  CHECK(failed.reasons == Texts{"Error"});
  CHECK(failed.min_pod_lifetime_seconds == 3600);
}

TEST_CASE("v1alpha1: what has no effect is a warning, and loads") {
  Texts told = complaints("v1alpha1", R"(
strategies:
  LowNodeUtilization:
    enabled: true
    params:
      nodeResourceUtilizationThresholds: {thresholds: {cpu: 10}, targetThresholds: {cpu: 50}}
      evictableNamespaces: {include: [ml]}
      labelSelector: {matchLabels: {a: b}}
  PodLifeTime: {enabled: true, params: {nodeFit: true, podLifeTime: {maxPodLifeTimeSeconds: 1}}}
)");
  CHECK(told == Texts{"warning: p.yaml:10:22: strategies.LowNodeUtilization.params.labelSelector: has no effect on "
                      "LowNodeUtilization, ignored",
                      "warning: p.yaml:9:7: strategies.LowNodeUtilization.params.evictableNamespaces: unknown field",
                      "warning: p.yaml:11:50: strategies.PodLifeTime.params.nodeFit: has no effect on PodLifeTime, "
                      "ignored"});
}

TEST_CASE("v1alpha1: what is refused") {
  auto wrong = [](const std::string& strategy, const std::string& params) {
    return complaints("v1alpha1", "strategies: {" + strategy + ": {enabled: true, params: " + params + "}}\n");
  };
  Texts both = wrong("RemoveDuplicates", "{thresholdPriority: 1, thresholdPriorityClassName: batch}");
  REQUIRE(both.size() == 1);
  CHECK(both[0].ends_with("thresholdPriorityClassName: found thresholdPriority as well, allowed: one of the two"));
  CHECK(wrong("PodLifeTime", "{podLifeTime: {states: [Pending]}}").size() == 1);
  CHECK(wrong("RemovePodsHavingTooManyRestarts", "{podRestartThreshold: 5}").size() == 2);  // and a warning
  CHECK(wrong("LowNodeUtilization", "{}").size() == 2);
  CHECK(complaints("v1alpha1", "strategies: {RemoveDuplicate: {enabled: false}}\n").size() == 1);
}

// The four examples of an article on GPU scheduling, and what they mean.
TEST_CASE("published policies load, or fail, as the descheduler has them") {
  struct File {
    const char* name;
    bool loads;
    size_t warnings;
  };
  const File files[] = {{"example1.v1alpha1", true, 0},          {"example2.v1alpha1", true, 1},
                        {"example3.v1alpha1", true, 2},          {"example4.v1alpha1", false, 0},
                        {"example4-nested.v1alpha1", true, 1},   {"example1-as-loaded.v1alpha2", true, 0},
                        {"example2-intended.v1alpha2", true, 0}, {"example2-literal.v1alpha2", false, 0},
                        {"example3-literal.v1alpha2", false, 0}, {"example4-intended.v1alpha2", true, 0},
                        {"example4-literal.v1alpha2", false, 0}};
  PriorityClass high;
  high.meta.name = "high-priority-inference";
  high.value = 10000;
  for (const File& file : files) {
    std::string path = shared_file(std::string("goldens/descheduler/policies/") + file.name + ".yaml");
    if (path.empty()) continue;
    CAPTURE(file.name);
    Diagnostics diagnostics;
    read_descheduler_policy(read_yaml(path).at(0), {high}, diagnostics);
    CHECK(diagnostics.has_errors() != file.loads);
    if (file.loads) CHECK(diagnostics.all().size() == file.warnings);
  }
}

// --------------------------------------------------------------------------------------------------- label selectors

TEST_CASE("label selectors in one line") {
  auto matches = [](const char* text, const Labels& labels) {
    std::string problem;
    std::optional<LabelSelector> selector = parse_label_selector(text, problem);
    INFO(problem);
    REQUIRE(selector);
    return selector->matches(labels);
  };
  const Labels a100{{"gpu", "a100"}, {"n", "5"}};
  CHECK(matches("", a100));
  CHECK(matches("gpu=a100", a100));
  CHECK(matches(" gpu == a100 , n ", a100));
  CHECK_FALSE(matches("gpu=a100,zone", a100));
  CHECK(matches("!zone", a100));
  CHECK_FALSE(matches("!gpu", a100));
  CHECK(matches("gpu!=t4,zone!=z", a100));
  CHECK(matches("gpu in (t4, a100)", a100));
  CHECK(matches("gpu notin (t4),zone notin (z)", a100));
  CHECK(matches("n>4,n<6", a100));
  CHECK_FALSE(matches("n>5", a100));
  CHECK_FALSE(matches("gpu=", a100));
  CHECK(matches("gpu=", {{"gpu", ""}}));
}

TEST_CASE("label selectors that are none") {
  auto problem = [](const char* text) {
    std::string out;
    CHECK_FALSE(parse_label_selector(text, out));
    return out;
  };
  CHECK(problem("a in b") == "values in parentheses are missing");
  CHECK(problem("a in ()") == "there are no values");
  CHECK(problem("a in (b") == "a closing parenthesis is missing");
  CHECK(problem("a,") == "a key is missing");
  CHECK(problem("=b") == "a key is missing");
  CHECK(problem("a b") == "'b' is no operator");
  CHECK(problem("!a=b") == "'=' is one too many");
  CHECK(problem("a=b c") == "'c' is one too many");
  CHECK(problem("a>b") == "'b' is no integer");
  CHECK_FALSE(problem("-a=b").empty());
  CHECK_FALSE(problem("a=b_").empty());
}

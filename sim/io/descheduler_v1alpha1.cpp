#include "io/descheduler_v1alpha1.hpp"

#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {

namespace {

using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;

// All that params may hold; each strategy looks at some of it.
constexpr std::string_view kParams[] = {"nodeResourceUtilizationThresholds",
                                        "nodeAffinityType",
                                        "podsHavingTooManyRestarts",
                                        "podLifeTime",
                                        "removeDuplicates",
                                        "failedPods",
                                        "includeSoftConstraints",
                                        "namespaces",
                                        "thresholdPriority",
                                        "thresholdPriorityClassName",
                                        "labelSelector",
                                        "nodeFit",
                                        "includePreferNoSchedule",
                                        "excludedTaints",
                                        "includedTaints"};

// The parameters of one strategy. What it does not look at is told.
class StrategyParams {
 public:
  StrategyParams(ObjectReader params, std::string strategy)
      : params(std::move(params)), strategy_(std::move(strategy)) {}

  ObjectReader params;

  void finish(std::initializer_list<std::string_view> used) {
    for (std::string_view key : kParams) {
      bool common = key == "thresholdPriority" || key == "thresholdPriorityClassName" || key == "nodeFit";
      const Value* value = params.find(key);
      if (value && !common && std::find(used.begin(), used.end(), key) == used.end()) tell(key, *value);
    }
    params.finish();
  }
  void tell(std::string_view key, const Value& value) {
    params.context().ignore(value.mark(), params.path(key), fmt::format("has no effect on {}, ignored", strategy_));
  }

 private:
  std::string strategy_;
};

LowNodeUtilizationArgs low_node_utilization(StrategyParams& p) {
  LowNodeUtilizationArgs out;
  ObjectReader thresholds = p.params.object("nodeResourceUtilizationThresholds");
  out.use_deviation_thresholds = thresholds.flag("useDeviationThresholds");
  out.thresholds = read_thresholds(thresholds, "thresholds");
  out.target_thresholds = read_thresholds(thresholds, "targetThresholds");
  check_thresholds(thresholds, out.thresholds, out.target_thresholds, out.use_deviation_thresholds);
  out.number_of_nodes = thresholds.integer("numberOfNodes", INT64_MIN, INT64_MAX).value_or(0);
  thresholds.finish();
  out.exclude_namespaces = read_excluded_namespaces(p.params, "namespaces");
  p.finish({"nodeResourceUtilizationThresholds", "namespaces"});
  return out;
}

HighNodeUtilizationArgs high_node_utilization(StrategyParams& p) {
  HighNodeUtilizationArgs out;
  ObjectReader thresholds = p.params.object("nodeResourceUtilizationThresholds");
  out.thresholds = read_thresholds(thresholds, "thresholds");
  out.number_of_nodes = thresholds.integer("numberOfNodes", INT64_MIN, INT64_MAX).value_or(0);
  for (const char* key : {"useDeviationThresholds", "targetThresholds"})
    if (const Value* value = thresholds.find(key))
      p.params.context().ignore(value->mark(), thresholds.path(key), "has no effect on HighNodeUtilization, ignored");
  thresholds.finish();
  out.exclude_namespaces = read_excluded_namespaces(p.params, "namespaces");
  p.finish({"nodeResourceUtilizationThresholds", "namespaces"});
  return out;
}

RemoveDuplicatesArgs remove_duplicates(StrategyParams& p) {
  RemoveDuplicatesArgs out;
  out.namespaces = read_namespaces(p.params, "namespaces");
  ObjectReader own = p.params.object("removeDuplicates");
  out.exclude_owner_kinds = own.texts("excludeOwnerKinds");
  own.finish();
  p.finish({"removeDuplicates", "namespaces"});
  return out;
}

RemovePodsViolatingNodeAffinityArgs node_affinity(StrategyParams& p) {
  RemovePodsViolatingNodeAffinityArgs out{read_pod_selection(p.params), read_node_affinity_types(p.params)};
  p.finish({"nodeAffinityType", "namespaces", "labelSelector"});
  return out;
}

RemovePodsViolatingTopologySpreadConstraintArgs topology_spread(StrategyParams& p) {
  RemovePodsViolatingTopologySpreadConstraintArgs out;
  out.pods = read_pod_selection(p.params);
  if (p.params.flag("includeSoftConstraints")) out.constraints.push_back(Unsatisfiable::ScheduleAnyway);
  p.finish({"includeSoftConstraints", "namespaces", "labelSelector"});
  return out;
}

RemovePodsViolatingInterPodAntiAffinityArgs anti_affinity(StrategyParams& p) {
  RemovePodsViolatingInterPodAntiAffinityArgs out{read_pod_selection(p.params)};
  p.finish({"namespaces", "labelSelector"});
  return out;
}

RemovePodsViolatingNodeTaintsArgs node_taints(StrategyParams& p) {
  RemovePodsViolatingNodeTaintsArgs out;
  out.pods = read_pod_selection(p.params);
  out.include_prefer_no_schedule = p.params.flag("includePreferNoSchedule");
  out.excluded_taints = p.params.texts("excludedTaints");
  if (p.params.find("includedTaints")) out.included_taints = p.params.texts("includedTaints");
  check_taints(p.params, out);
  p.finish({"includePreferNoSchedule", "excludedTaints", "includedTaints", "namespaces", "labelSelector"});
  return out;
}

RemovePodsHavingTooManyRestartsArgs too_many_restarts(StrategyParams& p) {
  RemovePodsHavingTooManyRestartsArgs out;
  out.pods = read_pod_selection(p.params);
  ObjectReader own = p.params.object("podsHavingTooManyRestarts");
  out.pod_restart_threshold = read_restart_threshold(own, "podRestartThreshold");
  out.including_init_containers = own.flag("includingInitContainers");
  own.finish();
  p.finish({"podsHavingTooManyRestarts", "namespaces", "labelSelector"});
  return out;
}

RemoveFailedPodsArgs failed_pods(StrategyParams& p) {
  RemoveFailedPodsArgs out;
  out.pods = read_pod_selection(p.params);
  ObjectReader own = p.params.object("failedPods");
  out.exclude_owner_kinds = own.texts("excludeOwnerKinds");
  out.min_pod_lifetime_seconds = read_count(own, "minPodLifetimeSeconds").value_or(out.min_pod_lifetime_seconds);
  out.reasons = own.texts("reasons");
  out.including_init_containers = own.flag("includingInitContainers");
  own.finish();
  p.finish({"failedPods", "namespaces", "labelSelector"});
  return out;
}

// Unlike v1alpha2, it always asks for an age.
PodLifeTimeArgs life_time(StrategyParams& p) {
  PodLifeTimeArgs out;
  out.pods = read_pod_selection(p.params);
  ObjectReader own = p.params.object("podLifeTime");
  out.max_pod_life_time_seconds = read_count(own, "maxPodLifeTimeSeconds");
  if (!own.find("maxPodLifeTimeSeconds")) own.error("maxPodLifeTimeSeconds", "found nothing, allowed: an integer");
  out.states = read_choices(own, "podStatusPhases", pod_life_time_states());
  std::vector<std::string> states = read_choices(own, "states", pod_life_time_states());
  out.states.insert(out.states.end(), states.begin(), states.end());
  own.finish();
  if (const Value* value = p.params.find("nodeFit")) p.tell("nodeFit", *value);
  p.finish({"podLifeTime", "namespaces", "labelSelector"});
  return out;
}

struct Strategy {
  std::string_view name;
  std::any (*read)(StrategyParams&);
};
constexpr Strategy kStrategies[] = {
    {"LowNodeUtilization", [](StrategyParams& p) -> std::any { return low_node_utilization(p); }},
    {"HighNodeUtilization", [](StrategyParams& p) -> std::any { return high_node_utilization(p); }},
    {"RemoveDuplicates", [](StrategyParams& p) -> std::any { return remove_duplicates(p); }},
    {"RemovePodsViolatingNodeAffinity", [](StrategyParams& p) -> std::any { return node_affinity(p); }},
    {"RemovePodsViolatingTopologySpreadConstraint", [](StrategyParams& p) -> std::any { return topology_spread(p); }},
    {"RemovePodsViolatingInterPodAntiAffinity", [](StrategyParams& p) -> std::any { return anti_affinity(p); }},
    {"RemovePodsViolatingNodeTaints", [](StrategyParams& p) -> std::any { return node_taints(p); }},
    {"RemovePodsHavingTooManyRestarts", [](StrategyParams& p) -> std::any { return too_many_restarts(p); }},
    {"RemoveFailedPods", [](StrategyParams& p) -> std::any { return failed_pods(p); }},
    {"PodLifeTime", [](StrategyParams& p) -> std::any { return life_time(p); }},
};

void read_strategy(ObjectReader& object, const Strategy& strategy, const DefaultEvictorArgs& flags,
                   const PriorityClasses& classes, DeschedulerPolicy& out) {
  bool enabled = object.flag("enabled");
  object.harmless({"weight"});  // nobody looks at it
  StrategyParams params(object.object("params"), std::string(strategy.name));
  object.finish();
  if (!enabled) return;

  DefaultEvictorArgs evictor = flags;
  evictor.node_fit = strategy.name != "PodLifeTime" && params.params.flag("nodeFit");
  evictor.priority_threshold =
      read_priority_threshold(params.params, "thresholdPriority", "thresholdPriorityClassName", classes);
  const std::string name(strategy.name);
  DeschedulerProfile& profile = out.profiles.emplace_back();
  profile.name = "strategy-" + name + "-profile";
  profile.plugin_config["DefaultEvictor"].args = evictor;
  profile.plugin_config[name].args = strategy.read(params);
  DeschedulerPlugin::Points points = descheduler_points(name);
  if (points.deschedule) profile.deschedule = {name};
  if (points.balance) profile.balance = {name};
  profile.filter = profile.pre_eviction_filter = {"DefaultEvictor"};
}

void read_strategies(ObjectReader strategies, const DefaultEvictorArgs& flags, const PriorityClasses& classes,
                     const Value* mapping, DeschedulerPolicy& out) {
  std::vector<std::string> names;
  for (const Strategy& strategy : kStrategies) names.emplace_back(strategy.name);
  for (const Value::Member& member : mapping->members) {
    auto found = std::find(names.begin(), names.end(), member.key);
    SourceMark mark = mapping->mark();
    mark.line = member.line, mark.column = member.column;
    ObjectReader object = strategies.object(member.key);
    if (found == names.end())
      strategies.context().error(mark, strategies.path(member.key), not_allowed(member.key, names));
    else
      read_strategy(object, kStrategies[found - names.begin()], flags, classes, out);
  }
}

// The flags that protect pods, for the DefaultEvictor of every profile.
DefaultEvictorArgs read_flags(ObjectReader& root) {
  DefaultEvictorArgs out;
  auto drop = [&](std::string_view key, PodProtection protection) {
    if (root.flag(key)) std::erase(out.protections, protection);
  };
  drop("evictLocalStoragePods", PodProtection::PodsWithLocalStorage);
  drop("evictSystemCriticalPods", PodProtection::SystemCriticalPods);
  drop("evictFailedBarePods", PodProtection::FailedBarePods);
  drop("evictDaemonSetPods", PodProtection::DaemonSetPods);
  if (root.flag("ignorePvcPods")) out.protections.push_back(PodProtection::PodsWithPVC);
  return out;
}

}  // namespace

DeschedulerPlugin::Points descheduler_points(const std::string& plugin) {
  const auto* entry = Registry<DeschedulerPlugin>::instance().find(plugin);
  KISIM_INVARIANT(entry, "no plugin of the descheduler is named {}", plugin);
  Params params;
  fill_params(entry->params, {}, params);
  return entry->make(params)->points();
}

void read_descheduler_v1alpha1(ObjectReader& root, const PriorityClasses& classes, DeschedulerPolicy& out) {
  const DefaultEvictorArgs flags = read_flags(root);
  ObjectReader strategies = root.object("strategies");
  if (strategies.exists()) read_strategies(strategies, flags, classes, root.find("strategies"), out);
  out.node_selector = read_selector_text(root, "nodeSelector");
  out.max_pods_per_node = read_count(root, "maxNoOfPodsToEvictPerNode");
  out.max_pods_per_namespace = read_count(root, "maxNoOfPodsToEvictPerNamespace");
}

}  // namespace kisim

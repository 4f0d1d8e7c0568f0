#include "io/descheduler_args.hpp"

#include "io/field_error.hpp"
#include "io/label_selector_text.hpp"
#include "io/manifest_kinds.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim {

namespace {

using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;

// The mark of an item of a list.
SourceMark mark_of(ObjectReader& parent, std::string_view key, size_t index) {
  const Value* list = parent.find(key);
  return list && index < list->items.size() ? list->items[index].mark() : parent.mark();
}

void refuse_both(ObjectReader& object, const char* what) {
  object.error("", fmt::format("found include and exclude, allowed: one of the two for {}", what));
}

void check_both(ObjectReader& object, const NamespacesArgument& namespaces) {
  if (!namespaces.include.empty() && !namespaces.exclude.empty()) refuse_both(object, "namespaces");
}

std::optional<double> percentage(const Value& value) {
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  auto [stop, error] = std::from_chars(value.text.data(), end, number);
  bool ok = value.kind == Value::Kind::Scalar && !value.quoted && error == std::errc{} && stop == end;
  return ok && number >= 0 && number <= 100 ? std::optional(number) : std::nullopt;
}

const double* find_threshold(const ResourceThresholds& thresholds, const std::string& name) {
  for (const auto& [resource, percent] : thresholds)
    if (resource == name) return &percent;
  return nullptr;
}

std::vector<int32_t> read_exit_codes(ObjectReader& parent) {
  std::vector<int32_t> out;
  const Value* list = parent.find("exitCodes");
  if (!list) return out;
  if (list->kind != Value::Kind::Sequence) parent.error("exitCodes", found_allowed(*list, "a list of integers"));
  for (size_t i = 0; i < list->items.size(); ++i) {
    const Value& item = list->items[i];
    int32_t code = 0;
    const char* end = item.text.data() + item.text.size();
    auto [stop, error] = std::from_chars(item.text.data(), end, code);
    if (item.kind == Value::Kind::Scalar && !item.quoted && error == std::errc{} && stop == end)
      out.push_back(code);
    else
      parent.context().error(item.mark(), parent.path("exitCodes", i), found_allowed(item, "an integer"));
  }
  return out;
}

// As metav1.Duration: Go's grammar in a text, with a unit and perhaps a sign.
std::optional<Duration> read_duration(ObjectReader& parent, std::string_view key) {
  const Value* value = parent.find(key);
  if (!value) return std::nullopt;
  std::string text = value->text;
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  std::optional<double> seconds = parse_duration_seconds(text);
  bool has_unit = text == "0" || (!text.empty() && std::isalpha(static_cast<unsigned char>(text.back())));
  if (value->kind == Value::Kind::Scalar && is_text(*value) && seconds && has_unit)
    return Duration::seconds(negative ? -*seconds : *seconds);
  parent.error(key, found_allowed(*value, "a duration such as 90s or 1h30m"));
  return std::nullopt;
}

// ------------------------------------------------------------------------------------------------ utilization

std::optional<MetricsUtilization> read_metrics_utilization(ObjectReader metrics) {
  if (!metrics.exists()) return std::nullopt;
  using Source = MetricsUtilization::Source;
  MetricsUtilization out;
  bool server = metrics.flag("metricsServer");
  bool named = metrics.choice("source", {"KubernetesMetrics", "Prometheus"}, out.source, kOptional);
  ObjectReader prometheus = metrics.object("prometheus");
  out.query = prometheus.text("query");
  prometheus.finish();
  metrics.finish();
  if (!named && !server) metrics.required("source");
  if (named && server && out.source == Source::KubernetesMetrics)
    metrics.forbidden("metricsServer", "source says the same");
  if (named && out.source == Source::KubernetesMetrics && prometheus.exists())
    metrics.forbidden("prometheus", "the source is KubernetesMetrics");
  if (out.source == Source::Prometheus && out.query.empty()) prometheus.required("query");
  // The older field wins, as it does where usage is read.
  if (server) out.source = Source::KubernetesMetrics;
  return out;
}

// The answer to the query stands in for all resources.
void check_metric_resource(ObjectReader& args, std::string_view key, const ResourceThresholds& thresholds) {
  if (thresholds.empty() || (thresholds.size() == 1 && thresholds[0].first == "MetricResource")) return;
  args.invalid(key, "with Prometheus, MetricResource is the only resource");
}

LowNodeUtilizationArgs read_low_node_utilization(ObjectReader& args) {
  LowNodeUtilizationArgs out;
  out.use_deviation_thresholds = args.flag("useDeviationThresholds");
  out.thresholds = read_thresholds(args, "thresholds");
  out.target_thresholds = read_thresholds(args, "targetThresholds");
  check_thresholds(args, out.thresholds, out.target_thresholds, out.use_deviation_thresholds);
  out.number_of_nodes = args.integer("numberOfNodes", INT64_MIN, INT64_MAX).value_or(0);
  out.metrics_utilization = read_metrics_utilization(args.object("metricsUtilization"));
  out.exclude_namespaces = read_excluded_namespaces(args, "evictableNamespaces");
  ObjectReader limits = args.object("evictionLimits");
  out.node_limit = read_count(limits, "node");
  limits.finish();
  if (out.metrics_utilization && out.metrics_utilization->source == MetricsUtilization::Source::Prometheus) {
    check_metric_resource(args, "thresholds", out.thresholds);
    check_metric_resource(args, "targetThresholds", out.target_thresholds);
  }
  return out;
}

HighNodeUtilizationArgs read_high_node_utilization(ObjectReader& args) {
  HighNodeUtilizationArgs out;
  out.thresholds = read_thresholds(args, "thresholds");
  out.number_of_nodes = args.integer("numberOfNodes", INT64_MIN, INT64_MAX).value_or(0);
  out.only_thresholding_resources = !read_choices(args, "evictionModes", {"OnlyThresholdingResources"}).empty();
  out.exclude_namespaces = read_excluded_namespaces(args, "evictableNamespaces");
  return out;
}

// ---------------------------------------------------------------------------------------- what breaks rules

RemoveDuplicatesArgs read_remove_duplicates(ObjectReader& args) {
  return {read_namespaces(args, "namespaces"), args.texts("excludeOwnerKinds")};
}

RemovePodsViolatingNodeAffinityArgs read_node_affinity_args(ObjectReader& args) {
  return {read_pod_selection(args), read_node_affinity_types(args)};
}

RemovePodsViolatingTopologySpreadConstraintArgs read_spread_args(ObjectReader& args) {
  RemovePodsViolatingTopologySpreadConstraintArgs out;
  out.pods = read_pod_selection(args);
  std::vector<std::string> constraints = read_choices(args, "constraints", {"DoNotSchedule", "ScheduleAnyway"});
  if (!constraints.empty()) out.constraints.clear();
  for (const std::string& name : constraints)
    out.constraints.push_back(name == "DoNotSchedule" ? Unsatisfiable::DoNotSchedule : Unsatisfiable::ScheduleAnyway);
  if (args.find("topologyBalanceNodeFit")) out.topology_balance_node_fit = args.flag("topologyBalanceNodeFit");
  return out;
}

RemovePodsViolatingInterPodAntiAffinityArgs read_anti_affinity_args(ObjectReader& args) {
  return {read_pod_selection(args)};
}

RemovePodsViolatingNodeTaintsArgs read_taints_args(ObjectReader& args) {
  RemovePodsViolatingNodeTaintsArgs out;
  out.pods = read_pod_selection(args);
  out.include_prefer_no_schedule = args.flag("includePreferNoSchedule");
  out.excluded_taints = args.texts("excludedTaints");
  if (args.find("includedTaints")) out.included_taints = args.texts("includedTaints");
  check_taints(args, out);
  return out;
}

// ------------------------------------------------------------------------------------------- what pods are like

RemovePodsHavingTooManyRestartsArgs read_restarts_args(ObjectReader& args) {
  RemovePodsHavingTooManyRestartsArgs out;
  out.pods = read_pod_selection(args);
  out.pod_restart_threshold = read_restart_threshold(args, "podRestartThreshold");
  out.including_init_containers = args.flag("includingInitContainers");
  out.states = read_choices(args, "states", {"Running", "CrashLoopBackOff"});
  return out;
}

RemoveFailedPodsArgs read_failed_pods_args(ObjectReader& args) {
  RemoveFailedPodsArgs out;
  out.pods = read_pod_selection(args);
  out.exclude_owner_kinds = args.texts("excludeOwnerKinds");
  out.min_pod_lifetime_seconds = read_count(args, "minPodLifetimeSeconds").value_or(out.min_pod_lifetime_seconds);
  out.reasons = args.texts("reasons");
  out.exit_codes = read_exit_codes(args);
  out.including_init_containers = args.flag("includingInitContainers");
  return out;
}

PodLifeTimeArgs::Condition read_condition(ObjectReader& object) {
  PodLifeTimeArgs::Condition out;
  out.type = object.text("type");
  out.status = object.text("status");
  out.reason = object.text("reason");
  out.min_time_since_last_transition_seconds = read_count(object, "minTimeSinceLastTransitionSeconds");
  object.finish();
  if (out == PodLifeTimeArgs::Condition())
    object.error("", "found nothing, allowed: any of type, status, reason, minTimeSinceLastTransitionSeconds");
  return out;
}

PodLifeTimeArgs::OwnerKinds read_owner_kinds(ObjectReader object) {
  PodLifeTimeArgs::OwnerKinds out{object.texts("include"), object.texts("exclude")};
  object.finish();
  if (!out.include.empty() && !out.exclude.empty()) refuse_both(object, "kinds");
  return out;
}

PodLifeTimeArgs read_life_time_args(ObjectReader& args) {
  PodLifeTimeArgs out;
  out.pods = read_pod_selection(args);
  out.owner_kinds = read_owner_kinds(args.object("ownerKinds"));
  out.max_pod_life_time_seconds = read_count(args, "maxPodLifeTimeSeconds");
  out.states = read_choices(args, "states", pod_life_time_states());
  for (ObjectReader& condition : args.objects("conditions")) out.conditions.push_back(read_condition(condition));
  out.exit_codes = read_exit_codes(args);
  out.including_init_containers = args.flag("includingInitContainers");
  out.including_ephemeral_containers = args.flag("includingEphemeralContainers");
  bool asks =
      args.find("maxPodLifeTimeSeconds") || !out.states.empty() || !out.conditions.empty() || !out.exit_codes.empty();
  if (!asks) args.error("", "found no criterion, allowed: any of maxPodLifeTimeSeconds, states, conditions, exitCodes");
  return out;
}

// --------------------------------------------------------------------------------------------- DefaultEvictor

// As PodProtection: those that are on by default, then those that are not.
constexpr const char* kProtections[] = {"PodsWithLocalStorage",  "SystemCriticalPods", "FailedBarePods",
                                        "DaemonSetPods",         "PodsWithPVC",        "PodsWithoutPDB",
                                        "PodsWithResourceClaims"};
constexpr size_t kDefaultProtections = 4;

// Precondition: `name` is one of them.
void set(std::vector<PodProtection>& protections, const std::string& name, bool on) {
  auto at = std::find(std::begin(kProtections), std::end(kProtections), name);
  PodProtection protection = static_cast<PodProtection>(at - std::begin(kProtections));
  std::erase(protections, protection);
  if (on) protections.push_back(protection);
  std::sort(protections.begin(), protections.end());
}

// The older flags; true if any of them is set.
bool read_flags(ObjectReader& args, std::vector<PodProtection>& protections) {
  bool any = false;
  auto read = [&](std::string_view key, const char* protection, bool on) {
    if (!args.flag(key)) return;
    set(protections, protection, on);
    any = true;
  };
  read("evictLocalStoragePods", "PodsWithLocalStorage", false);
  read("evictSystemCriticalPods", "SystemCriticalPods", false);
  read("evictFailedBarePods", "FailedBarePods", false);
  read("evictDaemonSetPods", "DaemonSetPods", false);
  read("ignorePvcPods", "PodsWithPVC", true);
  read("ignorePodsWithoutPDB", "PodsWithoutPDB", true);
  return any;
}

std::vector<std::string> read_protections(ObjectReader& object, std::string_view key,
                                          const std::vector<std::string>& allowed) {
  std::vector<std::string> out;
  const std::vector<std::string> names = read_choices(object, key, allowed);
  for (size_t i = 0; i < names.size(); ++i)
    if (std::find(out.begin(), out.end(), names[i]) != out.end())
      object.context().error(mark_of(object, key, i), object.path(key, i), duplicate_value(quote(names[i])));
    else if (std::find(allowed.begin(), allowed.end(), names[i]) != allowed.end())
      out.push_back(names[i]);
  return out;
}

void read_storage_classes(ObjectReader config, std::vector<std::string>& out) {
  ObjectReader volumes = config.object("PodsWithPVC");
  for (ObjectReader& object : volumes.objects("protectedStorageClasses")) {
    out.push_back(object.text("name"));
    if (out.back().empty()) object.required("name");
    object.finish();
  }
  volumes.finish();
  config.finish();
}

void read_pod_protections(ObjectReader object, bool has_flags, DefaultEvictorArgs& out) {
  const char* const* first_extra = kProtections + kDefaultProtections;
  std::vector<std::string> disabled = read_protections(object, "defaultDisabled", {kProtections, first_extra});
  std::vector<std::string> extra = read_protections(object, "extraEnabled", {first_extra, std::end(kProtections)});
  read_storage_classes(object.object("config"), out.protected_storage_classes);
  object.finish();
  if (disabled.empty() && extra.empty()) return;
  if (has_flags) object.error("", "found the older flags (evict…, ignore…) beside it, allowed: one of the two ways");
  for (const std::string& name : disabled) set(out.protections, name, false);
  for (const std::string& name : extra) set(out.protections, name, true);
}

DefaultEvictorArgs read_evictor_args(ObjectReader& args, const PriorityClasses& classes) {
  DefaultEvictorArgs out;
  out.node_selector = read_selector_text(args, "nodeSelector");
  out.label_selector = read_selector(args, "labelSelector");
  out.namespace_label_selector = read_selector(args, "namespaceLabelSelector");
  ObjectReader threshold = args.object("priorityThreshold");
  out.priority_threshold = read_priority_threshold(threshold, "value", "name", classes);
  threshold.finish();
  out.node_fit = args.flag("nodeFit");
  out.min_replicas = read_count(args, "minReplicas").value_or(0);
  out.min_pod_age = read_duration(args, "minPodAge");
  args.choice("noEvictionPolicy", {"Preferred", "Mandatory"}, out.no_eviction_policy, kOptional);
  bool has_flags = read_flags(args, out.protections);
  read_pod_protections(args.object("podProtections"), has_flags, out);
  return out;
}

// ---------------------------------------------------------------------------------------------------- dispatch

bool read_own_args(ObjectReader& args, const std::string& plugin, const PriorityClasses& classes, std::any& out) {
  if (plugin == "DefaultEvictor")
    out = read_evictor_args(args, classes);
  else if (plugin == "LowNodeUtilization")
    out = read_low_node_utilization(args);
  else if (plugin == "HighNodeUtilization")
    out = read_high_node_utilization(args);
  else if (plugin == "RemoveDuplicates")
    out = read_remove_duplicates(args);
  else if (plugin == "RemovePodsViolatingNodeAffinity")
    out = read_node_affinity_args(args);
  else if (plugin == "RemovePodsViolatingTopologySpreadConstraint")
    out = read_spread_args(args);
  else if (plugin == "RemovePodsViolatingInterPodAntiAffinity")
    out = read_anti_affinity_args(args);
  else if (plugin == "RemovePodsViolatingNodeTaints")
    out = read_taints_args(args);
  else if (plugin == "RemovePodsHavingTooManyRestarts")
    out = read_restarts_args(args);
  else if (plugin == "RemoveFailedPods")
    out = read_failed_pods_args(args);
  else if (plugin == "PodLifeTime")
    out = read_life_time_args(args);
  else
    return false;
  return true;
}

// Scalars, for a plugin that declares them. What is not declared is left to finish().
void read_params(ObjectReader& args, const std::vector<ParamSpec>& specs, std::map<std::string, std::string>& out) {
  for (const ParamSpec& spec : specs) {
    const Value* value = args.find(spec.name);
    if (value && value->kind == Value::Kind::Scalar)
      out[spec.name] = value->text;
    else if (value)
      args.error(spec.name, found_allowed(*value, "a number or text"));
  }
  Params checked;
  if (auto complaint = fill_params(specs, out, checked)) args.error("", *complaint);
}

}  // namespace

std::optional<uint64_t> read_count(ObjectReader& parent, std::string_view key) {
  std::optional<int64_t> number = parent.integer(key, 0, INT64_MAX);
  return number ? std::optional(static_cast<uint64_t>(*number)) : std::nullopt;
}

SelectorArgument read_selector(ObjectReader& parent, std::string_view key) {
  return {read_label_selector(parent.object(key))};
}

SelectorArgument read_selector_text(ObjectReader& parent, std::string_view key) {
  std::string problem, text = parent.text(key);
  std::optional<LabelSelector> selector = parse_label_selector(text, problem);
  if (selector) return {std::move(*selector)};
  parent.error(key, fmt::format("found '{}' ({}), allowed: a selector such as gpu-type=a100,zone in (a, b),!spot", text,
                                problem));
  return {};
}

NamespacesArgument read_namespaces(ObjectReader& parent, std::string_view key) {
  ObjectReader object = parent.object(key);
  NamespacesArgument out{object.texts("include"), object.texts("exclude")};
  object.finish();
  check_both(object, out);
  return out;
}

std::vector<std::string> read_excluded_namespaces(ObjectReader& parent, std::string_view key) {
  ObjectReader object = parent.object(key);
  if (!object.texts("include").empty()) object.error("include", "found namespaces, allowed: exclude only");
  std::vector<std::string> out = object.texts("exclude");
  object.finish();
  return out;
}

PodSelection read_pod_selection(ObjectReader& parent) {
  return {read_namespaces(parent, "namespaces"), read_selector(parent, "labelSelector")};
}

ResourceThresholds read_thresholds(ObjectReader& parent, std::string_view key) {
  ResourceThresholds out;
  const Value* map = parent.find(key);
  if (map && map->kind != Value::Kind::Mapping) {
    parent.error(key, found_allowed(*map, "a mapping of resources to percentages"));
    return out;
  }
  if (!map || map->members.empty()) {
    parent.error(key, "found nothing, allowed: at least one resource and its percentage, such as cpu: 20");
    return out;
  }
  for (const Value::Member& member : map->members) {
    std::optional<double> percent = percentage(member.value);
    if (!percent)
      parent.context().error(member.value.mark(), parent.path(key) + "." + member.key,
                             found_allowed(member.value, "a number from 0 to 100"));
    out.emplace_back(member.key, percent.value_or(0));
  }
  std::sort(out.begin(), out.end());
  return out;
}

void check_thresholds(ObjectReader& parent, const ResourceThresholds& low, const ResourceThresholds& high,
                      bool deviation) {
  if (low.empty() || high.empty()) return;
  auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (!std::equal(low.begin(), low.end(), high.begin(), high.end(), same)) {
    parent.error("targetThresholds", "found other resources than thresholds has, allowed: the same");
    return;
  }
  for (const auto& [name, percent] : low) {
    const double* target = find_threshold(high, name);
    if (deviation || percent <= *target) continue;
    const Value* value = parent.find("thresholds")->find(name);
    parent.context().error(value->mark(), parent.path("thresholds") + "." + name,
                           found_allowed(*value, fmt::format("at most its targetThresholds, {}", *target)));
  }
}

std::vector<NodeAffinityType> read_node_affinity_types(ObjectReader& parent) {
  const std::vector<std::string> known{"requiredDuringSchedulingIgnoredDuringExecution",
                                       "preferredDuringSchedulingIgnoredDuringExecution"};
  std::vector<NodeAffinityType> out;
  std::vector<std::string> names = parent.texts("nodeAffinityType");
  if (names.empty())
    parent.error("nodeAffinityType", fmt::format("found nothing, allowed: any of {}", fmt::join(known, ", ")));
  for (size_t i = 0; i < names.size(); ++i) {
    auto at = std::find(known.begin(), known.end(), names[i]);
    if (at != known.end())
      out.push_back(static_cast<NodeAffinityType>(at - known.begin()));
    else  // the descheduler logs it and goes on
      parent.context().ignore(mark_of(parent, "nodeAffinityType", i), parent.path("nodeAffinityType", i),
                              not_allowed(names[i], known) + "; ignored");
  }
  return out;
}

std::vector<std::string> read_choices(ObjectReader& parent, std::string_view key,
                                      const std::vector<std::string>& allowed) {
  std::vector<std::string> out = parent.texts(key);
  for (size_t i = 0; i < out.size(); ++i)
    if (std::find(allowed.begin(), allowed.end(), out[i]) == allowed.end())
      parent.context().error(mark_of(parent, key, i), parent.path(key, i), not_allowed(out[i], allowed));
  return out;
}

int32_t read_restart_threshold(ObjectReader& parent, std::string_view key) {
  int32_t out = 0;
  if (!parent.find(key)) parent.error(key, "found nothing, allowed: an integer of at least 1");
  parent.integer(key, 1, INT32_MAX, out);
  return out;
}

void check_taints(ObjectReader& parent, const RemovePodsViolatingNodeTaintsArgs& args) {
  if (!args.excluded_taints.empty() && args.included_taints && !args.included_taints->empty())
    parent.error("includedTaints", "found excludedTaints as well, allowed: one of the two");
}

int32_t read_priority_threshold(ObjectReader& parent, std::string_view value_key, std::string_view name_key,
                                const PriorityClasses& classes) {
  std::optional<int64_t> value = parent.integer(value_key, INT32_MIN, kSystemCriticalPriority);
  std::string name = parent.text(name_key);
  if (value && !name.empty())
    parent.error(name_key, fmt::format("found {} as well, allowed: one of the two", value_key));
  if (value) return static_cast<int32_t>(*value);
  if (name.empty()) return kSystemCriticalPriority;
  std::vector<std::string> names;
  for (const SystemPriority& s : kSystemPriorities) {
    if (s.name == name && s.value <= kSystemCriticalPriority) return s.value;
    if (s.value <= kSystemCriticalPriority) names.push_back(s.name);
  }
  for (const PriorityClass& c : classes) {
    if (c.meta.name == name && c.value <= kSystemCriticalPriority) return c.value;
    if (c.value <= kSystemCriticalPriority) names.push_back(c.meta.name);
  }
  parent.error(name_key, not_allowed(name, names));
  return kSystemCriticalPriority;
}

const std::vector<std::string>& pod_life_time_states() {
  static const std::vector<std::string> states{
      // phases
      "Pending", "Running", "Succeeded", "Failed", "Unknown",
      // reasons of the pod's status
      "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError",
      // reasons of a waiting container
      "PodInitializing", "ContainerCreating", "ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError",
      "ErrImagePull", "CreateContainerError", "InvalidImageName",
      // reasons of a terminated container
      "OOMKilled", "Error", "Completed", "DeadlineExceeded", "Evicted", "ContainerCannotRun", "StartError"};
  return states;
}

void read_descheduler_args(ObjectReader& args, const std::string& plugin, const PriorityClasses& classes,
                           DeschedulerPluginConfig& out) {
  args.harmless({"kind", "apiVersion"});
  if (!read_own_args(args, plugin, classes, out.args))
    read_params(args, Registry<DeschedulerPlugin>::instance().find(plugin)->params, out.params);
  args.finish();
}

}  // namespace kisim

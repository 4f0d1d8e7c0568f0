#include "io/scenario_operations.hpp"

#include "io/kube_names.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <set>

namespace kisim {

namespace {

using Strings = std::vector<std::string>;

bool contains(const Strings& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string joined(const Strings& list) { return fmt::format("{}", fmt::join(list, ", ")); }

// Beyond the end of the run nothing happens.
void check_time(SpecPlaces& places, const SpecPath& path, Duration at, const Scenario& scenario) {
  if (scenario.duration.ns > 0 && at >= scenario.duration)
    places.warn(path, fmt::format("found {}, not before the end of the run: nothing happens",
                                  format_amount(Unit::Seconds, static_cast<double>(at.ns) / 1e9)));
}

// ------------------------------------------------------------------------------------------------------------ faults

// In the order of FaultSpec::Kind. `needed`: one of these, where there are any.
struct FaultRule {
  const char* kind;
  bool lasts;
  Strings fields, needed;
};
const std::vector<FaultRule>& fault_rules() {
  static const std::vector<FaultRule> kRules = {
      {"node-loss", true, {"node", "nodeSelector"}, {"node", "nodeSelector"}},
      {"zone-outage", true, {"zone"}, {"zone"}},
      {"gpu-failure", true, {"node", "nodeSelector", "gpus"}, {"node", "nodeSelector"}},
      {"registry-failure", true, {}, {}},
      {"registry-slow", true, {"factor"}, {"factor"}},
      {"crash-loop", true, {"workload"}, {"workload"}},
      {"oom-kill", false, {"workload"}, {"workload"}},
      {"metrics-outage", true, {}, {}},
      {"nvlink-failure", true, {"node", "nodeSelector", "gpus"}, {"node", "nodeSelector"}},
  };
  return kRules;
}

// An empty text or mapping names nothing.
bool names_something(const SpecPlaces& places, const SpecPath& path) {
  const Value& value = places.at(path);
  return places.given(path) && (!value.text.empty() || !value.members.empty());
}

void check_fault_fields(SpecPlaces& places, const SpecPath& path, const FaultRule& rule) {
  Strings allowed{"at", "every"}, found;
  if (rule.lasts) allowed.push_back("for");
  allowed.insert(allowed.end(), rule.fields.begin(), rule.fields.end());
  for (const char* field : {"for", "node", "nodeSelector", "zone", "workload", "gpus", "factor"}) {
    if (!places.given(below(path, field))) continue;
    if (contains(rule.needed, field) && names_something(places, below(path, field))) found.push_back(field);
    if (!contains(allowed, field))
      places.error(below(path, field), fmt::format("found with the kind {}, allowed: {}", rule.kind, joined(allowed)));
  }
  if (found.empty() && !rule.needed.empty())
    places.error(below(path, rule.needed[0]),
                 fmt::format("missing, needed with the kind {}: {}", rule.kind, fmt::join(rule.needed, " or ")));
  if (found.size() > 1)
    places.error(below(path, found[1]), fmt::format("found beside {}, allowed: one of them", found[0]));
}

void check_fault_times(SpecPlaces& places, const SpecPath& path, const FaultRule& rule, const FaultSpec& fault,
                       const Scenario& scenario) {
  if (!places.given(below(path, "at")) && !places.given(below(path, "every")))
    places.error(below(path, "at"), "missing, needed: at or every");
  if (fault.at && fault.at->is_constant())
    check_time(places, below(path, "at"), Duration::seconds(fault.at->mean()), scenario);
  if (rule.lasts && fault.every && fault.for_.mean() <= 0)
    places.error(below(path, "for"),
                 fmt::format("{}, needed with every: more than 0s (what lasts for good happens once)",
                             places.given(below(path, "for")) ? "found 0s" : "missing"));
}

void finish_fault(SpecPlaces& places, const SpecPath& path, const FaultDraft& draft, const Scenario& scenario,
                  FaultSpec& fault) {
  const std::vector<FaultRule>& rules = fault_rules();
  auto rule = std::find_if(rules.begin(), rules.end(), [&](const FaultRule& r) { return r.kind == draft.kind; });
  if (rule == rules.end()) return;  // complained about by the reader
  fault.kind = static_cast<FaultSpec::Kind>(rule - rules.begin());
  check_fault_fields(places, path, *rule);
  check_fault_times(places, path, *rule, fault, scenario);
}

// The old label comes first (component-helpers/node/topology, GetZoneKey).
const std::string* zone_of(const Node& node) {
  const std::string* old = find_label(node.meta.labels, "failure-domain.beta.kubernetes.io/zone");
  return old ? old : find_label(node.meta.labels, "topology.kubernetes.io/zone");
}

bool has_labels(const Node& node, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const std::string* value = find_label(node.meta.labels, label.first);
    return value && *value == label.second;
  });
}

std::string text_of(const Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels) out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key, value);
  return out;
}

void check_node(SpecPlaces& places, const SpecPath& path, const std::string& name, const ObjectNames& names) {
  if (!names.may_be_node(name)) places.error(path, not_allowed(name, names.of("Node")));
}

// More devices than the node has cannot fail.
void check_devices(SpecPlaces& places, const SpecPath& path, const FaultSpec& fault, const ObjectNames& names) {
  for (const Node* node : names.nodes()) {
    if (node->meta.name != fault.node) continue;
    int64_t gpus = 0;
    for (const auto& [resource, amount] : node->capacity)
      if (resource.starts_with("nvidia.com/")) gpus += amount;
    if (fault.gpus > gpus)
      places.error(below(path, places.given(below(path, "gpus")) ? "gpus" : "node"),
                   fmt::format("found {}, allowed: at most {}, which {} has", fault.gpus, gpus, fault.node));
  }
}

// ------------------------------------------------------------------------------------------------- names of objects

// As kubectl takes it: the namespace default goes without saying.
std::string shown(const std::string& name) { return name.starts_with("default/") ? name.substr(8) : name; }

// The full name that `found` stands for, among `names`; nothing after a complaint.
std::optional<std::string> resolve(SpecPlaces& places, const SpecPath& path, const std::string& found,
                                   const Strings& names) {
  if (contains(names, found)) return found;
  Strings same, allowed;
  for (const std::string& name : names) {
    if (name.substr(name.find('/') + 1) == found) same.push_back(name);
    allowed.push_back(shown(name));
  }
  if (same.size() == 1) return same[0];
  places.error(path, same.empty() ? not_allowed(found, allowed)
                                  : fmt::format("found '{}' in several namespaces, allowed: {}", found, joined(same)));
  return {};
}

// What kubectl calls the kinds that an action may name.
struct ActionKind {
  const char *kind, *singular, *plural, *short_name, *group;
  bool scalable, restartable;
};
constexpr ActionKind kActionKinds[] = {
    {"Deployment", "deployment", "deployments", "deploy", "apps", true, true},
    {"ReplicaSet", "replicaset", "replicasets", "rs", "apps", true, false},
    {"StatefulSet", "statefulset", "statefulsets", "sts", "apps", true, true},
    {"DaemonSet", "daemonset", "daemonsets", "ds", "apps", false, true},
    {"Job", "job", "jobs", "job", "batch", false, false},
    {"Pod", "pod", "pods", "po", "", false, false},
    {"Namespace", "namespace", "namespaces", "ns", "", false, false},
    {"Node", "node", "nodes", "no", "", false, false},
};

// deployment, deploy, deployments.apps, deployments.v1.apps, in any case of letters.
const ActionKind* find_kind(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const size_t dot = std::min(text.find('.'), text.size());
  const std::string resource = text.substr(0, dot);
  std::string group = dot < text.size() ? text.substr(dot + 1) : "";
  if (group == "v1" || group.starts_with("v1.")) group.erase(0, 3);
  for (const ActionKind& kind : kActionKinds) {
    const bool named = resource == kind.singular || resource == kind.plural || resource == kind.short_name;
    if (named && (dot == text.size() || group == kind.group)) return &kind;
  }
  return nullptr;
}

// ----------------------------------------------------------------------------------------------------------- actions

constexpr const char* kVerbs[] = {"apply", "delete", "scale", "restart", "cordon", "uncordon", "drain", "reconfigure"};

// Fields that belong to one verb.
struct VerbField {
  const char *field, *verb;
};
constexpr VerbField kVerbFields[] = {
    {"cascade", "delete"},           {"replicas", "scale"},    {"force", "drain"},  {"ignoreDaemonSets", "drain"},
    {"deleteEmptyDirData", "drain"}, {"gracePeriod", "drain"}, {"timeout", "drain"}};

bool allows(const ActionKind& kind, ActionSpec::Kind verb) {
  if (verb == ActionSpec::Kind::Scale) return kind.scalable;
  return verb == ActionSpec::Kind::Delete || kind.restartable;
}

// KIND/NAME or KIND/NAMESPACE/NAME.
void read_object(SpecPlaces& places, const SpecPath& path, const std::string& text, ActionSpec& action) {
  const size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size())
    return places.error(path, fmt::format("found '{}', allowed: KIND/NAME such as deployment/llama", text));
  Strings allowed;
  for (const ActionKind& kind : kActionKinds)
    if (allows(kind, action.kind)) allowed.push_back(kind.singular);
  const ActionKind* kind = find_kind(text.substr(0, slash));
  if (!kind || !allows(*kind, action.kind)) return places.error(path, not_allowed(text.substr(0, slash), allowed));
  action.object_kind = kind->kind;
  action.object_name = text.substr(slash + 1);
}

// The verb that is given, if it is exactly one.
std::optional<size_t> verb_of(SpecPlaces& places, const SpecPath& path) {
  Strings found;
  size_t verb = 0;
  for (size_t i = 0; i < std::size(kVerbs); i++) {
    if (!places.given(below(path, kVerbs[i]))) continue;
    found.push_back(kVerbs[i]);
    verb = i;
  }
  if (found.size() == 1) return verb;
  const std::string verbs = fmt::format("{}", fmt::join(kVerbs, ", "));
  places.error(path, found.empty() ? "missing, needed: one of " + verbs
                                   : fmt::format("found {}, allowed: one of {}", fmt::join(found, " and "), verbs));
  return {};
}

void read_verb(SpecPlaces& places, const SpecPath& path, const ActionDraft& draft, ActionSpec& action) {
  using Kind = ActionSpec::Kind;
  switch (action.kind) {
    case Kind::Apply:
      if (const Value& list = places.at(path); list.kind == Value::Kind::Sequence && list.items.empty())
        places.error(path, "found an empty list, allowed: file names or objects");
      return;
    case Kind::Delete:
      return read_object(places, path, draft.delete_, action);
    case Kind::Scale:
      return read_object(places, path, draft.scale, action);
    case Kind::Restart:
      return read_object(places, path, draft.restart, action);
    case Kind::Cordon:
      action.node = draft.cordon;
      return;
    case Kind::Uncordon:
      action.node = draft.uncordon;
      return;
    case Kind::Drain:
      action.node = draft.drain;
      return;
    case Kind::Reconfigure:
      action.node = draft.reconfigure;
      return;
  }
}

ActionSpec::Cascade cascade_of(const std::string& text) {
  if (text == "foreground") return ActionSpec::Cascade::Foreground;
  return text == "orphan" ? ActionSpec::Cascade::Orphan : ActionSpec::Cascade::Background;
}

void finish_action(SpecPlaces& places, const SpecPath& path, const ActionDraft& draft, const Scenario& scenario,
                   ActionSpec& action) {
  check_time(places, below(path, "at"), action.at, scenario);
  const std::optional<size_t> verb = verb_of(places, path);
  if (!verb) return;
  action.kind = static_cast<ActionSpec::Kind>(*verb);
  read_verb(places, below(path, kVerbs[*verb]), draft, action);
  action.cascade = cascade_of(draft.cascade);
  for (const VerbField& f : kVerbFields)
    if (f.verb != std::string_view(kVerbs[*verb]) && places.given(below(path, f.field)))
      places.error(below(path, f.field), fmt::format("found with {}, allowed with: {}", kVerbs[*verb], f.verb));
  if (action.kind == ActionSpec::Kind::Scale && !places.given(below(path, "replicas")))
    places.error(below(path, "replicas"), "missing, needed with scale: an integer, at least 0");
}

SpecPath action_path(size_t index) { return {"actions", index_text(index)}; }

// What a LimitRange says holds for pods when they are created, which was settled for the others at the start.
void warn_of_late_limits(SpecPlaces& places, const SpecPath& path, const ActionSpec& action) {
  for (const LimitRange& range : action.apply.limit_ranges)
    places.warn(below(path, "apply"),
                fmt::format("LimitRange {} holds for the pods of what this and later actions apply, not for those of "
                            "workloads that are there already",
                            shown(range.meta.full_name())));
}

}  // namespace

void finish_faults(SpecPlaces& places, ScenarioDraft& draft) {
  std::vector<FaultSpec>& faults = draft.scenario.faults;
  for (size_t i = 0; i < faults.size(); i++)
    finish_fault(places, {"faults", index_text(i)}, draft.faults[i], draft.scenario, faults[i]);
}

void finish_actions(SpecPlaces& places, ScenarioDraft& draft) {
  std::vector<ActionSpec>& actions = draft.scenario.actions;
  for (size_t i = 0; i < actions.size(); i++)
    finish_action(places, action_path(i), draft.actions[i], draft.scenario, actions[i]);
}

void check_cluster_autoscaler(SpecPlaces& places, const ScenarioDraft& draft) {
  if (!draft.scenario.cluster_autoscaler) return;
  const ClusterAutoscalerSpec& autoscaler = *draft.scenario.cluster_autoscaler;
  const SpecPath path{"clusterAutoscaler"};
  for (const NodeGroupSpec& group : autoscaler.node_groups) {
    const SpecPath at{"clusterAutoscaler", "nodeGroups", group.name};
    for (const std::string& problem : check_dns1123_subdomain(group.name))  // nodes are named after it
      places.error(at, fmt::format("found the name '{}', allowed: {}", group.name, problem));
    for (const auto& [field, nodes] : {std::pair{"min", group.min}, {"initial", group.initial}})
      if (nodes > group.max)
        places.error(below(at, field), fmt::format("found {}, allowed: at most max ({})", nodes, group.max));
    if (group.initial < group.min)
      places.warn(
          below(at, "initial"),
          fmt::format("found {}, less than min ({}): the autoscaler removes no node below min, and adds none up "
                      "to it",
                      group.initial, group.min));
    if (contains(autoscaler.expander, "price") && !places.given(below(at, "price")))
      places.error(below(at, "price"), "missing, needed with the expander price: a rate such as 2.5/h");
  }
  if (autoscaler.node_groups.empty() && places.given(below(path, "nodeGroups")))
    places.error(below(path, "nodeGroups"), "found none, allowed: at least one");
  if (autoscaler.expander.empty()) places.error(below(path, "expander"), "found none, allowed: at least one");
}

void check_latencies(SpecPlaces& places, const Latencies& latencies) {
  const std::pair<const char*, const ClientLimit*> clients[] = {{"controllerManager", &latencies.controller_manager},
                                                                {"scheduler", &latencies.scheduler},
                                                                {"descheduler", &latencies.descheduler}};
  for (const auto& [client, limit] : clients)
    if (limit->qps > 0 && limit->burst < 1)
      places.error({"kubernetes", "latencies", client, "burst"},
                   fmt::format("found {} with qps {}, allowed: at least 1", limit->burst, limit->qps));
}

std::vector<size_t> in_order_of_time(const std::vector<ActionSpec>& actions) {
  std::vector<size_t> order(actions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return actions[a].at < actions[b].at; });
  return order;
}

template <class Object>
void ObjectNames::add(const char* kind, const std::vector<Object>& objects) {
  for (const Object& object : objects) names_[kind].insert(object.meta.full_name());
}

void ObjectNames::add(const Manifests& manifests) {
  add("Deployment", manifests.deployments);
  add("ReplicaSet", manifests.replica_sets);
  add("StatefulSet", manifests.stateful_sets);
  add("DaemonSet", manifests.daemon_sets);
  add("Job", manifests.jobs);
  add("Pod", manifests.pods);
  for (const Namespace& n : manifests.namespaces) names_["Namespace"].insert(n.meta.name);
  for (const Node& node : manifests.nodes) {
    names_["Node"].insert(node.meta.name);
    nodes_.push_back(&node);
  }
}

void ObjectNames::add(const ClusterAutoscalerSpec& autoscaler) {
  for (const NodeGroupSpec& group : autoscaler.node_groups) {
    groups_.push_back(group.name);
    nodes_.push_back(&group.node);
  }
}

std::vector<std::string> ObjectNames::of(const std::string& kind) const {
  auto found = names_.find(kind);
  return found == names_.end() ? Strings() : Strings(found->second.begin(), found->second.end());
}

std::vector<std::string> ObjectNames::of_workloads() const {
  std::set<std::string> out;
  for (const auto& [kind, names] : names_)
    if (kind != "Node" && kind != "Namespace") out.insert(names.begin(), names.end());
  return {out.begin(), out.end()};
}

bool ObjectNames::may_be_node(const std::string& name) const {
  auto found = names_.find("Node");
  if (found != names_.end() && found->second.contains(name)) return true;
  return std::any_of(groups_.begin(), groups_.end(), [&](const std::string& g) { return name.starts_with(g + "-"); });
}

void resolve_faults(SpecPlaces& places, const ObjectNames& names, Scenario& scenario) {
  std::set<std::string> zones;
  for (const Node* node : names.nodes())
    if (const std::string* zone = zone_of(*node)) zones.insert(*zone);
  for (size_t i = 0; i < scenario.faults.size(); i++) {
    FaultSpec& fault = scenario.faults[i];
    const SpecPath path{"faults", index_text(i)};
    if (!fault.node.empty()) check_node(places, below(path, "node"), fault.node, names);
    const bool of_gpus = fault.kind == FaultSpec::Kind::GpuFailure || fault.kind == FaultSpec::Kind::NvlinkFailure;
    if (!fault.node.empty() && of_gpus) check_devices(places, path, fault, names);
    if (!fault.zone.empty()) places.check_name(below(path, "zone"), fault.zone, {zones.begin(), zones.end()});
    const bool selects = std::any_of(names.nodes().begin(), names.nodes().end(),
                                     [&](const Node* node) { return has_labels(*node, fault.node_selector); });
    if (!selects)
      places.error(below(path, "nodeSelector"),
                   fmt::format("found {}, allowed: labels that a node has", text_of(fault.node_selector)));
    if (fault.workload.empty()) continue;
    if (auto full = resolve(places, below(path, "workload"), fault.workload, names.of_workloads()))
      fault.workload = *full;
  }
}

void resolve_actions(SpecPlaces& places, ObjectNames names, Scenario& scenario) {
  for (size_t i : in_order_of_time(scenario.actions)) {
    ActionSpec& action = scenario.actions[i];
    const SpecPath path = action_path(i);
    names.add(action.apply);
    warn_of_late_limits(places, path, action);
    const SpecPath place = below(path, kVerbs[static_cast<size_t>(action.kind)]);
    if (!action.node.empty()) check_node(places, place, action.node, names);
    if (action.object_kind.empty()) continue;
    if (auto full = resolve(places, place, action.object_name, names.of(action.object_kind)))
      action.object_name = *full;
  }
}

}  // namespace kisim

#include "conformance/descheduler_record.hpp"

#include "io/decimal_time.hpp"
#include "io/descheduler_policy.hpp"
#include "io/input.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim::conformance {

namespace {

using Phase = DeschedulerPod::Phase;
using Kind = DeschedulerContainer::Kind;

bool has_condition(const Json& status, const char* type, bool otherwise) {
  for (const Json& condition : at(status, "conditions"))
    if (text(condition, "type") == type) return text(condition, "status") == "True";
  return otherwise;
}

int64_t integer(const Json& object, const char* key) {
  const Json& value = at(object, key);
  return value.is_number_integer() ? value.get<int64_t>() : 0;
}

Labels labels_of(const Json& metadata) {
  Labels out;
  for (const auto& [key, value] : at(metadata, "labels").items()) out.emplace_back(key, value.get<std::string>());
  return out;
}

Phase phase_of(const std::string& name) {
  constexpr const char* kNames[] = {"Pending", "Running", "Succeeded", "Failed"};
  auto at = std::find(std::begin(kNames), std::end(kNames), name);
  return at == std::end(kNames) ? Phase::Unknown : static_cast<Phase>(at - std::begin(kNames));
}

DeschedulerContainer container_of(const Json& status, Kind kind) {
  DeschedulerContainer out;
  out.kind = kind;
  const Json& state = at(status, "state");
  out.waiting = text(at(state, "waiting"), "reason");
  if (const Json& terminated = at(state, "terminated"); terminated.is_object())
    out.terminated = {text(terminated, "reason"), static_cast<int32_t>(integer(terminated, "exitCode"))};
  return out;
}

// What metadata and spec say of the pod beside its template.
DeschedulerTemplate facts_of(const Json& pod) {
  DeschedulerTemplate out;
  for (const Json& owner : at(at(pod, "metadata"), "ownerReferences"))
    out.owners.push_back({text(owner, "kind"), text(owner, "name"), text(owner, "uid")});
  const Json& spec = at(pod, "spec");
  if (const Json& priority = at(spec, "priority"); priority.is_number_integer()) out.priority = priority.get<int32_t>();
  for (const Json& volume : at(spec, "volumes")) {
    out.local_storage |= at(volume, "emptyDir").is_object() || at(volume, "hostPath").is_object();
    out.persistent_volumes |= at(volume, "persistentVolumeClaim").is_object();
  }
  out.resource_claims = !at(spec, "resourceClaims").empty();
  return out;
}

}  // namespace

DeschedulerRecord::DeschedulerRecord(const Json& record) : id_(text(record, "id")) {
  ClusterBuilder builder{{}};
  for (const Json& n : at(record, "namespaces")) {
    Namespace object;
    object.meta.name = text(at(n, "metadata"), "name");
    object.meta.labels = labels_of(at(n, "metadata"));
    builder.add_namespace(object);
  }
  for (const Json& c : at(record, "priorityClasses")) {
    PriorityClass& object = classes_.emplace_back();
    object.meta.name = text(at(c, "metadata"), "name");
    object.value = static_cast<int32_t>(integer(c, "value"));
  }
  snapshot_.now = time(record, "now");
  read_nodes(record, builder);
  read_budgets(record, builder);
  read_pods(record, builder);
  model_ = std::move(builder).build();

  for (size_t n = 0; n < model_.nodes.size(); ++n) {
    snapshot_.nodes.push_back(descheduler_node(model_, NodeId(n)));
    snapshot_.nodes[NodeId(n)].ready = node_ready_[n] != 0;
  }
  for (size_t t = 0; t < model_.templates.size(); ++t) {
    DeschedulerTemplate facts = descheduler_template(model_.templates[TemplateId(t)]);
    facts.owners = std::move(facts_[t].owners);
    facts.priority = facts_[t].priority;
    facts.local_storage = facts_[t].local_storage;
    facts.persistent_volumes = facts_[t].persistent_volumes;
    facts.resource_claims = facts_[t].resource_claims;
    snapshot_.templates.push_back(std::move(facts));
  }
}

Manifests DeschedulerRecord::read(const Json& object) const {
  Manifests out;
  Diagnostics diagnostics;
  read_manifest(to_value(object, id_), diagnostics, out);
  diagnostics.throw_if_errors();
  return out;
}

Time DeschedulerRecord::time(const Json& object, const char* key) const {
  std::optional<int64_t> ns = parse_time(text(object, key), TimeUnit::Datetime);
  if (!ns)
    throw InputError(Diagnostic{
        Severity::Error,
        {},
        id_,
        fmt::format("{}: found '{}', allowed: {}", key, text(object, key), allowed_times(TimeUnit::Datetime))});
  return {*ns};
}

void DeschedulerRecord::read_nodes(const Json& record, ClusterBuilder& builder) {
  for (const Json& node : at(record, "nodes")) {
    Json object = node;
    object["apiVersion"] = "v1";
    object["kind"] = "Node";
    builder.add_node(read(object).nodes.at(0));
    node_ready_.push_back(has_condition(at(node, "status"), "Ready", true));
  }
}

void DeschedulerRecord::read_budgets(const Json& record, ClusterBuilder& builder) {
  for (const Json& pdb : at(record, "pdbs")) {
    PodDisruptionBudget budget;
    budget.meta.name = text(at(pdb, "metadata"), "name");
    budget.meta.namespace_ = text(at(pdb, "metadata"), "namespace");
    Diagnostics diagnostics;
    std::vector<Ignored> ignored;
    ObjectContext context{diagnostics, ignored};
    const Value spec = to_value(at(pdb, "spec"), id_);
    ObjectReader reader(context, spec, "spec");
    budget.selector = read_optional_selector(reader, "selector");
    diagnostics.throw_if_errors();
    builder.add_budget(budget);
    const Json& status = at(pdb, "status");
    budgets_.push_back(
        {integer(status, "disruptionsAllowed"), integer(status, "currentHealthy"), integer(status, "desiredHealthy")});
  }
}

// The readers take metadata and spec; volumes and status go straight into the columns.
void DeschedulerRecord::read_pods(const Json& record, ClusterBuilder& builder) {
  std::map<std::string, NodeId> nodes;
  for (const Json& node : at(record, "nodes"))
    nodes.try_emplace(text(at(node, "metadata"), "name"), NodeId(nodes.size()));
  for (const Json& json : at(record, "pods")) {
    const Json& metadata = at(json, "metadata");
    Json object = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", at(json, "spec")}};
    for (const char* key : {"volumes", "resourceClaims"}) object["spec"].erase(key);
    for (const char* key : {"deletionTimestamp", "ownerReferences"}) object["metadata"].erase(key);
    Pod read_pod = read(object).pods.at(0);

    DeschedulerPod pod;
    pod.pod = PodId(names_.size());
    pod.pod_template = builder.add_template(read_pod.meta.namespace_,
                                            {read_pod.meta.labels, read_pod.meta.annotations, read_pod.spec, {}});
    if (auto node = nodes.find(text(at(json, "spec"), "nodeName")); node != nodes.end()) pod.node = node->second;
    pod.terminating = !text(metadata, "deletionTimestamp").empty();
    if (metadata.contains("creationTimestamp")) pod.created = time(metadata, "creationTimestamp");
    read_status(at(json, "status"), pod);
    snapshot_.pods.push_back(std::move(pod));
    facts_.push_back(facts_of(json));
    names_.push_back(read_pod.meta.name);
    pod_ready_.push_back(has_condition(at(json, "status"), "Ready", false));
  }
}

void DeschedulerRecord::read_status(const Json& status, DeschedulerPod& pod) const {
  pod.phase = phase_of(text(status, "phase"));
  pod.reason = text(status, "reason");
  if (!text(status, "startTime").empty()) pod.start_time = time(status, "startTime");
  constexpr std::pair<const char*, Kind> kLists[] = {{"containerStatuses", Kind::Container},
                                                     {"initContainerStatuses", Kind::Init},
                                                     {"ephemeralContainerStatuses", Kind::Ephemeral}};
  for (const auto& [key, kind] : kLists)
    for (const Json& container : at(status, key)) {
      int32_t restarts = static_cast<int32_t>(integer(container, "restartCount"));
      if (kind == Kind::Container) pod.restarts += restarts;
      if (kind == Kind::Init) pod.init_restarts += restarts;
      pod.containers.push_back(container_of(container, kind));
    }
  for (const Json& c : at(status, "conditions")) {
    DeschedulerCondition condition{text(c, "type"), text(c, "status"), text(c, "reason"), {}};
    if (!text(c, "lastTransitionTime").empty()) condition.last_transition = time(c, "lastTransitionTime");
    pod.conditions.push_back(std::move(condition));
  }
}

std::optional<DeschedulerPolicy> DeschedulerRecord::policy(const Json& record, const char* key,
                                                           std::vector<std::string>& problems) const {
  Diagnostics diagnostics;
  DeschedulerPolicy out = read_descheduler_policy(to_value(at(record, key), id_), classes_, diagnostics);
  for (const Diagnostic& d : diagnostics.all())
    if (d.severity == Severity::Error) problems.push_back(d.text());
  return diagnostics.has_errors() ? std::nullopt : std::optional(std::move(out));
}

std::optional<std::string> DeschedulerRecord::evict(PodId id) {
  const DeschedulerPod& pod = snapshot_.pods[ViewPodId(id.value)];
  bool guarded = (pod.phase == Phase::Running || pod.phase == Phase::Unknown) && !pod.terminating;
  std::vector<size_t> covering;
  for (size_t b = 0; b < budgets_.size(); ++b)
    if (model_.budgets[b].covers[pod.pod_template.value]) covering.push_back(b);
  if (!guarded || covering.empty()) return std::nullopt;
  if (covering.size() > 1) return "more than one PodDisruptionBudget";
  Budget& budget = budgets_[covering[0]];
  if (!pod_ready_[id.value] && budget.healthy >= budget.desired && budget.desired > 0) return std::nullopt;
  if (budget.allowed <= 0) return "the disruption budget needs the pod";
  --budget.allowed;
  return std::nullopt;
}

}  // namespace kisim::conformance

// Pod specs: containers and their resources, scheduling constraints, lifecycle.

#include "io/kube_names.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

struct NamedQuantity {
  std::string name;
  Quantity quantity;
  const Value* value;
};

bool is_native(std::string_view resource) {
  return resource.find('/') == resource.npos || resource.find("kubernetes.io/") != resource.npos;
}

// Kubernetes overcommits native resources only, and hugepages not at all.
bool may_overcommit(std::string_view resource) { return is_native(resource) && !resource.starts_with("hugepages-"); }

bool is_container_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-") ||
         (name.find('/') != name.npos && is_qualified_name(name));
}

std::vector<NamedQuantity> read_quantities(ObjectReader& parent, std::string_view key) {
  std::vector<NamedQuantity> out;
  const Value* map = parent.find(key);
  if (!map) return out;
  if (map->kind != Value::Kind::Mapping) {
    parent.error(key, found_allowed(*map, "a mapping of resources to quantities"));
    return out;
  }
  ObjectContext& context = parent.context();
  for (const Value::Member& member : map->members) {
    std::string path = parent.path(key) + "." + member.key;
    std::optional<Quantity> quantity = read_quantity(context, member.value, path);
    if (!quantity) continue;
    if (*quantity < Quantity())
      context.error(member.value.mark(), path,
                    "found " + member.value.describe() + ": must be greater than or equal to 0");
    else if (!is_native(member.key) && !quantity->is_integer())
      context.error(member.value.mark(), path, "found " + member.value.describe() + ": must be an integer");
    else
      out.push_back({member.key, *quantity, &member.value});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

ResourceList amounts(const std::vector<NamedQuantity>& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities)
    out.emplace_back(q.name, q.name == "cpu" ? q.quantity.milli_value() : q.quantity.value());
  return out;
}

const NamedQuantity* find_quantity(const std::vector<NamedQuantity>& quantities, std::string_view name) {
  for (const NamedQuantity& q : quantities)
    if (q.name == name) return &q;
  return nullptr;
}

void check_against_limit(ObjectReader& resources, const NamedQuantity& request, const NamedQuantity* limit) {
  ObjectContext& context = resources.context();
  std::string path = resources.path("requests") + "." + request.name;
  if (!limit) {
    if (!may_overcommit(request.name))
      context.error(request.value->mark(), resources.path("limits") + "." + request.name,
                    "missing: limit must be set for non overcommitable resources");
    return;
  }
  bool overcommit = may_overcommit(request.name);
  if (overcommit ? request.quantity <= limit->quantity : request.quantity == limit->quantity) return;
  context.error(request.value->mark(), path,
                fmt::format("found {}: must be {} {} limit of {}", request.value->describe(),
                            overcommit ? "less than or equal to" : "equal to", request.name, limit->value->text));
}

void read_resources(ObjectReader resources, Container& container) {
  std::vector<NamedQuantity> limits = read_quantities(resources, "limits");
  std::vector<NamedQuantity> requests = read_quantities(resources, "requests");
  for (const std::vector<NamedQuantity>* list : {&limits, &requests})
    for (const NamedQuantity& q : *list)
      if (!is_container_resource(q.name))
        resources.context().error(q.value->mark(),
                                  resources.path(list == &limits ? "limits" : "requests") + "." + q.name,
                                  "unknown resource, allowed: cpu, memory, ephemeral-storage, hugepages-<size> or "
                                  "a fully qualified name such as nvidia.com/gpu");
  for (const NamedQuantity& request : requests)
    check_against_limit(resources, request, find_quantity(limits, request.name));

  // The API server's default: a limit without a request is also the request.
  const std::vector<NamedQuantity> written = requests;
  for (const NamedQuantity& limit : limits)
    if (!find_quantity(written, limit.name)) requests.push_back(limit);
  std::sort(requests.begin(), requests.end(), [](const auto& a, const auto& b) { return a.name < b.name; });

  container.limits = amounts(limits);
  container.requests = amounts(requests);
  resources.unmodelled("claims");
  resources.finish();
}

Container::ReadinessProbe read_probe(ObjectReader probe) {
  Container::ReadinessProbe out;
  auto positive_seconds = [&](std::string_view key, Duration& duration) {
    Duration read;
    probe.seconds(key, 0, INT32_MAX, read);
    if (read.ns > 0) duration = read;  // the API server replaces 0 by the default
  };
  auto positive = [&](std::string_view key, int32_t& count) {
    int32_t read = 0;
    probe.integer(key, 0, INT32_MAX, read);
    if (read > 0) count = read;
  };
  probe.seconds("initialDelaySeconds", 0, INT32_MAX, out.initial_delay);
  positive_seconds("periodSeconds", out.period);
  positive_seconds("timeoutSeconds", out.timeout);
  positive("successThreshold", out.success_threshold);
  positive("failureThreshold", out.failure_threshold);
  probe.harmless({"httpGet", "exec", "tcpSocket", "grpc", "terminationGracePeriodSeconds"});
  probe.finish();
  return out;
}

// Host ports keep two pods from sharing a node; other ports change nothing.
void read_ports(ObjectReader& container) {
  for (ObjectReader& port : container.objects("ports")) {
    port.harmless({"name", "containerPort", "protocol", "hostIP"});
    port.unmodelled("hostPort");
    port.finish();
  }
}

Container read_container(ObjectReader& object, bool is_init) {
  Container out;
  out.name = object.text("name");
  if (out.name.empty())
    object.required("name");
  else if (!is_dns1123_label(out.name))
    object.error("name", fmt::format("found '{}', allowed: a lowercase RFC 1123 label", out.name));
  out.image = object.text("image");
  read_resources(object.object("resources"), out);
  ObjectReader probe = object.object("readinessProbe");
  if (probe.exists() && !is_init) out.readiness_probe = read_probe(probe);
  read_ports(object);
  object.harmless({"command", "args", "workingDir", "envFrom", "env", "resizePolicy", "volumeMounts", "volumeDevices",
                   "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin",
                   "stdinOnce", "tty"});
  object.unmodelled({"livenessProbe", "startupProbe", "lifecycle", "restartPolicy", "restartPolicyRules"});
  object.finish();
  return out;
}

void read_containers(ObjectReader& spec, std::string_view key, std::vector<Container>& out,
                     std::vector<std::string>& names) {
  for (ObjectReader& object : spec.objects(key)) {
    out.push_back(read_container(object, key == "initContainers"));
    const std::string& name = out.back().name;
    if (!name.empty() && std::find(names.begin(), names.end(), name) != names.end())
      object.error("name", fmt::format("found '{}' twice in one pod: container names must be unique", name));
    names.push_back(name);
  }
}

Toleration read_toleration(ObjectReader& object) {
  Toleration out;
  out.key = object.text("key");
  if (!out.key.empty() && !is_qualified_name(out.key))
    object.error("key", fmt::format("found '{}', allowed: a qualified name such as nvidia.com/gpu", out.key));
  object.choice("operator", {"Equal", "Exists"}, out.op, true);
  out.value = object.text("value");
  TaintEffect effect{};
  if (object.choice("effect", {"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect, true)) out.effect = effect;
  out.toleration_seconds = object.integer("tolerationSeconds", INT64_MIN, INT64_MAX);

  if (out.key.empty() && out.op != TolerationOperator::Exists)
    object.error("operator", "operator must be Exists when `key` is empty");
  if (out.op == TolerationOperator::Exists && !out.value.empty())
    object.error("value", "value must be empty when `operator` is Exists");
  if (out.toleration_seconds && out.effect != TaintEffect::NoExecute)
    object.error("effect", "effect must be NoExecute when `tolerationSeconds` is set");
  object.finish();
  return out;
}

void check_values(ObjectReader& object, const SelectorRequirement& r) {
  switch (r.op) {
    case SelectorOperator::In:
    case SelectorOperator::NotIn:
      if (r.values.empty()) object.error("values", "must be specified when `operator` is In or NotIn");
      return;
    case SelectorOperator::Exists:
    case SelectorOperator::DoesNotExist:
      if (!r.values.empty()) object.error("values", "may not be specified when `operator` is Exists or DoesNotExist");
      return;
    case SelectorOperator::Gt:
    case SelectorOperator::Lt:
      if (r.values.size() != 1) object.error("values", "must be one integer when `operator` is Gt or Lt");
      return;
  }
}

SelectorRequirement read_requirement(ObjectReader& object, bool of_nodes) {
  SelectorRequirement out;
  out.key = object.text("key");
  if (!is_qualified_name(out.key)) object.error("key", fmt::format("found '{}', allowed: the key of a label", out.key));
  out.values = object.texts("values");
  bool known = of_nodes ? object.choice("operator", {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}, out.op)
                        : object.choice("operator", {"In", "NotIn", "Exists", "DoesNotExist"}, out.op);
  if (known) check_values(object, out);
  object.finish();
  return out;
}

SelectorRequirement read_field_requirement(ObjectReader& object) {
  SelectorRequirement out;
  out.key = object.text("key");
  if (out.key != "metadata.name") object.error("key", fmt::format("found '{}', allowed: metadata.name", out.key));
  out.values = object.texts("values");
  object.choice("operator", {"In", "NotIn"}, out.op);
  if (out.values.size() != 1) object.error("values", "must be exactly one node name");
  object.finish();
  return out;
}

NodeSelectorTerm read_term(ObjectReader term) {
  NodeSelectorTerm out;
  for (ObjectReader& r : term.objects("matchExpressions")) out.match_expressions.push_back(read_requirement(r, true));
  for (ObjectReader& r : term.objects("matchFields")) out.match_fields.push_back(read_field_requirement(r));
  term.finish();
  return out;
}

void read_node_affinity(ObjectReader affinity, PodSpec& out) {
  ObjectReader required = affinity.object("requiredDuringSchedulingIgnoredDuringExecution");
  if (required.exists()) {
    out.required_node_affinity.emplace();
    for (ObjectReader& term : required.objects("nodeSelectorTerms"))
      out.required_node_affinity->push_back(read_term(term));
    if (out.required_node_affinity->empty())
      required.error("nodeSelectorTerms", "must have at least one node selector term");
    required.finish();
  }
  for (ObjectReader& preferred : affinity.objects("preferredDuringSchedulingIgnoredDuringExecution")) {
    PreferredSchedulingTerm term;
    if (!preferred.find("weight")) preferred.required("weight");
    preferred.integer("weight", 1, 100, term.weight);
    term.preference = read_term(preferred.object("preference"));
    out.preferred_node_affinity.push_back(std::move(term));
    preferred.finish();
  }
  affinity.finish();
}

// Volumes that live on some nodes only would restrict where the pod can go.
void read_volumes(ObjectReader& spec) {
  const Value* volumes = spec.find("volumes");
  if (!volumes || volumes->kind != Value::Kind::Sequence) return;
  for (size_t i = 0; i < volumes->items.size(); ++i)
    for (const char* source : {"persistentVolumeClaim", "ephemeral", "csi"})
      if (const Value* found = volumes->items[i].find(source))
        spec.context().ignore(found->mark(), fmt::format("{}[{}].{}", spec.path("volumes"), i, source),
                              "not modelled, ignored");
}

void read_scheduling(ObjectReader& spec, PodSpec& out) {
  out.node_selector = spec.texts_by_key("nodeSelector");
  ObjectReader affinity = spec.object("affinity");
  read_node_affinity(affinity.object("nodeAffinity"), out);
  affinity.unmodelled({"podAffinity", "podAntiAffinity"});
  affinity.finish();
  for (ObjectReader& toleration : spec.objects("tolerations")) out.tolerations.push_back(read_toleration(toleration));
  spec.integer("priority", INT32_MIN, INT32_MAX, out.priority);
  out.priority_class_name = spec.text("priorityClassName");
  if (std::string name = spec.text("schedulerName"); !name.empty()) out.scheduler_name = name;
  out.node_name = spec.text("nodeName");
  for (ObjectReader& gate : spec.objects("schedulingGates")) {
    out.scheduling_gates.push_back(gate.text("name"));
    if (out.scheduling_gates.back().empty()) gate.required("name");
    gate.finish();
  }
  std::string preemption = spec.text("preemptionPolicy");
  if (preemption == "Never") spec.unmodelled("preemptionPolicy");
}

}  // namespace

ResourceList read_resource_list(ObjectReader& parent, std::string_view key) {
  return amounts(read_quantities(parent, key));
}

LabelSelector read_label_selector(ObjectReader selector) {
  LabelSelector out;
  for (auto& [key, value] : selector.texts_by_key("matchLabels"))
    out.requirements.push_back({key, SelectorOperator::In, {value}});
  for (ObjectReader& r : selector.objects("matchExpressions")) out.requirements.push_back(read_requirement(r, false));
  selector.finish();
  return out;
}

PodSpec read_pod_spec(ObjectReader spec) {
  PodSpec out;
  std::vector<std::string> names;
  read_containers(spec, "initContainers", out.init_containers, names);
  read_containers(spec, "containers", out.containers, names);
  if (out.containers.empty()) spec.error("containers", "must have at least one container");
  out.overhead = read_resource_list(spec, "overhead");
  read_scheduling(spec, out);
  read_volumes(spec);
  spec.seconds("terminationGracePeriodSeconds", 0, INT32_MAX, out.termination_grace_period);

  spec.harmless({"ephemeralContainers",
                 "restartPolicy",
                 "dnsPolicy",
                 "dnsConfig",
                 "serviceAccountName",
                 "serviceAccount",
                 "automountServiceAccountToken",
                 "hostPID",
                 "hostIPC",
                 "shareProcessNamespace",
                 "securityContext",
                 "imagePullSecrets",
                 "hostname",
                 "subdomain",
                 "hostAliases",
                 "runtimeClassName",
                 "enableServiceLinks",
                 "setHostnameAsFQDN",
                 "os",
                 "hostUsers",
                 "hostnameOverride"});
  spec.unmodelled({"activeDeadlineSeconds", "hostNetwork", "readinessGates", "topologySpreadConstraints",
                   "resourceClaims", "resources", "workloadRef"});
  spec.finish();
  return out;
}

}  // namespace kisim

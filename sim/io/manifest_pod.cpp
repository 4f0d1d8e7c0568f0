// Pod specs: scheduling constraints, priority, lifecycle.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

void check_toleration(ObjectReader& object, const Toleration& t) {
  if (!t.key.empty()) object.check_name("key", t.key, check_qualified_name);
  if (t.key.empty() && t.op != TolerationOperator::Exists)
    object.invalid("operator",
                   "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
  if (t.toleration_seconds && t.effect != TaintEffect::NoExecute)
    object.invalid("effect", "effect must be 'NoExecute' when `tolerationSeconds` is set");
  NameProblems problems = check_label_value(t.value);
  if (t.op == TolerationOperator::Equal && !problems.empty())
    object.error("operator", invalid_value(quote(t.value), fmt::format("{}", fmt::join(problems, ";"))));
  if (t.op == TolerationOperator::Exists && !t.value.empty())
    object.error("operator", invalid_value(quote(t.value), "value must be empty when `operator` is 'Exists'"));
}

Toleration read_toleration(ObjectReader& object) {
  Toleration out;
  out.key = object.text("key");
  const Value* op = object.find("operator");
  bool known = object.choice("operator", {"Equal", "Exists"}, out.op, kOptional) || !op || op->text.empty();
  out.value = object.text("value");
  TaintEffect effect{};
  if (object.choice("effect", {"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect, kOptional)) out.effect = effect;
  out.toleration_seconds = object.integer("tolerationSeconds", INT64_MIN, INT64_MAX);
  if (known) check_toleration(object, out);
  object.finish();
  return out;
}

// Those that stay on the node. Volumes that live on some nodes only would restrict where the pod can go.
void read_volumes(ObjectReader& spec, PodSpec& out) {
  const Value* volumes = spec.find("volumes");
  if (!volumes || volumes->kind != Value::Kind::Sequence) return;
  for (size_t i = 0; i < volumes->items.size(); ++i) {
    const Value& volume = volumes->items[i];
    for (const char* source : {"persistentVolumeClaim", "ephemeral", "csi"})
      if (const Value* found = volume.find(source))
        spec.context().ignore(found->mark(), fmt::format("{}.{}", spec.path("volumes", i), source),
                              "not modelled, ignored");
    const Value *name = volume.find("name"), *empty_dir = volume.find("emptyDir");
    if (!empty_dir && !volume.find("hostPath")) continue;
    const Value* medium = empty_dir ? empty_dir->find("medium") : nullptr;
    out.local_volumes.push_back({empty_dir ? LocalVolume::Source::EmptyDir : LocalVolume::Source::HostPath,
                                 name ? name->text : "", medium && medium->text == "Memory"});
  }
}

void read_scheduling_gates(ObjectReader& spec, std::vector<std::string>& out) {
  for (ObjectReader& gate : spec.objects("schedulingGates")) {
    std::string name = gate.text("name");
    gate.finish();
    for (const std::string& problem : check_qualified_name(name)) gate.error("", invalid_value(quote(name), problem));
    if (std::find(out.begin(), out.end(), name) != out.end()) gate.duplicate("", quote(name));
    out.push_back(std::move(name));
  }
}

void read_priority(ObjectReader& spec, PodSpec& out) {
  spec.integer("priority", INT32_MIN, INT32_MAX, out.priority);
  out.priority_class_name = spec.text("priorityClassName");
  if (const Value* name = spec.find("priorityClassName")) out.priority_class_mark = name->mark();
  if (!out.priority_class_name.empty())
    spec.check_name("priorityClassName", out.priority_class_name, check_dns1123_subdomain);
  PreemptionPolicy policy{};
  if (spec.choice("preemptionPolicy", {"PreemptLowerPriority", "Never"}, policy, kOptional))
    out.preemption_policy = policy;
}

void read_scheduling(ObjectReader& spec, const Labels& labels, PodSpec& out) {
  out.node_selector = spec.labels("nodeSelector");
  read_affinity(spec.object("affinity"), labels, out);
  out.topology_spread_constraints = read_topology_spread_constraints(spec, labels);
  for (ObjectReader& toleration : spec.objects("tolerations")) out.tolerations.push_back(read_toleration(toleration));
  read_priority(spec, out);
  if (std::string name = spec.text("schedulerName"); !name.empty()) out.scheduler_name = name;
  out.node_name = spec.text("nodeName");
  if (!out.node_name.empty()) spec.check_name("nodeName", out.node_name, check_dns1123_subdomain);
  read_scheduling_gates(spec, out.scheduling_gates);
}

// Nothing if it is no valid period, which other fields are measured by.
std::optional<Duration> read_grace_period(ObjectReader& spec, PodSpec& out) {
  constexpr const char* kKey = "terminationGracePeriodSeconds";
  std::optional<Duration> read;
  spec.seconds(kKey, 0, INT32_MAX, read);
  if (read) out.termination_grace_period = *read;
  return read || spec.find(kKey) ? read : out.termination_grace_period;
}

void read_active_deadline(ObjectReader& spec, PodSpec& out) {
  std::optional<int64_t> seconds = spec.integer("activeDeadlineSeconds", INT64_MIN, INT64_MAX);
  if (!seconds) return;
  if (*seconds < 1 || *seconds > INT32_MAX)
    return spec.invalid("activeDeadlineSeconds", "must be between 1 and 2147483647, inclusive");
  out.active_deadline = Duration{*seconds * 1'000'000'000};
}

}  // namespace

PodSpec read_pod_spec(ObjectReader spec, const Labels& labels) {
  PodSpec out;
  PodSettings settings{spec.flag("hostNetwork"), read_grace_period(spec, out)};
  read_containers(spec, settings, out);
  out.overhead = read_resource_list(spec, "overhead");
  read_pod_resources(spec.object("resources"), out);
  read_scheduling(spec, labels, out);
  read_volumes(spec, out);
  spec.choice("restartPolicy", {"Always", "OnFailure", "Never"}, out.restart_policy, kOptional);
  read_active_deadline(spec, out);

  spec.harmless({"ephemeralContainers",
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
  spec.unmodelled({"readinessGates", "resourceClaims", "workloadRef", "schedulingGroup"});
  spec.finish();
  return out;
}

}  // namespace kisim

// Pod specs: containers and their ports, scheduling constraints, lifecycle.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr const char* kPortRange = "must be between 1 and 65535, inclusive";

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

// As an API server writes a port in the message that it is taken: TCP/10.0.0.1/80.
std::string port_text(const HostPort& port, const std::string& host_ip) {
  constexpr const char* kProtocols[] = {"TCP", "UDP", "SCTP"};
  return fmt::format("{}/{}/{}", kProtocols[static_cast<size_t>(port.protocol)], host_ip, port.port);
}

void read_port(ObjectReader& object, bool host_network, std::vector<std::string>& taken, Container& out) {
  HostPort port;
  int32_t container_port = 0;
  if (!object.find("containerPort")) object.required("containerPort");
  object.integer("containerPort", 1, 65535, container_port, kPortRange);
  std::optional<int64_t> host_port = object.integer("hostPort", 0, 65535, kPortRange);
  object.choice("protocol", {"TCP", "UDP", "SCTP"}, port.protocol, {Absent::Allowed, true});
  std::string host_ip = object.text("hostIP");
  object.harmless({"name"});
  object.finish();

  port.port = static_cast<int32_t>(host_port.value_or(0));
  if (host_network && port.port == 0) port.port = container_port;
  if (host_network && container_port > 0 && port.port != container_port)
    object.invalid("hostPort", "must match `containerPort` when `hostNetwork` is true");
  if (port.port == 0) return;
  std::string text = port_text(port, host_ip);
  if (std::find(taken.begin(), taken.end(), text) != taken.end()) object.duplicate("hostPort", quote(text));
  taken.push_back(std::move(text));
  if (!host_ip.empty()) port.ip = host_ip;
  out.host_ports.push_back(std::move(port));
}

// Init containers run one by one, and so only sidecars may be probed.
void forbid_of_init(ObjectReader& object) {
  for (const char* key : {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"})
    if (object.find(key)) object.forbidden(key, "may not be set for init containers without restartPolicy=Always");
}

bool read_sidecar(ObjectReader& object) {
  std::string policy = object.text("restartPolicy");
  if (policy == "OnFailure" || policy == "Never") object.unmodelled("restartPolicy");
  if (policy.empty() || policy == "OnFailure" || policy == "Never") return false;
  if (policy == "Always") return true;
  object.error("restartPolicy", unsupported_value(quote(policy), {"Always", "Never", "OnFailure"}));
  return false;
}

enum class Role : uint8_t { Main, Init };

Container read_container(ObjectReader& object, Role role, bool host_network, std::vector<std::string>& taken) {
  Container out;
  out.name = object.text("name");
  if (out.name.empty())
    object.required("name");
  else
    object.check_name("name", out.name, check_dns1123_label);
  out.image = object.text("image");
  read_container_resources(object.object("resources"), out);
  for (ObjectReader& port : object.objects("ports")) read_port(port, host_network, taken, out);
  bool always = read_sidecar(object);
  out.sidecar = always && role == Role::Init;
  if (role == Role::Main && always) object.unmodelled("restartPolicy");
  if (role == Role::Init && !out.sidecar) forbid_of_init(object);
  ObjectReader probe = object.object("readinessProbe");
  if (probe.exists()) out.readiness_probe = read_probe(probe);
  object.harmless({"command", "args", "workingDir", "envFrom", "env", "resizePolicy", "volumeMounts", "volumeDevices",
                   "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin",
                   "stdinOnce", "tty"});
  object.unmodelled({"livenessProbe", "startupProbe", "lifecycle", "restartPolicyRules"});
  object.finish();
  return out;
}

void read_containers(ObjectReader& spec, Role role, bool host_network, PodSpec& out) {
  std::vector<Container>& list = role == Role::Main ? out.containers : out.init_containers;
  std::vector<std::string> names, taken;
  for (const Container& c : out.containers) names.push_back(c.name);
  for (ObjectReader& object : spec.objects(role == Role::Main ? "containers" : "initContainers")) {
    // Only what runs at the same time can take each other's ports.
    if (role == Role::Init) taken.clear();
    list.push_back(read_container(object, role, host_network, taken));
    const std::string& name = list.back().name;
    if (!name.empty() && std::find(names.begin(), names.end(), name) != names.end())
      object.duplicate("name", quote(name));
    names.push_back(name);
  }
}

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

// Volumes that live on some nodes only would restrict where the pod can go.
void read_volumes(ObjectReader& spec) {
  const Value* volumes = spec.find("volumes");
  if (!volumes || volumes->kind != Value::Kind::Sequence) return;
  for (size_t i = 0; i < volumes->items.size(); ++i)
    for (const char* source : {"persistentVolumeClaim", "ephemeral", "csi"})
      if (const Value* found = volumes->items[i].find(source))
        spec.context().ignore(found->mark(), fmt::format("{}.{}", spec.path("volumes", i), source),
                              "not modelled, ignored");
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

}  // namespace

PodSpec read_pod_spec(ObjectReader spec, const Labels& labels) {
  PodSpec out;
  bool host_network = spec.flag("hostNetwork");
  read_containers(spec, Role::Main, host_network, out);
  read_containers(spec, Role::Init, host_network, out);
  if (out.containers.empty()) spec.required("containers");
  out.overhead = read_resource_list(spec, "overhead");
  read_pod_resources(spec.object("resources"), out);
  read_scheduling(spec, labels, out);
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
  spec.unmodelled({"activeDeadlineSeconds", "readinessGates", "resourceClaims", "workloadRef", "schedulingGroup"});
  spec.finish();
  return out;
}

}  // namespace kisim

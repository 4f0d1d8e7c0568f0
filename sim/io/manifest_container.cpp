// Containers: their images, ports, probes and lifecycle.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr const char* kPortRange = "must be between 1 and 65535, inclusive";

// Of the ways to act that a probe or a hook may name, exactly one.
void check_handler(ObjectReader& object, std::initializer_list<std::string_view> handlers) {
  bool any = false;
  for (std::string_view handler : handlers) {
    if (!object.find(handler)) continue;
    if (any) object.forbidden(handler, "may not specify more than 1 handler type");
    any = true;
  }
  if (!any) object.required("", "must specify a handler type");
}

// ------------------------------------------------------------------------------------------------------------ probes

void read_thresholds(ObjectReader& probe, Probe& out) {
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
}

std::optional<Probe> read_probe(ObjectReader probe, bool readiness) {
  if (!probe.exists()) return std::nullopt;
  Probe out;
  check_handler(probe, {"exec", "httpGet", "tcpSocket", "grpc"});
  read_thresholds(probe, out);
  if (!readiness && out.success_threshold != 1) probe.invalid("successThreshold", "must be 1");
  if (readiness && probe.find("terminationGracePeriodSeconds"))
    probe.invalid("terminationGracePeriodSeconds", "must not be set for readinessProbes");
  if (!readiness && probe.integer("terminationGracePeriodSeconds", 1, INT64_MAX, "must be greater than 0"))
    probe.unmodelled("terminationGracePeriodSeconds");
  probe.finish();
  return out;
}

void read_probes(ObjectReader& object, Container& out) {
  out.liveness_probe = read_probe(object.object("livenessProbe"), false);
  out.readiness_probe = read_probe(object.object("readinessProbe"), true);
  out.startup_probe = read_probe(object.object("startupProbe"), false);
}

// --------------------------------------------------------------------------------------------------------- lifecycle

// How long the hook sleeps. Without a valid grace period that is complaint enough.
Duration read_sleep(ObjectReader& hook, const std::optional<Duration>& grace_period) {
  ObjectReader sleep = hook.object("sleep");
  if (!sleep.exists()) return {};
  const int64_t seconds = sleep.integer("seconds", INT64_MIN, INT64_MAX).value_or(0);
  sleep.finish();
  if (!grace_period) return {};
  const int64_t longest = grace_period->ns / 1'000'000'000;
  if (seconds >= 0 && seconds <= longest) return {seconds * 1'000'000'000};
  hook.error("sleep", invalid_value(std::to_string(seconds),
                                    fmt::format("must be non-negative and less than terminationGracePeriodSeconds ({})",
                                                longest)));
  return {};
}

// Sleeping is all that is modelled of what a hook may do.
Duration read_hook(ObjectReader hook, const std::optional<Duration>& grace_period) {
  if (!hook.exists()) return {};
  check_handler(hook, {"exec", "httpGet", "tcpSocket", "sleep"});
  hook.unmodelled({"exec", "httpGet", "tcpSocket"});
  Duration out = read_sleep(hook, grace_period);
  hook.finish();
  return out;
}

void read_lifecycle(ObjectReader lifecycle, const std::optional<Duration>& grace_period, Container& out) {
  out.pre_stop = read_hook(lifecycle.object("preStop"), grace_period);
  if (read_hook(lifecycle.object("postStart"), grace_period).ns > 0) lifecycle.unmodelled("postStart");
  lifecycle.harmless({"stopSignal"});
  lifecycle.finish();
}

// ------------------------------------------------------------------------------------------------------------- ports

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

// ------------------------------------------------------------------------------------------------------------ images

// Whether a new container asks the registry even where the node has the image: with the tag latest, which a name with
// neither tag nor digest stands for (apis/core/v1, SetDefaults_Container).
bool is_latest(std::string image) {
  const size_t digest = image.find('@');
  const bool has_digest = digest != image.npos;
  if (has_digest) image.resize(digest);
  const size_t colon = image.rfind(':'), slash = image.rfind('/');
  const bool has_tag = colon != image.npos && (slash == image.npos || colon > slash);
  return has_tag ? image.substr(colon + 1) == "latest" : !has_digest && !image.empty();
}

void read_image(ObjectReader& object, Container& out) {
  out.image = object.text("image");
  out.image_pull_policy = is_latest(out.image) ? ImagePullPolicy::Always : ImagePullPolicy::IfNotPresent;
  object.choice("imagePullPolicy", {"Always", "IfNotPresent", "Never"}, out.image_pull_policy, kOptional);
}

// -------------------------------------------------------------------------------------------------------- containers

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

Container read_container(ObjectReader& object, Role role, const PodSettings& pod, std::vector<std::string>& taken) {
  Container out;
  out.name = object.text("name");
  if (out.name.empty())
    object.required("name");
  else
    object.check_name("name", out.name, check_dns1123_label);
  read_image(object, out);
  read_container_resources(object.object("resources"), out);
  for (ObjectReader& port : object.objects("ports")) read_port(port, pod.host_network, taken, out);
  bool always = read_sidecar(object);
  out.sidecar = always && role == Role::Init;
  if (role == Role::Main && always) object.unmodelled("restartPolicy");
  if (role == Role::Init && !out.sidecar) {
    forbid_of_init(object);
  } else {
    read_probes(object, out);
    read_lifecycle(object.object("lifecycle"), pod.grace_period, out);
  }
  object.harmless({"command", "args", "workingDir", "envFrom", "env", "resizePolicy", "volumeMounts", "volumeDevices",
                   "terminationMessagePath", "terminationMessagePolicy", "securityContext", "stdin", "stdinOnce",
                   "tty"});
  object.unmodelled("restartPolicyRules");
  object.finish();
  return out;
}

void read_list(ObjectReader& spec, Role role, const PodSettings& pod, PodSpec& out) {
  std::vector<Container>& list = role == Role::Main ? out.containers : out.init_containers;
  std::vector<std::string> names, taken;
  for (const Container& c : out.containers) names.push_back(c.name);
  for (ObjectReader& object : spec.objects(role == Role::Main ? "containers" : "initContainers")) {
    // Only what runs at the same time can take each other's ports.
    if (role == Role::Init) taken.clear();
    list.push_back(read_container(object, role, pod, taken));
    const std::string& name = list.back().name;
    if (!name.empty() && std::find(names.begin(), names.end(), name) != names.end())
      object.duplicate("name", quote(name));
    names.push_back(name);
  }
}

}  // namespace

void read_containers(ObjectReader& spec, const PodSettings& pod, PodSpec& out) {
  read_list(spec, Role::Main, pod, out);
  read_list(spec, Role::Init, pod, out);
  if (out.containers.empty()) spec.required("containers");
}

}  // namespace kisim

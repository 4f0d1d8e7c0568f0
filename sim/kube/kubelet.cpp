#include "kube/kubelet.hpp"

#include "cluster/node_selector.hpp"
#include "cluster/tolerations.hpp"
#include "core/hash.hpp"
#include "serving/memory_fit.hpp"

#include <algorithm>
#include <utility>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "kubelet";
constexpr double kLongestSeconds = 1e9;       // more than any run; keeps the conversion to nanoseconds in range
constexpr int32_t kCritical = 2'000'000'000;  // scheduling.SystemCriticalPriority
constexpr int kSigterm = 143, kSigkill = 137, kUnknown = 255;  // exit codes

// The unit of work is bytes; a rate that was drawn as zero or less never ends.
double transfer_seconds(double bytes, double rate) {
  if (bytes <= 0) return 0;
  return rate > 0 ? bytes / rate : kLongestSeconds;
}

Duration to_duration(double seconds) { return Duration::seconds(std::clamp(seconds, 0.0, kLongestSeconds)); }

bool has(const std::vector<uint32_t>& disk, uint32_t artefacts) {
  return std::find(disk.begin(), disk.end(), artefacts) != disk.end();
}

// metadata.uid, for messages only.
std::string uid(uint64_t entity) {
  uint64_t low = mix64(entity);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", entity >> 32, entity >> 16 & 0xffff, entity & 0xffff,
                     low >> 48, low & 0xffffffffffff);
}

bool tolerates_memory_pressure(const PodSpec& spec) {
  bool all = true;
  for_each_taint(NodeConditions{kNodeMemoryPressure}, [&](const Taint& taint) { all &= tolerated(spec, taint); });
  return all;
}

}  // namespace

Kubelet::Kubelet(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, ApiServer& api,
                 Engine& engine, Events events)
    : model_(model),
      state_(state),
      cluster_(cluster),
      serving_(serving),
      api_(api),
      engine_(engine),
      events_(events),
      usage_(model, state, cluster, serving),
      images_(model, state, cluster, api, engine, events.pulled),
      evictions_(state, cluster, usage_, api, engine, events.look) {
  if (model_.latencies.pleg.ns == 0) return;
  for (const NodeModel& node : cluster_.model.nodes) {
    Stream stream(model_.seed, hash_text("Node/" + node.object.meta.name), Purpose::Pleg);
    pleg_phase_.push_back({static_cast<int64_t>(stream.uniform() * static_cast<double>(model_.latencies.pleg.ns))});
  }
}

void Kubelet::start() {
  state_.nodes.resize(cluster_.model.nodes.size());
  for (size_t n = 0; n < state_.nodes.size(); ++n) node_joined(NodeId(n));
}

void Kubelet::node_joined(NodeId node) {
  state_.nodes[node].pods.clear();
  state_.nodes[node].starts.clear();
  state_.nodes[node].weights.clear();
  state_.nodes[node].compiled.clear();
  state_.nodes[node].pressure_observed = Time::max();
  images_.fill_disk(node);
}

// --- admission

std::string Kubelet::refusal(PodId id, NodeId node) const {
  const PodTemplateModel& t = api_.template_of(id);
  bool best_effort = t.qos == QosClass::BestEffort && t.spec.priority < kCritical;
  if (best_effort && api_.has_condition(node, kNodeMemoryPressure) && !tolerates_memory_pressure(t.spec))
    return "Evicted";
  // The device manager is asked before the rest, about nodes that have devices.
  bool has_devices = !cluster_.devices(node).empty();
  if (has_devices && (cluster_.missing_devices(id, node) || cluster_.too_large_request(id, node)))
    return "UnexpectedAdmissionError";
  if (ResourceId short_of = cluster_.shortage(id, node); short_of.valid())
    return "OutOf" + cluster_.model.resources[short_of.value];
  if (!matches_required(t.spec, cluster_.node(node).object)) return "NodeAffinity";
  return ports_conflict(id, node) ? "NodePorts" : "";
}

std::string Kubelet::refusal_message(PodId id, NodeId node) const {
  std::string reason = refusal(id, node);
  if (reason == "Evicted") return "The node had condition: [MemoryPressure]. ";
  if (reason == "UnexpectedAdmissionError") return allocation_failure(id, node);
  if (reason == "NodeAffinity")
    return "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
  if (reason == "NodePorts")
    return "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
  ResourceId r = cluster_.shortage(id, node);
  if (!r.valid()) return "";
  int64_t requested = r == kPods ? 1 : api_.template_of(id).request[r.value];
  return fmt::format("Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
                     cluster_.model.resources[r.value], requested,
                     cluster_.state.requested[node.value * cluster_.model.resource_count() + r.value],
                     cluster_.allocatable(node)[r.value]);
}

std::string Kubelet::allocation_failure(PodId id, NodeId node) const {
  if (auto missing = cluster_.missing_devices(id, node))
    return fmt::format(
        "Allocate failed due to requested number of devices unavailable for {}. Requested: {}, Available: {}, which is "
        "unexpected",
        missing->resource.valid() ? cluster_.model.resources[missing->resource.value] : "nvidia.com/gpu",
        missing->count, cluster_.devices_left(id, node, missing->resource));
  auto large = cluster_.too_large_request(id, node);
  return fmt::format(
      "Allocate failed due to rpc error: code = Unknown desc = request for '{}: {}' too large: maximum request size "
      "for "
      "shared resources is 1, which is unexpected",
      cluster_.model.resources[large->resource.value], large->count);
}

bool Kubelet::ports_conflict(PodId id, NodeId node) const {
  const PodTemplateModel& t = api_.template_of(id);
  for (PodId other : cluster_.state.node_pods[node.value])
    for (const HostPort& taken : api_.template_of(other).host_ports)
      for (const HostPort& wanted : t.host_ports)
        if (wanted.conflicts(taken)) return true;
  return false;
}

// --- the life of a pod

void Kubelet::bound(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  if (pod.phase != PodPhase::Binding || !state_.nodes[pod.node].alive()) return;  // or nobody is there to see it
  see(id);
}

void Kubelet::see(PodId id) {
  if (api_.template_of(id).spec.active_deadline) {
    KubeletPod& r = record(id);
    if (r.seen == Time::max()) r.seen = engine_.now();
  }
  begin_start(id, cluster_.state.pods[id].scheduled);
  advance(id, {Step::Pull, engine_.now()});
}

void Kubelet::on_step(PodId id, uint64_t payload) {
  PodState& pod = cluster_.state.pods[id];
  pod.timer = {};
  Next next{static_cast<Step>(payload & 0xff), engine_.now(), static_cast<size_t>(payload >> 8)};
  if (pod.phase != PodPhase::Terminating || next.step >= Step::Sigterm) return advance(id, next);
  // It is being deleted, but the kubelet has not heard of it.
  if (next.step == Step::Exit || next.step == Step::Killed) take(id, next);
}

// What happens now, and then what takes no time.
void Kubelet::advance(PodId id, Next next) {
  while (next.step != Step::Over && next.at <= engine_.now()) next = take(id, next);
  if (next.step != Step::Over) arm(id, next);
}

Kubelet::Next Kubelet::take(PodId id, Next next) {
  switch (next.step) {
    case Step::Over:
      break;
    case Step::Pull:
      return pull_images(id, next.place);
    case Step::Started:
      return containers_started(id);
    case Step::Loaded:
      return loaded(id);
    case Step::Ready:
      return become_ready(id);
    case Step::Exit:
      return exit_by_itself(id);
    case Step::ProbeFailed:
      return probe_failed(id, static_cast<ProbeKind>(next.place));
    case Step::Killed:
      return exited(id, "Error", serves(id) ? kSigterm : kSigkill);
    case Step::Exited:
      return after_exit(id);
    case Step::Restart:
      return restart(id);
    case Step::Deadline:
      return deadline_exceeded(id);
    case Step::Sigterm:
      return sigterm(id);
    case Step::Sigkill:
      return end(id);
  }
  return {};
}

void Kubelet::arm(PodId id, Next next) {
  PodState& pod = cluster_.state.pods[id];
  engine_.cancel(pod.timer);
  if (Time due = deadline(id); due < next.at) next = {Step::Deadline, std::max(due, engine_.now())};
  if (next.at == Time::max()) return;
  bool work_ends = next.step == Step::Started || next.step == Step::Loaded || next.step == Step::Exit;
  pod.timer = engine_.schedule(next.at, work_ends ? Priority::Completion : Priority::Control, events_.step, id.value,
                               static_cast<uint64_t>(next.step) | static_cast<uint64_t>(next.place) << 8);
}

Kubelet::Next Kubelet::pull_images(PodId id, size_t place) {
  if (cluster_.state.pods[id].phase == PodPhase::Binding) api_.set_phase(id, PodPhase::Pulling);
  for (; place < images_.places(id); ++place) {
    ImagePuller::Answer answer = images_.ensure(id, place);
    if (answer == ImagePuller::Answer::BackOff) return {Step::Pull, images_.retry_at(id, place), place};
    if (answer != ImagePuller::Answer::Present) return waiting();
  }
  return start_containers(id);
}

void Kubelet::on_pulled(NodeId node) {
  do {
    ImagePuller::Pulled pulled = images_.take_pulled(node);
    if (is_active(cluster_.state.pods[pulled.pod].phase)) {
      if (pulled.failed)
        arm(pulled.pod, {Step::Pull, images_.retry_at(pulled.pod, pulled.place), pulled.place});
      else
        advance(pulled.pod, {Step::Pull, engine_.now(), pulled.place + 1});
    }
    if (!pulled.failed) image_arrived(node);
  } while (images_.begin_next(node));
}

// For pods that may not fetch it themselves.
void Kubelet::image_arrived(NodeId node) {
  std::vector<PodId> pods;
  for (const KubeletPod& r : state_.nodes[node].pods)
    if (r.waiting == "ErrImageNeverPull" && is_active(cluster_.state.pods[r.pod].phase)) pods.push_back(r.pod);
  for (PodId pod : pods) {
    bool again = cluster_.state.pods[pod].phase == PodPhase::CrashLoop;
    advance(pod, {Step::Pull, engine_.now(), again ? images_.first_container(pod) : 0});
  }
}

Kubelet::Next Kubelet::start_containers(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  if (pod.phase != PodPhase::CrashLoop) api_.set_phase(id, PodPhase::Starting);
  bool again = started_before(id);
  (*state_.nodes[pod.node].start_of(id))[StartPhase::Container] = engine_.now();
  Time at = engine_.now() + to_duration(startup_times(id, pod.restarts + again).container);
  // PodState::started is of the first ones, and when they were seen.
  if (again || model_.latencies.pleg.ns > 0) record(id).started = at;
  return {Step::Started, seen_at(pod.node, at)};
}

Kubelet::Next Kubelet::containers_started(PodId id) {
  if (started_before(id)) api_.restarted(id);
  if (find(id)) {
    record(id).exited = false;
    record(id).waiting = {};
  }
  api_.set_phase(id, PodPhase::Loading);
  tell_started(id);
  if (std::optional<Crash> crash = crashes_at_start(id)) return exited(id, crash->reason, crash->exit_code);
  usage_changed(id);
  Time up = plan_loading(id);
  return or_probe_failure(id, or_exit(id, {Step::Loaded, up}), misfit(id) ? Time::max() : up);
}

Kubelet::Next Kubelet::loaded(PodId id) {
  api_.set_phase(id, PodPhase::Probing);
  keep_artefacts(id);
  if (std::optional<std::string> why = misfit(id)) {
    // vLLM and tritonserver end with an error.
    state_.statistics.decisions.add("BackOff", *why);
    return exited(id, "Error", 1);
  }
  const PodSpec& spec = api_.template_of(id).spec;
  Time start = usage_.containers_started(id), ready = engine_.now();
  for (const Container& c : spec.containers)
    ready = std::max(ready, ready_at(c, start, &c == &spec.containers.front() ? engine_.now() : start));
  for (const Container& c : spec.init_containers)
    if (c.sidecar) ready = std::max(ready, ready_at(c, start, start));
  return or_exit(id, {Step::Ready, seen_at(cluster_.state.pods[id].node, ready)});
}

Kubelet::Next Kubelet::become_ready(PodId id) {
  api_.set_phase(id, PodPhase::Ready);
  PodState& pod = cluster_.state.pods[id];
  ServingModelId serving = cluster_.model.workloads[pod.workload].serving;
  ServiceId service = model_.workloads[pod.workload].service;
  if (serving.valid() && service.valid()) pod.replica = serving_.add_replica(serving, service, id);
  KubeletState& kubelet = state_.nodes[pod.node];
  if (PodStart* start = kubelet.start_of(id)) {
    start->ready = engine_.now();
    state_.statistics.starts.push_back(*start);
    kubelet.starts.erase(kubelet.starts.begin() + (start - kubelet.starts.data()));
  }
  return or_exit(id, waiting());
}

// --- containers that exit

Kubelet::Next Kubelet::exit_by_itself(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  const PodBehaviour& behaviour = model_.workloads[pod.workload].behaviour;
  Stream stream(model_.seed, start_entity(id, pod.restarts), Purpose::Run);
  behaviour.run->draw(stream);
  bool failed = stream.uniform() < behaviour.failure;
  return exited(id, failed ? "Error" : "Completed", failed ? 1 : 0);
}

Kubelet::Next Kubelet::probe_failed(PodId id, ProbeKind kind) {
  const PodSpec& spec = api_.template_of(id).spec;
  const Container& server = spec.containers.front();
  api_.pod_event(id, KubeEvent::Type::Warning, "Unhealthy", kComponent, [&] {
    return fmt::format("{} probe failed: dial tcp: connect: connection refused", to_string(kind));
  });
  api_.pod_event(id, KubeEvent::Type::Normal, "Killing", kComponent, [&] {
    return fmt::format("Container {} failed {} probe{}", server.name,
                       kind == ProbeKind::Startup ? "startup" : "liveness",
                       spec.restart_policy == RestartPolicy::Never ? "" : ", will be restarted");
  });
  Duration grace = spec.termination_grace_period;
  Duration lasts = serves(id) ? std::min(pre_stop(id), grace) : grace;
  return or_exit(id, {Step::Killed, engine_.now() + lasts});
}

Kubelet::Next Kubelet::exited(PodId id, std::string_view reason, int exit_code) {
  stop_serving(id);
  KubeletPod& r = record(id);
  r.exited = true;
  r.finished = engine_.now();
  r.exit_reason = reason;
  r.exit_code = exit_code;
  usage_changed(id);
  return {Step::Exited, seen_at(cluster_.state.pods[id].node, engine_.now())};
}

Kubelet::Next Kubelet::after_exit(PodId id) {
  RestartPolicy policy = api_.template_of(id).spec.restart_policy;
  bool succeeded = record(id).exit_code == 0;
  if (policy == RestartPolicy::Never || (policy == RestartPolicy::OnFailure && succeeded)) return finish(id, succeeded);
  api_.set_phase(id, PodPhase::CrashLoop);
  KubeletPod& r = record(id);
  Time at = std::max(r.finished + r.restart.wait(r.finished), engine_.now());
  if (at == engine_.now()) return {Step::Restart, at};
  r.waiting = "CrashLoopBackOff";
  api_.pod_event(id, KubeEvent::Type::Warning, "BackOff", kComponent, [&] {
    return fmt::format("Back-off restarting failed container {} in pod {}_{}({})",
                       api_.template_of(id).spec.containers.front().name, cluster_.pod_name(id), api_.namespace_of(id),
                       uid(cluster_.pod_entity(id)));
  });
  return {Step::Restart, at};
}

Kubelet::Next Kubelet::restart(PodId id) {
  KubeletPod& r = record(id);
  r.restart.next(r.finished, engine_.now());
  r.waiting = {};
  begin_start(id, engine_.now());
  return pull_images(id, images_.first_container(id));
}

void Kubelet::crash(PodId id, std::string_view reason, int exit_code) {
  if (!usage_.is_running(id)) return;
  engine_.cancel(cluster_.state.pods[id].timer);
  state_.statistics.decisions.add("ContainerExit", reason);
  bool terminating = cluster_.state.pods[id].phase == PodPhase::Terminating;
  if (terminating && find(id) && find(id)->stopping) return void(end(id));
  Next next = exited(id, reason, exit_code);
  if (!terminating) advance(id, next);
}

void Kubelet::set_crash_looping(WorkloadId workload, bool on) {
  if (!on) return;
  std::vector<PodId> pods = cluster_.state.workload_pods[workload.value];
  for (PodId pod : pods) crash(pod, "Error", 1);
}

void Kubelet::gpu_failed(GpuId gpu) {
  std::vector<PodId> pods = cluster_.state.node_pods[cluster_.state.gpus[gpu].node.value];
  for (PodId pod : pods) {
    const std::vector<GpuId>& held = cluster_.state.pods[pod].gpus;
    if (std::find(held.begin(), held.end(), gpu) != held.end()) crash(pod, "Error", 1);
  }
}

std::optional<Kubelet::Crash> Kubelet::crashes_at_start(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  if (is_crash_looping(pod.workload)) return Crash{"Error", 1};
  for (GpuId gpu : pod.gpus)
    if (!cluster_.state.gpus[gpu].healthy) return Crash{"Error", 1};
  if (evictions_.over_limit(id)) return Crash{"OOMKilled", kSigkill};
  return std::nullopt;
}

bool Kubelet::is_crash_looping(WorkloadId workload) const {
  for (size_t i = 0; i < state_.faults.size(); ++i) {
    const Fault& fault = model_.faults[i];
    if (state_.faults[i].active && fault.kind == Fault::Kind::CrashLoop && fault.workload == workload) return true;
  }
  return false;
}

// --- memory

void Kubelet::usage_changed(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  if (usage_.has_memory(pod.workload)) evictions_.watch(pod.node);
}

void Kubelet::on_look(NodeId node) {
  state_.nodes[node].housekeeping = {};
  for (PodId pod : evictions_.over_limits(node)) crash(pod, "OOMKilled", kSigkill);
  if (std::optional<PodId> victim = evictions_.synchronize(node)) evict(*victim);
  evictions_.watch(node);
}

void Kubelet::evict(PodId id) {
  ++state_.statistics.evicted;
  cluster_.state.pods[id].disrupted = true;
  api_.pod_event(id, KubeEvent::Type::Warning, "Evicted", kComponent, [&] { return evictions_.message(id); });
  finish(id, false, "Evicted");
}

// --- the end of a pod

void Kubelet::deleted(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase != PodPhase::Terminating) return;
  if (pod.replica.valid()) serving_.drain_replica(pod.replica, events_.drained);
  if (!state_.nodes[pod.node].alive()) return;
  engine_.cancel(pod.timer);
  if (!usage_.is_running(id)) return void(end(id));
  Duration grace = api_.grace_period(id);
  KubeletPod& r = record(id);
  r.stopping = true;
  r.sigterm = engine_.now() + std::min(pre_stop(id), grace);
  r.sigkill = engine_.now() + grace;
  Next next{Step::Sigterm, r.sigterm};
  const PodSpec& spec = api_.template_of(id).spec;
  auto tell = [&](const Container& c) {
    api_.pod_event(id, KubeEvent::Type::Normal, "Killing", kComponent,
                   [&] { return fmt::format("Stopping container {}", c.name); });
  };
  for (const Container& c : spec.containers) tell(c);
  for (const Container& c : spec.init_containers)
    if (c.sidecar) tell(c);
  advance(id, next);
}

Kubelet::Next Kubelet::sigterm(PodId id) {
  ReplicaId replica = cluster_.state.pods[id].replica;
  bool idle = serves(id) && (!replica.valid() || serving_.drained(replica));
  Time sigkill = find(id)->sigkill;
  if (idle || sigkill <= engine_.now()) return end(id);
  return {Step::Sigkill, sigkill};
}

void Kubelet::on_drained(PodId id) {
  if (cluster_.state.pods[id].phase != PodPhase::Terminating) return;
  const KubeletPod* r = find(id);
  if (r && r->stopping && r->sigterm <= engine_.now()) end(id);
}

// The containers are gone, and with them the object.
Kubelet::Next Kubelet::end(PodId id) {
  NodeId node = cluster_.state.pods[id].node;
  stop_containers(id);
  api_.remove_pod(id);
  if (usage_.has_memory(cluster_.state.pods[id].workload)) evictions_.watch(node);
  return {};
}

// The containers have ended for good; the object stays.
Kubelet::Next Kubelet::finish(PodId id, bool succeeded, std::string reason) {
  NodeId node = cluster_.state.pods[id].node;
  stop_containers(id);
  api_.finish(id, succeeded, std::move(reason));
  if (usage_.has_memory(cluster_.state.pods[id].workload)) evictions_.watch(node);
  return {};
}

Kubelet::Next Kubelet::deadline_exceeded(PodId id) {
  api_.pod_event(id, KubeEvent::Type::Normal, "DeadlineExceeded", kComponent,
                 [] { return std::string("Pod was active on the node longer than the specified deadline"); });
  return finish(id, false, "DeadlineExceeded");
}

void Kubelet::stop_containers(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  engine_.cancel(pod.timer);
  stop_serving(id);
  state_.nodes[pod.node].forget(id);
}

void Kubelet::stop_serving(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.replica.valid()) serving_.remove_replica(std::exchange(pod.replica, {}));
}

// --- nodes

void Kubelet::node_stopped(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  images_.stop(node);
  evictions_.stop(node);
  // The kubelet's memory goes with it; what the API knows stays.
  for (KubeletPod& r : kubelet.pods) {
    r.restart = {};
    r.stopping = false;
    r.images.clear();
  }
  for (PodId id : cluster_.state.node_pods[node.value]) {
    PodState& pod = cluster_.state.pods[id];
    engine_.cancel(pod.timer);
    if (pod.replica.valid()) serving_.lose_replica(pod.replica);
  }
}

void Kubelet::pods_not_ready(NodeId node) {
  std::vector<PodId> pods = cluster_.state.node_pods[node.value];
  for (PodId id : pods) {
    stop_serving(id);
    if (cluster_.state.pods[id].phase == PodPhase::Ready) api_.set_phase(id, PodPhase::Probing);
  }
}

void Kubelet::node_started(NodeId node) {
  std::vector<PodId> pods = cluster_.state.node_pods[node.value];
  for (PodId id : pods) {
    if (cluster_.state.pods[id].phase == PodPhase::Terminating)
      end(id);
    else
      start_again(id);
  }
  evictions_.watch(node);
}

// The runtime finds the containers that ran gone, and says so of them now.
void Kubelet::start_again(PodId id) {
  if (find(id)) record(id).waiting = {};
  if (!started_before(id)) {
    api_.set_phase(id, PodPhase::Binding);
    return see(id);
  }
  bool ran = !find(id) || !find(id)->exited;
  advance(id, ran ? exited(id, "Unknown", kUnknown) : Next{Step::Exited, engine_.now()});
}

// --- what is known of a pod

const KubeletPod* Kubelet::find(PodId id) const {
  NodeId node = cluster_.state.pods[id].node;
  return node.valid() ? state_.nodes[node].find(id) : nullptr;
}

std::string_view Kubelet::waiting_reason(PodId id) const {
  const KubeletPod* r = find(id);
  return r ? r->waiting : std::string_view{};
}

std::string_view Kubelet::exit_reason(PodId id) const {
  const KubeletPod* r = find(id);
  return r ? r->exit_reason : std::string_view{};
}

const PodStart* Kubelet::start_of(PodId id) const {
  NodeId node = cluster_.state.pods[id].node;
  return node.valid() ? state_.nodes[node].start_of(id) : nullptr;
}

bool Kubelet::serves(PodId id) const {
  return cluster_.model.workloads[cluster_.state.pods[id].workload].serving.valid();
}

bool Kubelet::started_before(PodId id) const { return cluster_.state.pods[id].started != Time::max(); }

uint64_t Kubelet::start_entity(PodId id, uint32_t starts_before) const {
  uint64_t entity = cluster_.pod_entity(id);
  return starts_before == 0 ? entity : hash_combine(entity, starts_before);
}

// The stream is addressed by the pod and the start, so drawing again gives the same numbers and nothing needs to be
// kept.
Kubelet::StartupTimes Kubelet::startup_times(PodId id, uint32_t starts_before) const {
  const PodStartup& s = startup(id);
  Stream stream(model_.seed, start_entity(id, starts_before), Purpose::Startup);
  s.image_bytes.draw(stream);
  s.image_bandwidth.draw(stream);
  double weights_bytes = s.weights_bytes.draw(stream), weights_rate = s.weights_bandwidth.draw(stream);
  double container = s.container.draw(stream), engine = s.engine.draw(stream);
  double registry_rate = s.registry_bandwidth.draw(stream), peer_rate = s.peer_bandwidth.draw(stream);
  double compile = s.compile.draw(stream), graph_capture = s.graph_capture.draw(stream), warmup = s.warmup.draw(stream);
  WeightsFrom from = weights_source(id);
  if (from == WeightsFrom::Registry) weights_rate = std::min(weights_rate, registry_rate);
  if (from == WeightsFrom::Peer) weights_rate = std::min(weights_rate, peer_rate);
  if (has(state_.nodes[cluster_.state.pods[id].node].compiled, s.artefacts)) compile = 0;
  StartupTimes out{container, transfer_seconds(weights_bytes, weights_rate), compile, graph_capture, warmup, engine,
                   from};
  if (s.slowdown == 1) return out;
  for (double* seconds : {&out.container, &out.weights, &out.compile, &out.graph_capture, &out.warmup, &out.engine})
    *seconds *= s.slowdown;
  return out;
}

WeightsFrom Kubelet::weights_source(PodId id) const {
  const PodStartup& s = startup(id);
  if (s.weights_from == WeightsFrom::Disk || has(state_.nodes[cluster_.state.pods[id].node].weights, s.artefacts))
    return WeightsFrom::Disk;
  return s.weights_from == WeightsFrom::Peer && peer_has_weights(id) ? WeightsFrom::Peer : WeightsFrom::Registry;
}

// Its own node has none, so whoever is ready is elsewhere.
bool Kubelet::peer_has_weights(PodId id) const {
  uint32_t artefacts = startup(id).artefacts;
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    if (model_.workloads[WorkloadId(w)].startup.artefacts != artefacts) continue;
    for (PodId peer : cluster_.state.workload_pods[w])
      if (cluster_.state.pods[peer].phase == PodPhase::Ready) return true;
  }
  return false;
}

void Kubelet::begin_start(PodId id, Time bound) {
  PodStart start(id, cluster_.state.pods[id].restarts + started_before(id));
  start[StartPhase::Bind] = bound;
  start[StartPhase::Image] = engine_.now();
  KubeletState& kubelet = state_.nodes[cluster_.state.pods[id].node];
  if (PodStart* before = kubelet.start_of(id))
    *before = start;
  else
    kubelet.starts.push_back(start);
}

// Of containers that have started: when the server is up.
Time Kubelet::plan_loading(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  StartupTimes times = startup_times(id, pod.restarts);
  PodStart& start = *state_.nodes[pod.node].start_of(id);
  start.weights_from = times.weights_from;
  Time started = usage_.containers_started(id);
  double seconds = 0;
  auto next = [&](double lasts) { return started + to_duration(seconds += lasts); };
  start[StartPhase::Weights] = started;
  start[StartPhase::Compile] = next(times.weights);
  start[StartPhase::GraphCapture] = next(times.compile);
  start[StartPhase::Warmup] = next(times.graph_capture);
  start[StartPhase::Engine] = next(times.warmup);
  return start[StartPhase::Readiness] = next(times.engine);
}

// What a start that has gone through leaves on the disk of its node.
void Kubelet::keep_artefacts(PodId id) {
  KubeletState& kubelet = state_.nodes[cluster_.state.pods[id].node];
  uint32_t artefacts = startup(id).artefacts;
  for (std::vector<uint32_t>* disk : {&kubelet.weights, &kubelet.compiled})
    if (!has(*disk, artefacts)) disk->push_back(artefacts);
}

// Why the model cannot run on what the pod has been given; none: it can.
std::optional<std::string> Kubelet::misfit(PodId id) const {
  ServingModelId serving = cluster_.model.workloads[cluster_.state.pods[id].workload].serving;
  if (!serving.valid()) return std::nullopt;
  const ServingModelModel& m = serving_.model.models[serving];
  std::optional<std::string> why = does_not_fit(m, cluster_.model, cluster_.accelerator(id, m.gpu));
  return why ? std::optional(fmt::format("model {} {}", m.name, *why)) : std::nullopt;
}

Time Kubelet::exits_at(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  const std::optional<Distribution>& run = model_.workloads[pod.workload].behaviour.run;
  if (!run) return Time::max();
  Stream stream(model_.seed, start_entity(id, pod.restarts), Purpose::Run);
  return after(usage_.containers_started(id), run->draw(stream));
}

Kubelet::Next Kubelet::or_exit(PodId id, Next next) const {
  Time exit = exits_at(id);
  if (exit == Time::max() || exit > next.at) return next;
  return {Step::Exit, std::max(exit, engine_.now())};
}

// `up`: when the server answers.
Kubelet::Next Kubelet::or_probe_failure(PodId id, Next next, Time up) const {
  std::optional<ProbeFailure> failure =
      first_probe_failure(api_.template_of(id).spec.containers.front(), usage_.containers_started(id), up);
  if (!failure || failure->at >= next.at) return next;
  return {Step::ProbeFailed, std::max(failure->at, engine_.now()), static_cast<size_t>(failure->kind)};
}

Time Kubelet::deadline(PodId id) const {
  const std::optional<Duration>& deadline = api_.template_of(id).spec.active_deadline;
  if (!deadline || cluster_.state.pods[id].phase == PodPhase::Terminating) return Time::max();
  return find(id)->seen + *deadline;
}

Time Kubelet::seen_at(NodeId node, Time t) const {
  Duration period = model_.latencies.pleg;
  if (period.ns == 0 || t == Time::max()) return t;
  Time first = Time{} + pleg_phase_[node.value];
  if (t <= first) return first;
  return first + period * (((t - first).ns + period.ns - 1) / period.ns);
}

// The longest of its containers: they end together.
Duration Kubelet::pre_stop(PodId id) const {
  Duration longest;
  for (const Container& c : api_.template_of(id).spec.containers) longest = std::max(longest, c.pre_stop);
  return longest;
}

void Kubelet::tell_started(PodId id) {
  if (!api_.sink) return;
  auto tell = [&](const Container& c) {
    std::string named = model_.minor >= 32 ? ": " + c.name : " " + c.name;
    bool unnamed = model_.minor >= 35;
    api_.note(id, KubeEvent::Type::Normal, "Created", kComponent,
              [&] { return unnamed ? std::string("Container created") : "Created container" + named; });
    api_.note(id, KubeEvent::Type::Normal, "Started", kComponent,
              [&] { return unnamed ? std::string("Container started") : "Started container " + c.name; });
  };
  for (const Container& c : api_.template_of(id).spec.containers) tell(c);
}

}  // namespace kisim

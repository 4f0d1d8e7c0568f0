#include "kube/kubelet.hpp"

#include "cluster/node_selector.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr Duration kNever = Duration::max();
constexpr double kLongestSeconds = 1e9;  // more than any run; keeps the conversion to nanoseconds in range

// The unit of work is bytes; a rate that was drawn as zero or less never ends.
double transfer_seconds(double bytes, double rate) {
  if (bytes <= 0) return 0;
  return rate > 0 ? bytes / rate : kLongestSeconds;
}

Duration to_duration(double seconds) { return Duration::seconds(std::clamp(seconds, 0.0, kLongestSeconds)); }

// At most forever.
Duration times(Duration period, int64_t count) { return count > kForever.ns / period.ns ? kForever : period * count; }

}  // namespace

Kubelet::Kubelet(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Scheduler& scheduler,
                 Engine& engine, uint16_t step, uint16_t drained)
    : model_(model),
      state_(state),
      cluster_(cluster),
      serving_(serving),
      scheduler_(scheduler),
      engine_(engine),
      step_(step),
      drained_(drained) {
  for (const KubeWorkload& w : model_.workloads) {
    auto at = std::find(images_.begin(), images_.end(), w.startup.image);
    workload_image_.push_back(static_cast<uint32_t>(at - images_.begin()));
    if (at == images_.end()) images_.push_back(w.startup.image);
  }
}

void Kubelet::start() {
  state_.nodes.resize(cluster_.model.nodes.size());
  for (size_t n = 0; n < state_.nodes.size(); ++n) {
    std::vector<Time>& image_at = state_.nodes[NodeId(n)].image_at;
    image_at.assign(images_.size(), Time::max());
    for (const ContainerImage& on_disk : cluster_.model.nodes[NodeId(n)].object.images)
      for (size_t i = 0; i < images_.size(); ++i)
        if (normalized_image_name(images_[i]) == normalized_image_name(on_disk.name)) image_at[i] = Time{};
  }
}

std::string Kubelet::refusal(PodId id, NodeId node) const {
  if (ResourceId short_of = cluster_.shortage(id, node); short_of.valid())
    return "OutOf" + cluster_.model.resources[short_of.value];
  const PodTemplateModel& t = cluster_.model.templates[cluster_.state.pods[id].pod_template];
  if (!matches_required(t.spec, cluster_.model.nodes[node].object)) return "NodeAffinity";
  for (PodId other : cluster_.state.node_pods[node.value])
    for (const HostPort& taken : cluster_.model.templates[cluster_.state.pods[other].pod_template].host_ports)
      for (const HostPort& wanted : t.host_ports)
        if (wanted.conflicts(taken)) return "NodePorts";
  return "";
}

void Kubelet::bound(PodId id) {
  cluster_.state.pods[id].phase = PodPhase::Binding;
  if (!state_.nodes[cluster_.state.pods[id].node].alive()) return;  // nobody there to see it
  if (model_.kubelet_latency.ns == 0) return advance(id);
  cluster_.state.pods[id].timer =
      engine_.schedule(engine_.now() + model_.kubelet_latency, Priority::Control, step_, id.value);
}

void Kubelet::on_timer(PodId id) {
  cluster_.state.pods[id].timer = {};
  if (cluster_.state.pods[id].phase == PodPhase::Terminating) return kill(id);
  advance(id);
}

// Ends the present phase and those after it that take no time.
void Kubelet::advance(PodId id) {
  Duration lasts{0};
  while (lasts.ns == 0 && cluster_.state.pods[id].phase != PodPhase::Ready) lasts = enter_next_phase(id);
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Ready || lasts == kNever) return;
  Priority priority = pod.phase == PodPhase::Probing ? Priority::Control : Priority::Completion;
  pod.timer = engine_.schedule(engine_.now() + lasts, priority, step_, id.value);
}

// Returns how long the phase lasts.
Duration Kubelet::enter_next_phase(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  switch (pod.phase) {
    case PodPhase::Binding:
      pod.phase = PodPhase::Pulling;
      return pull_image(id);
    case PodPhase::Pulling:
      pod.phase = PodPhase::Starting;
      return startup_times(id).container;
    case PodPhase::Starting:
      pod.phase = PodPhase::Loading;
      pod.started = engine_.now();
      return startup_times(id).load;
    case PodPhase::Loading:
      pod.phase = PodPhase::Probing;
      if (model_fits(id)) return until_ready(id);
      state_.statistics.decisions.add("BackOff", "the model does not fit the GPU of the node");
      return kNever;
    case PodPhase::Probing:
      become_ready(id);
      return {};
    default:
      KISIM_INVARIANT(false, "pod {} cannot start from {}", cluster_.pod_name(id), to_string(pod.phase));
  }
  return {};
}

// The stream is addressed by the pod, so drawing again gives the same numbers and nothing needs to be kept.
Kubelet::StartupTimes Kubelet::startup_times(PodId id) const {
  const PodStartup& s = model_.workloads[cluster_.state.pods[id].workload].startup;
  Stream stream(model_.seed, cluster_.pod_entity(id), Purpose::Startup);
  double image_bytes = s.image_bytes.draw(stream), image_rate = s.image_bandwidth.draw(stream);
  double weights_bytes = s.weights_bytes.draw(stream), weights_rate = s.weights_bandwidth.draw(stream);
  double container = s.container.draw(stream), engine = s.engine.draw(stream);
  return {to_duration(transfer_seconds(image_bytes, image_rate)), to_duration(container),
          to_duration(transfer_seconds(weights_bytes, weights_rate) + engine)};
}

Duration Kubelet::pull_image(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  KubeletState& node = state_.nodes[pod.node];
  Time& image_at = node.image_at[workload_image_[pod.workload.value]];
  Time now = engine_.now();
  if (image_at == Time::max()) {
    image_at = std::max(now, node.pull_free) + startup_times(id).pull;
    node.pull_free = image_at;
  }
  return image_at > now ? image_at - now : Duration{};
}

// The server is up now. A pod is ready when all its containers are.
Duration Kubelet::until_ready(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  Time up = engine_.now(), ready = up;
  for (const Container& c : cluster_.model.templates[pod.pod_template].spec.containers) {
    if (!c.readiness_probe) continue;
    const Container::ReadinessProbe& probe = *c.readiness_probe;
    Time first = pod.started + probe.initial_delay;
    int64_t missed = up > first ? ((up - first).ns + probe.period.ns - 1) / probe.period.ns : 0;
    ready = std::max(ready, first + times(probe.period, missed + probe.success_threshold - 1));
  }
  return ready - up;
}

bool Kubelet::model_fits(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  ServingModelId serving = cluster_.model.workloads[pod.workload].serving;
  if (!serving.valid() || !serving_.model.models[serving].llm) return true;
  const ServingModelModel& m = serving_.model.models[serving];
  GpuModelId gpu = cluster_.model.nodes[pod.node].gpu_model;
  if (!gpu.valid()) gpu = m.gpu;
  return gpu.valid() && m.cost[gpu.value].has_value();
}

void Kubelet::become_ready(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  pod.phase = PodPhase::Ready;
  pod.ready = engine_.now();
  state_.statistics.workloads[pod.workload].ready.add(engine_.now(), 1);
  ServingModelId serving = cluster_.model.workloads[pod.workload].serving;
  ServiceId service = model_.workloads[pod.workload].service;
  if (serving.valid() && service.valid()) pod.replica = serving_.add_replica(serving, service, id);
}

void Kubelet::leave_ready(PodId id) {
  state_.statistics.workloads[cluster_.state.pods[id].workload].ready.add(engine_.now(), -1);
}

void Kubelet::terminate(PodId id, bool preempted) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Terminating || pod.phase == PodPhase::Gone) return;
  bool serves = cluster_.model.workloads[pod.workload].serving.valid();
  if (pod.phase < PodPhase::Loading || (serves && !pod.replica.valid())) return kill(id);
  if (pod.phase == PodPhase::Ready) leave_ready(id);
  engine_.cancel(pod.timer);
  pod.phase = PodPhase::Terminating;
  scheduler_.pod_terminating(id, preempted);
  Duration grace = cluster_.model.templates[pod.pod_template].spec.termination_grace_period;
  if (grace.ns == 0 || (pod.replica.valid() && serving_.drain_replica(pod.replica, drained_))) return kill(id);
  pod.timer = engine_.schedule(engine_.now() + grace, Priority::Control, step_, id.value);
}

void Kubelet::on_drained(PodId id) {
  if (cluster_.state.pods[id].phase == PodPhase::Terminating) kill(id);
}

void Kubelet::kill(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  engine_.cancel(pod.timer);
  if (pod.phase == PodPhase::Pending) state_.statistics.pending.add(engine_.now(), -1);
  if (pod.phase == PodPhase::Ready) leave_ready(id);
  if (pod.replica.valid()) serving_.remove_replica(std::exchange(pod.replica, {}));
  cluster_.remove(id, engine_.now());
  scheduler_.pod_removed(id);
}

void Kubelet::node_stopped(NodeId node) {
  std::vector<PodId> pods = cluster_.state.node_pods[node.value];
  for (PodId id : pods) {
    PodState& pod = cluster_.state.pods[id];
    if (pod.phase == PodPhase::Terminating) {
      kill(id);
      continue;
    }
    engine_.cancel(pod.timer);
    if (pod.phase == PodPhase::Ready) leave_ready(id);
    pod.phase = PodPhase::Binding;
    if (pod.replica.valid()) serving_.remove_replica(std::exchange(pod.replica, {}));
  }
  KubeletState& kubelet = state_.nodes[node];
  kubelet.pull_free = engine_.now();
  for (Time& at : kubelet.image_at)
    if (at > engine_.now()) at = Time::max();
}

void Kubelet::node_started(NodeId node) {
  for (PodId id : cluster_.state.node_pods[node.value]) {
    engine_.cancel(cluster_.state.pods[id].timer);
    advance(id);
  }
}

}  // namespace kisim

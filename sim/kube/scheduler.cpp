#include "kube/scheduler.hpp"

#include <algorithm>
#include <bit>

namespace kisim {

namespace {

constexpr uint64_t bit(size_t plugin) { return 1ull << plugin; }

bool is_rejection(StatusCode code) {
  return code == StatusCode::Unschedulable || code == StatusCode::UnschedulableAndUnresolvable ||
         code == StatusCode::Pending;
}

}  // namespace

Scheduler::Scheduler(const SchedulerModel& model, SchedulerState& state, Cluster& cluster, Engine& engine)
    : model_(model),
      state_(state),
      cluster_(cluster),
      engine_(engine),
      queue_(model.queue, state.queue, *this),
      cycle_(model, cluster.model, cluster.state, state.memory) {}

void Scheduler::start() {
  state_ = {};
  state_.decisions.assign(model_.reasons.size(), 0);
  for (const SchedulerModel::Plugin& p : model_.plugins)
    state_.memory.push_back(PolicyMemoryBox(p.plugin->make_memory()));
}

// --- what the owner reports

void Scheduler::pod_added(PodId pod) {
  if (pod.value >= state_.pods.size()) state_.pods.resize(pod.value + 1);
  const PodState& object = cluster_.state.pods[pod];
  KISIM_INVARIANT(!object.node.valid(), "pod {} is to be scheduled, but bound", cluster_.pod_name(pod));
  int32_t priority = cluster_.model.templates[object.pod_template].spec.priority;
  queue_.add(pod, priority, !passes_gates(pod), engine_.now());
  arm();
}

void Scheduler::gates_removed(PodId pod) {
  state_.pods[pod].gates_removed = true;
  if (queue_.place(pod) != QueuedPod::Place::Gated || !passes_gates(pod)) return;
  clear_failure(pod);
  queue_.ungate(pod, engine_.now());
  arm();
}

void Scheduler::pod_removed(PodId pod) {
  if (pod.value < state_.pods.size()) {
    SchedulerState::Pod& record = state_.pods[pod];
    bool waited = queue_.contains(pod) && record.stage == Stage::None;
    if (record.stage != Stage::None) {
      engine_.cancel(record.timer);
      unreserve(pod);
      forget(pod);
    }
    queue_.remove(pod);
    clear_failure(pod);
    if (waited) return arm();
  }
  cluster_event({ClusterEvent::Kind::AssignedPodDelete, {}, pod});
}

void Scheduler::node_changed(NodeId node) { cluster_event({ClusterEvent::Kind::NodeTaintUpdate, node, {}}); }

void Scheduler::cluster_event(const ClusterEvent& event) {
  bool registered = std::any_of(model_.plugins.begin(), model_.plugins.end(),
                                [&](const SchedulerModel::Plugin& p) { return p.events.has(event.kind); });
  if (registered) queue_.move(event, engine_.now());
  arm();
}

void Scheduler::allow(PodId pod) {
  if (state_.pods[pod].stage != Stage::Waiting) return;
  engine_.cancel(state_.pods[pod].timer);
  bind(pod);
  arm();
}

void Scheduler::reject(PodId pod) {
  if (state_.pods[pod].stage != Stage::Waiting) return;
  engine_.cancel(state_.pods[pod].timer);
  send_back(pod, state_.pods[pod].waits_for, ExtensionPoint::Permit, StatusCode::Unschedulable);
  arm();
}

// --- events

void Scheduler::on_event(const Event& event) {
  PodId pod(event.target);
  switch (event_code(event.kind)) {
    case kCycle:
      // One event for all pods that are ready at this instant: a cycle takes no simulated time.
      for (PodId next = queue_.pop(); next.valid(); next = queue_.pop()) schedule_one(next);
      state_.cycle = {};
      break;
    case kBound:
      finish_binding(pod);
      break;
    case kPermitTimeout:
      reject(pod);
      break;
    case kFlush:
      state_.flush = {};
      queue_.flush(engine_.now());
      break;
    default:
      KISIM_INVARIANT(false, "event of kind {:#06x} is not the scheduler's", event.kind);
  }
  arm();
}

EventHandle Scheduler::schedule(Time at, Code code, PodId pod) {
  return engine_.schedule(at, Priority::Control, event_kind(Room::Kube, code), pod.value);
}

// Schedules what the queue needs next: a cycle at once, or a flush when something ripens.
void Scheduler::arm() {
  if (queue_.can_pop()) {
    if (!state_.cycle) state_.cycle = schedule(engine_.now(), kCycle);
    return;
  }
  Time next = queue_.next_flush();
  if (state_.flush && state_.flush_at == next) return;
  engine_.cancel(state_.flush);
  if (next == Time::max()) return;
  state_.flush = schedule(next, kFlush);
  state_.flush_at = next;
}

// --- what the queue asks

bool Scheduler::less(const QueueEntry& a, const QueueEntry& b) const {
  return model_.plugins[model_.plugins_at(ExtensionPoint::QueueSort).front()].plugin->less(a, b);
}

bool Scheduler::hint(PodId pod, uint64_t plugins, const ClusterEvent& event) {
  if (event.kind == ClusterEvent::Kind::UnschedulableTimeout) return plugins != 0;
  if (event.pod == pod) return false;  // what became of the pod itself frees nothing for it
  for (; plugins != 0; plugins &= plugins - 1) {
    size_t i = static_cast<size_t>(std::countr_zero(plugins));
    const SchedulerModel::Plugin& p = model_.plugins[i];
    if (!p.events.has(event.kind)) continue;
    PluginContext c = cycle_.context(i, pod, state_.pods[pod].gates_removed);
    if (p.plugin->queueing_hint(c, event)) return true;
  }
  return false;
}

bool Scheduler::passes_gates(PodId pod) {
  for (uint8_t i : model_.plugins_at(ExtensionPoint::PreEnqueue)) {
    const SchedulerModel::Plugin& p = model_.plugins[i];
    PluginContext c = cycle_.context(i, pod, state_.pods[pod].gates_removed);
    if (p.plugin->pre_enqueue(c) == StatusCode::Success) continue;
    note_pod_failure(pod, p.first_reason + p.plugin->pod_reason(c, ExtensionPoint::PreEnqueue));
    return false;
  }
  return true;
}

// --- the scheduling cycle

void Scheduler::schedule_one(PodId pod) {
  ++state_.attempts;
  StatusCode code = cycle_.run(pod, state_.next_start, state_.pods[pod].nominated);
  state_.next_start = cycle_.next_start();
  if (code == StatusCode::Success) return assume(pod, cycle_.host());
  if (cycle_.pod_reason() == SchedulingCycle::kPerNode)
    note_node_failures(pod);
  else
    note_pod_failure(pod, cycle_.pod_reason(), cycle_.pod_reason() != kNoNodesReason);
  // Nothing rejected the pod, so kube-scheduler retries it from the backoff queue, which an idle scheduler empties at
  // once. Without nodes that would never end: here it waits as after an error.
  if (cycle_.pod_reason() == kNoNodesReason) code = StatusCode::Error;
  if (is_rejection(code)) post_filter(pod);
  give_up(pod, code, cycle_.rejected_by(), cycle_.pending_by());
}

void Scheduler::give_up(PodId pod, StatusCode code, uint64_t rejected_by, uint64_t pending_by) {
  if (is_rejection(code)) {
    ++state_.unschedulable;
    queue_.fail(pod, rejected_by, pending_by, engine_.now());
  } else {
    ++state_.errors;
    queue_.error(pod, engine_.now());
  }
}

// The first plugin that helps decides; a pod that none helps loses its nomination.
void Scheduler::post_filter(PodId pod) {
  NodeId nominated;
  for (uint8_t i : model_.plugins_at(ExtensionPoint::PostFilter)) {
    PluginContext c = cycle_.context(i, pod);
    if (model_.plugins[i].plugin->post_filter(c, cycle_.verdicts(), nominated) == StatusCode::Success) break;
    nominated = {};
  }
  state_.pods[pod].nominated = nominated;
}

void Scheduler::assume(PodId pod, NodeId node) {
  state_.pods[pod].node = node;
  charge(pod, node, 1);
  if (reserve(pod) && permit(pod)) bind(pod);
}

bool Scheduler::reserve(PodId pod) {
  for (uint8_t i : model_.plugins_at(ExtensionPoint::Reserve)) {
    PluginContext c = cycle_.context(i, pod);
    StatusCode code = model_.plugins[i].plugin->reserve(c, state_.pods[pod].node);
    if (code == StatusCode::Success) continue;
    send_back(pod, i, ExtensionPoint::Reserve, code);
    return false;
  }
  return true;
}

bool Scheduler::permit(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  bool waits = false;
  Duration timeout = Duration::max();
  permit_.allow.clear();
  for (uint8_t i : model_.plugins_at(ExtensionPoint::Permit)) {
    PluginContext c = cycle_.context(i, pod);
    permit_.timeout = {};
    StatusCode code = model_.plugins[i].plugin->permit(c, record.node, permit_);
    if (code == StatusCode::Success) continue;
    if (code != StatusCode::Wait) {
      send_back(pod, i, ExtensionPoint::Permit, code);
      return false;
    }
    if (waits && permit_.timeout >= timeout) continue;
    waits = true;
    timeout = permit_.timeout;
    record.waits_for = i;
  }
  for (PodId other : permit_.allow) allow(other);
  if (!waits) return true;
  record.stage = Stage::Waiting;
  record.timer = schedule(engine_.now() + timeout, kPermitTimeout, pod);
  return false;
}

// --- the binding cycle

void Scheduler::bind(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  record.stage = Stage::Binding;
  for (uint8_t i : model_.plugins_at(ExtensionPoint::PreBind)) {
    PluginContext c = cycle_.context(i, pod);
    StatusCode code = model_.plugins[i].plugin->pre_bind(c, record.node);
    if (code != StatusCode::Success) return send_back(pod, i, ExtensionPoint::PreBind, code);
  }
  if (model_.bind_latency.ns == 0) return finish_binding(pod);
  record.timer = schedule(engine_.now() + model_.bind_latency, kBound, pod);
}

void Scheduler::finish_binding(PodId pod) {
  NodeId node = state_.pods[pod].node;
  StatusCode code = StatusCode::Skip;
  uint8_t binder = 0;
  for (uint8_t i : model_.plugins_at(ExtensionPoint::Bind)) {
    binder = i;
    PluginContext c = cycle_.context(i, pod);
    code = model_.plugins[i].plugin->bind(c, node);
    if (code != StatusCode::Skip) break;
  }
  if (code != StatusCode::Success) return send_back(pod, binder, ExtensionPoint::Bind, StatusCode::Error);
  forget(pod);  // from here on, the cluster accounts for it
  cluster_.bind(pod, node, engine_.now());
  state_.pods[pod].nominated = {};
  clear_failure(pod);
  queue_.done(pod);
  ++state_.scheduled;
  state_.bound.push_back(pod);
  cluster_event({ClusterEvent::Kind::AssignedPodAdd, node, pod});
}

void Scheduler::unreserve(PodId pod) {
  const std::vector<uint8_t>& plugins = model_.plugins_at(ExtensionPoint::Reserve);
  for (auto i = plugins.rbegin(); i != plugins.rend(); ++i) {
    PluginContext c = cycle_.context(*i, pod);
    model_.plugins[*i].plugin->unreserve(c, state_.pods[pod].node);
  }
}

void Scheduler::forget(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  charge(pod, record.node, -1);
  record.node = {};
  record.stage = Stage::None;
  record.timer = {};
}

void Scheduler::send_back(PodId pod, size_t plugin, ExtensionPoint point, StatusCode code) {
  // Others may have been rejected meanwhile because of what it held.
  bool others_saw_it = state_.pods[pod].stage != Stage::None;
  const SchedulerModel::Plugin& p = model_.plugins[plugin];
  unreserve(pod);
  forget(pod);
  note_pod_failure(pod, p.first_reason + p.plugin->pod_reason(cycle_.context(plugin, pod), point));
  bool pending = code == StatusCode::Pending;
  give_up(pod, code, pending ? 0 : bit(plugin), pending ? bit(plugin) : 0);
  if (others_saw_it) cluster_event({ClusterEvent::Kind::AssignedPodDelete, {}, pod});
}

void Scheduler::charge(PodId pod, NodeId node, int64_t sign) {
  const PodTemplateModel& t = cluster_.model.templates[cluster_.state.pods[pod].pod_template];
  int64_t* requested = &cluster_.state.requested[node.value * cluster_.model.resource_count()];
  for (size_t r = 0; r < t.request.size(); ++r) requested[r] += sign * (r == kPods.value ? 1 : t.request[r]);
  cluster_.state.nonzero_cpu[node.value] += sign * t.nonzero_cpu;
  cluster_.state.nonzero_memory[node.value] += sign * t.nonzero_memory;
}

// --- why pods wait

void Scheduler::note_pod_failure(PodId pod, uint32_t reason, bool of_every_node) {
  state_.pods[pod].pod_reason = reason;
  state_.pods[pod].of_every_node = of_every_node;
  ++state_.decisions[reason];
}

void Scheduler::note_node_failures(PodId pod) {
  state_.pods[pod].pod_reason = SchedulingCycle::kPerNode;
  std::span<uint32_t> counts = failure_row(pod);
  std::fill(counts.begin(), counts.end(), 0);
  cycle_.count_reasons(counts);
  for (size_t r = 0; r < counts.size(); ++r) state_.decisions[r] += counts[r] > 0;
}

std::span<uint32_t> Scheduler::failure_row(PodId pod) {
  size_t width = model_.reasons.size();
  uint32_t& row = state_.pods[pod].failure_row;
  if (row == SchedulerState::Pod::kNoRow && !state_.free_rows.empty()) {
    row = state_.free_rows.back();
    state_.free_rows.pop_back();
  } else if (row == SchedulerState::Pod::kNoRow) {
    row = static_cast<uint32_t>(state_.failure_counts.size() / width);
    state_.failure_counts.resize(state_.failure_counts.size() + width);
  }
  return {&state_.failure_counts[row * width], width};
}

void Scheduler::clear_failure(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  record.pod_reason = SchedulingCycle::kPerNode;
  if (record.failure_row == SchedulerState::Pod::kNoRow) return;
  state_.free_rows.push_back(record.failure_row);
  record.failure_row = SchedulerState::Pod::kNoRow;
}

std::string Scheduler::failure_message(PodId pod) const {
  if (pod.value >= state_.pods.size()) return "";
  const SchedulerState::Pod& record = state_.pods[pod];
  std::string head = fmt::format("0/{} nodes are available: ", model_.node_order.size());
  if (record.pod_reason != SchedulingCycle::kPerNode) {
    const std::string& reason = model_.reasons[record.pod_reason];
    return record.of_every_node ? head + reason + "." : reason;
  }
  if (record.failure_row == SchedulerState::Pod::kNoRow) return "";
  std::vector<std::string> parts;
  const uint32_t* counts = &state_.failure_counts[record.failure_row * model_.reasons.size()];
  for (size_t r = 0; r < model_.reasons.size(); ++r)
    if (counts[r] > 0) parts.push_back(fmt::format("{} {}", counts[r], model_.reasons[r]));
  // Kubernetes sorts the finished texts, so that "12 …" comes before "3 …".
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}{}.", head, fmt::join(parts, ", "));
}

}  // namespace kisim

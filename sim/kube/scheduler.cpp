#include "kube/scheduler.hpp"

#include "core/hash.hpp"
#include "kube/disruption.hpp"

#include <algorithm>

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
      cache_(cluster.model, model.counters, state.snapshot),
      cycle_(model, cluster.model, cache_, state.memory),
      queueing_(model, cycle_),
      queue_(model.queue, state.queue, queueing_) {}

void Scheduler::start() {
  state_ = {};
  state_.decisions.assign(model_.reasons.size(), 0);
  for (const SchedulerModel::Profile& profile : model_.profiles) {
    std::vector<PolicyMemoryBox>& memory = state_.memory.emplace_back();
    for (const SchedulerModel::Plugin& p : profile.plugins) memory.push_back(PolicyMemoryBox(p.plugin->make_memory()));
  }
  cache_.start();
  for (size_t n = 0; n < cluster_.model.nodes.size(); ++n)
    if (cluster_.state.node_present[n]) cache_.add_node(NodeId(n), static_cast<uint32_t>(n));
}

const SchedulerModel::Profile& Scheduler::profile(PodId pod) const {
  return model_.profile(cluster_.state.pods[pod].pod_template);
}

// --- what the owner reports

void Scheduler::pod_added(PodId pod) {
  if (pod.value >= state_.pods.size()) state_.pods.resize(pod.value + 1);
  const PodState& object = cluster_.state.pods[pod];
  KISIM_INVARIANT(!object.node.valid(), "pod {} is to be scheduled, but bound", cluster_.pod_name(pod));
  cache_.know_pod(pod, object.pod_template, cluster_.pod_entity(pod), object.pinned);
  if (model_.profile_of[object.pod_template] == SchedulerModel::kNoProfile) return;  // somebody else's
  int32_t priority = cluster_.model.templates[object.pod_template].spec.priority;
  queue_.add(pod, priority, !passes_gates(pod), engine_.now());
  arm();
}

void Scheduler::assign(PodId pod, NodeId node) {
  if (pod.value >= state_.pods.size()) state_.pods.resize(pod.value + 1);
  cache_.know_pod(pod, cluster_.state.pods[pod].pod_template, cluster_.pod_entity(pod));
  cache_.add_pod(pod, node);
  bind_now(pod, node);
}

// Fills the object of a pod that the cache has on the node already, and tells the others.
void Scheduler::bind_now(PodId pod, NodeId node) {
  engine_.sign(hash_combine(cluster_.pod_entity(pod), node.value));
  cluster_.bind(pod, node, engine_.now(), state_.snapshot.pod_records[pod].devices);
  // The node's devices may have become others since they were chosen.
  std::vector<uint16_t> held = cluster_.whole_or_shared_gpus(pod);
  if (held != state_.snapshot.pod_records[pod].devices) cache_.exchange_devices(pod, std::move(held));
  cache_.set_start_time(pod, engine_.now());
  cluster_event({ClusterEvent::Kind::AssignedPodAdd, node, ClusterEvent::kNone, ClusterEvent::kNone, true, true, pod,
                 cluster_.state.pods[pod].pod_template});
}

void Scheduler::gates_removed(PodId pod) {
  state_.pods[pod].gates_removed = true;
  if (queue_.place(pod) != QueuedPod::Place::Gated || !passes_gates(pod)) return;
  clear_failure(pod);
  queue_.ungate(pod);
  arm();
}

void Scheduler::pod_removed(PodId pod) {
  if (pod.value >= state_.pods.size() || pod.value >= state_.snapshot.pod_records.size()) return;
  SchedulerState::Pod& record = state_.pods[pod];
  bool assigned = record.stage != Stage::None || state_.snapshot.pod_records[pod].node.valid();
  if (record.stage != Stage::None) {
    engine_.cancel(record.timer);
    unreserve(pod);
    forget(pod);
  }
  cache_.remove_pod(pod);
  cache_.nominate(pod, {});
  queue_.remove(pod);
  clear_failure(pod);
  if (!assigned) return arm();
  assigned_pod_gone(pod);
}

void Scheduler::assigned_pod_gone(PodId pod) {
  cluster_event({ClusterEvent::Kind::AssignedPodDelete,
                 {},
                 ClusterEvent::kNone,
                 ClusterEvent::kNone,
                 true,
                 true,
                 pod,
                 cluster_.state.pods[pod].pod_template});
}

void Scheduler::pod_terminating(PodId pod, bool preempted) {
  if (pod.value < state_.pods.size()) cache_.set_terminating(pod, preempted);
}

void Scheduler::node_added(NodeId node) {
  uint32_t version = cluster_.state.node_version[node.value].value;
  cache_.add_node(node, version);
  cluster_event({ClusterEvent::Kind::NodeAdd, node, ClusterEvent::kNone, version, {}, {}, {}, {}});
  node_changed(node);
}

void Scheduler::node_removed(NodeId node) {
  // Whoever was on the way there is to be placed anew.
  for (size_t p = 0; p < state_.pods.size(); ++p) {
    SchedulerState::Pod& record = state_.pods[PodId(p)];
    if (record.stage == Stage::None || record.node != node) continue;
    engine_.cancel(record.timer);
    send_back(PodId(p), profile(PodId(p)).plugins_at(ExtensionPoint::Bind).front(), ExtensionPoint::Bind,
              StatusCode::Error);
  }
  uint32_t version = state_.snapshot.version[node.value];
  NodeConditions conditions = state_.snapshot.conditions[node.value];
  cache_.remove_node(node);
  cluster_event({ClusterEvent::Kind::NodeDelete, node, version, ClusterEvent::kNone, conditions, conditions, {}, {}});
}

void Scheduler::node_updated(NodeId node) {
  uint32_t before = state_.snapshot.version[node.value], after = cluster_.state.node_version[node.value].value;
  cache_.update_node(node, after, cluster_.state.device_version[node.value].value);
  cache_.set_allocatable(node, cluster_.allocatable(node));
  NodeConditions conditions = state_.snapshot.conditions[node.value];
  for (ClusterEvent::Kind kind : {ClusterEvent::Kind::NodeUpdateLabel, ClusterEvent::Kind::NodeUpdateTaint,
                                  ClusterEvent::Kind::NodeUpdateAllocatable})
    cluster_event({kind, node, before, after, conditions, conditions, {}, {}});
}

void Scheduler::device_changed(NodeId node, uint16_t device, bool healthy) {
  cache_.set_device_healthy(node, device, healthy);
  cache_.set_allocatable(node, cluster_.allocatable(node));
  uint32_t version = state_.snapshot.version[node.value];
  NodeConditions conditions = state_.snapshot.conditions[node.value];
  cluster_event({ClusterEvent::Kind::NodeUpdateAllocatable, node, version, version, conditions, conditions, {}, {}});
}

void Scheduler::node_changed(NodeId node) {
  NodeConditions before = state_.snapshot.conditions[node.value], after = cluster_.state.node_conditions[node.value];
  cache_.set_conditions(node, after);
  uint32_t version = state_.snapshot.version[node.value];
  cluster_event({ClusterEvent::Kind::NodeUpdateTaint, node, version, version, before, after, {}, {}});
}

void Scheduler::cluster_event(const ClusterEvent& event) {
  queue_.move(event, engine_.now());
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

// --- attempts

bool Scheduler::passes_gates(PodId pod) {
  for (uint8_t i : profile(pod).plugins_at(ExtensionPoint::PreEnqueue)) {
    const SchedulerModel::Plugin& p = profile(pod).plugins[i];
    PluginContext c = cycle_.context(i, pod, state_.pods[pod].gates_removed);
    if (p.plugin->pre_enqueue(c) == StatusCode::Success) continue;
    note_pod_failure(pod, p.first_reason + p.plugin->pod_reason(c, ExtensionPoint::PreEnqueue));
    return false;
  }
  return true;
}

void Scheduler::schedule_one(PodId pod) {
  ++state_.attempts;
  StatusCode code = cycle_.run(pod, state_.next_start, state_.snapshot.pod_records[pod].nominated);
  state_.next_start = cycle_.next_start();
  if (is_rejection(code)) count_disruptions();
  if (observer_) observer_->cycle_ended(pod, code, cycle_);
  if (code == StatusCode::Success) return assume(pod, cycle_.host());
  if (cycle_.pod_reason() == SchedulingCycle::kPerNode)
    note_node_failures(pod);
  else
    note_pod_failure(pod, cycle_.pod_reason(), cycle_.pod_reason() != kNoNodesReason);
  // Nothing rejected the pod, so kube-scheduler retries it from the backoff queue, which an idle scheduler empties at
  // once. Without nodes that would never end: here it waits as after an error.
  if (cycle_.pod_reason() == kNoNodesReason) code = StatusCode::Error;
  uint64_t rejected_by = cycle_.rejected_by(), pending_by = cycle_.pending_by();
  std::string preemption;
  if (is_rejection(code))
    preemption = post_filter(pod);
  else
    cache_.nominate(pod, {});  // whatever it hoped for is off
  give_up(pod, code, rejected_by, pending_by, std::move(preemption));
}
void Scheduler::give_up(PodId pod, StatusCode code, uint64_t rejected_by, uint64_t pending_by, std::string preemption) {
  state_.failed.emplace_back(pod, std::move(preemption));
  if (is_rejection(code)) {
    ++state_.unschedulable;
    queue_.fail(pod, rejected_by, pending_by, engine_.now());
  } else {
    ++state_.errors;
    queue_.error(pod, engine_.now());
  }
}

std::string Scheduler::post_filter(PodId pod) {
  if (profile(pod).plugins_at(ExtensionPoint::PostFilter).empty() || view().nodes().empty()) return "";
  PostFilterResult result;
  StatusCode code = cycle_.post_filter(result);
  if (result.nominated) nominate(pod, *result.nominated);
  for (PodId victim : result.victims) {
    cache_.set_terminating(victim, true);
    state_.preemptions.push_back({victim, pod});
  }
  bool told = preemptions_told_ && code != StatusCode::Success;
  return told ? " preemption: " + cycle_.why_no_preemption() : "";
}

// Pods of lower priority that were to go to the node may no longer fit.
void Scheduler::nominate(PodId pod, NodeId node) {
  cache_.nominate(pod, node);
  if (!node.valid()) return;
  int32_t priority = cluster_.model.templates[cluster_.state.pods[pod].pod_template].spec.priority;
  std::vector<PodId> others = state_.snapshot.nominated[node.value];
  for (PodId other : others)
    if (view().template_of(other).spec.priority < priority) cache_.nominate(other, {});
}

// The disruption controller's status of each budget, from the pods as they are now.
void Scheduler::count_disruptions() {
  for (size_t b = 0; b < cluster_.model.budgets.size(); ++b)
    state_.snapshot.disruptions_allowed[b] = budget_status(cluster_, cluster_.model.budgets[b]).allowed;
}

void Scheduler::assume(PodId pod, NodeId node) {
  state_.pods[pod].node = node;
  cache_.add_pod(pod, node);
  if (reserve(pod) && permit(pod)) bind(pod);
}

bool Scheduler::reserve(PodId pod) {
  std::vector<uint16_t> devices;
  for (uint8_t i : profile(pod).plugins_at(ExtensionPoint::Reserve)) {
    PluginContext c = cycle_.context(i, pod);
    StatusCode code = profile(pod).plugins[i].plugin->reserve(c, state_.pods[pod].node, devices);
    if (code == StatusCode::Success) continue;
    send_back(pod, i, ExtensionPoint::Reserve, code);
    return false;
  }
  if (!devices.empty()) cache_.hold_devices(pod, std::move(devices));
  return true;
}

bool Scheduler::permit(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  bool waits = false;
  Duration timeout = Duration::max();
  for (uint8_t i : profile(pod).plugins_at(ExtensionPoint::Permit)) {
    PluginContext c = cycle_.context(i, pod);
    permit_.timeout = {};
    StatusCode code = profile(pod).plugins[i].plugin->permit(c, record.node, permit_);
    for (PodId other : std::exchange(permit_.allow, {})) allow(other);
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
  if (!waits) return true;
  record.stage = Stage::Waiting;
  record.timer = schedule(engine_.now() + timeout, kPermitTimeout, pod);
  return false;
}

// --- the binding cycle

void Scheduler::bind(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  record.stage = Stage::Binding;
  for (uint8_t i : profile(pod).plugins_at(ExtensionPoint::PreBind)) {
    PluginContext c = cycle_.context(i, pod);
    StatusCode code = profile(pod).plugins[i].plugin->pre_bind(c, record.node);
    if (code != StatusCode::Success) return send_back(pod, i, ExtensionPoint::PreBind, code);
  }
  Time bound = state_.client.reserve(model_.client_limit, engine_.now()) + model_.bind_latency;
  if (bound == engine_.now()) return finish_binding(pod);
  record.timer = schedule(bound, kBound, pod);
}

void Scheduler::finish_binding(PodId pod) {
  NodeId node = state_.pods[pod].node;
  StatusCode code = StatusCode::Skip;
  uint8_t binder = 0;
  for (uint8_t i : profile(pod).plugins_at(ExtensionPoint::Bind)) {
    binder = i;
    PluginContext c = cycle_.context(i, pod);
    code = profile(pod).plugins[i].plugin->bind(c, node);
    if (code != StatusCode::Skip) break;
  }
  if (code != StatusCode::Success) return send_back(pod, binder, ExtensionPoint::Bind, StatusCode::Error);
  SchedulerState::Pod& record = state_.pods[pod];
  record.node = {};
  record.stage = Stage::None;
  record.timer = {};
  cache_.nominate(pod, {});
  clear_failure(pod);
  queue_.done(pod);
  bool too_few_devices = !cluster_.devices(node).empty() && cluster_.missing_devices(pod, node);
  if (too_few_devices || cluster_.shortage(pod, node).valid()) {  // a profile that does not ask for room
    cache_.remove_pod(pod);
    state_.overcommitted.emplace_back(pod, node);
    return;
  }
  ++state_.scheduled;
  state_.bound.push_back(pod);
  bind_now(pod, node);
}

void Scheduler::unreserve(PodId pod) {
  const std::vector<uint8_t>& plugins = profile(pod).plugins_at(ExtensionPoint::Reserve);
  for (auto i = plugins.rbegin(); i != plugins.rend(); ++i) {
    PluginContext c = cycle_.context(*i, pod);
    profile(pod).plugins[*i].plugin->unreserve(c, state_.pods[pod].node);
  }
}

void Scheduler::forget(PodId pod) {
  SchedulerState::Pod& record = state_.pods[pod];
  cache_.remove_pod(pod);
  record.node = {};
  record.stage = Stage::None;
  record.timer = {};
}

void Scheduler::send_back(PodId pod, size_t plugin, ExtensionPoint point, StatusCode code) {
  // Others may have been rejected meanwhile because of what it held.
  bool others_saw_it = state_.pods[pod].stage != Stage::None;
  const SchedulerModel::Plugin& p = profile(pod).plugins[plugin];
  unreserve(pod);
  forget(pod);
  cache_.nominate(pod, {});
  note_pod_failure(pod, p.first_reason + p.plugin->pod_reason(cycle_.context(plugin, pod), point));
  bool pending = code == StatusCode::Pending;
  give_up(pod, code, pending ? 0 : bit(plugin), pending ? bit(plugin) : 0);
  if (others_saw_it) assigned_pod_gone(pod);
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
  std::string head = fmt::format("0/{} nodes are available: ", state_.snapshot.order.size());
  if (record.pod_reason != SchedulingCycle::kPerNode) {
    const std::string& reason = model_.reasons[record.pod_reason];
    return record.of_every_node ? head + reason + "." : reason;
  }
  if (record.failure_row == SchedulerState::Pod::kNoRow) return "";
  const uint32_t* counts = &state_.failure_counts[record.failure_row * model_.reasons.size()];
  return head + told_reasons(model_.reasons, {counts, model_.reasons.size()});
}

}  // namespace kisim

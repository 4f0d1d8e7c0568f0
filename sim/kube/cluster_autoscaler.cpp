#include "kube/cluster_autoscaler.hpp"

#include "core/hash.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

namespace kisim {

namespace {

// How old the oldest pod must be before nodes are bought: more may be coming. For GPUs it may take longer.
constexpr Duration kUnschedulablePodTimeBuffer = 2_s, kUnschedulablePodWithGpuTimeBuffer = 30_s;
// Before the start: its delays have passed then, unless they are longer than this.
constexpr Duration kInitialScaleTime = 3600_s;

const char* to_string(Unremovable reason) {
  switch (reason) {
    case Unremovable::None:
      return "";
    case Unremovable::ScaleDownDisabledAnnotation:
      return "ScaleDownDisabledAnnotation";
    case Unremovable::NotAutoscaled:
      return "NotAutoscaled";
    case Unremovable::NotUnneededLongEnough:
      return "NotUnneededLongEnough";
    case Unremovable::NotUnreadyLongEnough:
      return "NotUnreadyLongEnough";
    case Unremovable::NodeGroupMinSizeReached:
      return "NodeGroupMinSizeReached";
    case Unremovable::CurrentlyBeingDeleted:
      return "CurrentlyBeingDeleted";
    case Unremovable::NotUnderutilized:
      return "NotUnderutilized";
    case Unremovable::NotUnneededOtherReason:
      return "NotUnneededOtherReason";
    case Unremovable::NoPlaceToMovePods:
      return "NoPlaceToMovePods";
    case Unremovable::BlockedByPod:
      return "BlockedByPod";
    case Unremovable::BlockedByOnCompletionPod:
      return "BlockedByOnCompletionPod";
    case Unremovable::UnexpectedError:
      return "UnexpectedError";
  }
  return "?";
}

const char* to_string(BlockingPod reason) {
  switch (reason) {
    case BlockingPod::None:
      return "";
    case BlockingPod::ControllerNotFound:
      return "ControllerNotFound";
    case BlockingPod::NotReplicated:
      return "NotReplicated";
    case BlockingPod::NotSafeToEvictAnnotation:
      return "NotSafeToEvictAnnotation";
    case BlockingPod::LocalStorageRequested:
      return "LocalStorageRequested";
    case BlockingPod::UnmovableKubeSystemPod:
      return "UnmovableKubeSystemPod";
    case BlockingPod::NotEnoughPdb:
      return "NotEnoughPdb";
  }
  return "?";
}

}  // namespace

ClusterAutoscaler::Parts::Parts(const KubeModel& model, KubeState& state, Cluster& cluster, const Scheduler& scheduler,
                                ApiServer& api, Engine& engine, Events events)
    : simulation(model.scheduler, cluster.model),
      context{model,      *model.cluster_autoscaler,   state, state.cluster_autoscaler, cluster, scheduler, api, engine,
              simulation, gpu_resources(cluster.model)},
      groups(context, events.joined),
      scale_up(context, groups),
      scale_down(context, groups, events.deletion) {}

ClusterAutoscaler::ClusterAutoscaler(const KubeModel& model, KubeState& state, Cluster& cluster,
                                     const Scheduler& scheduler, ApiServer& api, Engine& engine, Events events)
    : scan_event_(events.scan) {
  if (model.cluster_autoscaler) parts_ = std::make_unique<Parts>(model, state, cluster, scheduler, api, engine, events);
}

void ClusterAutoscaler::start() {
  if (!parts_) return;
  AutoscalingContext& c = parts_->context;
  c.state = {};
  parts_->groups.start();
  c.state.last_scan = c.now();  // the first scan sees what has been put where
  c.state.last_scale_up = c.state.last_scale_down_delete = c.state.last_scale_down_fail = Time{} - kInitialScaleTime;
  c.state.told_max_nodes = c.state.told_unhealthy = Time{} - kEventInterval;
  c.state.expander = Stream(c.kube.seed, hash_text("ClusterAutoscaler/expander"), Purpose::ClusterAutoscaling);
  arm(scan_at_or_after(c.now()));
}

// --- when

// At a multiple of the interval that has had no scan yet.
Time ClusterAutoscaler::scan_at_or_after(Time at) const {
  const AutoscalingContext& c = parts_->context;
  int64_t interval = c.model.scan_interval.ns;
  int64_t earliest = std::max(at.ns, c.state.last_scan.ns + 1);
  return Time{(earliest + interval - 1) / interval * interval};
}

void ClusterAutoscaler::arm(Time at) {
  AutoscalingContext& c = parts_->context;
  if (c.state.scan && c.state.scan_at <= at) return;
  c.engine.cancel(c.state.scan);
  c.state.scan = c.engine.schedule(at, Priority::Control, scan_event_, 0);
  c.state.scan_at = at;
}

void ClusterAutoscaler::scan_after(Time at) { arm(scan_at_or_after(std::max(at + 1_ns, parts_->context.now()))); }

void ClusterAutoscaler::wake() {
  if (!parts_) return;
  parts_->scale_down.pod_gone();
  arm(scan_at_or_after(parts_->context.now()));
}

void ClusterAutoscaler::joined(NodeId node) {
  if (!parts_) return;
  parts_->groups.joined(node);
  wake();
}

void ClusterAutoscaler::deletion(NodeId node) {
  if (!parts_) return;
  parts_->scale_down.step(node);
  wake();
}

// --- one scan

void ClusterAutoscaler::scan() {
  if (!parts_) return;
  AutoscalingContext& c = parts_->context;
  c.state.scan = {};
  c.state.last_scan = c.now();
  simulated_ = false;
  parts_->scale_down.drop_missing();
  parts_->groups.expire();
  if (parts_->groups.cluster_healthy()) {
    bool waits = help_pods();
    if (c.model.scale_down_enabled) scale_down(!waits);
  } else {
    stand_still();
  }
  plan_next();
}

void ClusterAutoscaler::stand_still() {
  AutoscalingContext& c = parts_->context;
  parts_->scale_down.forget_unneeded();
  if (c.now() < c.state.told_unhealthy + kEventInterval) return;
  c.state.told_unhealthy = c.now();
  c.log_event(KubeEvent::Type::Warning, "ClusterUnhealthy", [] { return std::string("Cluster is unhealthy"); });
}

// When time alone changes what the next scan does; everything else wakes it.
void ClusterAutoscaler::plan_next() {
  const AutoscalingContext& c = parts_->context;
  if (parts_->scale_down.any_unneeded()) scan_after(c.now());
  for (const ClusterAutoscalerState::Node& node : c.state.nodes) {
    if (node.requested) scan_after(node.requested_at + c.model.max_node_provision_time);
    if (node.recheck > c.now()) arm(scan_at_or_after(node.recheck));
  }
  for (const auto& [pod, told] : c.state.told)
    if (told + kEventInterval > c.now()) arm(scan_at_or_after(told + kEventInterval));
}

bool ClusterAutoscaler::help_pods() {
  AutoscalingContext& c = parts_->context;
  std::vector<PodId> pending = unschedulable_pods(), drained = drained_pods();
  forget_told(pending);
  if (pending.empty() && drained.empty()) return false;
  simulate();
  for (PodId pod : drained) c.simulation.take_away(pod);
  pending.insert(pending.end(), drained.begin(), drained.end());
  std::vector<PodId> pods = without_room(std::move(pending));
  std::erase_if(pods, [&](PodId pod) {
    if (c.pod(pod).created + c.model.new_pod_scale_up_delay < c.now()) return false;
    scan_after(c.pod(pod).created + c.model.new_pod_scale_up_delay);
    return true;
  });
  if (pods.empty()) return false;
  if (c.model.max_nodes_total > 0 && ready_nodes() >= c.model.max_nodes_total) {
    parts_->scale_up.refuse_for_max_nodes(pods);
    return false;
  }
  if (Time at = old_enough(pods); at > c.now()) {
    arm(scan_at_or_after(at));
    return true;
  }
  // One group at a time: others may help the rest.
  if (parts_->scale_up.run(pods)) scan_after(c.now());
  for (size_t g = 0; g < parts_->groups.size(); ++g)
    if (parts_->groups.backed_off(g)) scan_after(c.state.groups[g].backoff_until);
  return false;
}

void ClusterAutoscaler::scale_down(bool may_delete) {
  AutoscalingContext& c = parts_->context;
  ScaleDown& scale_down = parts_->scale_down;
  std::vector<NodeId> eligible =
      scale_down.eligible(simulated_ ? c.simulation.snapshot() : c.kube_state.scheduler.snapshot);
  if (eligible.empty()) {
    scale_down.forget_unneeded();
  } else {
    simulate();
    scale_down.plan(std::move(eligible));
  }
  if (may_delete && !scale_down.in_cooldown()) scale_down.act();
  if (!scale_down.update_soft_taints()) scan_after(c.now());
}

// --- pods that need room

// Condition PodScheduled is False with reason Unschedulable, and no eviction is to make room for it.
bool ClusterAutoscaler::marked_unschedulable(PodId id) const {
  const SchedulerState& scheduler = parts_->context.kube_state.scheduler;
  const SchedulerState::Pod& pod = scheduler.pods[id];
  const SnapshotPod& known = scheduler.snapshot.pod_records[id];
  if (known.node.valid() || known.nominated.valid()) return false;
  if (pod.pod_reason == SchedulingCycle::kPerNode) return pod.failure_row != SchedulerState::Pod::kNoRow;
  // After an error the reason is another: SchedulerError.
  return pod.pod_reason == kNoNodesReason || scheduler.queue.pods[id].place != QueuedPod::Place::ErrorBackoff;
}

std::vector<PodId> ClusterAutoscaler::unschedulable_pods() const {
  const AutoscalingContext& c = parts_->context;
  const SchedulingQueueState& queue = c.kube_state.scheduler.queue;
  std::vector<PodId> out;
  auto look = [&](PodId pod) {
    if (marked_unschedulable(pod) && !c.expendable(pod)) out.push_back(pod);
  };
  for (const std::vector<PodId>* heap : {&queue.active, &queue.backoff, &queue.error_backoff})
    for (PodId pod : *heap) look(pod);
  for (PodId pod = queue.oldest; pod.valid(); pod = queue.pods[pod].next) look(pod);
  std::sort(out.begin(), out.end());
  return out;
}

// Those that a node's drain has not evicted yet: they will need room as well.
std::vector<PodId> ClusterAutoscaler::drained_pods() const {
  const AutoscalingContext& c = parts_->context;
  std::vector<PodId> out;
  for (NodeId node : c.state.deletions) {
    if (!c.state.nodes[node].deletion.drain) continue;
    for (PodId pod : c.cluster.state.node_pods[node.value]) {
      const Labels& annotations = c.template_of(pod).annotations;
      bool stays = c.of_daemon_set(pod) || find_label(annotations, "kubernetes.io/config.mirror");
      if (!stays && !c.expendable(pod) && c.pod(pod).phase != PodPhase::Terminating) out.push_back(pod);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The cluster as it is about to be: with nodes on their way, pods where preemption makes room for them, and without
// pods that nobody minds.
void ClusterAutoscaler::simulate() {
  if (std::exchange(simulated_, true)) return;
  AutoscalingContext& c = parts_->context;
  const SchedulerSnapshot& known = c.kube_state.scheduler.snapshot;
  c.simulation.begin(known);
  for (size_t n = 0; n < known.pods.size(); ++n) {
    for (PodId pod : known.pods[n])
      if (c.expendable(pod)) c.simulation.forget(pod);
    for (PodId pod : known.nominated[n]) {
      c.simulation.forget(pod);
      if (!known.pod_records[pod].node.valid() && !c.expendable(pod)) c.simulation.put(pod, NodeId(n));
    }
  }
  for (size_t g = 0; g < parts_->groups.size(); ++g) {
    std::vector<NodeId> upcoming = parts_->groups.upcoming(g);
    if (upcoming.empty()) continue;
    std::vector<TemplateId> daemons = parts_->groups.daemons(g);
    for (NodeId node : upcoming) c.simulation.add_node(node, daemons);
  }
}

// Packs the pods, important ones first, and leaves those that fit nowhere.
std::vector<PodId> ClusterAutoscaler::without_room(std::vector<PodId> pods) {
  AutoscalingContext& c = parts_->context;
  std::stable_sort(pods.begin(), pods.end(),
                   [&](PodId a, PodId b) { return c.template_of(a).spec.priority > c.template_of(b).spec.priority; });
  auto acceptable = [&](NodeId node) { return !c.simulation.cordoned(node); };
  std::set<std::pair<WorkloadId, TemplateId>> hopeless;
  std::vector<PodId> out;
  for (PodId id : pods) {
    const PodState& pod = c.pod(id);
    bool owned = c.cluster.model.workloads[pod.workload].kind != WorkloadModel::Kind::Pod && !c.of_daemon_set(id);
    bool placed = !hopeless.contains({pod.workload, pod.pod_template}) &&
                  c.simulation.place_anywhere(id, c.state.next_start, acceptable).valid();
    if (placed) continue;
    if (owned) hopeless.insert({pod.workload, pod.pod_template});
    // A DaemonSet's pod needs a certain node: another one is of no use.
    if (!c.of_daemon_set(id)) out.push_back(id);
  }
  return out;
}

// When nodes may be bought for the pods: the oldest must have waited.
Time ClusterAutoscaler::old_enough(const std::vector<PodId>& pods) const {
  const AutoscalingContext& c = parts_->context;
  Time oldest = Time::max(), oldest_with_gpus = Time::max();
  for (PodId pod : pods) {
    oldest = std::min(oldest, c.pod(pod).created);
    if (c.asks_for_gpus(pod)) oldest_with_gpus = std::min(oldest_with_gpus, c.pod(pod).created);
  }
  Time at = oldest + kUnschedulablePodTimeBuffer;
  return oldest_with_gpus == Time::max() ? at : std::max(at, oldest_with_gpus + kUnschedulablePodWithGpuTimeBuffer);
}

int32_t ClusterAutoscaler::ready_nodes() const {
  const AutoscalingContext& c = parts_->context;
  int32_t nodes = 0;
  for (size_t n = 0; n < c.cluster.state.node_present.size(); ++n) {
    NodeId node(n);
    nodes += c.present(node) && c.cluster.node_ready(node) && !c.api.has_condition(node, kNodeCordoned) &&
             !c.cluster.node(node).object.unschedulable;
  }
  return nodes;
}

void ClusterAutoscaler::forget_told(const std::vector<PodId>& pending) {
  std::erase_if(parts_->context.state.told,
                [&](const auto& told) { return !std::binary_search(pending.begin(), pending.end(), told.first); });
}

// --- why not

std::string ClusterAutoscaler::group_reason(size_t group) const {
  if (!parts_) return "";
  const AutoscalingContext& c = parts_->context;
  const ClusterAutoscalerState::Group& state = c.state.groups[group];
  if (state.reason != NoScaleUp::NoPodFits) return to_string(state.reason);
  std::vector<std::string> reasons;
  for (uint32_t r : state.rejected_by) reasons.push_back(c.scheduler.reasons()[r]);
  return fmt::format("{}", fmt::join(reasons, ", "));
}

std::string ClusterAutoscaler::node_reason(NodeId id) const {
  if (!parts_) return "";
  const AutoscalingContext& c = parts_->context;
  if (parts_->groups.of(id) == NodeGroups::kNoGroup) return to_string(Unremovable::NotAutoscaled);
  const ClusterAutoscalerState::Node& node = c.state.nodes[id];
  std::string reason = to_string(node.reason);
  if (node.reason != Unremovable::BlockedByPod) return reason;
  return fmt::format("{}: {} {}/{}", reason, to_string(node.blocking), c.template_of(node.blocking_pod).namespace_,
                     c.cluster.pod_name(node.blocking_pod));
}

}  // namespace kisim

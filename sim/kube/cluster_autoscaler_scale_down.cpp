#include "kube/cluster_autoscaler_scale_down.hpp"

#include "kube/disruption.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace kisim {

namespace {

constexpr const char* kSafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict";
constexpr const char* kSafeToEvictVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
constexpr const char* kScaleDownDisabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
constexpr const char* kEnableDsEviction = "cluster-autoscaler.kubernetes.io/enable-ds-eviction";
constexpr const char* kMirror = "kubernetes.io/config.mirror";

constexpr Duration kUnremovableRecheck = 300_s;  // --unremovable-node-recheck-timeout
constexpr Duration kLongTerminating = 30_s;      // beyond the grace period
constexpr Duration kSystemPodTimeout = 3600_s;   // --blocking-system-pod-distruption-timeout
constexpr size_t kMaxParallelism = 10;           // --max-scale-down-parallelism
constexpr size_t kMaxDrainParallelism = 1;       // --max-drain-parallelism
constexpr Duration kDelayAfterTaint = 5_s;       // --node-delete-delay-after-taint
constexpr Duration kMaxPodEvictionTime = 120_s;  // --max-pod-eviction-time
constexpr Duration kEvictionRetry = 10_s;        // DefaultEvictionRetryTime
constexpr Duration kEvictionHeadroom = 30_s;     // DefaultPodEvictionHeadroom
constexpr Duration kGonePeriod = 5_s;            // between two looks whether pods have gone
constexpr size_t kMaxSoftTaints = 10;            // --max-bulk-soft-taint-count

// Whether the comma-separated list has the name.
bool lists(std::string_view list, std::string_view name) {
  for (size_t begin = 0; begin <= list.size();) {
    size_t end = std::min(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == name) return true;
    begin = end + 1;
  }
  return false;
}

// The first instant from `since` in steps of `period` that is not before `at`.
Time next_tick(Time since, Duration period, Time at) {
  int64_t steps = (at - since).ns / period.ns;
  Time tick = since + period * steps;
  return tick < at ? tick + period : tick;
}

}  // namespace

// --- what pods are

bool ScaleDown::annotated(PodId pod, const char* key, std::string_view value) const {
  const std::string* found = find_label(c_.template_of(pod).annotations, key);
  return found && *found == value;
}

bool ScaleDown::mirrored(PodId pod) const { return find_label(c_.template_of(pod).annotations, kMirror); }

// utils/drain, HasBlockingLocalStorage: memory is no storage, and the annotation names volumes that may be lost.
bool ScaleDown::has_blocking_local_storage(PodId pod) const {
  const PodTemplateModel& t = c_.template_of(pod);
  const std::string* safe = find_label(t.annotations, kSafeToEvictVolumes);
  return std::any_of(t.spec.local_volumes.begin(), t.spec.local_volumes.end(),
                     [&](const LocalVolume& v) { return !v.in_memory && !(safe && lists(*safe, v.name)); });
}

bool ScaleDown::long_terminating(PodId id) const {
  const PodState& pod = c_.pod(id);
  if (pod.phase != PodPhase::Terminating) return false;
  Duration allowed = pod.grace + c_.template_of(id).spec.termination_grace_period + kLongTerminating;
  return pod.deleted + allowed < c_.now();
}

std::string ScaleDown::full_name(PodId pod) const {
  return c_.template_of(pod).namespace_ + "/" + c_.cluster.pod_name(pod);
}

// The rules in their order (drainability/rules/rules.go): the first one that has an opinion decides.
ScaleDown::Verdict ScaleDown::drainable(PodId pod, std::span<const int32_t> budgets) const {
  using enum Verdict::Outcome;
  const PodState& state = c_.pod(pod);
  bool bare = state.owner == PodOwner::Nobody;
  if (mirrored(pod) || long_terminating(pod)) return {Skip};
  // It is looked for by name: another one will do.
  bool found = state.owner == PodOwner::Present || c_.kube_state.workloads[state.workload].exists;
  if (!bare && !found) return {Block, BlockingPod::ControllerNotFound};
  if (c_.of_daemon_set(pod)) return {Skip};  // drained, but not moved
  if (annotated(pod, kSafeToEvict, "true")) return {Move};
  if (annotated(pod, kSafeToEvict, "on-completion")) return {WaitForCompletion};
  if (bare) return {Block, BlockingPod::NotReplicated};
  bool covered = false, exhausted = false;
  for (size_t b = 0; b < budgets.size(); ++b) {
    if (!c_.cluster.model.budgets[b].covers[state.pod_template.value]) continue;
    covered = true;
    exhausted |= budgets[b] < 1;
  }
  if (c_.model.skip_nodes_with_system_pods && c_.template_of(pod).namespace_ == "kube-system" && !covered) {
    if (state.created + kSystemPodTimeout < c_.now()) return {Move};
    return {Block, BlockingPod::UnmovableKubeSystemPod};
  }
  if (annotated(pod, kSafeToEvict, "false")) return {Block, BlockingPod::NotSafeToEvictAnnotation};
  if (c_.model.skip_nodes_with_local_storage && has_blocking_local_storage(pod))
    return {Block, BlockingPod::LocalStorageRequested};
  if (exhausted) return {Block, BlockingPod::NotEnoughPdb};
  return {Move};
}

ScaleDown::PodsToMove ScaleDown::pods_to_move(std::span<const PodId> pods, std::span<const int32_t> budgets) const {
  PodsToMove out;
  for (PodId pod : pods) {
    if (c_.expendable(pod)) continue;
    Verdict verdict = drainable(pod, budgets);
    if (verdict.outcome == Verdict::Outcome::Move) out.pods.push_back(pod);
    out.waits_for_completion |= verdict.outcome == Verdict::Outcome::WaitForCompletion;
    if (verdict.outcome != Verdict::Outcome::Block) continue;
    out.blocking = verdict.reason;
    out.blocking_pod = pod;
    return out;
  }
  return out;
}

std::vector<int32_t> ScaleDown::disruptions_allowed() const {
  std::vector<int32_t> out;
  for (const PodDisruptionBudgetModel& budget : c_.cluster.model.budgets)
    out.push_back(budget_status(c_.cluster, budget).allowed);
  return out;
}

// --- which nodes are looked at

double ScaleDown::share(ResourceId resource, NodeId node, const SchedulerSnapshot& seen) const {
  bool gpu = std::find(c_.gpu_resources.begin(), c_.gpu_resources.end(), resource) != c_.gpu_resources.end();
  int64_t requested = 0, scale = gpu ? 1000 : 1;
  for (PodId pod : seen.pods[node.value]) {
    if (c_.expendable(pod) || long_terminating(pod)) continue;
    const PodTemplateModel& t = c_.template_of(pod);
    requested += t.request[resource.value] * scale;
    if (gpu) requested += int64_t{t.gpu_milli} * t.gpu_count;
  }
  int64_t allocatable = seen.allocatable[node.value * c_.cluster.model.resource_count() + resource.value];
  return static_cast<double>(requested) / static_cast<double>(allocatable * scale);
}

std::optional<NodeUtilization> ScaleDown::utilization(NodeId node, const SchedulerSnapshot& seen) const {
  auto allocatable = [&](ResourceId r) {
    return seen.allocatable[node.value * c_.cluster.model.resource_count() + r.value];
  };
  NodeUtilization out;
  for (ResourceId gpu : c_.gpu_resources) {
    if (c_.cluster.node(node).allocatable[gpu.value] == 0) continue;
    out.resource = c_.cluster.model.resources[gpu.value];
    // Without a device that works it may go.
    if (allocatable(gpu) > 0) out.value = out.gpu = share(gpu, node, seen);
    return out;
  }
  if (allocatable(kCpu) == 0 || allocatable(kMemory) == 0) return std::nullopt;
  out.cpu = share(kCpu, node, seen);
  out.memory = share(kMemory, node, seen);
  bool more_cpu = out.cpu > out.memory;
  out.resource = more_cpu ? "cpu" : "memory";
  out.value = more_cpu ? out.cpu : out.memory;
  return out;
}

void ScaleDown::note(NodeId node, Unremovable reason) {
  c_.state.nodes[node].reason = reason;
  c_.state.nodes[node].blocking = BlockingPod::None;
  c_.state.nodes[node].blocking_pod = {};
}

Unremovable ScaleDown::eligibility(NodeId id, const SchedulerSnapshot& seen) {
  Node& node = c_.state.nodes[id];
  const std::string* disabled = find_label(c_.cluster.node(id).object.meta.annotations, kScaleDownDisabled);
  if (disabled && *disabled == "true") return Unremovable::ScaleDownDisabledAnnotation;
  std::optional<NodeUtilization> used = utilization(id, seen);
  if (!used) return Unremovable::UnexpectedError;
  node.utilization = used->value;
  return used->value > c_.model.utilization_threshold ? Unremovable::NotUnderutilized : Unremovable::None;
}

std::vector<NodeId> ScaleDown::eligible(const SchedulerSnapshot& seen) {
  std::vector<NodeId> out;
  destinations_.assign(c_.cluster.state.node_present.size(), 0);
  for (size_t n = 0; n < destinations_.size(); ++n)
    destinations_[n] = c_.present(NodeId(n)) && c_.state.nodes[NodeId(n)].deletion.stage == Stage::None;
  for (size_t g = 0; g < groups_.size(); ++g) {
    bool at_min = groups_.target(g) <= groups_[g].min;
    for (NodeId id : groups_.upcoming(g)) destinations_[id.value] = 0;
    for (NodeId id : groups_[g].nodes) {
      Node& node = c_.state.nodes[id];
      if (!c_.present(id)) {
        note(id, Unremovable::None);
        continue;
      }
      if (node.deletion.stage != Stage::None) {
        note(id, Unremovable::CurrentlyBeingDeleted);
        continue;
      }
      if (!destinations_[id.value]) continue;
      if (at_min) {
        note(id, Unremovable::NodeGroupMinSizeReached);
        continue;
      }
      if (node.recheck > c_.now()) continue;
      note(id, eligibility(id, seen));
      if (node.reason == Unremovable::None) out.push_back(id);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

// --- which are not needed

// No more than can be deleted while their unneeded time passes, and no more than twice ten beyond those that are known.
size_t ScaleDown::unneeded_limit() const {
  size_t unneeded = 0;
  for (const Node& node : c_.state.nodes) unneeded += node.unneeded;
  int64_t scan = c_.model.scan_interval.ns, time = std::max(c_.model.unneeded_time.ns, scan);
  return std::min(unneeded + 2 * kMaxParallelism, kMaxParallelism * static_cast<size_t>(time / scan) + kMaxParallelism);
}

void ScaleDown::plan(std::vector<NodeId> eligible) {
  std::vector<int32_t> budgets = disruptions_allowed();
  auto rank = [&](NodeId id) {
    PodsToMove moves = pods_to_move(c_.simulation.pods_on(id), {});
    bool empty = moves.blocking == BlockingPod::None && moves.pods.empty();
    int kind = !empty ? 2 : moves.waits_for_completion ? 1 : 0;
    return 2 * kind + !c_.state.nodes[id].unneeded;
  };
  std::stable_sort(eligible.begin(), eligible.end(), [&](NodeId a, NodeId b) { return rank(a) < rank(b); });
  size_t limit = unneeded_limit();
  std::vector<NodeId> removable;
  for (NodeId id : eligible) {
    Node& node = c_.state.nodes[id];
    if (removable.size() >= limit) {
      note(id, Unremovable::NotUnneededOtherReason);
      continue;
    }
    PodsToMove moves = pods_to_move(c_.simulation.pods_on(id), budgets);
    bool blocked = moves.blocking != BlockingPod::None;
    if (blocked || !find_places(id, moves.pods)) {
      note(id, blocked ? Unremovable::BlockedByPod : Unremovable::NoPlaceToMovePods);
      node.blocking = moves.blocking;
      node.blocking_pod = moves.blocking_pod;
      node.recheck = c_.now() + kUnremovableRecheck;
      continue;
    }
    node.needs_drain = !moves.pods.empty();
    node.waits_for_completion = moves.waits_for_completion;
    node.risky = false;
    destinations_[id.value] = 0;
    std::vector<int32_t> wanted(budgets.size());
    for (PodId pod : moves.pods)
      for (size_t b = 0; b < budgets.size(); ++b)
        wanted[b] += c_.cluster.model.budgets[b].covers[c_.pod(pod).pod_template.value];
    for (size_t b = 0; b < budgets.size(); ++b) {
      node.risky |= wanted[b] > budgets[b];
      budgets[b] -= wanted[b];
    }
    removable.push_back(id);
  }
  std::sort(removable.begin(), removable.end());
  for (size_t n = 0; n < c_.state.nodes.size(); ++n) {
    Node& node = c_.state.nodes[NodeId(n)];
    bool unneeded = std::binary_search(removable.begin(), removable.end(), NodeId(n));
    if (unneeded && !node.unneeded) node.unneeded_since = c_.now();
    node.unneeded = unneeded;
  }
}

// With the node tainted but there, as it will be while its pods go: its domains still count.
bool ScaleDown::find_places(NodeId node, const std::vector<PodId>& pods) {
  if (!pods.empty()) c_.simulation.save();
  while (!c_.simulation.pods_on(node).empty()) c_.simulation.take_away(c_.simulation.pods_on(node).back());
  NodeConditions conditions = c_.simulation.snapshot().conditions[node.value];
  conditions.set(kNodeToBeDeleted, true);
  c_.simulation.set_conditions(node, conditions);
  auto acceptable = [&](NodeId other) {
    return other != node && other.value < destinations_.size() && destinations_[other.value] &&
           !c_.simulation.cordoned(other);
  };
  for (PodId pod : pods) {
    if (c_.simulation.place_anywhere(pod, c_.state.next_start, acceptable).valid()) continue;
    c_.simulation.restore();
    return false;
  }
  c_.simulation.remove_node(node);
  return true;
}

void ScaleDown::forget_unneeded() {
  for (Node& node : c_.state.nodes) node.unneeded = false;
}

bool ScaleDown::any_unneeded() const {
  return std::any_of(c_.state.nodes.begin(), c_.state.nodes.end(), [](const Node& n) { return n.unneeded; });
}

bool ScaleDown::update_soft_taints() {
  size_t budget = kMaxSoftTaints;
  for (bool on : {false, true}) {
    for (size_t n = 0; n < c_.state.nodes.size(); ++n) {
      const Node& node = c_.state.nodes[NodeId(n)];
      if (groups_.of(NodeId(n)) == NodeGroups::kNoGroup || !c_.present(NodeId(n))) continue;
      if (node.deletion.stage != Stage::None || node.unneeded != on) continue;
      if (c_.api.has_condition(NodeId(n), kNodeDeletionCandidate) == on) continue;
      if (budget-- == 0) return false;
      c_.api.set_condition(NodeId(n), kNodeDeletionCandidate, on);
    }
  }
  return true;
}

// --- which go now

bool ScaleDown::in_cooldown() const {
  return c_.state.last_scale_up + c_.model.delay_after_add > c_.now() ||
         c_.state.last_scale_down_fail + c_.model.delay_after_failure > c_.now() ||
         c_.state.last_scale_down_delete + c_.model.delay_after_delete > c_.now();
}

Unremovable ScaleDown::not_now(NodeId id, std::vector<int32_t>& sizes) const {
  const Node& node = c_.state.nodes[id];
  bool ready = c_.cluster.node_ready(id);
  Duration threshold = ready ? c_.model.unneeded_time : c_.model.unready_time;
  if (threshold.ns > 0 && node.unneeded_since + threshold >= c_.now())
    return ready ? Unremovable::NotUnneededLongEnough : Unremovable::NotUnreadyLongEnough;
  uint32_t group = groups_.of(id);
  if (sizes[group] <= groups_[group].min) return Unremovable::NodeGroupMinSizeReached;
  --sizes[group];
  return node.waits_for_completion ? Unremovable::BlockedByOnCompletionPod : Unremovable::None;
}

// As many as allowed, group after group (budgets.go, CropNodes).
std::vector<NodeId> ScaleDown::crop(const std::vector<NodeId>& nodes, size_t budget) const {
  std::vector<NodeId> out;
  std::vector<uint8_t> taken(groups_.size(), 0);
  for (NodeId first : nodes) {
    if (std::exchange(taken[groups_.of(first)], 1)) continue;
    for (NodeId node : nodes)
      if (groups_.of(node) == groups_.of(first) && out.size() < budget) out.push_back(node);
  }
  return out;
}

void ScaleDown::act() {
  std::vector<int32_t> sizes;
  for (size_t g = 0; g < groups_.size(); ++g) sizes.push_back(groups_.target(g));
  size_t draining = 0;
  for (NodeId node : c_.state.deletions) {
    --sizes[groups_.of(node)];
    draining += c_.state.nodes[node].deletion.drain;
  }
  std::vector<NodeId> empty, drain;
  for (bool needs_drain : {false, true}) {
    for (size_t n = 0; n < c_.state.nodes.size(); ++n) {
      const Node& node = c_.state.nodes[NodeId(n)];
      if (!node.unneeded || node.needs_drain != needs_drain) continue;
      note(NodeId(n), not_now(NodeId(n), sizes));
      if (node.reason == Unremovable::None) (needs_drain ? drain : empty).push_back(NodeId(n));
    }
  }
  std::stable_partition(drain.begin(), drain.end(), [&](NodeId n) { return !c_.state.nodes[n].risky; });
  size_t budget = kMaxParallelism - std::min(kMaxParallelism, c_.state.deletions.size());
  empty = crop(empty, budget);
  budget -= empty.size();
  drain = crop(drain, std::min(budget, kMaxDrainParallelism - std::min(kMaxDrainParallelism, draining)));
  for (NodeId node : empty) mark(node);
  for (NodeId node : empty) start(node, false);
  for (NodeId node : drain) mark(node);
  for (NodeId node : drain) start(node, true);
  if (!empty.empty() || !drain.empty()) c_.state.last_scale_down_delete = c_.now();
}

// --- how they go

void ScaleDown::mark(NodeId node) {
  c_.api.set_condition(node, kNodeToBeDeleted, true);
  c_.api.set_condition(node, kNodeCordoned, true);  // --cordon-node-before-terminating
  c_.api.node_event(node, KubeEvent::Type::Normal, "ScaleDown", kClusterAutoscaler,
                    [] { return std::string("marked the node as toBeDeleted/unschedulable"); });
}

void ScaleDown::start(NodeId id, bool drain) {
  Node& node = c_.state.nodes[id];
  if (drain) {
    c_.log_event(KubeEvent::Type::Normal, "ScaleDown", [&] {
      NodeUtilization used = utilization(id, c_.kube_state.scheduler.snapshot).value_or(NodeUtilization{});
      std::vector<std::string> pods;
      for (PodId pod : c_.cluster.state.node_pods[id.value])
        if (!c_.expendable(pod) && !mirrored(pod) && !c_.of_daemon_set(pod)) pods.push_back(c_.cluster.pod_name(pod));
      return fmt::format("Scale-down: removing node {}, utilization: {{{} {} {} 0 {} {}}}, pods to reschedule: {}",
                         c_.api.node_name(id), used.cpu, used.memory, used.gpu, used.resource, used.value,
                         fmt::join(pods, ","));
    });
  } else {
    c_.log_event(KubeEvent::Type::Normal, "ScaleDownEmpty",
                 [&] { return fmt::format("Scale-down: removing empty node \"{}\"", c_.api.node_name(id)); });
  }
  note(id, Unremovable::CurrentlyBeingDeleted);
  node.unneeded = false;
  node.deletion = {};
  node.deletion.stage = Stage::Tainted;
  node.deletion.drain = drain;
  c_.state.deletions.push_back(id);
  set_timer(id, c_.now() + kDelayAfterTaint);
}

void ScaleDown::set_timer(NodeId id, Time at) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  c_.engine.cancel(deletion.timer);
  deletion.timer = c_.engine.schedule(at, Priority::Control, step_, id.value);
  deletion.timer_at = at;
}

void ScaleDown::step(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  deletion.timer = {};
  if (!c_.present(id)) return end(id);
  if (deletion.stage == Stage::Tainted) return begin(id);
  if (deletion.stage == Stage::Evicting) return evict(id);
  wait(id);
}

// The pods may be others by now than when it was decided.
void ScaleDown::begin(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  std::vector<PodId> pods = c_.cluster.state.node_pods[id.value];
  PodsToMove moves = pods_to_move(pods, deletion.drain ? disruptions_allowed() : std::vector<int32_t>{});
  std::string name = c_.api.node_name(id);
  if (moves.blocking != BlockingPod::None)
    return fail(id, fmt::format("GetPodsToMove for \"{}\" returned error: {}", name, blocking_text(moves)));
  if (!deletion.drain && !moves.pods.empty())
    return fail(id, fmt::format("failed to delete empty node \"{}\", new pods scheduled", name));
  if (!deletion.drain && moves.waits_for_completion)
    return fail(id, fmt::format("failed to delete empty node \"{}\", active on-completion pods present", name));
  for (PodId pod : pods) {
    if (c_.expendable(pod) || mirrored(pod)) continue;
    if (!c_.of_daemon_set(pod)) {
      if (deletion.drain) deletion.pods.push_back(pod);  // an empty node has at most such as go already
      continue;
    }
    // --daemonset-eviction-for-occupied-nodes=true, --daemonset-eviction-for-empty-nodes=false
    const std::string* wanted = find_label(c_.template_of(pod).annotations, kEnableDsEviction);
    if (wanted ? *wanted == "true" : deletion.drain) deletion.daemon_pods.push_back(pod);
  }
  deletion.stage = Stage::Evicting;
  deletion.since = c_.now();
  deletion.until = c_.now() + kMaxPodEvictionTime;
  evict(id);
}

bool ScaleDown::try_to_evict(PodId pod, bool first) {
  if (first)
    c_.api.pod_event(pod, KubeEvent::Type::Normal, "ScaleDown", kClusterAutoscaler,
                     [] { return std::string("deleting pod for node scale down"); });
  Duration grace = std::min(c_.template_of(pod).spec.termination_grace_period, c_.model.max_graceful_termination);
  Eviction result = c_.api.evict(pod, kClusterAutoscaler, grace);
  return result == Eviction::Evicted || result == Eviction::Gone;
}

void ScaleDown::evict(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  bool first = deletion.since == c_.now();
  if (!first && c_.now() >= deletion.until) return give_up_evictions(id);
  std::vector<PodId> pods = std::exchange(deletion.pods, {});
  for (PodId pod : pods) (try_to_evict(pod, first) ? deletion.evicted : deletion.pods).push_back(pod);
  std::erase_if(deletion.daemon_pods, [&](PodId pod) { return try_to_evict(pod, first); });
  if (!deletion.pods.empty() || !deletion.daemon_pods.empty()) return set_timer(id, c_.now() + kEvictionRetry);
  begin_to_wait(id);
}

void ScaleDown::begin_to_wait(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  deletion.stage = Stage::Waiting;
  deletion.since = c_.now();
  Duration longest = c_.model.max_graceful_termination + kEvictionHeadroom;
  deletion.until = next_tick(c_.now(), kGonePeriod, c_.now() + longest);
  wait(id);
}

void ScaleDown::give_up_evictions(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  deletion.daemon_pods.clear();
  if (deletion.pods.empty()) return begin_to_wait(id);
  std::vector<std::string> errors;
  for (PodId pod : deletion.pods) {
    c_.api.pod_event(pod, KubeEvent::Type::Warning, "ScaleDownFailed", kClusterAutoscaler,
                     [] { return std::string("failed to delete pod for ScaleDown"); });
    auto covers = [&](const PodDisruptionBudgetModel& b) { return b.covers[c_.pod(pod).pod_template.value] != 0; };
    const std::vector<PodDisruptionBudgetModel>& budgets = c_.cluster.model.budgets;
    bool two = std::count_if(budgets.begin(), budgets.end(), covers) > 1;
    errors.push_back(fmt::format("failed to evict pod {} within allowed timeout (last error: {})", full_name(pod),
                                 to_string(two ? Eviction::TwoBudgets : Eviction::TooManyRequests)));
  }
  fail(id, fmt::format("Failed to drain node /{}, due to following errors: [{}]", c_.api.node_name(id),
                       fmt::join(errors, " ")));
}

void ScaleDown::wait(NodeId id) {
  ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
  std::erase_if(deletion.evicted, [&](PodId pod) { return c_.pod(pod).phase == PodPhase::Gone; });
  if (deletion.evicted.empty()) return finish(id);
  if (c_.now() < deletion.until) return set_timer(id, deletion.until);
  fail(id, fmt::format("Failed to drain node /{}: pods remaining after timeout", c_.api.node_name(id)));
}

// Whether they have gone is looked at every 5 s: only the look that finds nothing left matters.
void ScaleDown::pod_gone() {
  for (NodeId id : c_.state.deletions) {
    ClusterAutoscalerState::Deletion& deletion = c_.state.nodes[id].deletion;
    if (deletion.stage != Stage::Waiting) continue;
    bool all = std::all_of(deletion.evicted.begin(), deletion.evicted.end(),
                           [&](PodId pod) { return c_.pod(pod).phase == PodPhase::Gone; });
    Time look = next_tick(deletion.since, kGonePeriod, c_.now());
    if (all && look < deletion.timer_at) set_timer(id, look);
  }
}

void ScaleDown::finish(NodeId id) {
  bool drain = c_.state.nodes[id].deletion.drain;
  std::string name = c_.api.node_name(id);
  c_.api.node_event(id, KubeEvent::Type::Normal, "ScaleDown", kClusterAutoscaler,
                    [] { return std::string("nodes removed by cluster autoscaler"); });
  if (drain)
    c_.log_event(KubeEvent::Type::Normal, "ScaleDown",
                 [&] { return fmt::format("Scale-down: node {} removed with drain", name); });
  else
    c_.log_event(KubeEvent::Type::Normal, "ScaleDownEmpty",
                 [&] { return fmt::format("Scale-down: empty node {} removed", name); });
  end(id);
  c_.api.remove_node(id);
}

void ScaleDown::fail(NodeId id, const std::string& error) {
  bool drain = c_.state.nodes[id].deletion.drain;
  c_.api.node_event(id, KubeEvent::Type::Warning, "ScaleDownFailed", kClusterAutoscaler, [&] {
    return fmt::format("failed to {} node: {}", drain ? "drain and delete" : "delete empty", error);
  });
  end(id);
  c_.state.last_scale_down_fail = c_.now();
  c_.api.set_condition(id, kNodeToBeDeleted, false);
  c_.api.set_condition(id, kNodeCordoned, false);
}

void ScaleDown::end(NodeId id) {
  Node& node = c_.state.nodes[id];
  c_.engine.cancel(node.deletion.timer);
  node.deletion = {};
  note(id, Unremovable::None);
  std::erase(c_.state.deletions, id);
}

void ScaleDown::drop_missing() {
  std::vector<NodeId> deletions = c_.state.deletions;
  for (NodeId id : deletions)
    if (!c_.present(id)) end(id);
  for (size_t n = 0; n < c_.state.nodes.size(); ++n)
    if (!c_.present(NodeId(n))) c_.state.nodes[NodeId(n)].unneeded = false;
}

std::string ScaleDown::blocking_text(const PodsToMove& moves) const {
  PodId pod = moves.blocking_pod;
  const WorkloadModel& workload = c_.cluster.model.workloads[c_.pod(pod).workload];
  using Kind = WorkloadModel::Kind;
  switch (moves.blocking) {
    case BlockingPod::ControllerNotFound:
      if (workload.kind == Kind::Job)
        return fmt::format("job for {} is not available: err: job.batch \"{}\" not found", full_name(pod),
                           workload.name);
      if (workload.kind == Kind::StatefulSet)
        return fmt::format("statefulset for {} is not available: err: statefulset.apps \"{}\" not found",
                           full_name(pod), workload.name);
      if (workload.kind == Kind::DaemonSet)
        return fmt::format("daemonset for {} is not present, err: daemonset.apps \"{}\" not found", full_name(pod),
                           workload.name);
      return fmt::format("replication controller for {} is not available, err: replicaset.apps \"{}\" not found",
                         full_name(pod), c_.cluster.model.owner_name(c_.pod(pod).pod_template));
    case BlockingPod::NotReplicated:
      return full_name(pod) + " is not replicated";
    case BlockingPod::NotSafeToEvictAnnotation:
      return "pod annotated as not safe to evict present: " + c_.cluster.pod_name(pod);
    case BlockingPod::LocalStorageRequested:
      return "pod with local storage present: " + c_.cluster.pod_name(pod);
    case BlockingPod::UnmovableKubeSystemPod:
      return "non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: " + c_.cluster.pod_name(pod);
    case BlockingPod::NotEnoughPdb:
      return "not enough pod disruption budget to move " + full_name(pod);
    case BlockingPod::None:
      break;
  }
  return "";
}

}  // namespace kisim

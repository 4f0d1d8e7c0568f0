#include "kube/daemon_set_controller.hpp"

#include "cluster/node_selector.hpp"
#include "cluster/tolerations.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "daemonset-controller";
constexpr Duration kFirstBackoff = 1_s, kLongestBackoff = 900_s;  // failedPodsBackoff

}  // namespace

std::vector<Toleration> daemon_tolerations() {
  std::vector<Toleration> out;
  auto add = [&](const char* key, TaintEffect effect) {
    out.push_back({key, TolerationOperator::Exists, "", effect, {}});
  };
  add("node.kubernetes.io/not-ready", TaintEffect::NoExecute);
  add("node.kubernetes.io/unreachable", TaintEffect::NoExecute);
  for (const char* key : {"disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"})
    add((std::string("node.kubernetes.io/") + key).c_str(), TaintEffect::NoSchedule);
  return out;
}

DaemonVerdict daemon_verdict(const PodSpec& spec, const Node& node, NodeConditions conditions) {
  using Verdict = DaemonVerdict;
  if (!spec.node_name.empty() && spec.node_name != node.meta.name) return Verdict::Leave;
  if (!matches_required(spec, node)) return Verdict::Leave;
  Verdict verdict = Verdict::Run;
  auto look = [&](const Taint& taint) {
    if (verdict == Verdict::Leave || taint.effect == TaintEffect::PreferNoSchedule || tolerated(spec, taint)) return;
    verdict = taint.effect == TaintEffect::NoExecute ? Verdict::Leave : Verdict::Keep;
  };
  for (const Taint& taint : node.taints) look(taint);
  for_each_taint(conditions, look);
  return verdict;
}

void DaemonSetController::collect(WorkloadId workload) {
  const ClusterState& cluster = plane_.cluster.state;
  on_node_.resize(cluster.node_present.size());
  verdicts_.assign(cluster.node_present.size(), Verdict::Leave);
  for (std::vector<PodId>& pods : on_node_) pods.clear();
  for (PodId id : cluster.workload_pods[workload.value])
    if (plane_.owns(id)) on_node_[cluster.pods[id].pinned.value].push_back(id);
  const PodSpec& spec = plane_.cluster.model.templates[plane_.control(workload).pod_template].spec;
  for (size_t n = 0; n < verdicts_.size(); ++n)
    if (cluster.node_present[n])
      verdicts_[n] = daemon_verdict(spec, plane_.cluster.node(NodeId(n)).object, cluster.node_conditions[n]);
}

void DaemonSetController::sync(WorkloadId workload) {
  WorkloadControl& control = plane_.control(workload);
  collect(workload);
  if (!manage(workload)) return;
  if (plane_.object<DaemonSet>(workload).update == DaemonSet::Update::RollingUpdate) {
    collect(workload);
    if (!roll(workload)) return;
  }
  plane_.went_well(control, control.backoff);
}

bool DaemonSetController::remove(WorkloadId workload, PodId pod) {
  if (!plane_.may_call(workload)) return false;
  plane_.delete_pod(pod, kComponent);
  return true;
}

bool DaemonSetController::create(WorkloadId workload, NodeId node) {
  if (!plane_.may_call(workload)) return false;
  TemplateId newest = plane_.control(workload).pod_template;
  if (plane_.create_pod({workload, newest, PodState::kNoIndex, node}, kComponent)) return true;
  plane_.api.enqueue_rate_limited(workload, plane_.control(workload).backoff);
  return false;
}

bool DaemonSetController::manage(WorkloadId workload) {
  const auto& pods = plane_.cluster.state.pods;
  TemplateId newest = plane_.control(workload).pod_template;
  bool surges = plane_.object<DaemonSet>(workload).rolling_update.max_surge.value > 0;
  for (size_t n = 0; n < verdicts_.size(); ++n) {
    bool running = false;
    for (PodId id : on_node_[n]) {
      PodPhase phase = pods[id].phase;
      if (verdicts_[n] == Verdict::Leave || is_terminal(phase)) {
        if (phase == PodPhase::Terminating) continue;
        if (!plane_.may_call(workload)) return false;
        bool failed = verdicts_[n] != Verdict::Leave && phase == PodPhase::Failed;
        bool waits = failed && !may_replace_failed(workload, NodeId(n));
        running |= waits;
        if (waits) continue;
        if (failed)
          plane_.api.workload_event(workload, KubeEvent::Type::Warning, "FailedDaemonPod", kComponent, [&] {
            return fmt::format("Found failed daemon pod {}/{} on node {}, will try to kill it",
                               plane_.api.namespace_of(id), plane_.cluster.pod_name(id),
                               plane_.api.node_name(NodeId(n)));
          });
        plane_.delete_pod(id, kComponent);
        continue;
      }
      // The older of two stays, unless they are of two revisions and the DaemonSet surges.
      bool second = running && is_active(phase) && !(surges && pods[id].pod_template == newest);
      if (second && !remove(workload, id)) return false;
      running |= phase <= PodPhase::Terminating;  // its place is taken until it is gone
    }
    if (running || verdicts_[n] != Verdict::Run) continue;
    if (!create(workload, NodeId(n))) return false;
  }
  return true;
}

// client-go flowcontrol.Backoff: an entry that is twice the longest delay old is forgotten.
bool DaemonSetController::may_replace_failed(WorkloadId workload, NodeId node) {
  std::vector<FailedPodsBackoff>& entries = plane_.control(workload).failed_pods;
  Time now = plane_.now();
  std::erase_if(entries, [&](const FailedPodsBackoff& b) { return now - b.since > kLongestBackoff * 2; });
  auto known = std::find_if(entries.begin(), entries.end(), [&](const FailedPodsBackoff& b) { return b.node == node; });
  if (known == entries.end()) {
    entries.push_back({node, kFirstBackoff, now});
    return true;
  }
  if (now - known->since < known->delay) {
    plane_.api.enqueue_after(workload, known->delay);
    return false;
  }
  *known = {node, std::min(known->delay * 2, kLongestBackoff), now};
  return true;
}

bool DaemonSetController::available(WorkloadId workload, PodId id) const {
  const PodState& pod = plane_.cluster.state.pods[id];
  if (pod.phase != PodPhase::Ready) return false;
  Time since = pod.ready + plane_.object<DaemonSet>(workload).min_ready;
  if (since > plane_.now()) plane_.api.enqueue_after(workload, since - plane_.now());
  return since <= plane_.now();
}

// update.go: as many nodes without an available pod as maxUnavailable says; with maxSurge, new pods beside old ones
// first.
bool DaemonSetController::roll(WorkloadId workload) {
  const auto& object = plane_.object<DaemonSet>(workload);
  const auto& pods = plane_.cluster.state.pods;
  TemplateId newest = plane_.control(workload).pod_template;
  auto wanted = std::count(verdicts_.begin(), verdicts_.end(), Verdict::Run);
  int64_t may_be_down = object.rolling_update.max_unavailable.rounded_up(wanted);
  int64_t may_surge = object.rolling_update.max_surge.rounded_up(wanted);
  std::vector<PodId> old_down, old_up;
  std::vector<NodeId> to_surge;
  for (size_t n = 0; n < verdicts_.size(); ++n) {
    if (verdicts_[n] == Verdict::Leave) continue;
    PodId old_pod, new_pod;
    for (PodId id : on_node_[n]) {
      if (!is_active(pods[id].phase)) continue;
      (pods[id].pod_template == newest ? new_pod : old_pod) = id;
    }
    bool up = (new_pod.valid() && available(workload, new_pod)) || (old_pod.valid() && available(workload, old_pod));
    if (may_surge > 0) {
      if (new_pod.valid() && old_pod.valid()) --may_surge;
      if (old_pod.valid() && new_pod.valid() && available(workload, new_pod)) old_down.push_back(old_pod);
      if (old_pod.valid() && !new_pod.valid()) to_surge.push_back(NodeId(n));
      continue;
    }
    if (!up && verdicts_[n] == Verdict::Run) --may_be_down;
    if (!old_pod.valid() || new_pod.valid()) continue;
    (available(workload, old_pod) ? old_up : old_down).push_back(old_pod);
  }
  for (PodId id : old_down)
    if (!remove(workload, id)) return false;
  for (size_t i = 0; i < old_up.size() && may_be_down > 0; ++i, --may_be_down)
    if (!remove(workload, old_up[i])) return false;
  for (size_t i = 0; i < to_surge.size() && may_surge > 0; ++i, --may_surge)
    if (!create(workload, to_surge[i])) return false;
  return true;
}

}  // namespace kisim

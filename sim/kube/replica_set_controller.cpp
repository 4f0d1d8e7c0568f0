#include "kube/replica_set_controller.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "replicaset-controller";
constexpr int32_t kBurstReplicas = 500;

// floor(log2(age in ns)); −1 for an age of zero.
int log_age(Time since, Time now) {
  return std::bit_width(static_cast<uint64_t>(std::max<int64_t>(0, (now - since).ns))) - 1;
}

// The API keeps times in whole seconds.
Time api_time(Time t) { return {t.ns - t.ns % 1'000'000'000}; }

bool younger(Time a, Time b, uint64_t uid_a, uint64_t uid_b, Time now) {
  int log_a = log_age(a, now), log_b = log_age(b, now);
  return log_a != log_b ? log_a < log_b : uid_a < uid_b;
}

}  // namespace

bool deleted_before(const DeletionRank& a, const DeletionRank& b, Time now) {
  if (a.assigned != b.assigned) return !a.assigned;
  if (a.running != b.running) return !a.running;
  if (a.ready != b.ready) return !a.ready;
  if (a.same_node != b.same_node) return a.same_node > b.same_node;
  if (a.ready && api_time(a.ready_since) != api_time(b.ready_since))
    return younger(api_time(a.ready_since), api_time(b.ready_since), a.uid, b.uid, now);
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (api_time(a.created) != api_time(b.created))
    return younger(api_time(a.created), api_time(b.created), a.uid, b.uid, now);
  return a.uid < b.uid;
}

// Pods of earlier templates are its own as well.
void ReplicaSetController::sync(WorkloadId workload) {
  TemplateId pod_template = plane_.control(workload).pod_template;
  PodCounts counts = plane_.counts(pod_template);
  int32_t active = counts.active;
  auto known = static_cast<size_t>(counts.all());
  if (plane_.cluster.state.workload_pods[workload.value].size() != known) {
    list_active(workload, {});
    active = static_cast<int32_t>(active_.size());
  }
  adjust(workload, pod_template, plane_.replicas(workload) - active, {});
}

void ReplicaSetController::manage(WorkloadId workload, ReplicaSetState& set) {
  adjust(workload, set.pod_template, set.replicas - plane_.counts(set.pod_template).active, set.pod_template);
}

void ReplicaSetController::adjust(WorkloadId workload, TemplateId pod_template, int32_t missing, TemplateId only) {
  bool more = std::abs(missing) > kBurstReplicas;
  if (missing > 0) more = create_pods(workload, pod_template, std::min(missing, kBurstReplicas)) && more;
  if (missing < 0) delete_pods(workload, only, std::min(-missing, kBurstReplicas));
  if (missing <= 0) plane_.went_well(plane_.control(workload), plane_.control(workload).backoff_of(pod_template));
  if (more) plane_.api.enqueue(workload);
}

bool ReplicaSetController::create_pods(WorkloadId workload, TemplateId pod_template, int32_t count) {
  WorkloadControl& control = plane_.control(workload);
  Backoff& backoff = control.backoff_of(pod_template);
  if (plane_.now() < backoff.until) {
    plane_.api.enqueue_after(workload, backoff.until - plane_.now());
    return false;
  }
  bool refused = false, limited = false;
  for (int32_t batch = 1; count > 0 && !refused && !limited; batch = std::min(2 * batch, count))
    for (int32_t i = 0; i < batch && !limited; ++i, --count) {
      limited = !plane_.may_call(workload);
      if (!limited) refused |= !plane_.create_pod({workload, pod_template}, kComponent);
    }
  if (refused) plane_.api.enqueue_rate_limited(workload, backoff);
  if (!refused && !limited) plane_.went_well(control, backoff);
  return !refused && !limited;
}

void ReplicaSetController::list_active(WorkloadId workload, TemplateId only) {
  const ClusterState& cluster = plane_.cluster.state;
  active_.clear();
  for (PodId id : cluster.workload_pods[workload.value]) {
    const PodState& pod = cluster.pods[id];
    if ((!only.valid() || pod.pod_template == only) && is_active(pod.phase) && plane_.owns(id)) active_.push_back(id);
  }
}

void ReplicaSetController::delete_pods(WorkloadId workload, TemplateId only, int32_t count) {
  struct Candidate {
    PodId pod;
    DeletionRank rank;
  };
  const ClusterState& cluster = plane_.cluster.state;
  // Those of all its owner's ReplicaSets count.
  list_active(workload, {});
  std::vector<uint32_t> on_node(plane_.cluster.model.nodes.size(), 0);
  for (PodId id : active_)
    if (cluster.pods[id].node.valid()) ++on_node[cluster.pods[id].node.value];
  list_active(workload, only);
  std::vector<Candidate> candidates;
  for (PodId id : active_) {
    const PodState& pod = cluster.pods[id];
    bool assigned = pod.node.valid();
    candidates.push_back(
        {id,
         {assigned, is_running(pod.phase), pod.phase == PodPhase::Ready, assigned ? on_node[pod.node.value] : 0,
          pod.ready, pod.created, plane_.cluster.pod_entity(id), pod.restarts}});
  }
  Time now = plane_.now();
  std::sort(candidates.begin(), candidates.end(), [now](const Candidate& a, const Candidate& b) {
    if (deleted_before(a.rank, b.rank, now)) return true;
    if (deleted_before(b.rank, a.rank, now)) return false;
    return a.pod < b.pod;
  });
  for (int32_t i = 0; i < count; ++i) {
    if (!plane_.may_call(workload)) return;
    plane_.delete_pod(candidates[static_cast<size_t>(i)].pod, kComponent);
  }
}

int32_t ReplicaSetController::available(WorkloadId workload, TemplateId pod_template, Duration min_ready) {
  int32_t ready = plane_.counts(pod_template).ready;
  if (min_ready.ns == 0 || ready == 0) return ready;
  Time now = plane_.now(), next = Time::max();
  int32_t available = 0;
  for (PodId id : plane_.cluster.state.workload_pods[workload.value]) {
    const PodState& pod = plane_.cluster.state.pods[id];
    if (pod.pod_template != pod_template || pod.phase != PodPhase::Ready || !plane_.owns(id)) continue;
    Time since = pod.ready + min_ready;
    available += since <= now;
    if (since > now) next = std::min(next, since);
  }
  if (next != Time::max()) plane_.api.enqueue_after(workload, next - now);
  return available;
}

}  // namespace kisim

#include "kube/controllers.hpp"

#include <algorithm>
#include <bit>

namespace kisim {

namespace {

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
  if (api_time(a.created) != api_time(b.created))
    return younger(api_time(a.created), api_time(b.created), a.uid, b.uid, now);
  return a.uid < b.uid;
}

void Controllers::start() {
  state_.workloads.resize(model_.workloads.size());
  state_.statistics.workloads.resize(model_.workloads.size());
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    WorkloadId id(w);
    state_.workloads[id].replicas = cluster_.model.workloads[id].replicas;
    create_pods(id, state_.workloads[id].replicas);
  }
}

void Controllers::scale(WorkloadId workload, int32_t replicas, std::string reason) {
  WorkloadControl& control = state_.workloads[workload];
  if (replicas == control.replicas) return;
  KubeStatistics& statistics = state_.statistics;
  bool up = replicas > control.replicas;
  (up ? statistics.workloads[workload].scale_ups : statistics.workloads[workload].scale_downs)++;
  statistics.decisions.add("ScalingReplicaSet", up ? "up" : "down");
  statistics.scalings.push_back({engine_.now(), workload, control.replicas, replicas, std::move(reason)});
  control.replicas = replicas;
  reconcile(workload);
}

void Controllers::reconcile(WorkloadId workload) {
  if (cluster_.model.workloads[workload].kind == WorkloadModel::Kind::Pod) return;
  list_active(workload);
  int64_t missing = state_.workloads[workload].replicas - static_cast<int64_t>(active_.size());
  if (missing > 0) create_pods(workload, missing);
  if (missing < 0) delete_pods(-missing);
}

void Controllers::create_pods(WorkloadId workload, int64_t count) {
  const PodSpec& spec = cluster_.model.templates[cluster_.model.workloads[workload].pod_template].spec;
  for (; count > 0; --count) {
    PodId pod = cluster_.create_pod(workload, engine_.now());
    state_.statistics.pending.add(engine_.now(), 1);
    if (spec.node_name.empty())
      scheduler_.pod_added(pod);
    else
      assign(pod, spec.node_name);
  }
}

// A pod with spec.nodeName is not the scheduler's: the kubelet of that node takes it or fails it. A pod on a node that
// does not exist stays Pending.
void Controllers::assign(PodId pod, const std::string& name) {
  const auto& nodes = cluster_.model.nodes;
  auto named = std::find_if(nodes.begin(), nodes.end(), [&](const NodeModel& n) { return n.object.meta.name == name; });
  if (named == nodes.end()) return state_.statistics.decisions.add("FailedAdmission", "no node is named " + name);
  NodeId node(static_cast<size_t>(named - nodes.begin()));
  if (std::string refusal = kubelet_.refusal(pod, node); !refusal.empty()) {
    state_.statistics.decisions.add("FailedAdmission", refusal);
    return kubelet_.kill(pod);
  }
  scheduler_.assign(pod, node);
  state_.statistics.pending.add(engine_.now(), -1);
  kubelet_.bound(pod);
}

void Controllers::delete_pods(int64_t count) {
  struct Candidate {
    PodId pod;
    DeletionRank rank;
  };
  std::vector<Candidate> candidates;
  for (PodId id : active_) {
    const PodState& pod = cluster_.state.pods[id];
    DeletionRank rank;
    rank.assigned = pod.node.valid();
    rank.running = pod.phase >= PodPhase::Loading;
    rank.ready = pod.phase == PodPhase::Ready;
    rank.ready_since = pod.ready;
    rank.created = pod.created;
    rank.uid = cluster_.pod_entity(id);
    if (rank.assigned)
      for (PodId other : active_) rank.same_node += cluster_.state.pods[other].node == pod.node;
    candidates.push_back({id, rank});
  }
  Time now = engine_.now();
  std::sort(candidates.begin(), candidates.end(), [now](const Candidate& a, const Candidate& b) {
    if (deleted_before(a.rank, b.rank, now)) return true;
    if (deleted_before(b.rank, a.rank, now)) return false;
    return a.pod < b.pod;
  });
  for (int64_t i = 0; i < count; ++i) kubelet_.terminate(candidates[static_cast<size_t>(i)].pod);
}

void Controllers::list_active(WorkloadId workload) {
  active_.clear();
  for (PodId id : cluster_.state.workload_pods[workload.value])
    if (cluster_.state.pods[id].phase != PodPhase::Terminating) active_.push_back(id);
}

}  // namespace kisim

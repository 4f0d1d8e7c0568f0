#include "kube/controllers.hpp"

#include "core/hash.hpp"

#include <utility>

namespace kisim {

Controllers::Controllers(const KubeModel& model, KubeState& state, Cluster& cluster, ApiServer& api, Engine& engine)
    : plane_{model, state, cluster, api, engine},
      replica_sets_(plane_),
      deployments_(plane_, replica_sets_),
      stateful_sets_(plane_),
      daemon_sets_(plane_),
      jobs_(plane_) {}

void Controllers::start() {
  plane_.state.workloads.resize(plane_.model.workloads.size());
  plane_.state.statistics.workloads.resize(plane_.model.workloads.size());
  for (size_t w = 0; w < plane_.model.workloads.size(); ++w)
    if (SpecId spec = plane_.model.workloads[WorkloadId(w)].spec; spec.valid()) apply(WorkloadId(w), spec);
}

void Controllers::apply(WorkloadId id, SpecId spec) {
  using Kind = WorkloadModel::Kind;
  WorkloadControl& control = plane_.control(id);
  const WorkloadSpec& wanted = plane_.model.specs[spec];
  Kind kind = plane_.workload(id).kind;
  bool is_new = !control.exists;
  if (is_new) {
    // Its name is taken until the last of it is gone.
    if (kind == Kind::Pod && !plane_.cluster.state.workload_pods[id.value].empty())
      return plane_.state.statistics.decisions.add("AlreadyExists", "object is being deleted: pods");
    plane_.engine.cancel(control.sync);
    WorkloadControl before = std::exchange(control, {});
    control.exists = true;
    control.created = plane_.now();
    control.garbage = before.garbage;
    control.controlled = kind != Kind::Pod;
    if (before.orphaned) adopt(id, before);
  }
  control.spec = spec;
  control.failed_pods.clear();
  control.pod_template = wanted.pod_template;
  bool scalable = kind == Kind::Deployment || kind == Kind::ReplicaSet || kind == Kind::StatefulSet;
  if (scalable && is_new) plane_.replicas(id) = wanted.replicas.value_or(1);
  if (scalable && !is_new && wanted.replicas) scale(id, *wanted.replicas, "kubectl apply");
  if (control.controlled) return plane_.api.enqueue(id);
  if (!is_new) return;
  std::string refusal;
  if (!plane_.api.create_pod({id, control.pod_template}, refusal)) {
    control.exists = false;
    plane_.api.workload_event(id, KubeEvent::Type::Warning, "Forbidden", "kube-apiserver", [&] { return refusal; });
  }
}

void Controllers::adopt(WorkloadId id, WorkloadControl& orphaned) {
  using Kind = WorkloadModel::Kind;
  Kind kind = plane_.workload(id).kind;
  plane_.control(id).replica_sets = std::move(orphaned.replica_sets);
  if (kind == Kind::Job) return;  // its selector has its UID
  std::vector<PodId> pods = plane_.cluster.state.workload_pods[id.value];
  for (PodId pod : pods) {
    const PodState& p = plane_.cluster.state.pods[pod];
    bool wanted = kind == Kind::ReplicaSet ? is_active(p.phase) : p.phase != PodPhase::Terminating;
    if (p.owner == PodOwner::Nobody && wanted) plane_.cluster.set_owner(pod, PodOwner::Present);
  }
}

void Controllers::scale(WorkloadId id, int32_t replicas, std::string reason) {
  int32_t& present = plane_.replicas(id);
  if (present == ClusterState::kNoScale || replicas == present || !plane_.control(id).exists) return;
  KubeStatistics& statistics = plane_.state.statistics;
  bool up = replicas > present;
  (up ? statistics.workloads[id].scale_ups : statistics.workloads[id].scale_downs)++;
  statistics.scalings.push_back({plane_.now(), id, present, replicas, std::move(reason)});
  present = replicas;
  plane_.control(id).rescaled = plane_.now();
  plane_.api.enqueue(id);
}

void Controllers::sync(WorkloadId id) {
  WorkloadControl& control = plane_.control(id);
  control.sync = {};
  if (control.garbage || control.deleting) collect_garbage(id);
  if (control.orphaned) return deployments_.sync_orphans(id);
  if (!control.exists || control.deleting) return;
  switch (plane_.workload(id).kind) {
    case WorkloadModel::Kind::Deployment:
      return deployments_.sync(id);
    case WorkloadModel::Kind::ReplicaSet:
      return replica_sets_.sync(id);
    case WorkloadModel::Kind::StatefulSet:
      return stateful_sets_.sync(id);
    case WorkloadModel::Kind::DaemonSet:
      return daemon_sets_.sync(id);
    case WorkloadModel::Kind::Job:
      return jobs_.sync(id);
    case WorkloadModel::Kind::Pod:
      return;
  }
}

// Background: the object goes, the garbage collector follows with its pods. Foreground: the pods first. Finalizers that
// nobody removes hold the object, and with it the pods: it is marked for deletion and stays.
void Controllers::remove(WorkloadId id, Action::Cascade cascade) {
  WorkloadControl& control = plane_.control(id);
  if (!control.exists) return;
  const auto& object = plane_.model.specs[control.spec].object;
  bool held = std::visit([](const auto& o) { return !o.meta.finalizers.empty(); }, object);
  if (plane_.workload(id).kind == WorkloadModel::Kind::Pod) {
    control.exists = held;
    std::vector<PodId> pods = plane_.cluster.state.workload_pods[id.value];
    for (PodId pod : pods) plane_.api.delete_pod(pod);
    return;
  }
  if (held) {
    control.deleting = cascade == Action::Cascade::Foreground;
    return plane_.api.workload_event(id, KubeEvent::Type::Warning, "FinalizersPending", "kube-apiserver", [] {
      return std::string("deletion waits for finalizers that nothing in this cluster removes");
    });
  }
  control.orphaned = cascade == Action::Cascade::Orphan;
  control.deleting = cascade == Action::Cascade::Foreground;
  control.exists = control.deleting;
  if (cascade == Action::Cascade::Orphan) leave_pods(id, PodOwner::Nobody);
  if (cascade == Action::Cascade::Background) leave_pods(id, PodOwner::Gone);
  plane_.api.enqueue(id);
}

void Controllers::remove_with_pods(WorkloadId id) {
  remove(id, Action::Cascade::Background);
  if (std::exchange(plane_.control(id).orphaned, false)) leave_pods(id, PodOwner::Gone);
  std::vector<PodId> pods = plane_.cluster.state.workload_pods[id.value];
  for (PodId pod : pods) plane_.api.delete_pod(pod);
}

void Controllers::leave_pods(WorkloadId id, PodOwner owner) {
  WorkloadControl& control = plane_.control(id);
  int32_t& replicas = plane_.replicas(id);
  if (owner == PodOwner::Nobody && plane_.workload(id).kind == WorkloadModel::Kind::Deployment) {
    replicas = 0;
    for (const ReplicaSetState& set : control.replica_sets) replicas += set.replicas;
    return;
  }
  replicas = ClusterState::kNoScale;
  control.replica_sets.clear();
  control.garbage |= owner == PodOwner::Gone;
  for (PodId pod : plane_.cluster.state.workload_pods[id.value])
    if (plane_.owns(pod)) plane_.cluster.set_owner(pod, owner);
}

// Pods whose owner is gone, and those of one that goes when they have.
void Controllers::collect_garbage(WorkloadId id) {
  WorkloadControl& control = plane_.control(id);
  std::vector<PodId> pods = plane_.cluster.state.workload_pods[id.value];
  bool owns_any = false;
  for (PodId pod : pods) {
    const PodState& p = plane_.cluster.state.pods[pod];
    bool doomed = p.owner == PodOwner::Gone || (control.deleting && p.owner == PodOwner::Present);
    if (doomed && p.phase != PodPhase::Terminating) {
      if (!plane_.may_call(id)) return;
      plane_.client(id).reserve(plane_.model.latencies.controller_manager, plane_.now());
      plane_.api.delete_pod(pod);
    }
    owns_any |= p.owner == PodOwner::Present && p.phase != PodPhase::Gone;
  }
  if (control.deleting && !owns_any) {
    control.deleting = control.exists = false;
    leave_pods(id, PodOwner::Gone);
  }
  control.garbage = false;
}

}  // namespace kisim

#pragma once
// Deployments (pkg/controller/deployment): one ReplicaSet per revision of the pod template, and the rollout from the
// old ones to the new one. A turn takes all the steps that need no pod to become ready first.

#include "kube/replica_set_controller.hpp"

namespace kisim {

class DeploymentController {
 public:
  DeploymentController(const ControlPlane& plane, ReplicaSetController& replica_sets)
      : plane_(plane), replica_sets_(replica_sets) {}

  void sync(WorkloadId workload);
  // The ReplicaSets that a Deployment left when it went.
  void sync_orphans(WorkloadId workload);

 private:
  // One Deployment, looked at in one turn.
  struct Turn {
    WorkloadId workload;
    const Deployment& object;
    WorkloadControl& control;
    int32_t replicas;  // that it asks for
    int32_t max_surge = 0, max_unavailable = 0;
    std::vector<ReplicaSetState>& sets() const { return control.replica_sets; }
    ReplicaSetState& newest() const { return control.replica_sets.back(); }
  };

  Turn look(WorkloadId workload);
  // False: there is no ReplicaSet of the new revision yet.
  bool ensure_new_set(Turn& turn);
  // Each returns whether it changed spec.replicas of a ReplicaSet.
  bool step(Turn& turn);
  bool scale(Turn& turn);
  bool scale_proportionally(Turn& turn);
  bool roll(Turn& turn);
  bool recreate(Turn& turn);
  bool grow_new(Turn& turn);
  bool shrink_old(Turn& turn);
  bool set_replicas(Turn& turn, ReplicaSetState& set, int32_t replicas);
  bool empty_old_sets(Turn& turn);
  int32_t new_set_replicas(const Turn& turn) const;
  int32_t total(const Turn& turn) const;
  int32_t available(const Turn& turn, const ReplicaSetState& set);
  void manage_sets(WorkloadId workload);
  void update_status(Turn& turn);
  void tell_progress(Turn& turn, const RolloutProgress& before);
  void clean_up(Turn& turn);

  ControlPlane plane_;
  ReplicaSetController& replica_sets_;
};

}  // namespace kisim

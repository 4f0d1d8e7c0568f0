#pragma once
// As many pods as spec.replicas says (pkg/controller/replicaset). Pods are created in batches that double while all
// goes well, from one on, and at most 500 at a time.

#include "kube/control_plane.hpp"

#include <vector>

namespace kisim {

class ReplicaSetController {
 public:
  explicit ReplicaSetController(const ControlPlane& plane) : plane_(plane) {}

  // The turn of a ReplicaSet that nobody else owns.
  void sync(WorkloadId workload);
  // Creates or deletes pods of a Deployment's ReplicaSet until there are as many as it wants.
  void manage(WorkloadId workload, ReplicaSetState& set);
  // Pods that have been Ready for `min_ready`. Asks for a turn when the next one will have been.
  int32_t available(WorkloadId workload, TemplateId pod_template, Duration min_ready);

 private:
  // False: a refusal or the client's limit stopped it.
  bool create_pods(WorkloadId workload, TemplateId pod_template, int32_t count);
  // `only`: of this template; invalid: of any.
  void delete_pods(WorkloadId workload, TemplateId only, int32_t count);
  void list_active(WorkloadId workload, TemplateId only);  // into active_
  // Creates pods of the template, or deletes pods, as many as are missing or too many.
  void adjust(WorkloadId workload, TemplateId pod_template, int32_t missing, TemplateId only);

  ControlPlane plane_;
  std::vector<PodId> active_;  // scratch
};

// Which pod a ReplicaSet gives up first (controller_utils.go, ActivePodsWithRanks): unassigned before assigned, pending
// before running, not ready before ready, more of its kind on the node first, ready for less time first, more restarts
// first, younger first.
// Ages are compared by the logarithm of their nanoseconds (LogarithmicScaleDown), equal ones by UID.
struct DeletionRank {
  bool assigned = false, running = false, ready = false;
  uint32_t same_node = 0;  // active pods of the workload on its node, itself included
  Time ready_since, created;
  uint64_t uid = 0;
  uint32_t restarts = 0;
};
bool deleted_before(const DeletionRank& a, const DeletionRank& b, Time now);

}  // namespace kisim

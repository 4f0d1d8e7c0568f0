#pragma once
// The Deployment and ReplicaSet controllers: as many pods as spec.replicas says. A Deployment has one ReplicaSet here
// (nothing rolls out), so that the two act as one. They answer changes at once.

#include "core/engine.hpp"
#include "kube/kubelet.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"

#include <string>
#include <vector>

namespace kisim {

class Controllers {
 public:
  Controllers(const KubeModel& model, KubeState& state, Cluster& cluster, Kubelet& kubelet, Scheduler& scheduler,
              Engine& engine)
      : model_(model), state_(state), cluster_(cluster), kubelet_(kubelet), scheduler_(scheduler), engine_(engine) {}

  // Creates the pods that the manifests ask for.
  void start();
  // Changes spec.replicas and acts on it.
  void scale(WorkloadId workload, int32_t replicas, std::string reason);
  // Makes up for pods that have gone. Bare pods are never recreated.
  void reconcile(WorkloadId workload);

 private:
  void create_pods(WorkloadId workload, int64_t count);
  void assign(PodId pod, const std::string& node);
  void delete_pods(int64_t count);        // of active_
  void list_active(WorkloadId workload);  // into active_

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Kubelet& kubelet_;
  Scheduler& scheduler_;
  Engine& engine_;
  std::vector<PodId> active_;  // scratch
};

// Which pod a ReplicaSet gives up first (controller_utils.go, ActivePodsWithRanks): unassigned before assigned, pending
// before running, not ready before ready, more of its kind on the node first, ready for less time first, younger first.
// Ages are compared by the logarithm of their nanoseconds (LogarithmicScaleDown), equal ones by UID.
struct DeletionRank {
  bool assigned = false, running = false, ready = false;
  uint32_t same_node = 0;  // active pods of the workload on its node, itself included
  Time ready_since, created;
  uint64_t uid = 0;
};
bool deleted_before(const DeletionRank& a, const DeletionRank& b, Time now);

}  // namespace kisim

#pragma once
// DaemonSets (pkg/controller/daemon): a pod on every node that it may run on. The scheduler binds it: the pod asks for
// its node by name.

#include "kube/replica_set_controller.hpp"

#include <vector>

namespace kisim {

// NodeShouldRunDaemonPod. Run: a pod belongs there. Keep: one that is there may stay (NoSchedule taints). Leave: it
// must go.
enum class DaemonVerdict : uint8_t { Run, Keep, Leave };
DaemonVerdict daemon_verdict(const PodSpec& spec, const Node& node, NodeConditions conditions);

class DaemonSetController {
 public:
  explicit DaemonSetController(const ControlPlane& plane) : plane_(plane) {}

  void sync(WorkloadId workload);

 private:
  using Verdict = DaemonVerdict;

  void collect(WorkloadId workload);
  // False: a refusal or the client's limit stopped it, so the sync did not go well.
  bool manage(WorkloadId workload);
  bool roll(WorkloadId workload);
  bool create(WorkloadId workload, NodeId node);
  bool remove(WorkloadId workload, PodId pod);
  // Whether the back-off after the failures there lets it go now; if not, asks for a turn.
  bool may_replace_failed(WorkloadId workload, NodeId node);
  bool available(WorkloadId workload, PodId pod) const;

  ControlPlane plane_;
  // Scratch: the pods of one DaemonSet by node, in order of creation.
  std::vector<std::vector<PodId>> on_node_;
  std::vector<Verdict> verdicts_;
};

// The tolerations that every daemon pod has (AddOrUpdateDaemonPodTolerations).
std::vector<Toleration> daemon_tolerations();

}  // namespace kisim

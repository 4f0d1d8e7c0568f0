#pragma once
// The workload controllers of kube-controller-manager behind one face. Each looks at one workload when its turn in the
// work queue comes (ApiServer::enqueue), brings it closer to its spec and asks for the next turn.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/daemon_set_controller.hpp"
#include "kube/deployment_controller.hpp"
#include "kube/job_controller.hpp"
#include "kube/replica_set_controller.hpp"
#include "kube/stateful_set_controller.hpp"

#include <string>

namespace kisim {

class Controllers {
 public:
  Controllers(const KubeModel& model, KubeState& state, Cluster& cluster, ApiServer& api, Engine& engine);

  // Creates what the manifests ask for.
  void start();
  // A workload's turn.
  void sync(WorkloadId workload);

  // Changes spec.replicas, as the scale subresource does. Nothing happens to what has no replicas.
  void scale(WorkloadId workload, int32_t replicas, std::string reason);
  // Creates the object or changes its spec.
  void apply(WorkloadId workload, SpecId spec);
  void remove(WorkloadId workload, Action::Cascade cascade);
  // As its namespace goes: its pods are deleted whoever owns them, orphans and those of held objects too.
  void remove_with_pods(WorkloadId workload);

 private:
  // Pods and ReplicaSets of an orphaned object of this name that its selector finds.
  void adopt(WorkloadId workload, WorkloadControl& orphaned);
  // Its pods have another owner from now on.
  void leave_pods(WorkloadId workload, PodOwner owner);
  void collect_garbage(WorkloadId workload);

  ControlPlane plane_;
  ReplicaSetController replica_sets_;
  DeploymentController deployments_;
  StatefulSetController stateful_sets_;
  DaemonSetController daemon_sets_;
  JobController jobs_;
};

}  // namespace kisim

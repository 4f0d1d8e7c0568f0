#pragma once
// The kubelets of all nodes: what happens to a pod between its binding and its end.
//
//   Binding → Pulling → Starting → Loading → Probing → Ready → Terminating → Gone
//
// One timer event per phase; a phase of zero length takes none. Durations are drawn per pod.
//   Pulling   image bytes / bandwidth, one pull at a time per node (serializeImagePulls), nothing if the image is on
//             the node's disk. A pull that was asked for goes on when its pod is deleted.
//   Starting  sandbox and container start
//   Loading   weights bytes / bandwidth, then the engine's own start
//   Probing   until the first successful readiness probe: probes come at initialDelaySeconds after the container's
//             start and every periodSeconds from there; ready at the successThreshold-th at or after the server is up
//   Terminating  no endpoint any more; gone when the last request has left, at the latest after the grace period. A
//             server that is not ready yet, and a pod without a container, are gone at once; a container that serves
//             nothing takes all of its grace period, as those do that do not handle SIGTERM

#include "core/engine.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"
#include "serving/serving.hpp"

#include <vector>

namespace kisim {

class Kubelet {
 public:
  // `step` and `drained` are the kinds of event that come back as on_timer() and on_drained().
  Kubelet(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Scheduler& scheduler,
          Engine& engine, uint16_t step, uint16_t drained);

  void start();
  // Whether the kubelet of the node would run the pod (pkg/kubelet/lifecycle/predicate.go): why not, in its words, or
  // nothing.
  std::string refusal(PodId pod, NodeId node) const;
  // The scheduler has bound the pod.
  void bound(PodId pod);
  void on_timer(PodId pod);
  void on_drained(PodId pod);
  // Deletes the pod gracefully; `preempted` if the scheduler asked for it.
  void terminate(PodId pod, bool preempted = false);
  // Ends the pod now: its requests fail.
  void kill(PodId pod);

  // The node's processes stop; its pods stay bound, in phase Binding.
  void node_stopped(NodeId node);
  // The node runs again and starts the pods that are still bound to it.
  void node_started(NodeId node);

 private:
  struct StartupTimes {
    Duration pull, container, load;
  };

  StartupTimes startup_times(PodId pod) const;
  void advance(PodId pod);
  Duration enter_next_phase(PodId pod);
  Duration pull_image(PodId pod);
  Duration until_ready(PodId pod) const;
  bool model_fits(PodId pod) const;
  void become_ready(PodId pod);
  void leave_ready(PodId pod);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Serving& serving_;
  Scheduler& scheduler_;
  Engine& engine_;
  uint16_t step_, drained_;
  std::vector<std::string> images_;       // of all workloads, each once
  std::vector<uint32_t> workload_image_;  // by WorkloadId, index into images_
};

}  // namespace kisim

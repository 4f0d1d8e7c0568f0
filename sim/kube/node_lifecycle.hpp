#pragma once
// Nodes that are lost and come back, and what the control plane makes of it (node lifecycle controller, taint
// manager):
//   t                      the node stops: its pods die for their clients
//   t + grace period       NotReady: the scheduler avoids it
//   + the pod's toleration of node.kubernetes.io/unreachable (300 s unless it says otherwise): evicted, and its
//                          controller makes another
// A node that is back earlier keeps the pods still bound to it and starts them again.

#include "core/engine.hpp"
#include "kube/controllers.hpp"
#include "kube/kubelet.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"

#include <optional>

namespace kisim {

class NodeLifecycle {
 public:
  // The kinds of event that come back here.
  struct Events {
    uint16_t stop, start;  // target: index of the fault
    uint16_t not_ready;    // target: node
    uint16_t evict;        // target: pod
  };

  NodeLifecycle(const KubeModel& model, KubeState& state, Cluster& cluster, Kubelet& kubelet, Controllers& controllers,
                Scheduler& scheduler, Engine& engine, Events events)
      : model_(model),
        state_(state),
        cluster_(cluster),
        kubelet_(kubelet),
        controllers_(controllers),
        scheduler_(scheduler),
        engine_(engine),
        events_(events) {}

  void start();
  void stop_node(uint32_t fault);
  void start_node(uint32_t fault);
  void not_ready(NodeId node);
  void evict(PodId pod);

 private:
  // How long the pod stays bound to an unreachable node; nothing: for ever.
  std::optional<Duration> toleration(PodId pod) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Kubelet& kubelet_;
  Controllers& controllers_;
  Scheduler& scheduler_;
  Engine& engine_;
  Events events_;
};

}  // namespace kisim

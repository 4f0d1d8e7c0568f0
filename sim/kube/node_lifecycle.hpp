#pragma once
// What the control plane makes of nodes that stop and come back (pkg/controller/nodelifecycle, tainteviction).
//
//   t        the machine stops: nobody answers there any more, its lease is renewed no more; the API shows all as it
//   was notice   the first look of the controller (every 5 s) that finds the lease older than the grace period: the
//   node is
//            Unreachable, its taint keeps pods away, its pods are not ready and no endpoints any more
//   + turn   its zone's queue comes to it: the NoExecute taint. One node in 10 s; in a zone where more than 55 % are
//            ill, none if it has at most 50 nodes, else one in 100 s; a zone that is ill as a whole is taken for a
//            partition and keeps the normal rate, and when all zones are, nobody is evicted
//   + the pod's toleration of node.kubernetes.io/unreachable (300 s unless it says otherwise): deleted, and its
//            controller makes another; it stays Terminating until the node is back or gone
//
// Healthy nodes cost nothing: when their leases were renewed is known without an event.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/kubelet.hpp"

#include <optional>

namespace kisim {

class NodeLifecycle {
 public:
  // The kinds of event that come back here.
  struct Events {
    uint16_t notice;  // target: node
    uint16_t turn;    // target: zone
    uint16_t evict;   // target: pod
  };

  NodeLifecycle(const KubeModel& model, KubeState& state, Cluster& cluster, Kubelet& kubelet, ApiServer& api,
                Engine& engine, Events events)
      : model_(model),
        state_(state),
        cluster_(cluster),
        kubelet_(kubelet),
        api_(api),
        engine_(engine),
        events_(events) {}

  void start();
  // A machine stops or runs again. Faults may overlap: it runs when all have ended.
  void stop(NodeId node);
  void restart(NodeId node);
  // The node's object has come, gone or changed.
  void node_joined(NodeId node);
  void node_left(NodeId node);
  // Evicts the pods that do not tolerate the node's NoExecute taints, each in its time.
  void apply_taints(NodeId node);

  // A pod has come to a node that may have such taints already.
  void pod_bound(PodId pod);

  void on_notice(NodeId node);
  void on_turn(uint32_t zone);
  void on_evict(PodId pod);

 private:
  enum class Disruption : uint8_t { None, Partial, Full };

  Time last_heartbeat(NodeId node) const;
  void arm(uint32_t zone);
  Disruption disruption(const ZoneMonitor& zone) const;
  // Between two nodes of the zone; nothing: none is taken.
  std::optional<Duration> pace(const ZoneMonitor& zone) const;
  void recover(NodeId node);
  bool all_zones_are_down() const;
  // What the number of ill nodes means for the others.
  void review_zones();
  void schedule_eviction(PodId pod, NodeId node);
  void cancel_evictions(NodeId node);
  // How long the pod stays on the node with these taints; nothing: for ever.
  std::optional<Duration> stay(PodId pod, NodeId node) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Kubelet& kubelet_;
  ApiServer& api_;
  Engine& engine_;
  Events events_;
};

}  // namespace kisim

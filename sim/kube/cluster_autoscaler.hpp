#pragma once
// The cluster autoscaler (kubernetes/autoscaler, cluster-autoscaler 1.36, core/static_autoscaler.go): at multiples of
// scan_interval it looks for pods that the scheduler could not place and that fit on no node, nodes on their way
// included, and grows a node group for them (ScaleUp); then it looks for nodes that nobody needs (ScaleDown). It scans
// only when the outcome can be another than last time: somebody must wake() it when a pod failed scheduling or is gone,
// or a node has changed.
//
// Its loop is that of --frequent-loops-enabled=false: scans come no earlier than the interval says.

#include "kube/cluster_autoscaler_scale_down.hpp"
#include "kube/cluster_autoscaler_scale_up.hpp"

#include <memory>
#include <string>
#include <vector>

namespace kisim {

class ClusterAutoscaler {
 public:
  // The kinds of event that come back: `scan` as scan(), `joined` and `deletion` with the node as target.
  struct Events {
    uint16_t scan, joined, deletion;
  };

  ClusterAutoscaler(const KubeModel& model, KubeState& state, Cluster& cluster, const Scheduler& scheduler,
                    ApiServer& api, Engine& engine, Events events);
  ClusterAutoscaler(const ClusterAutoscaler&) = delete;
  ClusterAutoscaler& operator=(const ClusterAutoscaler&) = delete;

  // All calls do nothing in a cluster without it.
  void start();
  void wake();
  void scan();
  void joined(NodeId node);
  void deletion(NodeId node);

  // Why the group was not chosen at the last attempt to scale up, and why the node stays: in upstream's words, empty
  // where there is nothing to tell.
  std::string group_reason(size_t group) const;
  std::string node_reason(NodeId node) const;

 private:
  struct Parts {
    Parts(const KubeModel& model, KubeState& state, Cluster& cluster, const Scheduler& scheduler, ApiServer& api,
          Engine& engine, Events events);
    ClusterSimulation simulation;
    AutoscalingContext context;
    NodeGroups groups;
    ScaleUp scale_up;
    ScaleDown scale_down;
  };

  // Whether the pods that need nodes keep the scan from scaling down.
  bool help_pods();
  void scale_down(bool may_delete);
  void stand_still();
  void plan_next();
  std::vector<PodId> unschedulable_pods() const;
  bool marked_unschedulable(PodId pod) const;
  std::vector<PodId> drained_pods() const;
  void simulate();
  std::vector<PodId> without_room(std::vector<PodId> pods);
  Time old_enough(const std::vector<PodId>& pods) const;
  int32_t ready_nodes() const;
  void forget_told(const std::vector<PodId>& pending);
  Time scan_at_or_after(Time at) const;
  void arm(Time at);
  void scan_after(Time at);

  std::unique_ptr<Parts> parts_;  // none: no cluster autoscaler
  uint16_t scan_event_ = 0;
  bool simulated_ = false;  // within a scan: the simulation is of it
};

}  // namespace kisim

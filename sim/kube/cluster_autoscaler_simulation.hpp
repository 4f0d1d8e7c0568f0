#pragma once
// What the cluster autoscaler tries out (cluster-autoscaler/simulator/clustersnapshot): a copy of what the scheduler
// knows, to which nodes come that are not there yet, where pods go by the scheduler's own filters and nobody scores.
// The first node that passes is taken, from the one after the last match on, as SchedulerPluginRunner does.

#include "kube/scheduling_cycle.hpp"

#include <functional>
#include <vector>

namespace kisim {

class ClusterSimulation {
 public:
  ClusterSimulation(const SchedulerModel& model, const ClusterModel& cluster);
  ClusterSimulation(const ClusterSimulation&) = delete;
  ClusterSimulation& operator=(const ClusterSimulation&) = delete;

  // Forgets all trials: the cluster is again as `known` is.
  void begin(const SchedulerSnapshot& known);
  // Remembers the state of now; restore() goes back to it, as often as wanted.
  void save();
  void restore();

  // A fresh node with one pod of each of `daemons`; one of the same id goes first, with its pods.
  void add_node(NodeId node, std::span<const TemplateId> daemons);
  void remove_node(NodeId node) { cache_.remove_node(node); }
  void set_conditions(NodeId node, NodeConditions conditions) { cache_.set_conditions(node, conditions); }
  // Where somebody decided it goes, whether it fits or not.
  void put(PodId pod, NodeId node);
  void take_away(PodId pod) { cache_.remove_pod(pod); }
  // The same, and it hopes for no node.
  void forget(PodId pod) {
    cache_.remove_pod(pod);
    cache_.nominate(pod, {});
  }

  // Puts the pod on the node if its filters let it pass there.
  bool place(PodId pod, NodeId node);
  // The same on any node that `acceptable` admits; invalid: nowhere. The search goes on from `start`, which moves on.
  NodeId place_anywhere(PodId pod, uint32_t& start, const std::function<bool(NodeId)>& acceptable);
  // Why the last place() failed, as indices of SchedulerModel::reasons.
  const std::vector<uint32_t>& reasons() const { return reasons_; }
  // spec.unschedulable: no place for anybody, whatever is tolerated.
  bool cordoned(NodeId node) const {
    return snapshot_.conditions[node.value].any_of(kNodeCordoned) || cycle_.view().node(node).object.unschedulable;
  }

  const SchedulerSnapshot& snapshot() const { return snapshot_; }
  std::span<const PodId> pods_on(NodeId node) const { return snapshot_.pods[node.value]; }

 private:
  void adopt(const SchedulerSnapshot& from);
  void note_rejection(NodeId node);
  bool reserve(PodId pod, NodeId node);

  const ClusterModel& cluster_;
  SchedulerModel model_;  // the scheduler's, with nothing that scores
  SchedulerSnapshot snapshot_, saved_;
  PluginMemories memory_;
  SchedulerCache cache_;
  SchedulingCycle cycle_;
  uint64_t changes_ = 0;  // as high as any generation ever was
  std::vector<uint32_t> reasons_;
};

}  // namespace kisim

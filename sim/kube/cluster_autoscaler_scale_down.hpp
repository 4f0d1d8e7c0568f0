#pragma once
// Scaling down (cluster-autoscaler/core/scaledown): which nodes nobody needs (eligibility, planner,
// simulator/cluster.go, simulator/drainability), since when, and how they go (actuation).
//
// A node is not needed if its utilization is at most the threshold and all its pods that are not a DaemonSet's find a
// place elsewhere in a simulation. It goes when it has not been needed for unneeded_time (unready ones: unready_time):
// empty nodes up to ten at once, one other at a time. A node that goes is tainted; 5 s later its pods are evicted,
// each attempt 10 s after the last for 2 min, and have max_graceful_termination + 30 s to end.
//
// Upstream's hints of where a pod fitted last time are left out: they save time. Its delay after a failure counts from
// failed taints alone; here, where taints do not fail, from failed drains.

#include "kube/cluster_autoscaler_groups.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

// Requested over allocatable. `value` is that of `resource`: the larger of cpu and memory, or the GPUs alone on nodes
// that have some; shares of GPUs count as what they are.
struct NodeUtilization {
  double cpu = 0, memory = 0, gpu = 0;
  std::string_view resource;
  double value = 0;
};

class ScaleDown {
 public:
  // `step` is the kind of event that comes back as step().
  ScaleDown(AutoscalingContext& context, NodeGroups& groups, uint16_t step)
      : c_(context), groups_(groups), step_(step) {}

  // The nodes that `seen` leaves to be simulated, ascending; says of all others why they stay.
  std::vector<NodeId> eligible(const SchedulerSnapshot& seen);
  // Simulates their removal, one after another. What is simulated stays.
  void plan(std::vector<NodeId> eligible);
  bool in_cooldown() const;
  // Starts to delete what may go now.
  void act();
  // PreferNoSchedule on what is not needed. False if some are left for the next scan (--max-bulk-soft-taint-count).
  bool update_soft_taints();
  // No node counts as unneeded any more.
  void forget_unneeded();
  // Somebody else may have removed nodes that were to go.
  void drop_missing();
  bool any_unneeded() const;

  void step(NodeId node);
  // A pod has gone: it may be the last one that a node waits for.
  void pod_gone();

  // Nothing if an amount that it needs is missing.
  std::optional<NodeUtilization> utilization(NodeId node, const SchedulerSnapshot& seen) const;

 private:
  struct Verdict {
    enum class Outcome : uint8_t { Skip, Move, WaitForCompletion, Block } outcome = Outcome::Move;
    BlockingPod reason = BlockingPod::None;
  };
  struct PodsToMove {
    std::vector<PodId> pods;
    bool waits_for_completion = false;
    BlockingPod blocking = BlockingPod::None;
    PodId blocking_pod;
  };
  using Node = ClusterAutoscalerState::Node;
  using Stage = ClusterAutoscalerState::Deletion::Stage;

  Unremovable eligibility(NodeId node, const SchedulerSnapshot& seen);
  bool annotated(PodId pod, const char* key, std::string_view value) const;
  bool mirrored(PodId pod) const;
  bool has_blocking_local_storage(PodId pod) const;
  bool long_terminating(PodId pod) const;
  double share(ResourceId resource, NodeId node, const SchedulerSnapshot& seen) const;
  Verdict drainable(PodId pod, std::span<const int32_t> budgets) const;
  PodsToMove pods_to_move(std::span<const PodId> pods, std::span<const int32_t> budgets) const;
  std::vector<int32_t> disruptions_allowed() const;
  size_t unneeded_limit() const;
  bool find_places(NodeId node, const std::vector<PodId>& pods);
  void note(NodeId node, Unremovable reason);

  Unremovable not_now(NodeId node, std::vector<int32_t>& sizes) const;
  std::vector<NodeId> crop(const std::vector<NodeId>& nodes, size_t budget) const;
  void mark(NodeId node);
  void start(NodeId node, bool drain);
  void begin(NodeId node);
  void evict(NodeId node);
  bool try_to_evict(PodId pod, bool first);
  void begin_to_wait(NodeId node);
  void give_up_evictions(NodeId node);
  void wait(NodeId node);
  void finish(NodeId node);
  void fail(NodeId node, const std::string& error);
  void end(NodeId node);
  void set_timer(NodeId node, Time at);
  std::string blocking_text(const PodsToMove& moves) const;
  std::string full_name(PodId pod) const;

  AutoscalingContext& c_;
  NodeGroups& groups_;
  uint16_t step_;
  std::vector<uint8_t> destinations_;  // by NodeId: pods may move there
};

}  // namespace kisim

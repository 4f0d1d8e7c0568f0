#pragma once
// What the cluster autoscaler remembers, and why it did not scale what it did not scale.

#include "cluster/cluster.hpp"
#include "core/event.hpp"
#include "core/random.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace kisim {

// Why a group was no option at the last attempt to scale up (core/scaleup/orchestrator, skippedreasons.go and
// rejectedreasons.go).
enum class NoScaleUp : uint8_t {
  None,           // it was scaled up, or nobody asked
  NotReady,       // too many of its nodes are not ready
  Backoff,        // after a failed scale-up
  MaxSize,        //
  NoPodFits,      // on an empty node of it: `rejected_by`
  NotChosen,      // by the expander
  MaxNodesTotal,  // of the cluster
};
// As it words them; empty for None and NoPodFits, whose reasons are the scheduler's.
const char* to_string(NoScaleUp reason);

// Why a node stays (simulator/cluster.go, UnremovableReason).
enum class Unremovable : uint8_t {
  None,
  ScaleDownDisabledAnnotation,
  NotAutoscaled,
  NotUnneededLongEnough,
  NotUnreadyLongEnough,
  NodeGroupMinSizeReached,
  CurrentlyBeingDeleted,
  NotUnderutilized,
  NotUnneededOtherReason,  // it was not looked at: enough others are unneeded
  NoPlaceToMovePods,
  BlockedByPod,
  BlockedByOnCompletionPod,
  UnexpectedError  // its object says nothing of an amount that is needed
};

// Why a pod keeps its node (utils/drain, BlockingPodReason).
enum class BlockingPod : uint8_t {
  None,
  ControllerNotFound,
  NotReplicated,
  NotSafeToEvictAnnotation,
  LocalStorageRequested,
  UnmovableKubeSystemPod,
  NotEnoughPdb
};

struct ClusterAutoscalerState {
  struct Group {
    Duration backoff;    // of the last failure; 0: none that counts
    Time backoff_until;  //
    Time last_failure;   //
    NoScaleUp reason = NoScaleUp::None;
    std::vector<uint32_t> rejected_by;  // indices of SchedulerModel::reasons, for the first pod that did not fit
  };

  // What becomes of a node that is to go.
  struct Deletion {
    enum class Stage : uint8_t { None, Tainted, Evicting, Waiting } stage = Stage::None;
    bool drain = false;
    Time since, until;               // of the stage; when its attempts end
    std::vector<PodId> pods;         // still to be evicted
    std::vector<PodId> daemon_pods;  // likewise, but nobody minds if they stay
    std::vector<PodId> evicted;      // must be gone before the node goes
    EventHandle timer;
    Time timer_at;
  };

  struct Node {
    Time joined;
    // Asked for, not there yet; `joins` is empty if it never comes.
    bool requested = false;
    Time requested_at;
    EventHandle joins;
    uint32_t requests = 0;  // so far: the address of its next request's random stream

    // Of the last scan that looked at it.
    Unremovable reason = Unremovable::None;
    BlockingPod blocking = BlockingPod::None;
    PodId blocking_pod;
    double utilization = 0;
    Time recheck;  // BlockedByPod, NoPlaceToMovePods: not simulated again before

    bool unneeded = false, needs_drain = false, risky = false, waits_for_completion = false;
    Time unneeded_since;
    Deletion deletion;
  };

  // A pod is gone or a node has changed since the autoscaler was woken: the API server says so.
  bool changed = false;

  std::vector<Group> groups;  // as ClusterAutoscalerModel::groups
  IdVector<NodeId, Node> nodes;
  std::vector<NodeId> deletions;  // in progress, in the order in which they began
  EventHandle scan;
  Time scan_at;  // when `scan` is due
  Time last_scan;
  Time last_scale_up, last_scale_down_delete, last_scale_down_fail;
  Time told_max_nodes, told_unhealthy;  // the last events MaxNodesTotalReached and ClusterUnhealthy
  uint32_t next_start = 1;              // of the node order, for the search of a place
  Stream expander;
  // Pending pods by id, and when NotTriggerScaleUp was last recorded for them.
  std::vector<std::pair<PodId, Time>> told;
};

}  // namespace kisim

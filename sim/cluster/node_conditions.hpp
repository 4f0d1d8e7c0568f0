#pragma once
// What the control plane has found a node to be, and the taints that stand for it (pkg/apis/core/v1/well_known_taints).

#include "cluster/objects.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace kisim {

// A set of kNode… bits.
struct NodeConditions {
  uint16_t bits = 0;

  bool any_of(uint16_t wanted) const { return (bits & wanted) != 0; }
  void set(uint16_t condition, bool on) { bits = static_cast<uint16_t>(on ? bits | condition : bits & ~condition); }
  bool operator==(const NodeConditions&) const = default;
};

inline constexpr uint16_t kNodeNotReady = 1,           // Ready=False
    kNodeUnreachable = 2,                              // Ready=Unknown: no heartbeat
    kNodeNotReadyNoExecute = 4,                        // its pods go, one toleration after another
    kNodeUnreachableNoExecute = 8,                     //
    kNodeMemoryPressure = 16, kNodeDiskPressure = 32,  //
    kNodeCordoned = 64,                                // spec.unschedulable
    kNodeToBeDeleted = 128,                            // by the cluster autoscaler
    kNodeDeletionCandidate = 256;                      // likewise, not yet decided
inline constexpr int kNodeConditionCount = 9;

// The taint of one condition: the index of its bit.
inline const Taint& condition_taint(int bit) {
  using enum TaintEffect;
  static const Taint taints[kNodeConditionCount] = {{"node.kubernetes.io/not-ready", "", NoSchedule},
                                                    {"node.kubernetes.io/unreachable", "", NoSchedule},
                                                    {"node.kubernetes.io/not-ready", "", NoExecute},
                                                    {"node.kubernetes.io/unreachable", "", NoExecute},
                                                    {"node.kubernetes.io/memory-pressure", "", NoSchedule},
                                                    {"node.kubernetes.io/disk-pressure", "", NoSchedule},
                                                    {"node.kubernetes.io/unschedulable", "", NoSchedule},
                                                    {"ToBeDeletedByClusterAutoscaler", "", NoSchedule},
                                                    {"DeletionCandidateOfClusterAutoscaler", "", PreferNoSchedule}};
  return taints[bit];
}

// Calls back with every taint that the conditions put on the node.
template <class Callback>
void for_each_taint(NodeConditions conditions, Callback&& callback) {
  for (int bit = 0; bit < kNodeConditionCount; ++bit)
    if (conditions.any_of(static_cast<uint16_t>(1u << bit))) callback(condition_taint(bit));
}

}  // namespace kisim

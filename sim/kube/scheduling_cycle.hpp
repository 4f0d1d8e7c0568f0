#pragma once
// One scheduling cycle of kube-scheduler (pkg/scheduler/schedule_one.go): PreFilter … selectHost for one pod. It
// changes nothing but plugin memory; its results stay readable until the next run.

#include "core/random.hpp"
#include "kube/scheduler_model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace kisim {

class SchedulingCycle {
 public:
  SchedulingCycle(const SchedulerModel& model, const ClusterModel& cluster, const ClusterState& state,
                  std::vector<PolicyMemoryBox>& memory);

  // Looks for a node, from position `start` of the node order; a valid `nominated` node is tried first and alone.
  // Success, Unschedulable, UnschedulableAndUnresolvable or Error. Allocates only while it meets more nodes or plugins
  // than ever before.
  StatusCode run(PodId pod, uint32_t start, NodeId nominated = {});

  NodeId host() const { return host_; }                           // after Success
  uint32_t next_start() const { return next_start_; }             // where the next pod's cycle starts
  uint64_t rejected_by() const { return rejected_by_; }           // plugins that rejected the pod or a node, as bits
  uint64_t pending_by() const { return pending_by_; }             // those that answered Pending
  std::span<const NodeId> feasible() const { return feasible_; }  // in visiting order
  const NodeVerdict& verdict(NodeId node) const { return verdicts_[node.value]; }
  std::span<const NodeVerdict> verdicts() const { return verdicts_; }
  // By index of feasible(); empty unless at least two nodes were scored.
  std::span<const int64_t> totals() const { return totals_; }
  // Normalised and weighted; empty if the plugin did not score.
  std::span<const int64_t> scores(size_t plugin) const;

  // Reason of a pod rejected as a whole, as an index of SchedulerModel::reasons; kPerNode if nodes were.
  static constexpr uint32_t kPerNode = 0xffffffffu;
  uint32_t pod_reason() const { return pod_reason_; }
  // Adds the number of nodes rejected for each reason. Precondition: counts has a place for every reason.
  void count_reasons(std::span<uint32_t> counts);

  PluginContext context(size_t plugin, PodId pod, bool gates_removed = false);
  const SchedulerModel& model() const { return model_; }

 private:
  void reset(PodId pod);
  StatusCode pre_filter();
  StatusCode find_feasible(uint32_t start);
  // Fills the verdicts of `nodes`. False if a plugin failed with an error.
  bool filter(std::span<const NodeId> nodes);
  bool drop_rejected(uint8_t plugin);
  void note_rejections();
  size_t nodes_to_find(size_t nodes) const;
  StatusCode score();
  NodeId select_host();
  size_t best(Stream& stream) const;
  size_t heap_root();
  StatusCode reject_pod(size_t plugin, ExtensionPoint point, StatusCode code);

  const SchedulerModel& model_;
  const ClusterModel& cluster_;
  const ClusterState& state_;
  std::vector<PolicyMemoryBox>& memory_;
  SchedulerView view_;

  PodId pod_;
  NodeId host_;
  uint32_t next_start_ = 0, pod_reason_ = kPerNode;
  uint64_t rejected_by_ = 0, pending_by_ = 0, skipped_filters_ = 0;
  NodeSet node_set_;
  std::vector<NodeVerdict> verdicts_;   // by node
  std::vector<NodeId> narrowed_order_;  // node_order without the nodes that PreFilter left out
  std::vector<NodeId> chunk_, alive_, feasible_;
  std::vector<StatusCode> codes_;
  std::vector<int64_t> scores_, totals_;  // scores_: rows by rank in scored_
  std::vector<uint8_t> scored_;           // plugins that scored
  std::vector<uint32_t> heap_, reason_indices_;
  std::vector<std::vector<int64_t>> scratch_;  // by plugin
};

}  // namespace kisim

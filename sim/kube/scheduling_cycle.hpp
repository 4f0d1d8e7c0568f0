#pragma once
// One scheduling cycle of kube-scheduler (pkg/scheduler/schedule_one.go): PreFilter … selectHost for one pod, and
// PostFilter where no node is left. It changes nothing but plugin memory; its results stay readable until the next run.

#include "core/random.hpp"
#include "kube/scheduler_cache.hpp"
#include "kube/scheduler_model.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// What a plugin remembers between pods: by profile and plugin of it.
using PluginMemories = std::vector<std::vector<PolicyMemoryBox>>;

class SchedulingCycle {
 public:
  SchedulingCycle(const SchedulerModel& model, const ClusterModel& cluster, SchedulerCache& cache,
                  PluginMemories& memory);

  // Looks for a node for a pod that the cache knows, from position `start` of the node order; a valid `nominated` node
  // is tried first and alone. Success, Unschedulable, UnschedulableAndUnresolvable or Error. Allocates only while it
  // meets more nodes or plugins than ever before. Precondition: the pod has a profile.
  StatusCode run(PodId pod, uint32_t start, NodeId nominated = {});

  NodeId host() const { return host_; }                           // after Success
  uint32_t next_start() const { return next_start_; }             // where the next pod's cycle starts
  uint64_t rejected_by() const { return rejected_by_; }           // plugins that rejected the pod or a node, as bits
  uint64_t pending_by() const { return pending_by_; }             // those that answered Pending
  std::span<const NodeId> feasible() const { return feasible_; }  // in visiting order
  const NodeVerdict& verdict(NodeId node) const { return verdicts_[node.value]; }
  std::span<const NodeVerdict> verdicts() const { return verdicts_; }
  // Nodes that were looked at one after another, and the feasible one beyond the number wanted that was then dropped.
  std::span<const NodeId> visited() const { return visited_; }
  NodeId overrun() const { return overrun_; }
  size_t wanted() const { return wanted_; }  // numFeasibleNodesToFind
  // By index of feasible(); empty unless at least two nodes were scored.
  std::span<const int64_t> totals() const { return totals_; }
  // Normalised and weighted; empty if the plugin did not score.
  std::span<const int64_t> scores(size_t plugin) const;
  // As the plugin gave them, asked again.
  std::vector<int64_t> raw_scores(size_t plugin);

  // After a failed run: the first PostFilter plugin that helps decides.
  StatusCode post_filter(PostFilterResult& result);
  // After a failed PostFilter, as DefaultPreemption's status says it: "0/3 nodes are available: 3 No preemption victims
  // found for incoming pod."
  std::string why_no_preemption();
  // What one filter says of one node, whatever others said.
  StatusCode ask_filter(size_t plugin, NodeId node);
  // For whoever wants to try further: lives as long as this run's results.
  std::unique_ptr<FilterDryRun> dry_run();

  // Reason of a pod rejected as a whole, as an index of SchedulerModel::reasons; kPerNode if nodes were.
  static constexpr uint32_t kPerNode = 0xffffffffu;
  uint32_t pod_reason() const { return pod_reason_; }
  // Adds the number of nodes rejected for each reason. Precondition: counts has a place for every reason.
  void count_reasons(std::span<uint32_t> counts);
  // Why a node was rejected, as indices of SchedulerModel::reasons.
  std::vector<uint32_t> reasons_of(NodeId node) { return reasons_of(node, verdict(node)); }
  std::vector<uint32_t> reasons_of(NodeId node, const NodeVerdict& verdict);

  PluginContext context(size_t plugin, PodId pod, bool gates_removed = false);
  const SchedulerModel& model() const { return model_; }
  const SchedulerModel::Profile& profile() const { return *profile_; }
  const SchedulerView& view() const { return view_; }
  const SchedulerSnapshot& snapshot() const { return cache_.snapshot(); }

 private:
  friend class CycleDryRun;

  // What is known of each node for one template, until the node changes.
  struct KeptAnswers {
    TemplateId pod_template;
    std::vector<uint64_t> verdict_generation, score_generation;
    std::vector<uint8_t> verdicts;  // 0 for a pass, else SchedulerModel::code_of()
    std::vector<int32_t> scores;    // raw, rows by Profile::kept_scores
  };

  template <class Callback>
  void for_each_reason(NodeId node, const NodeVerdict& verdict, Callback&& callback);
  void reset(PodId pod);
  KeptAnswers& kept_answers();
  StatusCode pre_filter();
  void narrow(uint8_t plugin);
  StatusCode find_feasible(uint32_t start);
  template <class Callback>
  void try_out(Callback&& callback);
  // Fills the verdicts of `nodes`. False if a plugin failed with an error.
  bool filter(std::span<const NodeId> nodes);
  bool run_filters(size_t first);  // over alive_
  void use_kept_verdicts(std::span<const NodeId> nodes);
  void keep_verdicts(std::span<const NodeId> nodes);
  bool drop_rejected(uint8_t plugin);
  bool expects_nominated(NodeId node) const;
  bool counts_nominated(PodId other) const;
  bool filter_with_nominated(NodeId node);
  // Calls back with the pods nominated to the node in place.
  template <class Callback>
  void with_nominated(NodeId node, Callback&& callback);
  NodeVerdict filter_alone(NodeId node);
  void note_rejections();
  size_t nodes_to_find(size_t nodes) const;
  StatusCode score();
  void refresh_kept_scores(uint64_t skipped);
  void read_kept_scores(size_t row, std::span<int64_t> scores);
  NodeId select_host();
  size_t best(Stream& stream) const;
  size_t heap_root();
  StatusCode reject_pod(size_t plugin, ExtensionPoint point, StatusCode code);
  const SnapshotPod& record(PodId pod) const { return cache_.snapshot().pod_records[pod]; }

  const SchedulerModel& model_;
  const ClusterModel& cluster_;
  SchedulerCache& cache_;
  PluginMemories& memory_;
  SchedulerView view_;

  PodId pod_;
  TemplateId template_;
  const SchedulerModel::Profile* profile_ = nullptr;
  NodeId host_, overrun_, refused_nominated_;
  uint32_t next_start_ = 0, pod_reason_ = kPerNode;
  size_t wanted_ = 0;
  uint64_t rejected_by_ = 0, pending_by_ = 0, skipped_filters_ = 0;
  NodeSet node_set_;
  std::vector<NodeVerdict> verdicts_;       // by node
  std::vector<NodeVerdict> told_verdicts_;  // to PostFilter, whose trials overwrite the others
  std::vector<NodeId> narrowed_order_;      // the node order without the nodes that PreFilter left out
  std::vector<NodeId> chunk_, alive_, misses_, open_, feasible_, visited_;
  std::vector<StatusCode> codes_;
  std::vector<int64_t> scores_, totals_, fresh_;  // scores_: rows by rank in scored_
  std::vector<uint8_t> scored_;                   // plugins that scored
  std::vector<uint32_t> heap_, reason_indices_;
  std::vector<std::vector<int64_t>> scratch_;  // by plugin
  std::vector<KeptAnswers> kept_;              // some templates'
  IdVector<TemplateId, uint32_t> kept_place_;  // of a template in kept_; kNotKept
  size_t next_kept_ = 0;                       // whose place is given away next
  static constexpr uint32_t kNotKept = 0xffffffffu;
};

// "3 Insufficient cpu, 12 node(s) had untolerated taint(s)." from the number of nodes by reason.
std::string told_reasons(const std::vector<std::string>& reasons, std::span<const uint32_t> counts);

// What the scheduling queue asks the profiles: their order and their plugins' hints.
class ProfileQueueing : public QueueingPolicy {
 public:
  ProfileQueueing(const SchedulerModel& model, SchedulingCycle& cycle) : model_(model), cycle_(cycle) {}
  bool less(const QueueEntry& a, const QueueEntry& b) const override;
  bool hint(PodId pod, uint64_t plugins, const ClusterEvent& event) override;

 private:
  const SchedulerModel& model_;
  SchedulingCycle& cycle_;
};

// The events that a changed object of a node means, in the order that kube-scheduler tells them.
std::vector<ClusterEvent::Kind> node_update_events(const NodeModel& before, const NodeModel& after);

}  // namespace kisim

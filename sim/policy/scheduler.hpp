#pragma once
// Role: one plugin of the scheduling framework, with kube-scheduler's extension points.
//
// Filter and Score take a column of nodes and answer for all of them in one call. A plugin is const: what it works
// out once from the cluster is its PluginData, what it remembers between pods its PolicyMemory, what it needs within
// one cycle the scratch of its PluginContext.

#include "cluster/cluster.hpp"
#include "policy/memory.hpp"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace kisim {

enum class StatusCode : uint8_t {
  Success,
  Unschedulable,                 // not now; evicting pods might help
  UnschedulableAndUnresolvable,  // not now, and evicting pods would not help
  Skip,                          // PreFilter, PreScore: nothing to do for this pod. Bind: not mine
  Wait,                          // Permit only
  Pending,                       // rejected, but waits for something outside: retried without backoff
  Error
};

enum class ExtensionPoint : uint8_t {
  PreEnqueue,
  QueueSort,
  PreFilter,
  Filter,
  PostFilter,
  PreScore,
  Score,    // with NormalizeScore
  Reserve,  // with Unreserve
  Permit,
  PreBind,
  Bind
};
inline constexpr size_t kExtensionPoints = 11;

// A set of values of an enum class, as bits.
template <class Enum>
class EnumSet {
 public:
  constexpr EnumSet(std::initializer_list<Enum> values) {
    for (Enum value : values) bits_ |= 1u << static_cast<unsigned>(value);
  }
  constexpr bool has(Enum value) const { return bits_ >> static_cast<unsigned>(value) & 1u; }

 private:
  uint32_t bits_ = 0;
};
using ExtensionPoints = EnumSet<ExtensionPoint>;

inline constexpr int64_t kMaxNodeScore = 100;

// What happened in the cluster that may make a waiting pod schedulable.
struct ClusterEvent {
  enum class Kind : uint8_t { AssignedPodAdd, AssignedPodDelete, NodeAdd, NodeTaintUpdate, UnschedulableTimeout };
  Kind kind = Kind::UnschedulableTimeout;
  NodeId node;  // NodeAdd, NodeTaintUpdate
  PodId pod;    // AssignedPodAdd, AssignedPodDelete
};
using ClusterEvents = EnumSet<ClusterEvent::Kind>;
inline constexpr ClusterEvents kAnyClusterEvent = {ClusterEvent::Kind::AssignedPodAdd,
                                                   ClusterEvent::Kind::AssignedPodDelete, ClusterEvent::Kind::NodeAdd,
                                                   ClusterEvent::Kind::NodeTaintUpdate};

// What the queue sorts by. `timestamp` is the instant of the last (re)insertion, `sequence` its rank in that instant.
struct QueueEntry {
  int32_t priority = 0;
  Time timestamp;
  uint64_t sequence = 0;
};

// What plugins see of the cluster. Amounts are rows by ResourceId, in the units of ClusterModel.
class SchedulerView {
 public:
  // `allocatable` is node-major, like ClusterState::requested.
  SchedulerView(const ClusterModel& model, const ClusterState& state, std::span<const int64_t> allocatable)
      : model_(model), state_(state), allocatable_(allocatable) {}

  size_t node_count() const { return model_.nodes.size(); }
  size_t resource_count() const { return model_.resource_count(); }
  const NodeModel& node(NodeId node) const { return model_.nodes[node]; }
  const PodTemplateModel& pod_template(TemplateId id) const { return model_.templates[id]; }
  const PodState& pod(PodId pod) const { return state_.pods[pod]; }
  std::span<const PodId> pods_on(NodeId node) const { return state_.node_pods[node.value]; }

  bool ready(NodeId node) const { return state_.node_ready[node.value] != 0; }
  std::span<const int64_t> allocatable(NodeId node) const { return row(allocatable_, node); }
  std::span<const int64_t> requested(NodeId node) const { return row(state_.requested, node); }
  int64_t nonzero_cpu(NodeId node) const { return state_.nonzero_cpu[node.value]; }
  int64_t nonzero_memory(NodeId node) const { return state_.nonzero_memory[node.value]; }

 private:
  std::span<const int64_t> row(std::span<const int64_t> table, NodeId node) const {
    return table.subspan(node.value * resource_count(), resource_count());
  }

  const ClusterModel& model_;
  const ClusterState& state_;
  std::span<const int64_t> allocatable_;
};

// What a plugin works out once from the cluster: resolved names, tables by template. Constant after.
struct PluginData {
  virtual ~PluginData() = default;
};

// One plugin's side of one scheduling cycle.
struct PluginContext {
  const SchedulerView& cluster;
  PodId pod;  // invalid while static verdicts are computed
  TemplateId pod_template;
  const PodTemplateModel& model;
  bool gates_removed;             // somebody lifted the pod's scheduling gates
  const PluginData* data;         // from prepare(); nullptr if none
  PolicyMemory* memory;           // from make_memory(); nullptr if none
  std::vector<int64_t>& scratch;  // its own from PreFilter to Permit; keeps its capacity, not its content

  const PodSpec& spec() const { return model.spec; }
  template <class Data>
  const Data& data_as() const {
    return static_cast<const Data&>(*data);
  }
};

// The nodes that PreFilter leaves to look at: all, or those that were named (Kubernetes' PreFilterResult).
class NodeSet {
 public:
  bool all() const { return all_; }
  std::span<const NodeId> nodes() const { return nodes_; }  // ascending; of a set that is not all()
  void reset() {
    all_ = true;
    nodes_.clear();
  }
  // Precondition: `named` is ascending.
  void intersect(std::span<const NodeId> named) {
    if (all_) {
      nodes_.assign(named.begin(), named.end());
    } else {
      std::erase_if(nodes_, [&](NodeId n) { return !std::binary_search(named.begin(), named.end(), n); });
    }
    all_ = false;
  }

 private:
  bool all_ = true;
  std::vector<NodeId> nodes_;
};

// The first plugin that rejected a node, and how.
struct NodeVerdict {
  StatusCode code = StatusCode::Success;
  uint8_t plugin = 0;     // index in the profile
  bool narrowed = false;  // by the plugin's PreFilter, which did not name this node
};

struct PermitOutcome {
  Duration timeout;          // with Wait
  std::vector<PodId> allow;  // waiting pods that may go on now
};

class SchedulerPlugin {
 public:
  virtual ~SchedulerPlugin() = default;

  // The extension points it implements; no others are called.
  virtual ExtensionPoints points() const = 0;

  // Once per run. `kubernetes_minor` is the x of Kubernetes 1.x, for behaviour that changed between versions.
  virtual std::unique_ptr<const PluginData> prepare(const ClusterModel&, int /*kubernetes_minor*/) const { return {}; }
  virtual std::unique_ptr<PolicyMemory> make_memory() const { return {}; }

  virtual StatusCode pre_enqueue(const PluginContext&) const { return StatusCode::Success; }
  // True if `a` is to be tried before `b`. Exactly one plugin of a profile sorts.
  virtual bool less(const QueueEntry& a, const QueueEntry& b) const { return a.sequence < b.sequence; }
  virtual StatusCode pre_filter(PluginContext&, NodeSet&) const { return StatusCode::Success; }
  // Fills one code per node: Success, Unschedulable, UnschedulableAndUnresolvable or Error. They arrive as Success.
  virtual void filter(PluginContext&, std::span<const NodeId>, std::span<StatusCode>) const {}
  // True if filter() reads nothing but the template, the nodes and their readiness: it is then asked once.
  virtual bool filter_is_static() const { return false; }
  // No node is left. Success with a node nominates it: the pod tries it first when it is retried.
  virtual StatusCode post_filter(PluginContext&, std::span<const NodeVerdict>, NodeId& /*nominated*/) const {
    return StatusCode::Unschedulable;
  }
  virtual StatusCode pre_score(PluginContext&, std::span<const NodeId>) const { return StatusCode::Success; }
  // Fills one raw score per node; normalize() brings them into [0, kMaxNodeScore].
  virtual void score(PluginContext&, std::span<const NodeId>, std::span<int64_t>) const {}
  virtual void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t>) const {}
  virtual StatusCode reserve(PluginContext&, NodeId) const { return StatusCode::Success; }
  virtual void unreserve(PluginContext&, NodeId) const {}
  virtual StatusCode permit(PluginContext&, NodeId, PermitOutcome&) const { return StatusCode::Success; }
  virtual StatusCode pre_bind(PluginContext&, NodeId) const { return StatusCode::Success; }
  // Success: the pod is to be bound to the node. Skip: the next Bind plugin decides.
  virtual StatusCode bind(PluginContext&, NodeId) const { return StatusCode::Skip; }

  // Events after which a pod that it rejected may be worth another attempt, and whether this one is.
  virtual ClusterEvents events() const { return kAnyClusterEvent; }
  virtual bool queueing_hint(PluginContext&, const ClusterEvent&) const { return true; }

  // The texts it may give for a rejection, as Kubernetes words them.
  virtual std::vector<std::string> reasons(const ClusterModel&, int /*kubernetes_minor*/) const { return {}; }
  // Appends the indices in reasons() that apply to a node that filter() rejects.
  virtual void node_reasons(PluginContext&, NodeId, std::vector<uint32_t>& out) const { out.push_back(0); }
  // The index in reasons() for a pod rejected as a whole, at any other point.
  virtual uint32_t pod_reason(const PluginContext&, ExtensionPoint) const { return 0; }
};

// Scales so that the largest becomes kMaxNodeScore; all zero stays zero. Reversed, small raw scores become large ones
// (plugins/helper/normalize_score.go).
inline void default_normalize(std::span<int64_t> scores, bool reverse) {
  int64_t max = 0;
  for (int64_t score : scores) max = std::max(max, score);
  for (int64_t& score : scores) {
    if (max > 0) score = kMaxNodeScore * score / max;
    if (reverse) score = kMaxNodeScore - score;
  }
}

}  // namespace kisim

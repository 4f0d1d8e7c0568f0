#pragma once
// Role: one plugin of the scheduling framework, with kube-scheduler's extension points.
//
// Filter and Score take a column of nodes and answer for all of them in one call. A plugin is const: what it works
// out once from the cluster is its PluginData, what it remembers between pods its PolicyMemory, what it needs within
// one cycle the scratch of its PluginContext.

#include "policy/feature_gates.hpp"
#include "policy/memory.hpp"
#include "policy/scheduler_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
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
  enum class Kind : uint8_t {
    AssignedPodAdd,
    AssignedPodDelete,
    AssignedPodUpdateLabel,
    NodeAdd,
    NodeDelete,
    NodeUpdateAllocatable,
    NodeUpdateLabel,
    NodeUpdateTaint,
    UnschedulableTimeout
  };
  Kind kind = Kind::UnschedulableTimeout;
  // Of a node: it, and its objects before and after as entries of ClusterModel::nodes; kNone where there was none.
  static constexpr uint32_t kNone = 0xffffffffu;
  NodeId node;
  uint32_t before = kNone, after = kNone;
  NodeConditions conditions_before, conditions_after;
  // Of an assigned pod: it, what it was stamped from, and where it ran.
  PodId pod;
  TemplateId pod_template;
};
using ClusterEvents = EnumSet<ClusterEvent::Kind>;
inline constexpr ClusterEvents kAnyClusterEvent = {ClusterEvent::Kind::AssignedPodAdd,
                                                   ClusterEvent::Kind::AssignedPodDelete,
                                                   ClusterEvent::Kind::AssignedPodUpdateLabel,
                                                   ClusterEvent::Kind::NodeAdd,
                                                   ClusterEvent::Kind::NodeDelete,
                                                   ClusterEvent::Kind::NodeUpdateAllocatable,
                                                   ClusterEvent::Kind::NodeUpdateLabel,
                                                   ClusterEvent::Kind::NodeUpdateTaint};

// What the queue sorts by. `timestamp` is the instant of the last (re)insertion, `sequence` its rank in that instant.
struct QueueEntry {
  int32_t priority = 0;
  Time timestamp;
  uint64_t sequence = 0;
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
  uint64_t seed, entity;          // of the pod's random streams
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
  uint8_t plugin = 0;      // index in the profile
  bool narrowed = false;   // by the plugin's PreFilter, which did not name this node
  bool nominated = false;  // with the pods that preemption made room for in place
};

// What plugins may ask when they prepare themselves.
struct Preparation {
  const ClusterModel& model;
  int kubernetes_minor;  // the x of Kubernetes 1.x, for behaviour that changed between versions
  const FeatureGates& gates;
  DomainCounters& counters;
};

// What the answer of filter() or score() for one node depends on, beside the pod's template. The framework asks again
// only when it may have changed.
enum class Reads : uint8_t {
  Node,      // the node's object, its readiness; of the template: nodeName, nodeSelector, affinity, tolerations
  NodePods,  // the node, its pods; anything of the template
  Cluster    // anything
};

// Tries what the filters would say if pods came or went. Everything is undone when it goes out of scope.
class FilterDryRun {
 public:
  virtual ~FilterDryRun() = default;
  virtual void remove_pod(PodId pod) = 0;   // from its node
  virtual void restore_pod(PodId pod) = 0;  // one that was removed
  // The verdict for the pod of this cycle, with the pods nominated to the node taken into account.
  virtual NodeVerdict filter(NodeId node) = 0;
};

struct PostFilterResult {
  // The node that the pod tries first when it is retried. Nothing: its nomination stays as it was; an invalid id: it
  // loses it.
  std::optional<NodeId> nominated;
  std::vector<PodId> victims;  // to evict, all on that node, most important first
};

// A change of the pod after which filter() would let it pass on a node, for people and to be tried.
struct Remedy {
  std::string text;  // "tolerate the taint dedicated=ml:NoSchedule"
  std::function<void(PodTemplate&)> apply;
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

  // Once per run.
  virtual std::unique_ptr<const PluginData> prepare(Preparation&) const { return {}; }
  virtual std::unique_ptr<PolicyMemory> make_memory() const { return {}; }

  virtual StatusCode pre_enqueue(const PluginContext&) const { return StatusCode::Success; }
  // True if `a` is to be tried before `b`. Exactly one plugin of a profile sorts.
  virtual bool less(const QueueEntry& a, const QueueEntry& b) const { return a.sequence < b.sequence; }
  virtual StatusCode pre_filter(PluginContext&, NodeSet&) const { return StatusCode::Success; }
  // Fills one code per node: Success, Unschedulable, UnschedulableAndUnresolvable or Error. They arrive as Success.
  virtual void filter(PluginContext&, std::span<const NodeId>, std::span<StatusCode>) const {}
  // For filters and scores that read less than Cluster, Skip must depend on the template alone, that of
  // pre_filter() must mean that every node passes, and filter() must not err.
  virtual Reads filter_reads() const { return Reads::Cluster; }
  // No node is left. `verdicts` are by NodeId. The first plugin that answers Success ends the search for help.
  virtual StatusCode post_filter(PluginContext&, std::span<const NodeVerdict>, FilterDryRun&, PostFilterResult&) const {
    return StatusCode::Unschedulable;
  }
  virtual StatusCode pre_score(PluginContext&, std::span<const NodeId>) const { return StatusCode::Success; }
  // Fills one raw score per node; normalize() brings them into [0, kMaxNodeScore].
  virtual void score(PluginContext&, std::span<const NodeId>, std::span<int64_t>) const {}
  virtual void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t>) const {}
  // Raw scores of plugins that read less than Cluster must fit 32 bits.
  virtual Reads score_reads() const { return Reads::Cluster; }
  // The pod's requests count on the node by now, its GPUs do not. May choose them, as indices; it must if the template
  // asks for gpu_milli and no plugin before it did.
  virtual StatusCode reserve(PluginContext&, NodeId, std::vector<uint16_t>& /*devices*/) const {
    return StatusCode::Success;
  }
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
  // Appends what would have to change of the pod, all of it together, for filter() to let it pass on a node that it
  // rejects. Nothing where no change of the pod helps.
  virtual void remedies(PluginContext&, NodeId, std::vector<Remedy>&) const {}
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

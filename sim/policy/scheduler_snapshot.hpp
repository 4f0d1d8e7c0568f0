#pragma once
// The cluster as the scheduler knows it: columns by node, pods that are bound or assumed, counters by topology domain.
// The scheduler's cache keeps it up to date; plugins read it through SchedulerView.

#include "policy/domain_counter.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kisim {

struct SnapshotPod {
  TemplateId pod_template;
  NodeId node;                    // invalid: not on a node
  NodeId pinned;                  // a DaemonSet's: the only node that it may go to
  uint64_t entity = 0;            // hash of Pod/namespace/name, the address of its random streams
  Time start_time = Time::max();  // status.startTime; max(): not started
  bool terminating = false;       // has a deletionTimestamp
  bool preempted = false;         // has the condition DisruptionTarget with reason PreemptionByScheduler
  NodeId nominated;               // status.nominatedNodeName
  std::vector<uint16_t> devices;  // GPUs of the node that it shares (gpu_milli) or holds
};

struct SchedulerSnapshot {
  // By NodeId. `requested` and `allocatable` are node-major, with a column per resource; kPods counts pods.
  std::vector<uint32_t> version;  // the node's object now, as an entry of ClusterModel::nodes
  std::vector<uint8_t> present;
  std::vector<NodeConditions> conditions;
  std::vector<int64_t> requested, allocatable;
  std::vector<int64_t> nonzero_cpu, nonzero_memory;
  std::vector<std::vector<PodId>> pods;           // in order of arrival
  std::vector<std::vector<PodId>> nominated;      // pods that preemption made room for there
  std::vector<uint64_t> generation;               // of the last change of the node or of what runs on it
  std::vector<std::vector<int32_t>> image_nodes;  // as NodeModel::images: nodes that held it at the node's last change
  std::vector<uint32_t> device_version;           // whose devices the node has, as an entry of ClusterModel::nodes
  // By GPU of the node; nothing of one that is cut or in replicas. An unhealthy one has 1000 less, which leaves
  // nothing.
  std::vector<std::vector<int32_t>> device_free_milli;
  std::vector<std::vector<uint16_t>> device_broken;  // unhealthy GPUs of the node

  std::vector<int64_t> image_bytes;  // by ClusterModel::images: as the first node that holds it says

  // In which nodes are visited: round robin over zones, in the order that zones and their nodes joined. Rebuilt before
  // the next cycle when a node has come or gone, and only then.
  std::vector<NodeId> order;
  struct Zone {
    std::string name;
    std::vector<NodeId> nodes;
  };
  std::vector<Zone> zones;
  bool order_stale = false;

  uint64_t changes = 0;          // source of generations
  std::vector<NodeId> changed;   // nodes with a new generation since the last cycle
  std::vector<int32_t> holders;  // by ClusterModel::images: nodes that hold it now

  IdVector<PodId, SnapshotPod> pod_records;

  // By counter and domain (DomainCounter::first + domain): weighted pods, and nodes that are eligible.
  std::vector<int64_t> counts;
  std::vector<int32_t> domain_nodes;
  // By counter: pods that count, in any domain; domains with at least one eligible node.
  std::vector<int64_t> counted_pods;
  std::vector<int32_t> live_domains;

  // By PodDisruptionBudget: pods that may go now, and those already going that no longer count against it.
  std::vector<int32_t> disruptions_allowed;
  std::vector<std::vector<PodId>> disrupted_pods;
};

// What plugins see of the snapshot.
class SchedulerView {
 public:
  SchedulerView(const ClusterModel& model, const DomainCounters& counters, const SchedulerSnapshot& snapshot)
      : model_(model), counters_(counters), s_(snapshot) {}

  const ClusterModel& model() const { return model_; }
  std::span<const NodeId> nodes() const { return s_.order; }  // that exist, in visiting order
  size_t resource_count() const { return model_.resource_count(); }
  const NodeModel& node(NodeId node) const { return model_.nodes[NodeId(s_.version[node.value])]; }
  uint32_t version(NodeId node) const { return s_.version[node.value]; }
  const PodTemplateModel& pod_template(TemplateId id) const { return model_.templates[id]; }
  const SnapshotPod& pod(PodId pod) const { return s_.pod_records[pod]; }
  const PodTemplateModel& template_of(PodId id) const { return model_.templates[pod(id).pod_template]; }
  std::span<const PodId> pods_on(NodeId node) const { return s_.pods[node.value]; }
  std::span<const PodId> nominated_to(NodeId node) const { return s_.nominated[node.value]; }

  NodeConditions conditions(NodeId node) const { return s_.conditions[node.value]; }
  std::span<const int64_t> allocatable(NodeId node) const { return row(s_.allocatable, node); }
  std::span<const int64_t> requested(NodeId node) const { return row(s_.requested, node); }
  int64_t nonzero_cpu(NodeId node) const { return s_.nonzero_cpu[node.value]; }
  int64_t nonzero_memory(NodeId node) const { return s_.nonzero_memory[node.value]; }
  // Parallel to NodeModel::images: how many nodes held the image when this node last changed.
  std::span<const int32_t> image_nodes(NodeId node) const { return s_.image_nodes[node.value]; }
  int64_t image_bytes(uint32_t image) const { return s_.image_bytes[image]; }
  // Thousandths of each GPU of the node that no pod holds.
  std::span<const int32_t> device_free_milli(NodeId node) const { return s_.device_free_milli[node.value]; }

  // TopologyKey::kAbsent if the node lacks the label.
  int32_t domain(TopologyKeyId key, NodeId node) const { return counters_.key(key).domain[version(node)]; }
  // Precondition of both: domain >= 0.
  int64_t count(CounterId counter, int32_t domain) const { return s_.counts[place(counter, domain)]; }
  // Whether any eligible node is part of the domain.
  bool live(CounterId counter, int32_t domain) const { return s_.domain_nodes[place(counter, domain)] > 0; }
  int64_t counted_pods(CounterId counter) const { return s_.counted_pods[counter.value]; }
  int32_t live_domains(CounterId counter) const { return s_.live_domains[counter.value]; }
  size_t domains(CounterId counter) const { return counters_.key(counters_.counter(counter).key).domains; }

  int32_t disruptions_allowed(size_t budget) const { return s_.disruptions_allowed[budget]; }
  std::span<const PodId> disrupted_pods(size_t budget) const { return s_.disrupted_pods[budget]; }

 private:
  std::span<const int64_t> row(const std::vector<int64_t>& table, NodeId node) const {
    return std::span(table).subspan(node.value * resource_count(), resource_count());
  }
  size_t place(CounterId counter, int32_t domain) const {
    return counters_.counter(counter).first + static_cast<size_t>(domain);
  }

  const ClusterModel& model_;
  const DomainCounters& counters_;
  const SchedulerSnapshot& s_;
};

}  // namespace kisim

#pragma once
// What the scheduler knows of the cluster (pkg/scheduler/backend/cache): nodes as they join, change and leave, pods
// that are bound or assumed. Keeps every column and counter of the snapshot true.

#include "policy/scheduler_snapshot.hpp"

#include <vector>

namespace kisim {

class SchedulerCache {
 public:
  SchedulerCache(const ClusterModel& model, const DomainCounters& counters, SchedulerSnapshot& snapshot)
      : model_(model), counters_(counters), s_(snapshot) {}

  void start();  // no nodes, no pods
  // `version` is the node's object, an entry of ClusterModel::nodes.
  void add_node(NodeId node, uint32_t version);
  void update_node(NodeId node, uint32_t version) { update_node(node, version, version); }
  // With the devices of another version: its own wait until no pod holds one that would be another.
  void update_node(NodeId node, uint32_t version, uint32_t device_version);
  // The pods of the node vanish with it. Pods nominated to it stay so, for the case that it comes back.
  void remove_node(NodeId node);
  void set_conditions(NodeId node, NodeConditions conditions);
  // Other than its object says: devices fail and come back.
  void set_allocatable(NodeId node, std::span<const int64_t> allocatable);
  void set_device_healthy(NodeId node, uint16_t device, bool healthy);

  // Makes room for the record of a pod that is on no node.
  void know_pod(PodId pod, TemplateId pod_template, uint64_t entity, NodeId pinned = {});
  // Precondition: the pod is known and on no node.
  void add_pod(PodId pod, NodeId node);
  void remove_pod(PodId pod);
  void set_start_time(PodId pod, Time start);
  void set_terminating(PodId pod, bool preempted);
  // An invalid node: no longer nominated.
  void nominate(PodId pod, NodeId node);
  // The GPUs that a pod with gpu_milli shares on its node.
  void hold_devices(PodId pod, std::vector<uint16_t> devices);
  // It turned out to hold others.
  void exchange_devices(PodId pod, std::vector<uint16_t> devices);

  // For dry runs: everything but the generations and the pod's record. A pod that is being deleted leaves the counters
  // although it was not counted, as in kube-scheduler's own dry runs.
  void take_off(PodId pod, NodeId node);
  void put_on(PodId pod, NodeId node);
  // The same of a pod that is nominated to the node, and of the GPUs that it will want there.
  void expect(PodId pod, NodeId node);
  void expect_no_more(PodId pod, NodeId node);
  // The pods of the node in their old order, once all are back.
  void set_pods(NodeId node, const std::vector<PodId>& pods);

  // Before each cycle: the node order and the image counts as of now.
  void refresh();

  const SchedulerSnapshot& snapshot() const { return s_; }

 private:
  void charge(TemplateId pod_template, NodeId node, int64_t sign);
  void count(TemplateId pod_template, NodeId node, int64_t sign, bool terminating, bool dry_run = false);
  // The node and its pods, in all counters.
  void count_node(NodeId node, int64_t sign);
  bool eligible(const DomainCounter& counter, NodeId node) const;
  void hold_whole_devices(PodId pod);
  void recount_devices(NodeId node);
  void share_devices(PodId pod, NodeId node, int32_t sign);
  void hold_images(NodeId node, int32_t sign);
  void join_zone(NodeId node);
  void leave_zone(NodeId node, const std::string& zone);
  void rebuild_order();
  void touch(NodeId node);
  const NodeModel& object(NodeId node) const { return model_.nodes[NodeId(s_.version[node.value])]; }

  const ClusterModel& model_;
  const DomainCounters& counters_;
  SchedulerSnapshot& s_;
};

}  // namespace kisim

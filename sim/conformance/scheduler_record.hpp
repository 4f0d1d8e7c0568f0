#pragma once
// The cluster of one record of kube-scheduler's: its objects as of every step, compiled once, with a scheduler's cache
// and cycle that the steps drive by hand.

#include "conformance/records.hpp"
#include "kube/scheduling_cycle.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kisim::conformance {

std::string full_name(const Json& object);  // namespace/name

class SchedulerRecord {
 public:
  explicit SchedulerRecord(const Json& record);

  int minor() const { return minor_; }
  const ClusterModel& cluster() const { return cluster_; }
  const SchedulerModel& model() const { return model_; }
  const KubeSchedulerConfiguration& configuration() const { return configuration_; }
  SchedulerCache& cache() { return *cache_; }
  SchedulingCycle& cycle() { return *cycle_; }

  // Pods in the order of the record: those placed first, then those of the steps.
  PodId next_pod(const Json& object);
  PodId pod(const std::string& full_name) const { return named(pods_, "pod", full_name); }
  std::string pod_name(PodId pod) const { return pod_names_[pod.value]; }
  const PodTemplateModel& pod_template(PodId pod) const { return cluster_.templates[TemplateId(pod.value)]; }
  Time start_time(PodId pod) const { return start_times_[pod.value]; }

  NodeId node(const std::string& name) const { return named(nodes_, "node", name); }
  std::string node_name(NodeId node) const { return cycle_->view().node(node).object.meta.name; }
  // The node of an addNode or updateNode step; the step's object becomes the node's own.
  NodeId add_node(const Json& object);
  ClusterEvent update_node(const Json& object);
  std::vector<std::string> names(std::span<const NodeId> nodes) const;

 private:
  template <class Map>
  typename Map::mapped_type named(const Map& map, const char* what, const std::string& name) const {
    auto found = map.find(name);
    if (found == map.end()) refuse(fmt::format("found {} '{}', which the record does not have", what, name));
    return found->second;
  }
  [[noreturn]] void refuse(const std::string& message) const;
  void read_objects(const Json& record);
  void read_nodes(const Json& record);
  void read_pods(const Json& record);
  Manifests read(const Json& object, std::vector<PriorityClass> classes = {}) const;
  uint32_t next_version() { return next_version_++; }

  std::string id_;
  int minor_ = 34;
  FeatureGates gates_;
  KubeSchedulerConfiguration configuration_;
  Manifests objects_;  // all but nodes and pods
  ClusterBuilder builder_{{}};
  ClusterModel cluster_;
  SchedulerModel model_;
  SchedulerSnapshot snapshot_;
  PluginMemories memory_;
  std::unique_ptr<SchedulerCache> cache_;
  std::unique_ptr<SchedulingCycle> cycle_;
  std::map<std::string, NodeId> nodes_;
  std::map<std::string, PodId> pods_;
  std::vector<std::string> pod_names_;
  std::vector<Time> start_times_;
  uint32_t next_version_ = 0;
  size_t next_pod_ = 0, slots_ = 0;
};

}  // namespace kisim::conformance

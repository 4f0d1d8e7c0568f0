#pragma once
// What the plugins that score by resources share: their listed resources as columns, and the columns of all nodes.

#include "policy/scheduler.hpp"
#include "policy/scheduler_args.hpp"

#include <vector>

namespace kisim {

// One listed resource that some node or pod of the cluster knows. The others never count.
struct WeighedResource {
  ResourceId id;
  int64_t weight = 1;
  bool scalar = false;  // neither cpu, memory nor ephemeral-storage: does not count for a pod that does not request it
};

// The number of pods is no resource that could be weighed: kube-scheduler leaves it out if listed.
inline std::vector<WeighedResource> resolve(const std::vector<ResourceWeight>& listed, const ClusterModel& model) {
  std::vector<WeighedResource> out;
  for (const ResourceWeight& entry : listed)
    for (size_t r = 0; r < model.resources.size(); ++r)
      if (model.resources[r] == entry.name && r != kPods.value)
        out.push_back({ResourceId(r), entry.weight, r > kPods.value});
  return out;
}

// Where the rows of nodes begin, looked up once per call. Precondition: the cluster has had a node.
class NodeRows {
 public:
  explicit NodeRows(const SchedulerView& cluster)
      : width_(cluster.resource_count()),
        allocatable_(cluster.allocatable(NodeId(0u)).data()),
        requested_(cluster.requested(NodeId(0u)).data()) {}

  const int64_t* allocatable(NodeId node) const { return allocatable_ + node.value * width_; }
  const int64_t* requested(NodeId node) const { return requested_ + node.value * width_; }

 private:
  size_t width_;
  const int64_t *allocatable_, *requested_;
};

}  // namespace kisim

#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "resource_weights.hpp"

namespace kisim {
namespace {

struct Request {
  ResourceId resource;
  int64_t amount = 0;  // > 0
};

struct FitData : PluginData {
  IdVector<TemplateId, std::vector<Request>> requests;
  std::vector<WeighedResource> scored;
};

constexpr uint32_t kTooManyPods = 0;  // of reasons(); resource r follows at 1 + r

// noderesources/least_allocated.go, most_allocated.go: integer division, as there.
int64_t least_allocated(int64_t requested, int64_t capacity) {
  return requested > capacity ? 0 : (capacity - requested) * kMaxNodeScore / capacity;
}
int64_t most_allocated(int64_t requested, int64_t capacity) {
  return std::min(requested, capacity) * kMaxNodeScore / capacity;
}

class NodeResourcesFit : public SchedulerPlugin {
 public:
  explicit NodeResourcesFit(const Params& params)
      : resource_score_(params.text("scoringStrategy") == "MostAllocated" ? most_allocated : least_allocated),
        resources_(parse_resource_weights("NodeResourcesFit", params.text("resources"))) {}

  ExtensionPoints points() const override { return {ExtensionPoint::Filter, ExtensionPoint::Score}; }

  std::unique_ptr<const PluginData> prepare(const ClusterModel& model, int) const override {
    auto data = std::make_unique<FitData>();
    for (const PodTemplateModel& t : model.templates) {
      std::vector<Request> requests;
      for (size_t r = 0; r < t.request.size(); ++r)
        if (t.request[r] > 0) requests.push_back({ResourceId(r), t.request[r]});
      data->requests.push_back(std::move(requests));
    }
    data->scored = resolve(resources_, model);
    return data;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const std::vector<Request>& requests = c.data_as<FitData>().requests[c.pod_template];
    for (size_t i = 0; i < nodes.size(); ++i)
      codes[i] = verdict(requests, c.cluster.allocatable(nodes[i]), c.cluster.requested(nodes[i]));
  }

  // Weighted mean over the listed resources. cpu and memory count as non-zero requests.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    for (size_t i = 0; i < nodes.size(); ++i) {
      std::span<const int64_t> allocatable = c.cluster.allocatable(nodes[i]);
      int64_t sum = 0, weights = 0;
      for (const WeighedResource& r : c.data_as<FitData>().scored) {
        int64_t capacity = allocatable[r.id.value];
        if (capacity == 0 || (r.scalar && c.model.request[r.id.value] == 0)) continue;
        sum += resource_score_(requested_with_pod(c, nodes[i], r.id), capacity) * r.weight;
        weights += r.weight;
      }
      scores[i] = weights == 0 ? 0 : sum / weights;
    }
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::AssignedPodDelete, ClusterEvent::Kind::NodeAdd}; }
  // A node that comes helps only if the pod would fit it empty.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    if (event.kind == ClusterEvent::Kind::AssignedPodDelete) return true;
    std::span<const int64_t> allocatable = c.cluster.allocatable(event.node);
    const std::vector<Request>& requests = c.data_as<FitData>().requests[c.pod_template];
    return allocatable[kPods.value] >= 1 && std::all_of(requests.begin(), requests.end(), [&](const Request& r) {
             return r.amount <= allocatable[r.resource.value];
           });
  }

  std::vector<std::string> reasons(const ClusterModel& model, int) const override {
    std::vector<std::string> texts{"Too many pods"};
    for (const std::string& name : model.resources) texts.push_back("Insufficient " + name);
    return texts;
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    for_each_shortage(c.data_as<FitData>().requests[c.pod_template], c.cluster.allocatable(node),
                      c.cluster.requested(node), [&](uint32_t reason, bool) { out.push_back(reason); });
  }

 private:
  // Calls back with the reason and whether the node is too small even when empty.
  template <class Callback>
  static void for_each_shortage(const std::vector<Request>& requests, std::span<const int64_t> allocatable,
                                std::span<const int64_t> requested, Callback&& callback) {
    if (requested[kPods.value] + 1 > allocatable[kPods.value]) callback(kTooManyPods, false);
    for (const Request& r : requests) {
      int64_t capacity = allocatable[r.resource.value];
      if (r.amount > capacity - requested[r.resource.value]) callback(1 + r.resource.value, r.amount > capacity);
    }
  }

  static StatusCode verdict(const std::vector<Request>& requests, std::span<const int64_t> allocatable,
                            std::span<const int64_t> requested) {
    StatusCode code = StatusCode::Success;
    for_each_shortage(requests, allocatable, requested, [&](uint32_t, bool too_small) {
      if (code == StatusCode::UnschedulableAndUnresolvable) return;
      code = too_small ? StatusCode::UnschedulableAndUnresolvable : StatusCode::Unschedulable;
    });
    return code;
  }

  static int64_t requested_with_pod(const PluginContext& c, NodeId node, ResourceId resource) {
    if (resource == kCpu) return c.cluster.nonzero_cpu(node) + c.model.nonzero_cpu;
    if (resource == kMemory) return c.cluster.nonzero_memory(node) + c.model.nonzero_memory;
    return c.cluster.requested(node)[resource.value] + c.model.request[resource.value];
  }

  int64_t (*resource_score_)(int64_t requested, int64_t capacity);
  std::vector<ResourceWeight> resources_;
};

KISIM_POLICY(SchedulerPlugin, "NodeResourcesFit", "room for the pod's requests; scores free or used resources",
             {{"scoringStrategy",
               ParamSpec::Type::Text,
               "LeastAllocated",
               "prefer empty or full nodes",
               {},
               {},
               {"LeastAllocated", "MostAllocated"}},
              {"resources", ParamSpec::Type::Text, "cpu:1,memory:1", "resources scored, name:weight", {}, {}, {}}},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeResourcesFit>(params);
             });

}  // namespace
}  // namespace kisim

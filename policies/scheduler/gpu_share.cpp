#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

#include <fmt/ranges.h>

namespace kisim {
namespace {

const std::string kMilliKey = "alibabacloud.com/gpu-milli";
const std::string kCountKey = "alibabacloud.com/gpu-count";

enum Reason : uint32_t { kTooLittleFree, kOtherModel };

// Whether a pod accepts the GPU model of a node, by template and entry of ClusterModel::nodes.
struct AcceptedModels : PluginData {
  IdVector<TemplateId, std::vector<uint8_t>> accepted;  // empty: any
};

bool accepts(const PodTemplateModel& pod, const Node& node) {
  const std::vector<std::string>& models = pod.gpu_products;
  return models.empty() || std::find(models.begin(), models.end(), gpu_product(node)) != models.end();
}

void set_annotation(PodTemplate& pod, const std::string& key, const std::string& value) {
  auto at = std::lower_bound(pod.annotations.begin(), pod.annotations.end(), key,
                             [](const auto& entry, const std::string& k) { return entry.first < k; });
  if (at == pod.annotations.end() || at->first != key) at = pod.annotations.insert(at, {key, ""});
  at->second = value;
}

Remedy annotate(const std::string& text, const std::string& key, const std::string& value) {
  return {text, [key, value](PodTemplate& pod) { set_annotation(pod, key, value); }};
}

// Enough devices with enough left for a pod that asks for GPUs, of a model that it accepts. Where no other plugin has
// an idea, pods that share take the fullest of them. Filter of the scheduler simulator of Weng et al., ATC'23.
class GpuShare : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::Reserve};
  }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<AcceptedModels>();
    for (const PodTemplateModel& pod : p.model.templates) {
      std::vector<uint8_t> row;
      if (!pod.gpu_products.empty())
        for (const NodeModel& node : p.model.nodes) row.push_back(accepts(pod, node.object));
      data->accepted.push_back(std::move(row));
    }
    return data;
  }

  StatusCode pre_filter(PluginContext& c, NodeSet&) const override {
    return gpu_request(c.model).count > 0 ? StatusCode::Success : StatusCode::Skip;
  }

  Reads filter_reads() const override { return Reads::NodePods; }
  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const std::vector<uint8_t>& accepted = c.data_as<AcceptedModels>().accepted[c.pod_template];
    GpuRequest request = gpu_request(c.model);
    for (size_t i = 0; i < nodes.size(); ++i) {
      bool wanted = accepted.empty() || accepted[c.cluster.version(nodes[i])];
      if (wanted && has_room(c.cluster.device_free_milli(nodes[i]), request)) continue;
      codes[i] = fits_empty(c, c.cluster.version(nodes[i])) ? StatusCode::Unschedulable
                                                            : StatusCode::UnschedulableAndUnresolvable;
    }
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (chooses_devices(c.model) && devices.empty())
      choose_tightest(c.cluster.device_free_milli(node), gpu_request(c.model), devices);
    return StatusCode::Success;
  }

  ClusterEvents events() const override {
    return {ClusterEvent::Kind::AssignedPodDelete, ClusterEvent::Kind::NodeAdd,
            ClusterEvent::Kind::NodeUpdateAllocatable, ClusterEvent::Kind::NodeUpdateLabel};
  }
  // A pod that goes must give back some GPU; a node must be one that would hold the pod if it were empty.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    if (event.kind == ClusterEvent::Kind::AssignedPodDelete)
      return gpu_request(c.cluster.pod_template(event.pod_template)).count > 0;
    return fits_empty(c, event.after);
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't have enough free GPU", "node(s) didn't match Pod's GPU model"};
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    if (!has_room(c.cluster.device_free_milli(node), gpu_request(c.model))) out.push_back(kTooLittleFree);
    if (!accepts(c.model, c.cluster.node(node).object)) out.push_back(kOtherModel);
  }

  // Requests for nvidia.com/gpu are not its own to change.
  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    std::span<const int32_t> free = c.cluster.device_free_milli(node);
    GpuRequest request = gpu_request(c.model), most = largest_of_kind(free, request);
    if (!chooses_devices(c.model) || most.total() == 0) return;
    const Node& object = c.cluster.node(node).object;
    if (!accepts(c.model, object))
      out.push_back(annotate("accept the GPU model " + gpu_product(object), kGpuCardModel,
                             fmt::format("{}|{}", fmt::join(c.model.gpu_products, "|"), gpu_product(object))));
    if (most.milli < request.milli)
      out.push_back(annotate(fmt::format("ask for at most {} {} instead of {}", most.milli, kMilliKey, request.milli),
                             kMilliKey, std::to_string(most.milli)));
    if (most.count < request.count)
      out.push_back(annotate(fmt::format("ask for at most {} {} instead of {}", most.count, kCountKey, request.count),
                             kCountKey, std::to_string(most.count)));
  }

 private:
  static bool fits_empty(const PluginContext& c, uint32_t version) {
    const NodeModel& node = c.cluster.model().nodes[NodeId(version)];
    GpuRequest request = gpu_request(c.model);
    return request.milli <= kWholeGpuMilli && request.count <= static_cast<int64_t>(node.whole_gpus()) &&
           accepts(c.model, node.object);
  }

  // What could be had of the node with less of one device, or fewer devices, than requested.
  static GpuRequest largest_of_kind(std::span<const int32_t> free, GpuRequest request) {
    auto most = free.empty() ? 0 : *std::max_element(free.begin(), free.end());
    if (request.count == 1) return {std::min(request.milli, most), 1};
    auto enough = std::count_if(free.begin(), free.end(), [&](int32_t f) { return f >= request.milli; });
    return {request.milli, std::min(request.count, static_cast<int32_t>(enough))};
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuShare", "room on the GPUs for the share that a pod asks for, and the tightest there",
             {}, [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuShare>(); });

}  // namespace
}  // namespace kisim

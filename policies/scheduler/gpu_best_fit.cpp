#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Nodes that the pod leaves the least room on: 100 (1 - (cpu_left / 128000 + gpu_left / 8000) / 2), truncated, then
// spread over 0 … 100 (the best fit of Protean, OSDI'20, as compared in ATC'23).
class GpuBestFit : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  Reads score_reads() const override { return Reads::NodePods; }
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    int64_t cpu_req = c.model.request[kCpu.value], gpu_req = gpu_request(c.model).total();
    for (size_t i = 0; i < nodes.size(); ++i) {
      int64_t cpu_free = c.cluster.allocatable(nodes[i])[kCpu.value] - c.cluster.requested(nodes[i])[kCpu.value];
      int64_t gpu_free = sum_milli(c.cluster.device_free_milli(nodes[i]));
      double left = static_cast<double>(cpu_free - cpu_req) / kScaleCpuMilli +
                    static_cast<double>(gpu_free - gpu_req) / kScaleGpuMilli;
      auto score = static_cast<int64_t>(static_cast<double>(kMaxNodeScore) * (1 - left / 2));
      scores[i] = std::clamp<int64_t>(score, 0, kMaxNodeScore);
    }
  }
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    auto [min, max] = std::minmax_element(scores.begin(), scores.end());
    int64_t low = *min, range = *max - low;
    for (int64_t& score : scores) score = range == 0 ? 0 : (score - low) * kMaxNodeScore / range;
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (chooses_devices(c.model)) choose_tightest(c.cluster.device_free_milli(node), gpu_request(c.model), devices);
    return StatusCode::Success;
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuBestFit", "nodes that the pod leaves the least CPU and GPU on", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuBestFit>(); });

}  // namespace
}  // namespace kisim

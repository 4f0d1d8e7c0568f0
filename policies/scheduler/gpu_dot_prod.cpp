#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Nodes whose free amounts point the least in the direction of the request (the dot product of Tetris, SIGCOMM'14, as
// compared in ATC'23): 100 (1 - (cpu_free cpu_req / 128000² + gpu_free gpu_req / 8000²) / 2), truncated.
class GpuDotProd : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  Reads score_reads() const override { return Reads::NodePods; }
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    double cpu_req = static_cast<double>(c.model.request[kCpu.value]) / kScaleCpuMilli;
    double gpu_req = static_cast<double>(gpu_request(c.model).total()) / kScaleGpuMilli;
    for (size_t i = 0; i < nodes.size(); ++i) {
      int64_t cpu_free = c.cluster.allocatable(nodes[i])[kCpu.value] - c.cluster.requested(nodes[i])[kCpu.value];
      int64_t gpu_free = sum_milli(c.cluster.device_free_milli(nodes[i]));
      double product = static_cast<double>(cpu_free) / kScaleCpuMilli * cpu_req +
                       static_cast<double>(gpu_free) / kScaleGpuMilli * gpu_req;
      auto score = static_cast<int64_t>(static_cast<double>(kMaxNodeScore) * (1 - product / 2));
      scores[i] = std::clamp<int64_t>(score, 0, kMaxNodeScore);
    }
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (chooses_devices(c.model)) choose_tightest(c.cluster.device_free_milli(node), gpu_request(c.model), devices);
    return StatusCode::Success;
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuDotProd", "nodes whose free CPU and GPU resemble the request the least", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuDotProd>(); });

}  // namespace
}  // namespace kisim

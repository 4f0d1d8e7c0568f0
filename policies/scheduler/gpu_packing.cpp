#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Devices in use before free devices, these before free nodes (the packing of MLaaS in the Wild, NSDI'22, as compared
// in ATC'23). Pods without GPUs score 0 everywhere.
class GpuPacking : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  Reads score_reads() const override { return Reads::NodePods; }
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    GpuRequest request = gpu_request(c.model);
    for (size_t i = 0; i < nodes.size(); ++i)
      scores[i] = request.count > 0 ? packing(c.cluster.device_free_milli(nodes[i]), request) : 0;
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (chooses_devices(c.model)) choose_tightest(c.cluster.device_free_milli(node), gpu_request(c.model), devices);
    return StatusCode::Success;
  }

 private:
  // Free nodes score at most 33, the smaller the more; nodes in use of which the pod takes free devices at most 50, the
  // fewer the more; others lose a point for every tenth that is free of the device taken, down to 50.
  static int64_t packing(std::span<const int32_t> free, GpuRequest request) {
    auto devices = static_cast<int64_t>(free.size());
    if (std::count(free.begin(), free.end(), kWholeGpuMilli) == devices) return std::max(33 - devices, devices);
    int32_t taken = tightest_fit(free, request.milli);
    if (taken == kWholeGpuMilli) return std::max(50 - request.count, 33);
    return std::max(100 - taken / 100, 50);
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuPacking", "devices in use before free devices, these before free nodes", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuPacking>(); });

}  // namespace
}  // namespace kisim

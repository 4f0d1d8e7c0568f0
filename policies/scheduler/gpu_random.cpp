#include "core/random.hpp"
#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Any node that fits and any of its devices, each equally likely. The stream's first number chooses the device, so that
// the choice does not hang on how many numbers the node took.
class GpuRandom : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    Stream stream(c.seed, c.entity, Purpose::Policy);
    stream.uniform();
    std::fill(scores.begin(), scores.end(), 0);
    scores[stream.below(static_cast<uint32_t>(nodes.size()))] = kMaxNodeScore;
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (!chooses_devices(c.model)) return StatusCode::Success;
    GpuRequest request = gpu_request(c.model);
    std::span<const int32_t> free = c.cluster.device_free_milli(node);
    devices.clear();
    for (size_t d = 0; d < free.size(); ++d)
      if (free[d] >= request.milli) devices.push_back(static_cast<uint16_t>(d));
    if (request.count == 1) {
      double draw = Stream(c.seed, c.entity, Purpose::Policy).uniform();
      devices.front() = devices[static_cast<size_t>(draw * static_cast<double>(devices.size()))];
    }
    devices.resize(static_cast<size_t>(request.count));  // several are whole ones, and alike
    return StatusCode::Success;
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuRandom", "any node and any device that fits, each equally likely", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuRandom>(); });

}  // namespace
}  // namespace kisim

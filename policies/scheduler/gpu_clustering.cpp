#include "gpu_devices.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Pods of one kind, by how much GPU they ask for, beside each other (the clustering of Gandiva, OSDI'18, as compared in
// ATC'23). Pods without GPUs score 0 everywhere.
class GpuClustering : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  Reads score_reads() const override { return Reads::NodePods; }
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    Kinds own = kind_of(gpu_request(c.model));
    if (own == 0) return std::fill(scores.begin(), scores.end(), 0);
    for (size_t i = 0; i < nodes.size(); ++i) {
      double used = kScaleGpuMilli - static_cast<double>(sum_milli(c.cluster.device_free_milli(nodes[i])));
      auto packing = std::max<int64_t>(static_cast<int64_t>(25 * used / kScaleGpuMilli), 0);
      scores[i] = company(own, kinds_on(c.cluster, nodes[i])) + packing;
    }
  }

  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (chooses_devices(c.model)) choose_tightest(c.cluster.device_free_milli(node), gpu_request(c.model), devices);
    return StatusCode::Success;
  }

 private:
  using Kinds = uint64_t;  // bit 0: a part of a device; bit k: k devices, 63 standing for more, too

  static Kinds kind_of(GpuRequest request) {
    if (request.count == 0) return 0;
    return Kinds{1} << (request.part_of_one() ? 0 : std::min(request.count, 63));
  }
  static Kinds kinds_on(const SchedulerView& cluster, NodeId node) {
    Kinds kinds = 0;
    for (PodId pod : cluster.pods_on(node)) kinds |= kind_of(gpu_request(cluster.template_of(pod)));
    return kinds;
  }
  static int64_t company(Kinds own, Kinds on_node) {
    if (on_node == own) return 75;
    if (on_node & own) return 50;
    return on_node == 0 ? 25 : 0;
  }
};

KISIM_POLICY(SchedulerPlugin, "GpuClustering", "pods that ask for as much GPU beside each other", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<GpuClustering>(); });

}  // namespace
}  // namespace kisim

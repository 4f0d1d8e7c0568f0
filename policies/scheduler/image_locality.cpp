#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// Bounds of what the images on a node are worth: below, a node might as well hold none.
constexpr int64_t kMinBytes = 23ll << 20, kMaxBytesPerContainer = 1000ll << 20;

struct ImageData : PluginData {
  std::vector<uint8_t> held;  // by ClusterModel::images: on some node
};

// plugins/imagelocality/image_locality.go
class ImageLocality : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Score}; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<ImageData>();
    data->held.resize(p.model.images.size(), 0);
    for (const NodeModel& node : p.model.nodes)
      for (const NodeModel::Image& image : node.images) data->held[image.image] = 1;
    return data;
  }

  // The bytes of the pod's images that the node holds, less for those that few nodes hold.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    std::fill(scores.begin(), scores.end(), 0);
    const std::vector<uint8_t>& held = c.data_as<ImageData>().held;
    if (std::none_of(c.model.images.begin(), c.model.images.end(), [&](uint32_t i) { return held[i] != 0; })) return;
    auto containers = static_cast<int64_t>(c.spec().containers.size() + c.spec().init_containers.size());
    int64_t most = kMaxBytesPerContainer * containers;
    for (size_t i = 0; i < nodes.size(); ++i) {
      int64_t sum = std::clamp(bytes_on(c, nodes[i]), kMinBytes, most);
      scores[i] = kMaxNodeScore * (sum - kMinBytes) / (most - kMinBytes);
    }
  }

 private:
  static int64_t bytes_on(const PluginContext& c, NodeId node) {
    const std::vector<NodeModel::Image>& images = c.cluster.node(node).images;
    if (images.empty()) return 0;
    std::span<const int32_t> holders = c.cluster.image_nodes(node);
    auto nodes = static_cast<double>(c.cluster.nodes().size());
    int64_t sum = 0;
    for (uint32_t wanted : c.model.images) {
      auto at = std::lower_bound(images.begin(), images.end(), wanted,
                                 [](const NodeModel::Image& image, uint32_t id) { return image.image < id; });
      if (at == images.end() || at->image != wanted) continue;
      double spread = holders[static_cast<size_t>(at - images.begin())] / nodes;
      sum += static_cast<int64_t>(static_cast<double>(c.cluster.image_bytes(wanted)) * spread);
    }
    return sum;
  }
};

KISIM_POLICY(SchedulerPlugin, "ImageLocality", "nodes that already hold the pod's images", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<ImageLocality>(); });

}  // namespace
}  // namespace kisim

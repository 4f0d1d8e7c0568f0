#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

class NodeName : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Filter}; }
  bool filter_is_static() const override { return true; }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!fits(c, nodes[i])) codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd}; }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override { return fits(c, event.node); }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match the requested node name"};
  }

 private:
  static bool fits(const PluginContext& c, NodeId node) {
    const std::string& wanted = c.spec().node_name;
    return wanted.empty() || wanted == c.cluster.node(node).object.meta.name;
  }
};

KISIM_POLICY(SchedulerPlugin, "NodeName", "only the node that spec.nodeName names", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<NodeName>(); });

}  // namespace
}  // namespace kisim

#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// plugins/nodename/node_name.go
class NodeName : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Filter}; }
  Reads filter_reads() const override { return Reads::Node; }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const std::string& wanted = c.spec().node_name;
    if (wanted.empty()) return;
    for (size_t i = 0; i < nodes.size(); ++i)
      if (c.cluster.node(nodes[i]).object.meta.name != wanted) codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd}; }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match the requested node name"};
  }
  void remedies(PluginContext& c, NodeId, std::vector<Remedy>& out) const override {
    out.push_back({"drop nodeName " + c.spec().node_name, [](PodTemplate& pod) { pod.spec.node_name.clear(); }});
  }
};

KISIM_POLICY(SchedulerPlugin, "NodeName", "only the node that spec.nodeName names", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<NodeName>(); });

}  // namespace
}  // namespace kisim

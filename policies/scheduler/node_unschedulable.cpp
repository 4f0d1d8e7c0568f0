#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

class NodeUnschedulable : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Filter}; }
  bool filter_is_static() const override { return true; }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    if (tolerates(c.spec())) return;
    for (size_t i = 0; i < nodes.size(); ++i)
      if (c.cluster.node(nodes[i]).object.unschedulable) codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd}; }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    return !c.cluster.node(event.node).object.unschedulable || tolerates(c.spec());
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override { return {"node(s) were unschedulable"}; }

 private:
  static bool tolerates(const PodSpec& spec) {
    const Taint taint{"node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule};
    return std::any_of(spec.tolerations.begin(), spec.tolerations.end(),
                       [&](const Toleration& t) { return t.tolerates(taint); });
  }
};

KISIM_POLICY(SchedulerPlugin, "NodeUnschedulable", "no node that is cordoned", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeUnschedulable>();
             });

}  // namespace
}  // namespace kisim

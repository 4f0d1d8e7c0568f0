#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "taints.hpp"

namespace kisim {
namespace {

// plugins/nodeunschedulable/node_unschedulable.go
class NodeUnschedulable : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Filter}; }
  Reads filter_reads() const override { return Reads::Node; }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    if (tolerated(c.spec(), unschedulable_taint())) return;
    for (size_t i = 0; i < nodes.size(); ++i)
      if (c.cluster.node(nodes[i]).object.unschedulable || c.cluster.conditions(nodes[i]).any_of(kNodeCordoned))
        codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd, ClusterEvent::Kind::NodeUpdateTaint}; }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    auto cordoned = [&](uint32_t entry, NodeConditions conditions) {
      return c.cluster.model().nodes[NodeId(entry)].object.unschedulable || conditions.any_of(kNodeCordoned);
    };
    return (event.before == ClusterEvent::kNone || cordoned(event.before, event.conditions_before)) &&
           !cordoned(event.after, event.conditions_after);
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override { return {"node(s) were unschedulable"}; }
  void remedies(PluginContext&, NodeId, std::vector<Remedy>& out) const override {
    out.push_back({"tolerate the taint " + taint_text(unschedulable_taint()),
                   [](PodTemplate& pod) { pod.spec.tolerations.push_back(toleration_of(unschedulable_taint())); }});
  }
};

KISIM_POLICY(SchedulerPlugin, "NodeUnschedulable", "no node that is cordoned", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeUnschedulable>();
             });

}  // namespace
}  // namespace kisim

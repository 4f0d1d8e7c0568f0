#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

bool keeps_pods_away(const Taint& taint) { return taint.effect != TaintEffect::PreferNoSchedule; }

bool tolerated(const PodSpec& spec, const Taint& taint) {
  return std::any_of(spec.tolerations.begin(), spec.tolerations.end(),
                     [&](const Toleration& t) { return t.tolerates(taint); });
}

// What the node lifecycle controller puts on a node that is not ready.
const Taint& not_ready() {
  static const Taint taint{"node.kubernetes.io/not-ready", "", TaintEffect::NoSchedule};
  return taint;
}

// nullptr if the pod tolerates every NoSchedule and NoExecute taint of the node.
const Taint* first_untolerated(const PodSpec& spec, const Node& node, bool ready) {
  for (const Taint& taint : node.taints)
    if (keeps_pods_away(taint) && !tolerated(spec, taint)) return &taint;
  return ready || tolerated(spec, not_ready()) ? nullptr : &not_ready();
}

// Kubernetes before 1.35 names the taint.
std::string named_reason(const Taint& taint) {
  return fmt::format("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value);
}

struct TaintReasons : PluginData {
  std::vector<std::string> texts;
};

TaintReasons reasons_of(const ClusterModel& model, int kubernetes_minor) {
  TaintReasons out;
  if (kubernetes_minor >= 35) {
    out.texts = {"node(s) had untolerated taint(s)"};
    return out;
  }
  out.texts = {named_reason(not_ready())};
  for (const NodeModel& node : model.nodes)
    for (const Taint& taint : node.object.taints)
      if (keeps_pods_away(taint)) out.texts.push_back(named_reason(taint));
  std::sort(out.texts.begin(), out.texts.end());
  out.texts.erase(std::unique(out.texts.begin(), out.texts.end()), out.texts.end());
  return out;
}

class TaintToleration : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Filter, ExtensionPoint::Score}; }
  bool filter_is_static() const override { return true; }

  std::unique_ptr<const PluginData> prepare(const ClusterModel& model, int kubernetes_minor) const override {
    return std::make_unique<TaintReasons>(reasons_of(model, kubernetes_minor));
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!fits(c, nodes[i], c.cluster.ready(nodes[i]))) codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  // The number of PreferNoSchedule taints that the pod does not tolerate.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const std::vector<Taint>& taints = c.cluster.node(nodes[i]).object.taints;
      scores[i] = std::count_if(taints.begin(), taints.end(),
                                [&](const Taint& t) { return !keeps_pods_away(t) && !tolerated(c.spec(), t); });
    }
  }
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    default_normalize(scores, true);
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd, ClusterEvent::Kind::NodeTaintUpdate}; }
  // An update helps only where the taint that has gone was the one in the way.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    if (!fits(c, event.node, c.cluster.ready(event.node))) return false;
    return event.kind == ClusterEvent::Kind::NodeAdd || !fits(c, event.node, false);
  }

  std::vector<std::string> reasons(const ClusterModel& model, int kubernetes_minor) const override {
    return reasons_of(model, kubernetes_minor).texts;
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    const std::vector<std::string>& texts = c.data_as<TaintReasons>().texts;
    if (texts.size() == 1) return out.push_back(0);
    const Taint* taint = first_untolerated(c.spec(), c.cluster.node(node).object, c.cluster.ready(node));
    auto at = std::lower_bound(texts.begin(), texts.end(), named_reason(*taint));
    out.push_back(static_cast<uint32_t>(at - texts.begin()));
  }

 private:
  static bool fits(const PluginContext& c, NodeId node, bool ready) {
    return !first_untolerated(c.spec(), c.cluster.node(node).object, ready);
  }
};

KISIM_POLICY(SchedulerPlugin, "TaintToleration", "no node with a taint that the pod does not tolerate; few soft ones",
             {}, [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<TaintToleration>();
             });

}  // namespace
}  // namespace kisim

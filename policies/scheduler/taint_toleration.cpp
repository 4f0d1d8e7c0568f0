#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "taints.hpp"

namespace kisim {
namespace {

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
  for (int bit = 0; bit < kNodeConditionCount; ++bit)
    if (keeps_pods_away(condition_taint(bit))) out.texts.push_back(named_reason(condition_taint(bit)));
  for (const NodeModel& node : model.nodes)
    for (const Taint& taint : node.object.taints)
      if (keeps_pods_away(taint)) out.texts.push_back(named_reason(taint));
  std::sort(out.texts.begin(), out.texts.end());
  out.texts.erase(std::unique(out.texts.begin(), out.texts.end()), out.texts.end());
  return out;
}

Remedy tolerate(const Taint& taint) {
  return {"tolerate the taint " + taint_text(taint),
          [taint](PodTemplate& pod) { pod.spec.tolerations.push_back(toleration_of(taint)); }};
}

// plugins/tainttoleration/taint_toleration.go
class TaintToleration : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override {
    return {ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }
  Reads filter_reads() const override { return Reads::Node; }
  Reads score_reads() const override { return Reads::Node; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    return std::make_unique<TaintReasons>(reasons_of(p.model, p.kubernetes_minor));
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    for (size_t i = 0; i < nodes.size(); ++i)
      if (first_untolerated(c.spec(), c.cluster.node(nodes[i]).object, c.cluster.conditions(nodes[i])))
        codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  // The number of PreferNoSchedule taints that the pod does not tolerate.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const std::vector<Taint>& taints = c.cluster.node(nodes[i]).object.taints;
      auto counts = [&](const Taint& t) { return !keeps_pods_away(t) && !tolerated(c.spec(), t); };
      scores[i] = std::count_if(taints.begin(), taints.end(), counts);
      for_each_taint(c.cluster.conditions(nodes[i]), [&](const Taint& t) { scores[i] += counts(t); });
    }
  }
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    default_normalize(scores, true);
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd, ClusterEvent::Kind::NodeUpdateTaint}; }
  // An update helps only where what has gone was in the way.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    auto fits = [&](uint32_t entry, NodeConditions conditions) {
      return !first_untolerated(c.spec(), c.cluster.model().nodes[NodeId(entry)].object, conditions);
    };
    bool fitted = event.before != ClusterEvent::kNone && fits(event.before, event.conditions_before);
    return !fitted && fits(event.after, event.conditions_after);
  }

  std::vector<std::string> reasons(const ClusterModel& model, int kubernetes_minor) const override {
    return reasons_of(model, kubernetes_minor).texts;
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    const std::vector<std::string>& texts = c.data_as<TaintReasons>().texts;
    if (texts.size() == 1) return out.push_back(0);
    const Taint* taint = first_untolerated(c.spec(), c.cluster.node(node).object, c.cluster.conditions(node));
    auto at = std::lower_bound(texts.begin(), texts.end(), named_reason(*taint));
    out.push_back(static_cast<uint32_t>(at - texts.begin()));
  }
  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    for (const Taint& taint : c.cluster.node(node).object.taints)
      if (keeps_pods_away(taint) && !tolerated(c.spec(), taint)) out.push_back(tolerate(taint));
    for_each_taint(c.cluster.conditions(node), [&](const Taint& taint) {
      if (keeps_pods_away(taint) && !tolerated(c.spec(), taint)) out.push_back(tolerate(taint));
    });
  }
};

KISIM_POLICY(SchedulerPlugin, "TaintToleration", "no node with a taint that the pod does not tolerate; few soft ones",
             {}, [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<TaintToleration>();
             });

}  // namespace
}  // namespace kisim

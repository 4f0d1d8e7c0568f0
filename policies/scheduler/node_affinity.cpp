#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

constexpr const char* kNameField = "metadata.name";

// A term that asks for nothing matches nothing.
bool matches(const NodeSelectorTerm& term, const Node& node) {
  if (term.match_expressions.empty() && term.match_fields.empty()) return false;
  for (const SelectorRequirement& r : term.match_expressions)
    if (!r.matches(find_label(node.meta.labels, r.key))) return false;
  for (const SelectorRequirement& r : term.match_fields)
    if (!r.matches(r.key == kNameField ? &node.meta.name : nullptr)) return false;
  return true;
}

bool matches_required(const PodSpec& spec, const Node& node) {
  for (const auto& [key, value] : spec.node_selector) {
    const std::string* label = find_label(node.meta.labels, key);
    if (!label || *label != value) return false;
  }
  if (!spec.required_node_affinity) return true;
  const auto& terms = *spec.required_node_affinity;
  return std::any_of(terms.begin(), terms.end(), [&](const NodeSelectorTerm& t) { return matches(t, node); });
}

// Which nodes the required terms name by matchFields.
struct NamedNodes {
  bool narrowed = false;      // every term names nodes
  bool conflict = false;      // and no name is left
  std::vector<NodeId> nodes;  // those that exist, ascending
};

// The names that every `metadata.name In` requirement of one term lists; nothing if it has none.
std::optional<std::vector<std::string>> names_of(const NodeSelectorTerm& term) {
  std::optional<std::vector<std::string>> names;
  for (const SelectorRequirement& r : term.match_fields) {
    if (r.key != kNameField || r.op != SelectorOperator::In) continue;
    if (!names) {
      names = r.values;
    } else {
      std::erase_if(*names, [&](const std::string& name) {
        return std::find(r.values.begin(), r.values.end(), name) == r.values.end();
      });
    }
  }
  return names;
}

NamedNodes named_nodes(const PodSpec& spec, const ClusterModel& model) {
  NamedNodes out;
  if (!spec.required_node_affinity || spec.required_node_affinity->empty()) return out;
  std::vector<std::string> names;
  for (const NodeSelectorTerm& term : *spec.required_node_affinity) {
    std::optional<std::vector<std::string>> of_term = names_of(term);
    if (!of_term) return out;
    names.insert(names.end(), of_term->begin(), of_term->end());
  }
  out.narrowed = true;
  out.conflict = names.empty();
  for (size_t n = 0; n < model.nodes.size(); ++n)
    if (std::find(names.begin(), names.end(), model.nodes[NodeId(n)].object.meta.name) != names.end())
      out.nodes.push_back(NodeId(n));
  return out;
}

struct AffinityData : PluginData {
  IdVector<TemplateId, NamedNodes> named;
};

enum Reason : uint32_t { kNoMatch, kConflict };

class NodeAffinity : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }
  bool filter_is_static() const override { return true; }

  std::unique_ptr<const PluginData> prepare(const ClusterModel& model, int) const override {
    auto data = std::make_unique<AffinityData>();
    for (const PodTemplateModel& t : model.templates) data->named.push_back(named_nodes(t.spec, model));
    return data;
  }

  StatusCode pre_filter(PluginContext& c, NodeSet& left) const override {
    const PodSpec& spec = c.spec();
    if (spec.node_selector.empty() && !spec.required_node_affinity) return StatusCode::Skip;
    const NamedNodes& named = c.data_as<AffinityData>().named[c.pod_template];
    if (named.conflict) return StatusCode::UnschedulableAndUnresolvable;
    if (named.narrowed) left.intersect(named.nodes);
    return StatusCode::Success;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!matches_required(c.spec(), c.cluster.node(nodes[i]).object))
        codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  StatusCode pre_score(PluginContext& c, std::span<const NodeId>) const override {
    return c.spec().preferred_node_affinity.empty() ? StatusCode::Skip : StatusCode::Success;
  }
  // The sum of the weights of the preferred terms that match.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = c.cluster.node(nodes[i]).object;
      scores[i] = 0;
      for (const PreferredSchedulingTerm& term : c.spec().preferred_node_affinity)
        if (matches(term.preference, node)) scores[i] += term.weight;
    }
  }
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    default_normalize(scores, false);
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd}; }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    return matches_required(c.spec(), c.cluster.node(event.node).object);
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match Pod's node affinity/selector", "pod affinity terms conflict"};
  }
  void node_reasons(PluginContext&, NodeId, std::vector<uint32_t>& out) const override { out.push_back(kNoMatch); }
  uint32_t pod_reason(const PluginContext&, ExtensionPoint) const override { return kConflict; }
};

KISIM_POLICY(SchedulerPlugin, "NodeAffinity", "nodeSelector and node affinity, required and preferred", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<NodeAffinity>(); });

}  // namespace
}  // namespace kisim

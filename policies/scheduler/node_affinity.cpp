#include "cluster/node_selector.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "policy/scheduler_args.hpp"

#include <cctype>
#include <optional>

namespace kisim {
namespace {

// Which nodes the required terms name by matchFields.
struct NamedNodes {
  bool narrowed = false;        // every term names nodes
  bool conflict = false;        // and no name is left
  std::vector<uint8_t> chosen;  // by entry of ClusterModel::nodes, if narrowed
};

// The names that every `metadata.name In` requirement of one term lists; nothing if it has none.
std::optional<std::vector<std::string>> names_of(const NodeSelectorTerm& term) {
  std::optional<std::vector<std::string>> names;
  for (const SelectorRequirement& r : term.match_fields) {
    if (r.key != kNodeNameField || r.op != SelectorOperator::In) continue;
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
  for (const NodeModel& node : model.nodes)
    out.chosen.push_back(std::find(names.begin(), names.end(), node.object.meta.name) != names.end());
  return out;
}

// Letters and digits, with '-', '_' and '.' between them; up to 63 (apimachinery/pkg/util/validation).
bool is_label_value(const std::string& text) {
  auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  if (text.empty()) return true;
  if (text.size() > 63 || !alphanumeric(text.front()) || !alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

// Whether kube-scheduler can read it (apimachinery/pkg/labels, NewRequirement). The API server refuses the others in
// required terms, but not in preferred ones.
bool is_readable(const SelectorRequirement& r) {
  bool values = r.op != SelectorOperator::Exists && r.op != SelectorOperator::DoesNotExist;
  if (values == r.values.empty()) return false;
  if (!std::all_of(r.values.begin(), r.values.end(), is_label_value)) return false;
  if (r.op != SelectorOperator::Gt && r.op != SelectorOperator::Lt) return true;
  return r.values.size() == 1 && parse_int64(r.values[0]).has_value();
}

bool counts(const PreferredSchedulingTerm& term) {
  return term.weight != 0 && !(term.preference.match_expressions.empty() && term.preference.match_fields.empty());
}

bool all_readable(const std::vector<PreferredSchedulingTerm>& terms) {
  return std::all_of(terms.begin(), terms.end(), [](const PreferredSchedulingTerm& term) {
    const std::vector<SelectorRequirement>& list = term.preference.match_expressions;
    return !counts(term) || std::all_of(list.begin(), list.end(), is_readable);
  });
}

int64_t weight_of(const std::vector<PreferredSchedulingTerm>& terms, const Node& node) {
  int64_t sum = 0;
  for (const PreferredSchedulingTerm& term : terms)
    if (matches(term.preference, node)) sum += term.weight;
  return sum;
}

struct AffinityData : PluginData {
  IdVector<TemplateId, NamedNodes> named;
  IdVector<TemplateId, uint8_t> readable;  // its preferred terms are
};

enum Reason : uint32_t { kNoMatch, kEnforced, kConflict, kUnreadable };

// plugins/nodeaffinity/node_affinity.go
class NodeAffinity : public SchedulerPlugin {
 public:
  explicit NodeAffinity(NodeAffinityArgs added) : added_(std::move(added)) {}

  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }
  Reads filter_reads() const override { return Reads::Node; }
  Reads score_reads() const override { return Reads::Node; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<AffinityData>();
    for (const PodTemplateModel& t : p.model.templates) {
      data->named.push_back(named_nodes(t.spec, p.model));
      data->readable.push_back(all_readable(t.spec.preferred_node_affinity));
    }
    return data;
  }

  StatusCode pre_filter(PluginContext& c, NodeSet& left) const override {
    const PodSpec& spec = c.spec();
    // The DaemonSet controller asks for the node by its name.
    if (NodeId pinned = c.cluster.pod(c.pod).pinned; pinned.valid()) {
      left.intersect(std::span(&pinned, 1));
      return StatusCode::Success;
    }
    if (spec.node_selector.empty() && !spec.required_node_affinity && !added_.required) return StatusCode::Skip;
    const NamedNodes& named = c.data_as<AffinityData>().named[c.pod_template];
    if (named.conflict) return StatusCode::UnschedulableAndUnresolvable;
    if (!named.narrowed) return StatusCode::Success;
    std::vector<NodeId> chosen;
    for (NodeId n : c.cluster.nodes())
      if (named.chosen[c.cluster.version(n)]) chosen.push_back(n);
    std::sort(chosen.begin(), chosen.end());
    left.intersect(chosen);
    return StatusCode::Success;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!admits(c.spec(), c.cluster.node(nodes[i]).object)) codes[i] = StatusCode::UnschedulableAndUnresolvable;
  }

  StatusCode pre_score(PluginContext& c, std::span<const NodeId>) const override {
    if (!c.data_as<AffinityData>().readable[c.pod_template]) return StatusCode::Error;
    bool nothing = c.spec().preferred_node_affinity.empty() && added_.preferred.empty();
    return nothing ? StatusCode::Skip : StatusCode::Success;
  }
  // The sum of the weights of the preferred terms that match.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = c.cluster.node(nodes[i]).object;
      scores[i] = weight_of(added_.preferred, node) + weight_of(c.spec().preferred_node_affinity, node);
    }
  }
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    default_normalize(scores, false);
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::NodeAdd, ClusterEvent::Kind::NodeUpdateLabel}; }
  // An update helps only where it made the pod's own terms match.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    auto object = [&](uint32_t entry) -> const Node& { return c.cluster.model().nodes[NodeId(entry)].object; };
    if (!admits(c.spec(), object(event.after))) return false;
    return event.before == ClusterEvent::kNone || !matches_required(c.spec(), object(event.before));
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match Pod's node affinity/selector",
            "node(s) didn't match scheduler-enforced node affinity", "pod affinity terms conflict",
            "preferred node affinity cannot be parsed"};
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    out.push_back(enforced_match(c.cluster.node(node).object) ? kNoMatch : kEnforced);
  }
  uint32_t pod_reason(const PluginContext&, ExtensionPoint point) const override {
    return point == ExtensionPoint::PreFilter ? kConflict : kUnreadable;
  }

  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    const Node& object = c.cluster.node(node).object;
    if (!enforced_match(object)) return;
    for (const auto& [key, value] : c.spec().node_selector) {
      const std::string* label = find_label(object.meta.labels, key);
      if (label && *label == value) continue;
      out.push_back({fmt::format("drop nodeSelector {}={}", key, value), [key = key](PodTemplate& pod) {
                       std::erase_if(pod.spec.node_selector, [&](const auto& entry) { return entry.first == key; });
                     }});
    }
    const auto& required = c.spec().required_node_affinity;
    if (required && !matches_any(*required, object))
      out.push_back({"drop required node affinity", [](PodTemplate& pod) { pod.spec.required_node_affinity.reset(); }});
  }

 private:
  bool enforced_match(const Node& node) const { return !added_.required || matches_any(*added_.required, node); }
  bool admits(const PodSpec& spec, const Node& node) const {
    return enforced_match(node) && matches_required(spec, node);
  }

  NodeAffinityArgs added_;
};

KISIM_POLICY(SchedulerPlugin, "NodeAffinity", "nodeSelector and node affinity, required and preferred", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeAffinity>(params.args<NodeAffinityArgs>());
             });

}  // namespace
}  // namespace kisim

// Selectors, node affinity, pod affinity and topology spread constraints.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr const char* kWeightRange = "must be in the range 1-100";

bool read_operator(ObjectReader& object, std::vector<std::string_view> known, SelectorOperator& out) {
  std::string name = object.text("operator");
  auto at = std::find(known.begin(), known.end(), name);
  if (at == known.end()) {
    object.error("operator", invalid_value(quote(name), "not a valid selector operator"));
    return false;
  }
  out = static_cast<SelectorOperator>(at - known.begin());
  return true;
}

void check_count(ObjectReader& object, const SelectorRequirement& r) {
  switch (r.op) {
    case SelectorOperator::In:
    case SelectorOperator::NotIn:
      if (r.values.empty()) object.required("values", "must be specified when `operator` is 'In' or 'NotIn'");
      return;
    case SelectorOperator::Exists:
    case SelectorOperator::DoesNotExist:
      if (!r.values.empty())
        object.forbidden("values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      return;
    case SelectorOperator::Gt:
    case SelectorOperator::Lt:
      if (r.values.size() != 1)
        object.required("values", "must be specified single value when `operator` is 'Lt' or 'Gt'");
      return;
  }
}

SelectorRequirement read_label_requirement(ObjectReader& object, std::vector<std::string_view> operators) {
  SelectorRequirement out;
  out.key = object.text("key");
  object.check_name("key", out.key, check_qualified_name);
  out.values = object.texts("values");
  if (read_operator(object, std::move(operators), out.op)) check_count(object, out);
  object.finish();
  return out;
}

// kube-scheduler, not the API server, asks for integers.
void check_integers(ObjectReader& object, const SelectorRequirement& r) {
  if (r.op != SelectorOperator::Gt && r.op != SelectorOperator::Lt) return;
  for (size_t i = 0; i < r.values.size(); ++i)
    if (!parse_int64(r.values[i]))
      object.invalid_item("values", i, "for 'Gt', 'Lt' operators, the value must be an integer");
}

SelectorRequirement read_field_requirement(ObjectReader& object) {
  SelectorRequirement out;
  out.key = object.text("key");
  out.values = object.texts("values");
  if (read_operator(object, {"In", "NotIn"}, out.op) && out.values.size() != 1)
    object.required("values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  if (out.key == "metadata.name")
    object.check_names("values", out.values, check_dns1123_subdomain);
  else
    object.error("key", invalid_value(quote(out.key), "not a valid field selector key"));
  object.finish();
  return out;
}

// The API server lets bad values pass in preferred terms.
NodeSelectorTerm read_term(ObjectReader term, Holder holder, bool is_required) {
  NodeSelectorTerm out;
  for (ObjectReader& r : term.objects("matchExpressions")) {
    out.match_expressions.push_back(read_label_requirement(r, {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}));
    const SelectorRequirement& read = out.match_expressions.back();
    if (is_required || holder == Holder::Profile) r.check_names("values", read.values, check_label_value);
    if (holder == Holder::Profile) check_integers(r, read);
  }
  for (ObjectReader& r : term.objects("matchFields")) out.match_fields.push_back(read_field_requirement(r));
  term.finish();
  return out;
}

int32_t read_weight(ObjectReader& object, int32_t least) {
  int32_t weight = 1;
  if (!object.find("weight") && least > 0) object.error("weight", invalid_value("0", kWeightRange));
  object.integer("weight", least, 100, weight, kWeightRange);
  return weight;
}

// ------------------------------------------------------------------------------------------------------ label keys

// The requirement that the API server makes of a key, unless the pod lacks it.
std::optional<SelectorRequirement> requirement_of(const std::string& key, SelectorOperator op, const Labels& labels) {
  const std::string* value = find_label(labels, key);
  if (!value) return std::nullopt;
  return SelectorRequirement{key, op, {*value}};
}

bool same(const SelectorRequirement& a, const SelectorRequirement& b) {
  return a.key == b.key && a.op == b.op && a.values == b.values;
}

// Whether the selector itself says something about the key of `merged`. In a dump it holds `merged` already.
bool says_already(ObjectReader& term, const LabelSelector& selector, const SelectorRequirement& merged) {
  const Value* match_labels = term.find("labelSelector")->find("matchLabels");
  if (match_labels && match_labels->find(merged.key)) return true;
  return std::any_of(selector.requirements.begin(), selector.requirements.end(),
                     [&](const SelectorRequirement& r) { return r.key == merged.key && !same(r, merged); });
}

std::vector<std::string> read_label_keys(ObjectReader& term, std::string_view field,
                                         const std::optional<LabelSelector>& selector) {
  std::vector<std::string> keys = term.texts(field);
  if (!keys.empty() && !selector)
    term.forbidden(field, "must not be specified when labelSelector is not set");
  else
    term.check_names(field, keys, check_qualified_name);
  return keys;
}

void merge_label_keys(const std::vector<std::string>& keys, SelectorOperator op, const Labels& labels,
                      LabelSelector& selector) {
  for (const std::string& key : keys) {
    std::optional<SelectorRequirement> merged = requirement_of(key, op, labels);
    if (!merged) continue;
    bool is_there = std::any_of(selector.requirements.begin(), selector.requirements.end(),
                                [&](const SelectorRequirement& r) { return same(r, *merged); });
    if (!is_there) selector.requirements.push_back(std::move(*merged));
  }
}

void read_match_label_keys(ObjectReader& term, const Labels& labels, std::optional<LabelSelector>& selector) {
  std::vector<std::string> keys = read_label_keys(term, "matchLabelKeys", selector);
  if (!selector) return;
  for (size_t i = 0; i < keys.size(); ++i) {
    std::optional<SelectorRequirement> merged = requirement_of(keys[i], SelectorOperator::In, labels);
    if (merged && says_already(term, *selector, *merged))
      term.invalid_item("matchLabelKeys", i, "exists in both matchLabelKeys and labelSelector");
  }
  merge_label_keys(keys, SelectorOperator::In, labels, *selector);
}

void read_mismatch_label_keys(ObjectReader& term, const Labels& labels, std::optional<LabelSelector>& selector) {
  std::vector<std::string> keys = read_label_keys(term, "mismatchLabelKeys", selector);
  if (!selector) return;
  const std::vector<std::string> match = term.texts("matchLabelKeys");
  for (size_t i = 0; i < match.size(); ++i)
    if (std::find(keys.begin(), keys.end(), match[i]) != keys.end())
      term.invalid_item("matchLabelKeys", i, "exists in both matchLabelKeys and mismatchLabelKeys");
  merge_label_keys(keys, SelectorOperator::NotIn, labels, *selector);
}

// ---------------------------------------------------------------------------------------------------- pod affinity

PodAffinityTerm read_pod_affinity_term(ObjectReader& term, const Labels& labels) {
  PodAffinityTerm out;
  out.label_selector = read_optional_selector(term, "labelSelector");
  out.namespaces = term.texts("namespaces");
  term.check_names("namespaces", out.namespaces, check_dns1123_label);
  out.namespace_selector = read_optional_selector(term, "namespaceSelector");
  out.topology_key = term.text("topologyKey");
  if (out.topology_key.empty())
    term.required("topologyKey", "can not be empty");
  else
    term.check_name("topologyKey", out.topology_key, check_qualified_name);
  read_match_label_keys(term, labels, out.label_selector);
  read_mismatch_label_keys(term, labels, out.label_selector);
  term.finish();
  return out;
}

PodAffinityTerms read_pod_affinity(ObjectReader affinity, const Labels& labels) {
  PodAffinityTerms out;
  for (ObjectReader& term : affinity.objects("requiredDuringSchedulingIgnoredDuringExecution"))
    out.required.push_back(read_pod_affinity_term(term, labels));
  for (ObjectReader& preferred : affinity.objects("preferredDuringSchedulingIgnoredDuringExecution")) {
    ObjectReader term = preferred.object("podAffinityTerm");
    int32_t weight = read_weight(preferred, 1);
    out.preferred.push_back({weight, read_pod_affinity_term(term, labels)});
    preferred.finish();
  }
  affinity.finish();
  return out;
}

}  // namespace

LabelSelector read_label_selector(ObjectReader selector) {
  LabelSelector out;
  for (auto& [key, value] : selector.labels("matchLabels"))
    out.requirements.push_back({key, SelectorOperator::In, {value}});
  for (ObjectReader& r : selector.objects("matchExpressions")) {
    out.requirements.push_back(read_label_requirement(r, {"In", "NotIn", "Exists", "DoesNotExist"}));
    r.check_names("values", out.requirements.back().values, check_label_value);
  }
  selector.finish();
  return out;
}

std::optional<LabelSelector> read_optional_selector(ObjectReader& parent, std::string_view key) {
  ObjectReader selector = parent.object(key);
  if (!selector.exists()) return std::nullopt;
  return read_label_selector(selector);
}

void read_node_affinity(ObjectReader affinity, Holder holder, std::optional<std::vector<NodeSelectorTerm>>& required,
                        std::vector<PreferredSchedulingTerm>& preferred) {
  ObjectReader selector = affinity.object("requiredDuringSchedulingIgnoredDuringExecution");
  if (selector.exists()) {
    required.emplace();
    for (ObjectReader& term : selector.objects("nodeSelectorTerms")) required->push_back(read_term(term, holder, true));
    if (required->empty() && holder == Holder::Pod)
      selector.required("nodeSelectorTerms", "must have at least one node selector term");
    selector.finish();
  }
  for (ObjectReader& term : affinity.objects("preferredDuringSchedulingIgnoredDuringExecution")) {
    int32_t weight = read_weight(term, holder == Holder::Pod ? 1 : 0);
    preferred.push_back({weight, read_term(term.object("preference"), holder, false)});
    term.finish();
  }
  affinity.finish();
}

void read_affinity(ObjectReader affinity, const Labels& labels, PodSpec& out) {
  read_node_affinity(affinity.object("nodeAffinity"), Holder::Pod, out.required_node_affinity,
                     out.preferred_node_affinity);
  out.pod_affinity = read_pod_affinity(affinity.object("podAffinity"), labels);
  out.pod_anti_affinity = read_pod_affinity(affinity.object("podAntiAffinity"), labels);
  affinity.finish();
}

TopologySpreadConstraint read_topology_spread_constraint(ObjectReader& object, Holder holder) {
  using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
  TopologySpreadConstraint out;
  const char* skew = holder == Holder::Pod ? "must be greater than zero" : "not in valid range (0, inf)";
  if (!object.find("maxSkew")) object.error("maxSkew", invalid_value("0", skew));
  object.integer("maxSkew", 1, INT32_MAX, out.max_skew, skew);

  out.topology_key = object.text("topologyKey");
  if (out.topology_key.empty())
    object.required("topologyKey", "can not be empty");
  else if (holder == Holder::Profile)
    object.check_name("topologyKey", out.topology_key, check_qualified_name);

  if (holder == Holder::Profile && !object.find("whenUnsatisfiable"))
    object.required("whenUnsatisfiable", "can not be empty");
  else
    object.choice("whenUnsatisfiable", {"DoNotSchedule", "ScheduleAnyway"}, out.when_unsatisfiable,
                  {Absent::Unsupported});

  object.integer("minDomains", 1, INT32_MAX, out.min_domains, "must be greater than zero");
  if (object.find("minDomains") && out.when_unsatisfiable != Unsatisfiable::DoNotSchedule)
    object.invalid("minDomains", "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway");
  object.choice("nodeAffinityPolicy", {"Honor", "Ignore"}, out.node_affinity_policy, kOptional);
  object.choice("nodeTaintsPolicy", {"Honor", "Ignore"}, out.node_taints_policy, kOptional);
  return out;
}

std::string spread_kind(const TopologySpreadConstraint& constraint) {
  bool hard = constraint.when_unsatisfiable == TopologySpreadConstraint::Unsatisfiable::DoNotSchedule;
  return fmt::format("{{{}, {}}}", constraint.topology_key, hard ? "DoNotSchedule" : "ScheduleAnyway");
}

std::vector<TopologySpreadConstraint> read_topology_spread_constraints(ObjectReader& spec, const Labels& labels) {
  std::vector<TopologySpreadConstraint> out;
  std::vector<ObjectReader> objects = spec.objects("topologySpreadConstraints");
  for (ObjectReader& object : objects) {
    TopologySpreadConstraint constraint = read_topology_spread_constraint(object, Holder::Pod);
    constraint.label_selector = read_optional_selector(object, "labelSelector");
    read_match_label_keys(object, labels, constraint.label_selector);
    out.push_back(std::move(constraint));
    object.finish();
  }
  for (size_t i = 0; i < out.size(); ++i)
    for (size_t later = i + 1; later < out.size(); ++later)
      if (spread_kind(out[i]) == spread_kind(out[later]))
        objects[i].duplicate("{topologyKey, whenUnsatisfiable}", quote(spread_kind(out[i])));
  return out;
}

}  // namespace kisim

#pragma once
// The nodes that a pod's nodeSelector and required node affinity admit
// (component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go).

#include "cluster/objects.hpp"

#include <algorithm>
#include <vector>

namespace kisim {

inline constexpr const char* kNodeNameField = "metadata.name";

// A term that asks for nothing matches nothing.
inline bool matches(const NodeSelectorTerm& term, const Node& node) {
  if (term.match_expressions.empty() && term.match_fields.empty()) return false;
  for (const SelectorRequirement& r : term.match_expressions)
    if (!r.matches(find_label(node.meta.labels, r.key))) return false;
  for (const SelectorRequirement& r : term.match_fields)
    if (!r.matches(r.key == kNodeNameField ? &node.meta.name : nullptr)) return false;
  return true;
}

inline bool matches_any(const std::vector<NodeSelectorTerm>& terms, const Node& node) {
  return std::any_of(terms.begin(), terms.end(), [&](const NodeSelectorTerm& t) { return matches(t, node); });
}

inline bool matches_selector(const PodSpec& spec, const Node& node) {
  return std::all_of(spec.node_selector.begin(), spec.node_selector.end(), [&](const auto& wanted) {
    const std::string* label = find_label(node.meta.labels, wanted.first);
    return label && *label == wanted.second;
  });
}

inline bool matches_required(const PodSpec& spec, const Node& node) {
  return matches_selector(spec, node) &&
         (!spec.required_node_affinity || matches_any(*spec.required_node_affinity, node));
}

}  // namespace kisim

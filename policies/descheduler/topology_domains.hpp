#pragma once
// The domains of topology keys over the nodes of one cycle.

#include "policy/descheduler_view.hpp"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// The domains of one label key, numbered in the order of its values.
struct TopologyDomain {
  static constexpr uint32_t kAbsent = 0xffffffffu;
  std::vector<uint32_t> of;  // by NodeId; kAbsent: the node lacks the label
  std::vector<std::string> values;

  // As `of`, but a node without the label is a domain of its own.
  uint32_t of_or_own(NodeId node) const {
    return of[node.value] == kAbsent ? static_cast<uint32_t>(values.size()) + node.value : of[node.value];
  }
};

class TopologyDomains {
 public:
  TopologyDomains(const DeschedulerView& view, std::span<const NodeId> nodes) : view_(view), nodes_(nodes) {}

  // The reference stays valid.
  const TopologyDomain& of(const std::string& key) {
    auto [known, is_new] = keys_.try_emplace(key);
    if (is_new) number(key, known->second);
    return known->second;
  }

 private:
  void number(const std::string& key, TopologyDomain& out) const {
    std::map<std::string, uint32_t> numbers;
    for (NodeId node : nodes_)
      if (const std::string* value = find_label(view_.object(node).meta.labels, key)) numbers[*value] = 0;
    for (auto& [value, number] : numbers) {
      number = static_cast<uint32_t>(out.values.size());
      out.values.push_back(value);
    }
    for (NodeId node : nodes_) {
      const std::string* value = find_label(view_.object(node).meta.labels, key);
      out.of.resize(node.value + 1, TopologyDomain::kAbsent);
      if (value) out.of[node.value] = numbers[*value];
    }
  }

  const DeschedulerView& view_;
  const std::span<const NodeId> nodes_;
  std::map<std::string, TopologyDomain> keys_;
};

}  // namespace kisim

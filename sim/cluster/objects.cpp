#include "cluster/objects.hpp"

#include <algorithm>
#include <charconv>

namespace kisim {

namespace {

bool contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

std::optional<int64_t> parse_int64(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t value = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

const std::string* find_label(const Labels& labels, const std::string& key) {
  auto at = std::lower_bound(labels.begin(), labels.end(), key,
                             [](const auto& label, const std::string& k) { return label.first < k; });
  return at != labels.end() && at->first == key ? &at->second : nullptr;
}

bool Toleration::tolerates(const Taint& taint) const {
  if (effect && *effect != taint.effect) return false;
  if (!key.empty() && key != taint.key) return false;
  return op == TolerationOperator::Exists || value == taint.value;
}

bool SelectorRequirement::matches(const std::string* found) const {
  switch (op) {
    case SelectorOperator::In:
      return found && contains(values, *found);
    case SelectorOperator::NotIn:
      return !found || !contains(values, *found);
    case SelectorOperator::Exists:
      return found;
    case SelectorOperator::DoesNotExist:
      return !found;
    case SelectorOperator::Gt:
    case SelectorOperator::Lt:
      break;
  }
  if (!found || values.size() != 1) return false;
  std::optional<int64_t> left = parse_int64(*found), right = parse_int64(values[0]);
  if (!left || !right) return false;
  return op == SelectorOperator::Gt ? *left > *right : *left < *right;
}

bool LabelSelector::matches(const Labels& labels) const {
  return std::all_of(requirements.begin(), requirements.end(),
                     [&](const SelectorRequirement& r) { return r.matches(find_label(labels, r.key)); });
}

bool HostPort::conflicts(const HostPort& other) const {
  bool every_ip = ip == "0.0.0.0" || other.ip == "0.0.0.0";
  return port == other.port && protocol == other.protocol && (every_ip || ip == other.ip);
}

std::string Refusal::message(const std::string& pod) const {
  return (invalid ? "Pod \"" + pod + "\" is invalid: " : "pods \"" + pod + "\" is forbidden: ") + why;
}

ScalingRules default_scale_up_rules() {
  using Type = ScalingPolicy::Type;
  return {.stabilization_window = 0_s, .policies = {{Type::Pods, 4, 15_s}, {Type::Percent, 100, 15_s}}};
}

ScalingRules default_scale_down_rules() { return {.policies = {{ScalingPolicy::Type::Percent, 100, 15_s}}}; }

}  // namespace kisim

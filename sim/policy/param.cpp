#include "policy/param.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace kisim {

namespace {

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<double> parse_bool(const std::string& text) {
  if (text == "true") return 1;
  if (text == "false") return 0;
  return std::nullopt;
}

std::optional<double> parse_integer(const std::string& text) {
  auto value = parse_number(text);
  if (!value || *value != std::floor(*value) || std::fabs(*value) > 0x1p53) return std::nullopt;
  return value;
}

// Seconds per unit; 0 for an unknown unit.
double unit_seconds(std::string_view unit) {
  if (unit == "ns") return 1e-9;
  if (unit == "us" || unit == "µs") return 1e-6;
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  return 0;
}

bool starts_number(char c) { return (c >= '0' && c <= '9') || c == '.'; }

std::optional<double> parse_value(ParamSpec::Type type, const std::string& text) {
  switch (type) {
    case ParamSpec::Type::Bool:
      return parse_bool(text);
    case ParamSpec::Type::Integer:
      return parse_integer(text);
    case ParamSpec::Type::Duration:
      return parse_duration_seconds(text);
    default:
      return parse_number(text);
  }
}

std::string type_text(ParamSpec::Type type) {
  switch (type) {
    case ParamSpec::Type::Bool:
      return "true, false";
    case ParamSpec::Type::Integer:
      return "an integer";
    case ParamSpec::Type::Duration:
      return "a duration such as 90s or 1h30m";
    default:
      return "a number";
  }
}

std::string allowed_text(const ParamSpec& spec) {
  std::string unit = spec.type == ParamSpec::Type::Duration ? "s" : "";
  std::string out = type_text(spec.type);
  if (spec.min && spec.max) return fmt::format("{} from {}{} to {}{}", out, *spec.min, unit, *spec.max, unit);
  if (spec.min) return fmt::format("{} of at least {}{}", out, *spec.min, unit);
  if (spec.max) return fmt::format("{} of at most {}{}", out, *spec.max, unit);
  return out;
}

std::optional<std::string> set_text(const ParamSpec& spec, const std::string& text, Params& out) {
  const auto& allowed = spec.allowed;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), text) == allowed.end())
    return fmt::format("parameter '{}': found '{}', allowed: {}", spec.name, text, fmt::join(allowed, ", "));
  out.set(spec.name, text);
  return std::nullopt;
}

std::optional<std::string> set_number(const ParamSpec& spec, const std::string& text, Params& out) {
  auto value = parse_value(spec.type, text);
  if (!value || (spec.min && *value < *spec.min) || (spec.max && *value > *spec.max))
    return fmt::format("parameter '{}': found '{}', allowed: {}", spec.name, text, allowed_text(spec));
  out.set(spec.name, *value);
  return std::nullopt;
}

std::optional<std::string> unknown_name(const std::vector<ParamSpec>& specs,
                                        const std::map<std::string, std::string>& given) {
  for (const auto& [name, text] : given) {
    auto same_name = [&name = name](const ParamSpec& spec) { return spec.name == name; };
    if (std::any_of(specs.begin(), specs.end(), same_name)) continue;
    if (specs.empty()) return fmt::format("unknown parameter '{}', allowed: none", name);
    std::vector<std::string> names;
    for (const ParamSpec& spec : specs) names.push_back(spec.name);
    return fmt::format("unknown parameter '{}', allowed: {}", name, fmt::join(names, ", "));
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> parse_duration_seconds(const std::string& text) {
  constexpr double kMaxSeconds = 9.2e9;  // what int64 nanoseconds hold
  std::string_view rest = text;
  if (rest.empty() || !starts_number(rest.front())) return std::nullopt;
  if (auto plain = parse_number(rest)) return *plain <= kMaxSeconds ? plain : std::nullopt;
  double seconds = 0;
  while (!rest.empty()) {
    size_t digits = static_cast<size_t>(std::find_if_not(rest.begin(), rest.end(), starts_number) - rest.begin());
    auto value = parse_number(rest.substr(0, digits));
    rest.remove_prefix(digits);
    size_t letters = static_cast<size_t>(std::find_if(rest.begin(), rest.end(), starts_number) - rest.begin());
    double unit = unit_seconds(rest.substr(0, letters));
    rest.remove_prefix(letters);
    if (!value || unit == 0) return std::nullopt;
    seconds += *value * unit;
  }
  if (seconds > kMaxSeconds) return std::nullopt;
  return seconds;
}

std::optional<std::string> fill_params(const std::vector<ParamSpec>& specs,
                                       const std::map<std::string, std::string>& given, Params& out) {
  if (auto complaint = unknown_name(specs, given)) return complaint;
  for (const ParamSpec& spec : specs) {
    auto it = given.find(spec.name);
    const std::string& text = it == given.end() ? spec.default_text : it->second;
    auto complaint = spec.type == ParamSpec::Type::Text ? set_text(spec, text, out) : set_number(spec, text, out);
    if (complaint) return complaint;
  }
  return std::nullopt;
}

}  // namespace kisim

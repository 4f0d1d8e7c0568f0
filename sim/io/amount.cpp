#include "io/amount.hpp"

#include "policy/param.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <span>

namespace kisim {

namespace {

// value = number · times / over; two factors because 1/60 has no exact double.
struct Suffix {
  std::string_view text;
  double times = 1, over = 1;
};

constexpr Suffix kPerSecond[] = {{""}, {"/s"}, {"/min", 1, 60}, {"/h", 1, 3600}, {"/d", 1, 86400}};
constexpr Suffix kPerHour[] = {{""}, {"/s", 3600}, {"/min", 60}, {"/h"}, {"/d", 1, 24}};
constexpr Suffix kBytes[] = {{""},
                             {"B"},
                             {"k", 1e3},
                             {"kB", 1e3},
                             {"KB", 1e3},
                             {"M", 1e6},
                             {"MB", 1e6},
                             {"G", 1e9},
                             {"GB", 1e9},
                             {"T", 1e12},
                             {"TB", 1e12},
                             {"P", 1e15},
                             {"PB", 1e15},
                             {"Ki", 0x1p10},
                             {"KiB", 0x1p10},
                             {"Mi", 0x1p20},
                             {"MiB", 0x1p20},
                             {"Gi", 0x1p30},
                             {"GiB", 0x1p30},
                             {"Ti", 0x1p40},
                             {"TiB", 0x1p40},
                             {"Pi", 0x1p50},
                             {"PiB", 0x1p50}};
constexpr Suffix kBits[] = {{"bit", 1, 8}, {"kbit", 1e3, 8}, {"Mbit", 1e6, 8}, {"Gbit", 1e9, 8}, {"Tbit", 1e12, 8}};

constexpr Suffix kCores[] = {{""}, {"m", 1, 1000}};

// For writing.
constexpr Suffix kWrittenBytes[] = {{"TiB", 0x1p40}, {"TB", 1e12}, {"GiB", 0x1p30}, {"GB", 1e9},
                                    {"MiB", 0x1p20}, {"MB", 1e6},  {"KiB", 0x1p10}, {"kB", 1e3}};
constexpr Suffix kWrittenNanoseconds[] = {{"h", 3600e9}, {"m", 60e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};

std::optional<double> scaled(double number, std::string_view suffix, std::span<const Suffix> table) {
  for (const Suffix& s : table)
    if (s.text == suffix) return number * s.times / s.over;
  return {};
}

std::optional<double> bandwidth(double number, std::string_view suffix) {
  if (suffix.empty()) return number;
  if (suffix.size() < 3 || suffix.substr(suffix.size() - 2) != "/s") return {};
  suffix.remove_suffix(2);
  auto bytes = scaled(number, suffix, kBytes);
  return bytes ? bytes : scaled(number, suffix, kBits);
}

std::optional<double> parse_unchecked(Unit unit, const std::string& text) {
  if (unit == Unit::Seconds) return parse_duration_seconds(text);
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return {};
  std::string_view suffix(end, text.data() + text.size() - end);
  switch (unit) {
    case Unit::PerSecond:
      return scaled(number, suffix, kPerSecond);
    case Unit::PerHour:
      return scaled(number, suffix, kPerHour);
    case Unit::Bytes:
      return scaled(number, suffix, kBytes);
    case Unit::BytesPerSecond:
      return bandwidth(number, suffix);
    case Unit::Cores:
      return scaled(number, suffix, kCores);
    default:
      return suffix.empty() ? std::optional(number) : std::nullopt;
  }
}

// In the unit that leaves the smallest whole number.
std::string shortest(double value, std::span<const Suffix> table) {
  double count = value;
  std::string_view unit;
  for (const Suffix& s : table) {
    if (value < s.times || std::fmod(value, s.times) != 0 || value / s.times >= count) continue;
    count = value / s.times;
    unit = s.text;
  }
  return fmt::format("{}{}", count, unit);
}

std::string format_seconds(double value) {
  if (value == 0) return "0s";
  double ns = value * 1e9;
  return ns == std::nearbyint(ns) ? shortest(ns, kWrittenNanoseconds) : fmt::format("{}", value);
}

std::string format_bandwidth(double value) {
  std::string size = shortest(value, kWrittenBytes);
  return size + (size.back() == 'B' ? "/s" : "B/s");
}

std::string format_cores(double value) {
  const double thousandths = value * 1000;
  bool fraction = value != std::floor(value) && thousandths == std::floor(thousandths);
  return fraction ? fmt::format("{}m", thousandths) : fmt::format("{}", value);
}

}  // namespace

std::optional<double> parse_amount(Unit unit, const std::string& text) {
  auto value = parse_unchecked(unit, text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string format_amount(Unit unit, double value) {
  switch (unit) {
    case Unit::None:
      return fmt::format("{}", value);
    case Unit::Seconds:
      return format_seconds(value);
    case Unit::PerSecond:
      return fmt::format("{}/s", value);
    case Unit::PerHour:
      return fmt::format("{}/h", value);
    case Unit::Bytes:
      return shortest(value, kWrittenBytes);
    case Unit::BytesPerSecond:
      return format_bandwidth(value);
    case Unit::Cores:
      return format_cores(value);
  }
  return {};
}

const UnitText& unit_text(Unit unit) {
  static const UnitText kTexts[] = {
      {"number", "a number", nullptr},
      {"duration", "a duration (90s, 1h30m or seconds)", "^([0-9]*[.]?[0-9]+(h|m|s|ms|us|µs|ns))+$"},
      {"rate", "a rate (20/s, 1200/min, 3/h or per second)", "^[0-9.eE+-]+/(s|min|h|d)$"},
      {"hourly rate", "a rate (2.5/h or per hour)", "^[0-9.eE+-]+/(s|min|h|d)$"},
      {"size", "a size (8GiB, 16Gi, 500MB or bytes)", "^[0-9.eE+-]+([kKMGTP]?B|[kMGTP]|[KMGTP]iB?)$"},
      {"bandwidth", "a bandwidth (2GB/s, 1Gi/s, 10Gbit/s or bytes per second)",
       "^[0-9.eE+-]+([kKMGTP]?B|[kMGTP]|[KMGTP]iB?|[kMGT]?bit)/s$"},
      {"cores", "cores (2, 0.5 or 500m)", "^[0-9.eE+-]+m$"},
  };
  return kTexts[static_cast<size_t>(unit)];
}

}  // namespace kisim

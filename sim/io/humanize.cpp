#include "io/humanize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace kisim {
namespace {

// Three significant digits without an exponent; `value` below 1000.
std::string three_digits(double value) {
  double magnitude = std::fabs(value);
  if (magnitude >= 99.95) return fmt::format("{:.0f}", value);
  if (magnitude >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

}  // namespace

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  if (seconds == 0) return "0 s";
  if (seconds < 0) return "-" + human_duration(-seconds);
  if (seconds < 0.9995e-3) return three_digits(seconds * 1e6) + " µs";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  if (seconds < 59.95) return three_digits(seconds) + " s";

  auto whole = static_cast<uint64_t>(std::llround(seconds));
  uint64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60, rest = whole % 60;
  if (days > 0) return hours == 0 ? fmt::format("{}d", days) : fmt::format("{}d {:02}h", days, hours);
  if (hours > 0) return minutes == 0 ? fmt::format("{}h", hours) : fmt::format("{}h {:02}m", hours, minutes);
  return rest == 0 ? fmt::format("{}m", minutes) : fmt::format("{}m {:02}s", minutes, rest);
}

std::string human_clock(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  auto whole = static_cast<int64_t>(std::llround(seconds));
  std::string days = whole >= 86400 ? fmt::format("{}d ", whole / 86400) : "";
  return fmt::format("{}{}:{:02}:{:02}", days, whole / 3600 % 24, whole / 60 % 60, whole % 60);
}

std::string human_count(uint64_t count) {
  std::string digits = fmt::format("{}", count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string short_count(uint64_t count) {
  return count < 10'000'000 ? human_count(count) : human_number(static_cast<double>(count));
}

std::string human_number(double value) {
  if (!std::isfinite(value)) return "–";
  static constexpr std::array<const char*, 5> kUnits = {"", "k", "M", "G", "T"};
  size_t unit = 0;
  while (std::fabs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 && value == std::floor(value)) return fmt::format("{:.0f}", value);
  return three_digits(value) + kUnits[unit];
}

std::string human_bytes(double bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1023.5 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return three_digits(bytes) + " " + kUnits[unit];
}

std::string human_percent(double share) {
  if (!std::isfinite(share)) return "–";
  if (share > 0 && share < 0.0005) return "<0.1 %";
  if (share < 1 && share >= 0.9995) return "99.9 %";
  return fmt::format("{:.1f} %", 100 * share);
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace kisim

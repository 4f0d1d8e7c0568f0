#pragma once
// The one clock: int64 nanoseconds since the start of the run. Doubles appear only at the borders.

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>

namespace kisim {

// A span of simulated time, in nanoseconds; may be negative in arithmetic, never in a schedule.
struct Duration {
  int64_t ns = 0;

  static constexpr double kLongestNs = 4.5e18;  // 142 years: longer than any run, and two of them fit the clock

  // Rounds half to even, once; cut at kLongestNs.
  static Duration seconds(double s) {
    return {static_cast<int64_t>(std::nearbyint(std::clamp(s * 1e9, -kLongestNs, kLongestNs)))};
  }
  static constexpr Duration max() { return {std::numeric_limits<int64_t>::max()}; }
  constexpr double to_seconds() const { return static_cast<double>(ns) * 1e-9; }

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration d) const { return {ns + d.ns}; }
  constexpr Duration operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator*(int64_t k) const { return {ns * k}; }
  constexpr Duration& operator+=(Duration d) { return ns += d.ns, *this; }
};

// A point of simulated time.
struct Time {
  int64_t ns = 0;

  static constexpr Time max() { return {std::numeric_limits<int64_t>::max()}; }
  constexpr double to_seconds() const { return static_cast<double>(ns) * 1e-9; }

  constexpr auto operator<=>(const Time&) const = default;
  constexpr Time operator+(Duration d) const { return {ns + d.ns}; }
  constexpr Time operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(Time t) const { return {ns - t.ns}; }
};

// `seconds` after `t`; the end of the clock if the span is longer than any run. Precondition: t >= 0.
inline Time after(Time t, double seconds) {
  if (!(seconds * 1e9 < Duration::kLongestNs)) return Time::max();
  Duration d = Duration::seconds(std::max(seconds, 0.0));
  return d > Time::max() - t ? Time::max() : t + d;
}

inline namespace literals {
constexpr Duration operator""_ns(unsigned long long v) { return {static_cast<int64_t>(v)}; }
constexpr Duration operator""_us(unsigned long long v) { return {static_cast<int64_t>(v) * 1000}; }
constexpr Duration operator""_ms(unsigned long long v) { return {static_cast<int64_t>(v) * 1000000}; }
constexpr Duration operator""_s(unsigned long long v) { return {static_cast<int64_t>(v) * 1000000000}; }
}  // namespace literals

}  // namespace kisim

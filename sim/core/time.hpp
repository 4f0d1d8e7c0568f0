#pragma once
// The one clock: int64 nanoseconds since the start of the run. Doubles appear only at the borders.

#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>

namespace kisim {

// A span of simulated time, in nanoseconds; may be negative in arithmetic, never in a schedule.
struct Duration {
  int64_t ns = 0;

  // Rounds half to even, once. Precondition: |s| < 292 years; the border checks it.
  static Duration seconds(double s) { return {static_cast<int64_t>(std::nearbyint(s * 1e9))}; }
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

inline namespace literals {
constexpr Duration operator""_ns(unsigned long long v) { return {static_cast<int64_t>(v)}; }
constexpr Duration operator""_us(unsigned long long v) { return {static_cast<int64_t>(v) * 1000}; }
constexpr Duration operator""_ms(unsigned long long v) { return {static_cast<int64_t>(v) * 1000000}; }
constexpr Duration operator""_s(unsigned long long v) { return {static_cast<int64_t>(v) * 1000000000}; }
}  // namespace literals

}  // namespace kisim

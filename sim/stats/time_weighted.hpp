#pragma once
// A gauge whose integral over time is exact: value × nanoseconds in 128-bit integers. Updated only when the value
// changes; reading it costs nothing in between.

#include "core/time.hpp"

#include <algorithm>
#include <cstdint>

namespace kisim {

class TimeWeighted {
 public:
  void set(Time now, int64_t value) {
    settle(now);
    value_ = value;
    max_ = std::max(max_, value);
  }
  void add(Time now, int64_t delta) { set(now, value_ + delta); }
  // Forget the past (end of warm-up); the present value stays.
  void reset(Time now) {
    integral_ = 0;
    since_ = now;
    max_ = value_;
    start_ = now;
  }

  int64_t value() const { return value_; }
  int64_t max() const { return max_; }
  // ∫ value dt from the start (or the last reset) to `now`, in value × ns.
  __int128 integral(Time now) const { return integral_ + static_cast<__int128>(value_) * (now - since_).ns; }
  // 0 over an empty interval.
  double mean(Time now) const {
    int64_t span = (now - start_).ns;
    return span == 0 ? 0.0 : static_cast<double>(integral(now)) / static_cast<double>(span);
  }

 private:
  void settle(Time now) {
    integral_ += static_cast<__int128>(value_) * (now - since_).ns;
    since_ = now;
  }

  int64_t value_ = 0, max_ = 0;
  __int128 integral_ = 0;
  Time since_, start_;
};

}  // namespace kisim

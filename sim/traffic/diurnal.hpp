#pragma once
// A rate that follows the day: rate(t) = max(0, mean + (peak - mean) sin(2 pi (t + phase)/period)), in 1/s.

#include "core/time.hpp"

#include <optional>

namespace kisim {

class DiurnalRate {
 public:
  DiurnalRate() = default;
  // Precondition: mean >= 0, period > 0.
  DiurnalRate(double mean, double peak, Duration period, Duration phase);

  double rate(Time t) const;
  double max_rate() const { return max_rate_; }
  // ∫ rate dt from 0 to t: the expected number of arrivals.
  double integral(Time t) const;
  // The first nanosecond after `from` at which the integral has reached `count`; nothing if that is never.
  std::optional<Time> when(double count, Time from) const;

 private:
  // ∫ of the rate's shape from phase 0 to `position` ns into a period.
  double within_period(int64_t position) const;
  double since_epoch(int64_t shifted) const;

  double mean_ = 0, amplitude_ = 0, max_rate_ = 0;
  int64_t period_ = 1, phase_ = 0;
  double zero_angle_ = 0;  // where the rate falls to 0, beyond pi; pi/2 if it never does
  double per_period_ = 0;
};

}  // namespace kisim

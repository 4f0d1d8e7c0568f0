#pragma once
// A rate that follows the day, in 1/s, with the mean and the peak asked for. With angle a = 2 pi (t + phase)/period:
//   peak <= 2 mean   mean + (peak - mean) sin a
//   peak > 2 mean    a bump of raised cosine around a = pi/2, of the share w = 2 mean/peak of the period, else 0:
//                    peak/2 (1 + cos((a - pi/2)/w)); at peak = 2 mean the two are the same curve

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
  bool bump() const { return max_rate_ > 2 * mean_; }
  // ∫ of the bump up to `angle` from its middle.
  double bump_integral(double angle) const;
  // ∫ of the rate's shape from phase 0 to `position` ns into a period.
  double within_period(int64_t position) const;
  double since_epoch(int64_t shifted) const;

  double mean_ = 0, amplitude_ = 0, max_rate_ = 0;
  int64_t period_ = 1, phase_ = 0;
  double share_ = 1;  // w: of the period that a bump takes
  double per_period_ = 0;
};

}  // namespace kisim

#pragma once
// A rate that changes in steps, in 1/s: 0 before the first, and the last one's for good.

#include "core/time.hpp"

#include <optional>
#include <vector>

namespace kisim {

struct RateStep {
  Time at;
  double rate = 0;
};

class SteppedRate {
 public:
  SteppedRate() = default;
  // Precondition: ascending in time, no rate below 0.
  explicit SteppedRate(const std::vector<RateStep>& steps);

  // ∫ rate dt from 0 to t: the expected number of arrivals.
  double integral(Time t) const;
  // When the integral reaches `count`, not before `from`; nothing if that is never.
  std::optional<Time> when(double count, Time from) const;

 private:
  struct Step {
    Time at;
    double rate = 0, before = 0;  // before: the integral there
  };
  std::vector<Step> steps_;
};

}  // namespace kisim

#pragma once
// The distribution of a phase of start-up, from logged durations.

#include "calibration/least_squares.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

// Lognormal: log seconds ~ N(log median, sigma²). Both from quantiles, which a few wild durations do not move: sigma =
// (log p90 - log p10)/2.5631.
struct StartupFit {
  double median = 0, sigma = 0;
  Interval median_interval, sigma_interval;
  double min = 0, max = 0;  // of the durations
  // Median relative error of the deciles, of all durations, and of each tenth of them from a fit to the others.
  double fit_error = 0, left_out_error = 0;
};

inline constexpr size_t kLeastStartupPoints = 20;

// Precondition: at least kLeastStartupPoints durations, all above 0.
StartupFit fit_startup(const std::vector<double>& seconds, uint64_t seed);

}  // namespace kisim

#pragma once
// Statistics of a sample of numbers.

#include "stats/interval.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace kisim {

// Nearest rank. Precondition: not empty, 0 <= share <= 1.
double quantile(std::vector<double> values, double share);
// The mean of the two middle values where there are two.
double median(std::vector<double> values);
double mean(std::span<const double> values);

// The middle 95 % of `statistic` over resamples of the points (Efron's percentile bootstrap). It is given the indices
// of the points drawn, with repetition. Draws come from streams of `seed`: equal calls give equal intervals.
Interval bootstrap(size_t points, const std::function<double(std::span<const size_t>)>& statistic, uint64_t seed);

}  // namespace kisim

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

// The middle 95 % of `statistic` over 2000 resamples of the points (Efron's percentile bootstrap). It is given the
// indices of the points drawn, with repetition. Draws come from streams of `seed`: equal calls give equal intervals.
Interval bootstrap(size_t points, const std::function<double(std::span<const size_t>)>& statistic, uint64_t seed);

// The same of data that chance has made along several axes at once, such as trainings and seeds: each axis is drawn by
// itself, and what was found at a crossing comes with both (Owen, The pigeonhole bootstrap, Annals of Applied
// Statistics 1(2), 2007). `sizes`: elements of each axis; `statistic` is given the indices drawn of each.
using DrawnAxes = std::span<const std::vector<size_t>>;
Interval bootstrap(std::span<const size_t> sizes, const std::function<double(DrawnAxes)>& statistic, uint64_t seed);

}  // namespace kisim

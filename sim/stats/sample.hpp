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

// An interval of 95 % for `statistic` from 2000 resamples of the points: Efron's percentile bootstrap, whose tails are
// those of Student's t with n − 1 degrees of freedom, times √(n/(n − 1)), so that few points do not make it too narrow
// (the expanded percentile interval: Hesterberg, The American Statistician 69(4), 2015). Of fewer than five points it
// is too narrow all the same: it does not reach beyond them. It is given the indices of the points drawn, with
// repetition. Draws come from streams of `seed`: equal calls give equal intervals.
Interval bootstrap(size_t points, const std::function<double(std::span<const size_t>)>& statistic, uint64_t seed);

// The same of data that chance has made along several axes at once, such as trainings and seeds: each axis is drawn by
// itself, and what was found at a crossing comes with both (Owen, The pigeonhole bootstrap, Annals of Applied
// Statistics 1(2), 2007). n is then the size of the smallest axis that has more than one element. `sizes`: elements of
// each axis; `statistic` is given the indices drawn of each.
using DrawnAxes = std::span<const std::vector<size_t>>;
Interval bootstrap(std::span<const size_t> sizes, const std::function<double(DrawnAxes)>& statistic, uint64_t seed);

}  // namespace kisim

#include "stats/sample.hpp"

#include "core/error.hpp"
#include "core/random.hpp"

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace kisim {

double quantile(std::vector<double> values, double share) {
  KISIM_INVARIANT(!values.empty(), "a quantile of nothing");
  auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  auto at = values.begin() + static_cast<ptrdiff_t>(rank == 0 ? 0 : rank - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double median(std::vector<double> values) {
  KISIM_INVARIANT(!values.empty(), "a median of nothing");
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double mean(std::span<const double> values) {
  KISIM_INVARIANT(!values.empty(), "a mean of nothing");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

namespace {

// The share of resamples beyond each end of an interval of 95 %.
double tail_of(std::span<const size_t> sizes) {
  size_t points = 0;
  for (size_t size : sizes)
    if (size > 1) points = points == 0 ? size : std::min(points, size);
  if (points == 0) return 0;
  const double n = static_cast<double>(points), t = boost::math::quantile(boost::math::students_t(n - 1), 0.025);
  return boost::math::cdf(boost::math::normal(), t * std::sqrt(n / (n - 1)));
}

}  // namespace

Interval bootstrap(size_t points, const std::function<double(std::span<const size_t>)>& statistic, uint64_t seed) {
  return bootstrap(
      std::array{points}, [&](DrawnAxes drawn) { return statistic(drawn[0]); }, seed);
}

Interval bootstrap(std::span<const size_t> sizes, const std::function<double(DrawnAxes)>& statistic, uint64_t seed) {
  constexpr size_t kResamples = 2000;
  std::vector<std::vector<size_t>> drawn;
  for (size_t size : sizes) drawn.emplace_back(size);
  std::vector<double> found;
  for (size_t i = 0; i < kResamples; ++i) {
    Stream stream(seed, i, Purpose::Resampling);
    for (std::vector<size_t>& axis : drawn)
      for (size_t& index : axis) index = stream.below(static_cast<uint32_t>(axis.size()));
    found.push_back(statistic(drawn));
  }
  const double tail = tail_of(sizes);
  return {quantile(found, tail), quantile(found, 1 - tail)};
}

}  // namespace kisim

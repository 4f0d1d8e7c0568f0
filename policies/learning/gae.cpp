#include "gae.hpp"

#include <limits>

namespace kisim::learning {
namespace {

template <class Value>
double variance(size_t n, Value value) {
  double mean = 0, square = 0;
  for (size_t i = 0; i < n; ++i) mean += value(i);
  mean /= static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) square += (value(i) - mean) * (value(i) - mean);
  return square / static_cast<double>(n);
}

}  // namespace

void compute_gae(const Trajectories& in, double gamma, double lambda, std::span<double> advantages,
                 std::span<double> returns) {
  const size_t n = in.environments, rows = in.rewards.size();
  for (size_t row = rows; row-- > 0;) {
    const bool last = row + n >= rows;
    const double next_value = last ? in.last_values[row + n - rows] : in.values[row + n];
    const double goes_on = in.ended[row] ? 0 : 1;
    const double delta = in.rewards[row] + gamma * next_value * goes_on - in.values[row];
    advantages[row] = delta + (last ? 0 : gamma * lambda * goes_on * advantages[row + n]);
    returns[row] = advantages[row] + in.values[row];
  }
}

double explained_variance(std::span<const double> values, std::span<const double> returns) {
  const double total = variance(returns.size(), [&](size_t i) { return returns[i]; });
  if (total == 0) return std::numeric_limits<double>::quiet_NaN();
  return 1 - variance(returns.size(), [&](size_t i) { return returns[i] - values[i]; }) / total;
}

}  // namespace kisim::learning

#pragma once
// Goodness-of-fit tests at fixed seeds. A right sampler fails one of them at a fresh seed with probability alpha =
// 1e-4.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace kisim {

// sqrt(n) · Kolmogorov's distance between a sample and a continuous law; alpha = 1e-4 at 2.23.
inline constexpr double kKolmogorovLimit = 2.23;
inline double kolmogorov(std::vector<double> sample, const std::function<double(double)>& cdf) {
  std::sort(sample.begin(), sample.end());
  double n = static_cast<double>(sample.size()), distance = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    double f = cdf(sample[i]), below = static_cast<double>(i) / n;
    distance = std::max({distance, f - below, below + 1 / n - f});
  }
  return distance * std::sqrt(n);
}

// The chi-square statistic as a normal deviate (Wilson, Hilferty, PNAS 17, 1931); alpha = 1e-4 at 3.72. Cells that
// expect fewer than 10 are put together.
inline constexpr double kNormalLimit = 3.72;
inline double chi_square_deviate(const std::vector<uint64_t>& observed, const std::vector<double>& expected) {
  double sum = 0, seen = 0, awaited = 0, degrees = -1;
  for (size_t i = 0; i < observed.size(); ++i) {
    seen += static_cast<double>(observed[i]);
    awaited += expected[i];
    if (awaited < 10) continue;
    sum += (seen - awaited) * (seen - awaited) / awaited;
    degrees += 1;
    seen = awaited = 0;
  }
  double spread = 2 / (9 * degrees);
  return (std::cbrt(sum / degrees) - (1 - spread)) / std::sqrt(spread);
}

}  // namespace kisim

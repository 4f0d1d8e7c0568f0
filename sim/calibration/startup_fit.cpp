#include "calibration/startup_fit.hpp"

#include "calibration/least_squares.hpp"
#include "core/error.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kNormalDeciles[] = {
    -1.2815515655446004, -0.8416212335729143, -0.5244005127080409, -0.2533471031357997, 0.0,
    0.2533471031357997,  0.5244005127080409,  0.8416212335729143,  1.2815515655446004};

struct Lognormal {
  double median = 0, sigma = 0;
};

Lognormal fit(const std::vector<double>& seconds) {
  const double spread = std::log(quantile(seconds, 0.9)) - std::log(quantile(seconds, 0.1));
  return {quantile(seconds, 0.5), spread / (2 * kNormalDeciles[8])};
}

double error_of_deciles(const Lognormal& law, const std::vector<double>& seconds) {
  std::vector<double> errors;
  for (size_t i = 0; i < std::size(kNormalDeciles); ++i) {
    const double expected = law.median * std::exp(law.sigma * kNormalDeciles[i]);
    errors.push_back(std::abs(expected / quantile(seconds, 0.1 * static_cast<double>(i + 1)) - 1));
  }
  return median(errors);
}

// Every tenth duration belongs to one part, so that a drift over the log does not sit in one of them.
double left_out_error(const std::vector<double>& seconds) {
  constexpr size_t kParts = 10;
  std::vector<double> errors;
  for (size_t part = 0; part < kParts; ++part) {
    std::vector<double> kept, left_out;
    for (size_t i = 0; i < seconds.size(); ++i) (i % kParts == part ? left_out : kept).push_back(seconds[i]);
    errors.push_back(error_of_deciles(fit(kept), left_out));
  }
  return median(errors);
}

}  // namespace

StartupFit fit_startup(const std::vector<double>& seconds, uint64_t seed) {
  KISIM_INVARIANT(seconds.size() >= kLeastStartupPoints, "{} durations", seconds.size());
  auto resampled = [&](double Lognormal::*part) {
    return bootstrap(
        seconds.size(),
        [&](std::span<const size_t> drawn) {
          std::vector<double> sample;
          for (size_t i : drawn) sample.push_back(seconds[i]);
          return fit(sample).*part;
        },
        seed);
  };
  const Lognormal law = fit(seconds);
  StartupFit out{law.median, law.sigma, resampled(&Lognormal::median), resampled(&Lognormal::sigma)};
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  out.min = *least;
  out.max = *most;
  out.fit_error = error_of_deciles(law, seconds);
  out.left_out_error = left_out_error(seconds);
  return out;
}

}  // namespace kisim

#pragma once
// Least squares that a few wild points do not bend, order statistics, and how far an estimate may be off.

#include "stats/sample.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace kisim {

// Huber's ρ of a residual in units of its spread: r²/2 up to 1.345, linear beyond.
double huber(double residual);

// argmin_c Σ ρ(r_i/s), r = values - rows·c, with Huber's ρ (quadratic up to 1.345, linear beyond) and s = 1.4826 times
// the median of |r| at the least absolute deviations, both by iteratively reweighted least squares (Huber, Robust
// Statistics, 1981, ch. 7). Every row has one entry per coefficient. Precondition: at least as many rows as
// coefficients.
std::vector<double> robust_least_squares(const std::vector<std::vector<double>>& rows, std::span<const double> values);

// What is known of a coefficient before it is fitted.
struct Prior {
  double mean = 0, deviation = 1;
};

// argmin_{c >= 0} Σ ρ(r_i/s) + ½ Σ ((c_j - mean_j)/deviation_j)², r = values - rows·c, with Huber's ρ as above and a
// known spread s of the residuals: coefficients that the data cannot tell apart stay near their priors, and none turns
// a cost into a gain. Iteratively reweighted; coordinate descent within, which converges as the priors make the problem
// strictly convex. Precondition: a prior per entry of a row, deviations above 0.
std::vector<double> nonnegative_least_squares(const std::vector<std::vector<double>>& rows,
                                              std::span<const double> values, double spread,
                                              std::span<const Prior> priors);

}  // namespace kisim

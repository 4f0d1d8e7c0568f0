#include "calibration/least_squares.hpp"

#include "core/error.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kisim {

namespace {

constexpr double kBend = 1.345;  // of Huber's loss, in standard deviations

Eigen::VectorXd weighted(const Eigen::MatrixXd& rows, const Eigen::VectorXd& values, const Eigen::VectorXd& weights) {
  Eigen::VectorXd root = weights.array().sqrt();
  return (root.asDiagonal() * rows).colPivHouseholderQr().solve(root.asDiagonal() * values);
}

// Where Huber's loss bends, for residuals of this size.
double bend_of(const Eigen::VectorXd& residuals) {
  constexpr double kNormal = 1.4826;
  std::vector<double> sizes(static_cast<size_t>(residuals.size()));
  Eigen::VectorXd::Map(sizes.data(), residuals.size()) = residuals.cwiseAbs();
  return kBend * kNormal * median(sizes);
}

}  // namespace

double huber(double residual) {
  const double r = std::abs(residual);
  return r <= kBend ? r * r / 2 : kBend * (r - kBend / 2);
}

std::vector<double> robust_least_squares(const std::vector<std::vector<double>>& rows, std::span<const double> values) {
  constexpr int kRounds = 300;
  constexpr double kStill = 1e-10;
  KISIM_INVARIANT(!rows.empty() && rows.size() == values.size() && rows.size() >= rows[0].size(),
                  "{} rows for {} values", rows.size(), values.size());
  const auto n = static_cast<Eigen::Index>(rows.size()), k = static_cast<Eigen::Index>(rows[0].size());
  Eigen::MatrixXd a(n, k);
  for (Eigen::Index i = 0; i < n; ++i) a.row(i) = Eigen::VectorXd::Map(rows[static_cast<size_t>(i)].data(), k);
  const Eigen::VectorXd b = Eigen::VectorXd::Map(values.data(), n);

  // Least absolute deviations tell the scale: from the plain solution's, wild points of one kind would look tame.
  Eigen::VectorXd c = weighted(a, b, Eigen::VectorXd::Ones(n));
  const double small = kStill * (1 + b.cwiseAbs().maxCoeff());
  for (int round = 0; round < kRounds; ++round)
    c = weighted(a, b, (b - a * c).cwiseAbs().cwiseMax(small).cwiseInverse());
  const double bend = bend_of(b - a * c);
  if (bend <= small) return {c.data(), c.data() + c.size()};  // more than half of the points lie on the fit
  for (int round = 0; round < kRounds; ++round) {
    Eigen::VectorXd next = weighted(a, b, ((b - a * c) / bend).cwiseAbs().cwiseMax(1).cwiseInverse());
    const bool still = (next - c).norm() <= kStill * (1 + c.norm());
    c = next;
    if (still) break;
  }
  return {c.data(), c.data() + c.size()};
}

namespace {

// argmin_{x >= 0} ½ xᵀHx - gᵀx, H positive definite.
Eigen::VectorXd nonnegative_minimum(const Eigen::MatrixXd& h, const Eigen::VectorXd& g, Eigen::VectorXd x) {
  constexpr int kRounds = 100'000;
  constexpr double kStill = 1e-12;
  for (int round = 0; round < kRounds; ++round) {
    double moved = 0;
    for (Eigen::Index j = 0; j < g.size(); ++j) {
      const double next = std::max(0.0, x[j] + (g[j] - h.row(j).dot(x)) / h(j, j));
      moved = std::max(moved, std::abs(next - x[j]));
      x[j] = next;
    }
    if (moved <= kStill * (1 + x.cwiseAbs().maxCoeff())) break;
  }
  return x;
}

}  // namespace

std::vector<double> nonnegative_least_squares(const std::vector<std::vector<double>>& rows,
                                              std::span<const double> values, double spread,
                                              std::span<const Prior> priors) {
  constexpr int kRounds = 100;
  constexpr double kStill = 1e-9;
  KISIM_INVARIANT(rows.size() == values.size(), "{} rows for {} values", rows.size(), values.size());
  const auto n = static_cast<Eigen::Index>(rows.size()), k = static_cast<Eigen::Index>(priors.size());
  Eigen::MatrixXd a(n, k);
  for (Eigen::Index i = 0; i < n; ++i) a.row(i) = Eigen::VectorXd::Map(rows[static_cast<size_t>(i)].data(), k);
  Eigen::VectorXd b = Eigen::VectorXd::Map(values.data(), n) / spread, mean(k), precision(k);
  a /= spread;
  for (Eigen::Index j = 0; j < k; ++j) {
    mean[j] = priors[static_cast<size_t>(j)].mean;
    precision[j] = std::pow(priors[static_cast<size_t>(j)].deviation, -2);
  }
  // In units of the deviations: coefficients of all sizes converge alike.
  const Eigen::VectorXd unit = precision.cwiseSqrt().cwiseInverse();
  Eigen::VectorXd c = mean;
  for (int round = 0; round < kRounds; ++round) {
    const Eigen::VectorXd weights = ((b - a * c) / kBend).cwiseAbs().cwiseMax(1).cwiseInverse();
    const Eigen::MatrixXd scaled = a * unit.asDiagonal();
    const Eigen::MatrixXd h = scaled.transpose() * weights.asDiagonal() * scaled + Eigen::MatrixXd::Identity(k, k);
    const Eigen::VectorXd g = scaled.transpose() * weights.asDiagonal() * b + mean.cwiseQuotient(unit);
    const Eigen::VectorXd next = nonnegative_minimum(h, g, c.cwiseQuotient(unit)).cwiseProduct(unit);
    const bool still = (next - c).cwiseQuotient(unit).norm() <= kStill * (1 + c.cwiseQuotient(unit).norm());
    c = next;
    if (still) break;
  }
  return {c.data(), c.data() + c.size()};
}

}  // namespace kisim

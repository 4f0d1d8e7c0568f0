#include "calibration/interference.hpp"

#include "calibration/least_squares.hpp"
#include "core/error.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kSingle = 0.3, kForeign = 0.2, kLength = 3, kNoise = 0.1;

double closeness(double a, double b) {
  const double distance = (std::log2(a) - std::log2(b)) / kLength;
  return std::exp(-0.5 * distance * distance);
}

double alike(const SharingJob& a, const SharingJob& b) {
  double out = kForeign * closeness(a.rate, b.rate);
  if (a.family == b.family) out += (1 - kForeign) * closeness(std::max(a.batch_size, 1.0), std::max(b.batch_size, 1.0));
  return out;
}

double covariance(const SharingJob& job, const SharingJob& neighbour, const SharedSpeed& other) {
  const double jobs = alike(job, other.job), neighbours = alike(neighbour, other.neighbour);
  return 1 + kSingle * (jobs + neighbours) + jobs * neighbours;
}

}  // namespace

InterferenceModel::InterferenceModel(std::vector<SharedSpeed> pairs) : pairs_(std::move(pairs)) {
  KISIM_INVARIANT(pairs_.size() > 1, "{} pairs", pairs_.size());
  const auto n = static_cast<Eigen::Index>(pairs_.size());
  Eigen::VectorXd s(n);
  for (Eigen::Index i = 0; i < n; ++i) s[i] = std::log(pairs_[static_cast<size_t>(i)].speed);
  mean_ = s.mean();
  s.array() -= mean_;
  variance_ = s.squaredNorm() / static_cast<double>(n);
  weights_.assign(pairs_.size(), 0);
  if (variance_ == 0) return;

  Eigen::MatrixXd k(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const SharedSpeed& pair = pairs_[static_cast<size_t>(i)];
    for (Eigen::Index j = 0; j <= i; ++j)
      k(i, j) = variance_ * covariance(pair.job, pair.neighbour, pairs_[static_cast<size_t>(j)]);
    k(i, i) += kNoise * variance_;
  }
  Eigen::VectorXd::Map(weights_.data(), n) = k.selfadjointView<Eigen::Lower>().llt().solve(s);
}

double InterferenceModel::speed(const SharingJob& job, const SharingJob& neighbour) const {
  double s = mean_;
  for (size_t i = 0; i < pairs_.size(); ++i) s += variance_ * covariance(job, neighbour, pairs_[i]) * weights_[i];
  return std::min(std::exp(s), 1.0);
}

}  // namespace kisim

#pragma once
// Running normalisation of observations and of rewards, as VecNormalize and NormalizeReward have it.

#include "checkpoint.hpp"
#include "rl/actor.hpp"

#include <span>
#include <string>
#include <vector>

namespace kisim::learning {

// Mean and variance of all rows so far (Chan, Golub, LeVeque, COMPSTAT 1982), rows in their order.
class RunningMoments {
 public:
  explicit RunningMoments(size_t size) : mean_(size), variance_(size, 1.0) {}

  // `rows`: [n, size].
  template <class T>
  void add(std::span<const T> rows);

  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& variance() const { return variance_; }
  void archive(const std::string& name, Checkpoint& checkpoint);

 private:
  // So that the first rows neither divide by 0 nor count for nothing.
  double count_ = 1e-4;
  std::vector<double> mean_, variance_;
};

// Divides rewards by the standard deviation of the discounted return: r / √(Var(R) + 1e-8), clipped to ±10, where
// R = γ R + r by environment, 0 once its episode has ended.
class RewardNormaliser {
 public:
  RewardNormaliser(size_t environments, double gamma) : gamma_(gamma), returns_(environments), moments_(1) {}

  void apply(std::span<double> rewards, std::span<const uint8_t> ended);
  void archive(Checkpoint& checkpoint);

 private:
  double gamma_;
  std::vector<double> returns_;
  RunningMoments moments_;
};

// `rows`, [n, size of the normaliser], to `out`.
void normalise(const ObservationNormaliser& normaliser, std::span<const float> rows, std::span<float> out);

}  // namespace kisim::learning

#include "normalise.hpp"

#include <algorithm>
#include <cmath>

namespace kisim::learning {

template <class T>
void RunningMoments::add(std::span<const T> rows) {
  const size_t size = mean_.size(), n = rows.size() / size;
  const double added = static_cast<double>(n), total = count_ + added;
  for (size_t j = 0; j < size; ++j) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; ++i) mean += rows[i * size + j];
    mean /= added;
    for (size_t i = 0; i < n; ++i) square += (rows[i * size + j] - mean) * (rows[i * size + j] - mean);
    const double delta = mean - mean_[j];
    mean_[j] += delta * added / total;
    variance_[j] = (variance_[j] * count_ + square + delta * delta * count_ * added / total) / total;
  }
  count_ = total;
}

template void RunningMoments::add(std::span<const float>);
template void RunningMoments::add(std::span<const double>);

void RunningMoments::archive(const std::string& name, Checkpoint& checkpoint) {
  checkpoint.item(name + "/count", count_);
  checkpoint.item(name + "/mean", std::span(mean_));
  checkpoint.item(name + "/variance", std::span(variance_));
}

void RewardNormaliser::apply(std::span<double> rewards, std::span<const uint8_t> ended) {
  constexpr double kClip = 10, kEpsilon = 1e-8;
  for (size_t i = 0; i < rewards.size(); ++i) returns_[i] = gamma_ * returns_[i] + rewards[i];
  moments_.add(std::span<const double>(returns_));
  const double scale = 1 / std::sqrt(moments_.variance()[0] + kEpsilon);
  for (size_t i = 0; i < rewards.size(); ++i) {
    rewards[i] = std::clamp(rewards[i] * scale, -kClip, kClip);
    if (ended[i]) returns_[i] = 0;
  }
}

void RewardNormaliser::archive(Checkpoint& checkpoint) {
  checkpoint.item("rewards/returns", std::span(returns_));
  moments_.archive("rewards", checkpoint);
}

void normalise(const ObservationNormaliser& normaliser, std::span<const float> rows, std::span<float> out) {
  const size_t size = normaliser.mean.size();
  for (size_t j = 0; j < size; ++j) {
    const double mean = normaliser.mean[j], deviation = std::sqrt(normaliser.variance[j] + normaliser.epsilon);
    for (size_t i = j; i < rows.size(); i += size)
      out[i] = static_cast<float>(std::clamp((rows[i] - mean) / deviation, -normaliser.clip, normaliser.clip));
  }
}

}  // namespace kisim::learning

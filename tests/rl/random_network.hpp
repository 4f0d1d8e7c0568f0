#pragma once
// Policies with random weights.

#include "core/distribution.hpp"
#include "core/hash.hpp"
#include "rl/actor.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace kisim::test {

class RandomNetwork {
 public:
  explicit RandomNetwork(const std::string& name) : stream_(1, hash_text(name), Purpose::Policy) {}

  float normal(double sd) { return static_cast<float>(draw_normal(stream_, 0, sd)); }
  std::vector<float> normals(size_t n, double sd = 1) {
    std::vector<float> out(n);
    for (float& x : out) x = normal(sd);
    return out;
  }
  // `mean` and deviation of its elements are far apart, as in what monitoring sees.
  ObservationNormaliser normaliser(size_t n) {
    ObservationNormaliser out;
    for (size_t i = 0; i < n; ++i) {
      out.mean.push_back(draw_normal(stream_, 0, 1) * std::pow(10, static_cast<double>(i % 6)));
      out.variance.push_back(std::pow(10, static_cast<double>(i % 5) - 2));
    }
    return out;
  }
  Layer linear(size_t inputs, size_t outputs, Activation activation) {
    return {Layer::Kind::Linear, activation, matrix(outputs, inputs), {}, matrix(outputs, 1)};
  }
  Layer lstm(size_t inputs, size_t hidden) {
    return {Layer::Kind::Lstm, Activation::None, matrix(4 * hidden, inputs), matrix(4 * hidden, hidden),
            matrix(4 * hidden, 1)};
  }
  // Two hidden layers.
  PolicyNetwork mlp(size_t inputs, size_t width, Activation activation, ActionSpace actions) {
    PolicyNetwork out;
    out.layers = {linear(inputs, width, activation), linear(width, width, activation),
                  linear(width, actions.outputs(), Activation::None)};
    if (actions.continuous()) out.log_std = normals(actions.size(), 0.3);
    out.actions = std::move(actions);
    return out;
  }

 private:
  Eigen::MatrixXf matrix(size_t rows, size_t columns) {
    Eigen::MatrixXf out(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(columns));
    const double sd = 1 / std::sqrt(static_cast<double>(columns));
    for (Eigen::Index c = 0; c < out.cols(); ++c)
      for (Eigen::Index r = 0; r < out.rows(); ++r) out(r, c) = normal(sd);
    return out;
  }

  Stream stream_;
};

}  // namespace kisim::test

#include "parameters.hpp"

#include <cmath>

namespace kisim::learning {

Tensor Parameters::add(std::vector<int64_t> shape) {
  weights_.push_back(torch::zeros(shape, torch::requires_grad()));
  return weights_.back();
}

void Parameters::join() {
  int64_t size = 0;
  for (const Tensor& weight : weights_) size += weight.numel();
  values_ = torch::zeros({size});
  gradients_ = torch::zeros({size});
  int64_t begin = 0;
  for (Tensor& weight : weights_) {
    auto part = [&](const Tensor& all) { return all.narrow(0, begin, weight.numel()).view(weight.sizes()); };
    weight.set_data(part(values_));
    weight.mutable_grad() = part(gradients_);
    begin += weight.numel();
  }
}

double Parameters::clip_gradients(double most) {
  double square = 0;
  for (float g : gradients()) square += static_cast<double>(g) * g;
  const double norm = std::sqrt(square);
  if (most > 0 && norm > most) {
    // PyTorch's clip_grad_norm_ keeps the 1e-6.
    const float scale = static_cast<float>(most / (norm + 1e-6));
    for (float& g : gradients()) g *= scale;
  }
  return norm;
}

Adam::Adam(Parameters& parameters, double epsilon)
    : parameters_(parameters),
      epsilon_(epsilon),
      mean_(parameters.values().size()),
      square_(parameters.values().size()) {}

void Adam::step(double learning_rate) {
  constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kRest1 = 0.1f, kRest2 = 0.001f;  // 1 - 0.999f is 1.3e-5 off
  ++steps_;
  const double correction1 = 1 - std::pow(0.9, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(0.999, static_cast<double>(steps_));
  const float rate = static_cast<float>(learning_rate / correction1);
  const float root = static_cast<float>(std::sqrt(correction2)), epsilon = static_cast<float>(epsilon_);
  float* p = parameters_.values().data();
  const float* g = parameters_.gradients().data();
  float *m = mean_.data(), *v = square_.data();
  for (size_t i = 0; i < mean_.size(); ++i) {
    m[i] = kBeta1 * m[i] + kRest1 * g[i];
    v[i] = kBeta2 * v[i] + kRest2 * g[i] * g[i];
    p[i] -= rate * m[i] / (std::sqrt(v[i]) / root + epsilon);
  }
}

void Adam::archive(Checkpoint& checkpoint) {
  checkpoint.item("adam/steps", steps_);
  checkpoint.item("adam/mean", std::span(mean_));
  checkpoint.item("adam/square", std::span(square_));
}

}  // namespace kisim::learning

#pragma once
// The weights of a network in one array and their gradients in another, so that clipping and the optimiser are one
// pass over each.

#include "checkpoint.hpp"
#include "tensor.hpp"

#include <span>
#include <vector>

namespace kisim::learning {

class Parameters {
 public:
  // A weight of float32, zero, that asks for its gradient. After the last one comes join().
  Tensor add(std::vector<int64_t> shape);
  void join();

  std::span<float> values() { return span_of(values_); }
  std::span<const float> values() const { return span_of(values_); }
  std::span<float> gradients() { return span_of(gradients_); }

  void clear_gradients() { gradients_.zero_(); }
  // Scales all gradients alike so that their norm is at most `most`; 0: leaves them. Returns the norm they had.
  double clip_gradients(double most);

 private:
  static std::span<float> span_of(const Tensor& t) { return {t.data_ptr<float>(), static_cast<size_t>(t.numel())}; }

  std::vector<Tensor> weights_;
  Tensor values_, gradients_;
};

// Adam (Kingma, Ba, ICLR 2015), step for step as torch.optim.Adam:
//   m = β₁ m + (1 − β₁) g;  v = β₂ v + (1 − β₂) g²;  p −= α / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
class Adam {
 public:
  Adam(Parameters& parameters, double epsilon);
  void step(double learning_rate);
  void archive(Checkpoint& checkpoint);

 private:
  Parameters& parameters_;
  double epsilon_;
  int64_t steps_ = 0;
  std::vector<float> mean_, square_;
};

}  // namespace kisim::learning

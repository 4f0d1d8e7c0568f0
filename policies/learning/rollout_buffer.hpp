#pragma once
// What a policy has done and seen since the last update: contiguous, time-major, row t·n + i.

#include "rl/env.hpp"
#include "tensor.hpp"

#include <span>
#include <vector>

namespace kisim::learning {

// The elements of a contiguous tensor.
template <class T>
std::span<T> elements(Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

struct RolloutBuffer {
  RolloutBuffer(const EnvSpec& spec, int64_t steps, int64_t environments);

  int64_t steps, environments;
  Tensor observations;       // [rows, features], as the network gets them
  Tensor actions;            // [rows, action size], before clipping or squashing
  Tensor masks;              // [rows, action outputs] of bool; undefined unless masked
  Tensor log_probs, values;  // [rows], of the network that acted
  Tensor starts;             // [steps, environments], 1 where an episode begins
  Tensor advantages, returns;
  std::vector<double> rewards;
  std::vector<uint8_t> ended;

  size_t rows() const { return rewards.size(); }
};

}  // namespace kisim::learning

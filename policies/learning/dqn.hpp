#pragma once
// Deep Q-learning (Mnih et al., Nature 518, 2015), with double Q-learning (van Hasselt et al., AAAI 2016) and n-step
// returns: Q(s, a) → Σ_{k<n} γᵏ r_k + γⁿ Q'(s_n, a*), without the last term where the episode has ended by itself.
// An episode that was cut goes on from its last observation.

#include "algorithm.hpp"
#include "tensor.hpp"

#include <deque>

namespace kisim::learning {

// The latest `capacity` transitions. One of n steps has the sum of their discounted rewards, and as discount γⁿ, or 0
// where the episode has ended.
class ReplayBuffer {
 public:
  ReplayBuffer(size_t capacity, size_t features, size_t masks);

  struct Transition {
    std::span<const float> observation, next;
    int64_t action = 0;
    double reward = 0, discount = 0;
    std::span<const uint8_t> next_mask;  // empty unless masked
  };
  void add(const Transition& transition);
  size_t size() const { return size_; }

  struct Batch {
    Tensor observations, actions, rewards, discounts, next_observations;
    Tensor next_masks;  // undefined unless masked
  };
  // With replacement, each equally likely.
  Batch sample(size_t n, Stream& stream) const;
  void archive(Checkpoint& checkpoint);

 private:
  size_t capacity_, features_, masks_;
  size_t size_ = 0, next_ = 0;
  std::vector<float> observations_, next_observations_, rewards_, discounts_;
  std::vector<int64_t> actions_;
  std::vector<uint8_t> next_masks_;
};

// What the network is to say of the batch's actions, [n]. `next_target`, `next_online`: Q of the next observations by
// the target network and, for double Q-learning, by the one that learns (undefined: plain).
Tensor td_targets(const ReplayBuffer::Batch& batch, const Tensor& next_target, const Tensor& next_online);

std::unique_ptr<Algorithm> make_dqn(const VectorEnv::Factory& make, const TrainingPlan& plan);

}  // namespace kisim::learning

#pragma once
// Probe environments: each so small that its values and its best policy are known, and each fails for one kind of
// mistake in a learner. The first five are Andy Jones' ladder ("Debugging RL, Without the Agonizing Pain", 2021).

#include "gym/tabular.hpp"

#include <vector>

namespace kisim {

// clang-format off
// ConstantReward-v0         one state, one action, one step, reward 1: V = 1. The value's loss, the optimiser.
// ObservedReward-v0         as before, but the reward is what is seen, ±1: V(x) = x. Backpropagation.
// DelayedReward-v0          two steps, reward 1 after the second: V = γ, then 1. The discount.
// ChosenReward-v0           two actions with the rewards −1 and 1. Advantages, the policy's loss.
// ObservedChoice-v0         the reward is 1 where the action is what is seen, otherwise −1. All of it; stale batches.
// DelayedAction-v0          an action takes effect three steps later, as a pod's start does.
// BlinkingLight-v0          which of two actions is rewarded is seen in the first step alone: needs a memory.
// TwoConstraints-v0         two actions that pay and cost, and one that does neither; five steps, two budgets.
// MaskedActions-v0          the action that pays best is not always allowed; taking it then is an error.
// InfiniteHorizon-v0        a ring of four states, reward 1, cut after 8 steps: V = 1/(1−γ) only for a learner that
//                           takes a cut episode to go on (Stable-Baselines3's test of that).
// Identity-v0               the action is to be what is seen: one of four, for 100 steps (as Stable-Baselines3 has it).
// IdentityMultiDiscrete-v0  the same with two components.
// clang-format on
std::vector<TabularModel> tabular_probes();

// The action is to be within 0.05 of what is seen, a number within ±1; 100 steps.
class IdentityBox final : public Env {
 public:
  const EnvSpec& spec() const override;

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;
  void draw(std::span<float> observation);

  Stream stream_;
  float wanted_ = 0;
};

}  // namespace kisim

#include "rl/env.hpp"

#include <algorithm>

namespace kisim {

void Env::reset(uint64_t seed, uint64_t episode, std::span<float> observation) {
  steps_ = 0;
  begin(seed, episode, observation);
}

// As gymnasium.wrappers.TimeLimit: the last step allowed is truncated even if it also terminates.
Transition Env::step(std::span<const float> action, std::span<float> observation) {
  Transition t = advance(action, observation);
  const int32_t limit = spec().max_episode_steps;
  if (limit > 0 && ++steps_ >= limit) t.truncated = true;
  return t;
}

void Env::mask(std::span<uint8_t> allowed) const { std::fill(allowed.begin(), allowed.end(), uint8_t{1}); }

void Env::costs(std::span<double>) const {}

}  // namespace kisim

#pragma once
// Vectors of environments with arrays to step into, and actions to step with.

#include "core/random.hpp"
#include "rl/vector_env.hpp"

#include <vector>

namespace kisim::test {

struct StepArrays {
  std::vector<float> observations, final_observations;
  std::vector<double> rewards, costs;
  std::vector<uint8_t> terminated, truncated, masks, final_masks;

  explicit StepArrays(const VectorEnv& envs) {
    const EnvSpec& spec = envs.spec();
    const size_t n = envs.size();
    observations.resize(n * spec.observation.size());
    final_observations.resize(observations.size());
    rewards.resize(n);
    costs.resize(n * spec.costs.size());
    terminated.resize(n);
    truncated.resize(n);
    masks.resize(n * spec.actions.outputs());
    final_masks.resize(masks.size());
  }
  StepBuffers buffers() {
    return {observations.data(),       rewards.data(), terminated.data(), truncated.data(),
            final_observations.data(), masks.data(),   costs.data(),      final_masks.data()};
  }
  bool ended(size_t i) const { return terminated[i] || truncated[i]; }
  bool operator==(const StepArrays&) const = default;
};

// Any action that is allowed, each equally likely; of a Box any within its bounds.
inline void draw_action(const ActionSpace& space, std::span<const uint8_t> allowed, Stream& stream,
                        std::span<float> action) {
  size_t offset = 0;
  for (size_t c = 0; c < space.size(); ++c) {
    if (space.continuous()) {
      action[c] = space.low[c] + (space.high[c] - space.low[c]) * static_cast<float>(stream.uniform());
      continue;
    }
    const auto n = static_cast<uint32_t>(space.choices[c]);
    uint32_t choice;
    do choice = stream.below(n);
    while (!allowed[offset + choice]);
    action[c] = static_cast<float>(choice);
    offset += n;
  }
}

}  // namespace kisim::test

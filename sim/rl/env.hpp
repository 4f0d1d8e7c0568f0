#pragma once
// An environment as Gymnasium has it (reset, step, terminated apart from truncated), without allocation per step:
// observations are written where the caller wants them.

#include "rl/space.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// What a constrained agent keeps low: the expected sum over an episode is to stay at or below the limit.
struct CostSpec {
  std::string name;
  double limit = 0;
};

struct EnvSpec {
  std::string name;                  // "CartPole-v1"
  std::vector<Feature> observation;  // by element
  ActionSpace actions;
  int32_t max_episode_steps = 0;  // then it is truncated; 0: no limit
  std::optional<double> reward_threshold;
  bool masked = false;          // not every action is allowed at every time
  std::vector<CostSpec> costs;  // none: only the reward counts
};

struct Transition {
  double reward = 0;
  bool terminated = false;  // the episode has come to its own end
  bool truncated = false;   // it was cut, and would have gone on
};

class Env {
 public:
  virtual ~Env() = default;
  virtual const EnvSpec& spec() const = 0;

  // Begins episode number `episode` of `seed`: equal numbers give equal episodes, whatever came before.
  // `observation`: [spec().observation.size()].
  void reset(uint64_t seed, uint64_t episode, std::span<float> observation);
  // `action`: [spec().actions.size()]. Precondition: the episode has not ended.
  Transition step(std::span<const float> action, std::span<float> observation);
  // 1 where a choice is allowed now: [spec().actions.outputs()]. At least one of each component is.
  virtual void mask(std::span<uint8_t> allowed) const;
  // Of the last step: [spec().costs.size()].
  virtual void costs(std::span<double> out) const;

 private:
  virtual void begin(uint64_t seed, uint64_t episode, std::span<float> observation) = 0;
  virtual Transition advance(std::span<const float> action, std::span<float> observation) = 0;

  int32_t steps_ = 0;
};

}  // namespace kisim

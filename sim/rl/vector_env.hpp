#pragma once
// Several environments of one kind, stepped together by a pool of threads. Each has a seed and a place in the buffers
// of its own, so that results do not depend on the number of threads. What an environment throws reaches the caller, of
// several the one of the lowest index; then only a reset goes on.

#include "rl/env.hpp"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace kisim {

// What happens to an environment whose episode has ended (gymnasium.vector.AutoresetMode).
enum class Autoreset : uint8_t {
  NextStep,  // the next step ignores the action and begins an episode: its reward is 0, and it is no transition
  SameStep,  // the same step begins it; the last observation of the old one is in final_observations
  Disabled   // the caller resets before the next step
};

// Where a step is written, by environment: the rows of the caller's own contiguous arrays. A reset writes observations
// and masks alone.
struct StepBuffers {
  float* observations = nullptr;        // [n, observation size]
  double* rewards = nullptr;            // [n]
  uint8_t* terminated = nullptr;        // [n]
  uint8_t* truncated = nullptr;         // [n]
  float* final_observations = nullptr;  // [n, observation size]; SameStep: written where an episode has ended
  uint8_t* masks = nullptr;             // [n, action outputs], of the observation; may be null
  double* costs = nullptr;              // [n, costs]; may be null
  uint8_t* final_masks = nullptr;       // [n, action outputs], of final_observations; may be null
};

// An episode under way, for checkpoints: replaying its actions leads to where it is, to the bit.
struct EpisodeSoFar {
  uint64_t seed = 0, episode = 0;
  bool ended = false;
  std::vector<float> actions;  // [steps, action size]
};

class VectorEnv {
 public:
  using Factory = std::function<std::unique_ptr<Env>()>;
  // `threads`: 0 = as many as there are cores; never more than environments. Throws what the factory throws, and
  // std::system_error where there are no more threads.
  VectorEnv(const Factory& make, size_t environments, size_t threads, Autoreset autoreset);
  ~VectorEnv();

  size_t size() const;
  const EnvSpec& spec() const;
  Autoreset autoreset() const;

  // Environment i begins episode 0 of seed + i.
  void reset(uint64_t seed, const StepBuffers& out);
  // Those of `which` ([n]) begin their next episode, the others stay as they are. Disabled only.
  void reset(std::span<const uint8_t> which, const StepBuffers& out);
  // `actions`: [n, action size].
  void step(std::span<const float> actions, const StepBuffers& out);

  // Keeping the actions of running episodes costs memory; off unless asked for, before the first reset.
  void keep_episodes(bool keep);
  // Precondition: they are kept.
  std::vector<EpisodeSoFar> episodes() const;
  // Continues from there, with observations and masks written as by the last step. Throws InputError where the replay
  // of the actions ends an episode that went on, or the other way round: the environment is another one.
  void resume(const std::vector<EpisodeSoFar>& episodes, const StepBuffers& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kisim

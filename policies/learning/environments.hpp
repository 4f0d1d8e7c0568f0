#pragma once
// The environments of one training: stepped together, their observations checked and normalised, their episodes
// counted.

#include "checkpoint.hpp"
#include "normalise.hpp"
#include "rl/vector_env.hpp"

#include <optional>
#include <span>
#include <vector>

namespace kisim::learning {

struct EnvironmentsSettings {
  size_t count = 1, threads = 1;
  uint64_t seed = 0;
  bool normalise_observations = false, normalise_rewards = false;
  double gamma = 0.99;        // of the returns that rewards are normalised by
  bool keep_episodes = true;  // what a checkpoint needs
};

// Episodes that have ended: how many, and the sums of their returns and lengths.
struct EndedEpisodes {
  int64_t count = 0;
  double returns = 0, lengths = 0;
};

class Environments {
 public:
  Environments(const VectorEnv::Factory& make, const EnvironmentsSettings& settings);

  size_t size() const { return vector_.size(); }
  const EnvSpec& spec() const { return vector_.spec(); }

  // `actions`: [size, action size], as the environment takes them. An ended episode gives way to the next at once.
  void step(std::span<const float> actions);

  // As of the last step, or of the first observations before it.
  std::span<const float> observations() const { return observations_; }              // [size, features]
  std::span<const float> final_observations() const { return final_observations_; }  // the same, where one has ended
  std::span<const uint8_t> masks() const { return masks_; }              // [size, action outputs]; empty unless masked
  std::span<const uint8_t> final_masks() const { return final_masks_; }  // the same, where an episode has ended
  std::span<const double> rewards() const { return rewards_; }
  bool terminated(size_t i) const { return terminated_[i] != 0; }
  bool truncated(size_t i) const { return truncated_[i] != 0 && terminated_[i] == 0; }
  bool ended(size_t i) const { return ended_[i] != 0; }

  // Those since the last call.
  EndedEpisodes take_ended();
  // Of all observations so far, as they come from the environment.
  const std::vector<float>& seen_low() const { return seen_low_; }
  const std::vector<float>& seen_high() const { return seen_high_; }
  // One observation as networks get it: normalised, if they are.
  std::vector<float> normalised(std::span<const float> observation) const;
  // Without means if observations are not normalised.
  ObservationNormaliser normaliser() const;

  void archive(Checkpoint& checkpoint);

 private:
  StepBuffers buffers();
  void take_in(std::span<const float> raw, size_t row);
  void see();
  void archive_episodes(Checkpoint& checkpoint);

  VectorEnv vector_;
  bool keep_episodes_;
  std::vector<float> raw_, raw_final_, observations_, final_observations_;
  std::vector<double> rewards_;
  std::vector<uint8_t> terminated_, truncated_, ended_, masks_, final_masks_;
  std::vector<float> seen_low_, seen_high_;
  std::optional<RunningMoments> moments_;
  std::optional<RewardNormaliser> reward_normaliser_;
  std::vector<double> returns_, lengths_;  // of the episodes under way
  EndedEpisodes ended_episodes_;
};

}  // namespace kisim::learning

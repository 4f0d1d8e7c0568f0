#include "environments.hpp"

#include "core/error.hpp"

#include <cmath>
#include <limits>

namespace kisim::learning {

Environments::Environments(const VectorEnv::Factory& make, const EnvironmentsSettings& settings)
    : vector_(make, settings.count, settings.threads, Autoreset::SameStep), keep_episodes_(settings.keep_episodes) {
  const size_t n = settings.count, features = spec().observation.size();
  for (std::vector<float>* rows : {&raw_, &raw_final_, &observations_, &final_observations_})
    rows->resize(n * features);
  for (std::vector<uint8_t>* flags : {&terminated_, &truncated_, &ended_}) flags->resize(n);
  for (std::vector<double>* numbers : {&rewards_, &returns_, &lengths_}) numbers->resize(n);
  if (spec().masked)
    for (std::vector<uint8_t>* masks : {&masks_, &final_masks_}) masks->resize(n * spec().actions.outputs());
  seen_low_.resize(features, std::numeric_limits<float>::infinity());
  seen_high_.resize(features, -std::numeric_limits<float>::infinity());
  if (settings.normalise_observations) moments_.emplace(features);
  if (settings.normalise_rewards) reward_normaliser_.emplace(n, settings.gamma);
  vector_.keep_episodes(keep_episodes_);
  vector_.reset(settings.seed, buffers());
  see();
}

StepBuffers Environments::buffers() {
  return {.observations = raw_.data(),
          .rewards = rewards_.data(),
          .terminated = terminated_.data(),
          .truncated = truncated_.data(),
          .final_observations = raw_final_.data(),
          .masks = masks_.empty() ? nullptr : masks_.data(),
          .final_masks = final_masks_.empty() ? nullptr : final_masks_.data()};
}

void Environments::step(std::span<const float> actions) {
  vector_.step(actions, buffers());
  for (size_t i = 0; i < size(); ++i) {
    ended_[i] = terminated_[i] || truncated_[i];
    returns_[i] += rewards_[i];
    lengths_[i] += 1;
    if (!ended_[i]) continue;
    ++ended_episodes_.count;
    ended_episodes_.returns += returns_[i];
    ended_episodes_.lengths += lengths_[i];
    returns_[i] = lengths_[i] = 0;
    take_in(raw_final_, i);
  }
  see();
  if (reward_normaliser_) reward_normaliser_->apply(rewards_, ended_);
}

// Checks one row against the bounds that the environment declares, and widens what has been seen.
void Environments::take_in(std::span<const float> raw, size_t row) {
  const std::vector<Feature>& features = spec().observation;
  for (size_t j = 0; j < features.size(); ++j) {
    const float x = raw[row * features.size() + j];
    KISIM_INVARIANT(std::isfinite(x) && x >= features[j].low && x <= features[j].high,
                    "{}: observation '{}' of environment {} is {}, allowed: {} to {}", spec().name, features[j].name,
                    row, x, features[j].low, features[j].high);
    seen_low_[j] = std::min(seen_low_[j], x);
    seen_high_[j] = std::max(seen_high_[j], x);
  }
}

void Environments::see() {
  for (size_t i = 0; i < size(); ++i) take_in(raw_, i);
  if (!moments_) {
    observations_ = raw_;
    final_observations_ = raw_final_;
    return;
  }
  moments_->add(std::span<const float>(raw_));
  const ObservationNormaliser current = normaliser();
  normalise(current, raw_, observations_);
  normalise(current, raw_final_, final_observations_);
}

EndedEpisodes Environments::take_ended() {
  EndedEpisodes out = ended_episodes_;
  ended_episodes_ = {};
  return out;
}

std::vector<float> Environments::normalised(std::span<const float> observation) const {
  std::vector<float> out(observation.begin(), observation.end());
  if (moments_) normalise(normaliser(), observation, out);
  return out;
}

ObservationNormaliser Environments::normaliser() const {
  if (!moments_) return {};
  return {.mean = moments_->mean(), .variance = moments_->variance()};
}

void Environments::archive_episodes(Checkpoint& checkpoint) {
  std::vector<EpisodeSoFar> episodes = vector_.episodes();
  for (size_t i = 0; i < episodes.size(); ++i) {
    const std::string name = fmt::format("environments/{}/", i);
    uint8_t ended = episodes[i].ended;
    checkpoint.item(name + "seed", episodes[i].seed);
    checkpoint.item(name + "episode", episodes[i].episode);
    checkpoint.item(name + "ended", ended);
    checkpoint.item(name + "actions", episodes[i].actions);
    episodes[i].ended = ended != 0;
  }
  if (checkpoint.loading()) vector_.resume(episodes, buffers());
}

void Environments::archive(Checkpoint& checkpoint) {
  KISIM_INVARIANT(keep_episodes_, "checkpoints need the episodes under way");
  archive_episodes(checkpoint);
  checkpoint.item("environments/observations", std::span(observations_));
  checkpoint.item("environments/seen_low", std::span(seen_low_));
  checkpoint.item("environments/seen_high", std::span(seen_high_));
  checkpoint.item("environments/returns", std::span(returns_));
  checkpoint.item("environments/lengths", std::span(lengths_));
  checkpoint.item("environments/ended_count", ended_episodes_.count);
  checkpoint.item("environments/ended_returns", ended_episodes_.returns);
  checkpoint.item("environments/ended_lengths", ended_episodes_.lengths);
  if (moments_) moments_->archive("observations", checkpoint);
  if (reward_normaliser_) reward_normaliser_->archive(checkpoint);
}

}  // namespace kisim::learning

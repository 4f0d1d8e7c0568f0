#include "evaluate.hpp"

#include <algorithm>

namespace kisim::learning {
namespace {

bool recurrent(const PolicyNetwork& policy) {
  return std::ranges::any_of(policy.layers, [](const Layer& layer) { return layer.kind == Layer::Kind::Lstm; });
}

// One policy in one environment, with room for what they exchange.
class Player {
 public:
  Player(const PolicyNetwork& policy, const VectorEnv::Factory& make)
      : env_(make()), actor_(policy), recurrent_(recurrent(policy)) {
    observation_.resize(env_->spec().observation.size());
    outputs_.resize(policy.actions.outputs());
    action_.resize(policy.actions.size());
    if (env_->spec().masked) mask_.resize(policy.actions.outputs());
  }

  double play(uint64_t seed, uint64_t episode) {
    double sum = 0;
    env_->reset(seed, episode, observation_);
    RecurrentState memory = actor_.initial_state();
    for (Transition last; !last.terminated && !last.truncated;) {
      choose(memory);
      last = env_->step(action_, observation_);
      sum += last.reward;
    }
    return sum;
  }

 private:
  void choose(RecurrentState& memory) {
    if (recurrent_) {
      actor_.forward(observation_, memory, outputs_);
    } else {
      actor_.forward(observation_, 1, outputs_);
    }
    if (!mask_.empty()) env_->mask(mask_);
    likeliest_action(actor_.network().actions, outputs_, mask_, action_);
  }

  std::unique_ptr<Env> env_;
  Actor actor_;
  bool recurrent_;
  std::vector<float> observation_, outputs_, action_;
  std::vector<uint8_t> mask_;
};

}  // namespace

double evaluate(const PolicyNetwork& policy, const VectorEnv::Factory& make, uint64_t seed, int64_t episodes) {
  Player player(policy, make);
  double sum = 0;
  for (int64_t episode = 0; episode < episodes; ++episode) sum += player.play(seed, static_cast<uint64_t>(episode));
  return sum / static_cast<double>(episodes);
}

}  // namespace kisim::learning

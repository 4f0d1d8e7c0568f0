#include "algorithm.hpp"

#include "core/hash.hpp"
#include "dqn.hpp"
#include "ppo.hpp"

namespace kisim::learning {

EnvironmentsSettings environments_settings(const TrainingPlan& plan) {
  return {.count = static_cast<size_t>(plan.params.integer("numEnvs")),
          .threads = plan.threads,
          .seed = hash_combine(plan.seed, hash_text("training")),
          .normalise_observations = plan.params.flag("normalizeObservations"),
          .normalise_rewards = plan.params.flag("normalizeRewards"),
          .gamma = plan.params.number("gamma"),
          .keep_episodes = plan.checkpoints};
}

std::unique_ptr<Algorithm> make_algorithm(const std::string& name, const VectorEnv::Factory& make,
                                          const TrainingPlan& plan) {
  if (name == "dqn") return make_dqn(make, plan);
  return make_ppo(make, plan);
}

}  // namespace kisim::learning

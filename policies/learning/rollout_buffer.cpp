#include "rollout_buffer.hpp"

namespace kisim::learning {

RolloutBuffer::RolloutBuffer(const EnvSpec& spec, int64_t steps, int64_t environments)
    : steps(steps), environments(environments) {
  const int64_t rows = steps * environments;
  observations = torch::zeros({rows, static_cast<int64_t>(spec.observation.size())});
  actions = torch::zeros({rows, static_cast<int64_t>(spec.actions.size())});
  if (spec.masked) masks = torch::ones({rows, static_cast<int64_t>(spec.actions.outputs())}, torch::kBool);
  for (Tensor* column : {&log_probs, &values, &advantages, &returns}) *column = torch::zeros({rows});
  starts = torch::zeros({steps, environments});
  rewards.resize(static_cast<size_t>(rows));
  ended.resize(static_cast<size_t>(rows));
}

}  // namespace kisim::learning

#include "gym/tabular.hpp"

#include "core/error.hpp"

#include <algorithm>

namespace kisim {

void TabularEnv::mask(std::span<uint8_t> allowed) const {
  const std::vector<uint8_t>& here = model_.states[state_].allowed;
  if (here.empty()) return Env::mask(allowed);
  std::copy(here.begin(), here.end(), allowed.begin());
}

void TabularEnv::costs(std::span<double> out) const {
  if (last_ && !last_->costs.empty())
    std::copy(last_->costs.begin(), last_->costs.end(), out.begin());
  else
    std::fill(out.begin(), out.end(), 0.0);
}

void TabularEnv::enter(uint32_t state, std::span<float> observation) {
  state_ = state;
  std::copy(model_.states[state].observation.begin(), model_.states[state].observation.end(), observation.begin());
}

void TabularEnv::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  stream_ = Stream(seed, episode, Purpose::Episode);
  last_ = nullptr;
  enter(stream_.below(model_.first_states), observation);
}

Transition TabularEnv::advance(std::span<const float> action, std::span<float> observation) {
  const TabularState& here = model_.states[state_];
  size_t choice = 0, offset = 0;
  for (size_t c = 0; c < action.size(); ++c) {
    const auto n = static_cast<size_t>(model_.spec.actions.choices[c]);
    const auto chosen = static_cast<size_t>(action[c]);
    KISIM_INVARIANT(chosen < n && (here.allowed.empty() || here.allowed[offset + chosen]),
                    "{}: action {} of component {} is not allowed in state {}", model_.spec.name, action[c], c, state_);
    choice = choice * n + chosen;
    offset += n;
  }
  const TabularOutcome& outcome = here.outcomes[choice];
  last_ = &outcome;
  if (outcome.then == TabularOutcome::Then::Draw)
    enter(stream_.below(model_.first_states), observation);
  else
    enter(outcome.then == TabularOutcome::Then::Go ? outcome.next : state_, observation);
  return {.reward = outcome.reward, .terminated = outcome.then == TabularOutcome::Then::Terminate};
}

}  // namespace kisim

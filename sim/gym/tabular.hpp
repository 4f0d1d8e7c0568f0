#pragma once
// An environment that is a table: few states, each with what is seen there and what each action brings. Its best policy
// can be computed, so that a learner can be held against it.

#include "core/random.hpp"
#include "rl/env.hpp"

#include <vector>

namespace kisim {

struct TabularOutcome {
  enum class Then : uint8_t {
    Go,        // to the state `next`
    Draw,      // to a state drawn as the first one is
    Terminate  // and stay
  } then = Then::Go;
  uint32_t next = 0;
  double reward = 0;
  std::vector<double> costs;  // as the spec's; empty: zeros
};

struct TabularState {
  std::vector<float> observation;
  // By action; of several components the last changes fastest.
  std::vector<TabularOutcome> outcomes;
  std::vector<uint8_t> allowed = {};  // as Env::mask; empty: all
};

struct TabularModel {
  EnvSpec spec;  // its actions are choices
  std::vector<TabularState> states;
  uint32_t first_states = 1;  // episodes begin in the first ones, each equally likely
};

class TabularEnv final : public Env {
 public:
  explicit TabularEnv(TabularModel model) : model_(std::move(model)) {}

  const TabularModel& model() const { return model_; }
  const EnvSpec& spec() const override { return model_.spec; }
  void mask(std::span<uint8_t> allowed) const override;
  void costs(std::span<double> out) const override;

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;
  void enter(uint32_t state, std::span<float> observation);

  TabularModel model_;
  Stream stream_;
  uint32_t state_ = 0;
  const TabularOutcome* last_ = nullptr;
};

}  // namespace kisim

#include "gym/probes.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

namespace kisim {
namespace {

using Then = TabularOutcome::Then;

TabularOutcome ends(double reward) { return {Then::Terminate, 0, reward, {}}; }
TabularOutcome goes(size_t next, double reward) { return {Then::Go, static_cast<uint32_t>(next), reward, {}}; }
TabularOutcome draws(double reward) { return {Then::Draw, 0, reward, {}}; }

// One of n: element i is 1.
std::vector<float> one_hot(size_t n, size_t i) {
  std::vector<float> out(n);
  out[i] = 1;
  return out;
}

std::vector<Feature> flags(const std::string& name, size_t n) {
  std::vector<Feature> out;
  for (size_t i = 0; i < n; ++i) out.push_back({fmt::format("{} {}", name, i), 0, 1});
  return out;
}

EnvSpec spec_of(std::string name, std::vector<Feature> observation, int32_t actions) {
  EnvSpec out;
  out.name = std::move(name);
  out.observation = std::move(observation);
  out.actions = ActionSpace::discrete(actions);
  return out;
}

TabularModel constant_reward() { return {spec_of("ConstantReward-v0", {{"nothing", 0, 0}}, 1), {{{0}, {ends(1)}}}}; }

TabularModel observed_reward() {
  return {spec_of("ObservedReward-v0", {{"reward", -1, 1}}, 1), {{{-1}, {ends(-1)}}, {{1}, {ends(1)}}}, 2};
}

TabularModel delayed_reward() {
  return {spec_of("DelayedReward-v0", {{"step", 0, 1}}, 1), {{{0}, {goes(1, 0)}}, {{1}, {ends(1)}}}};
}

TabularModel chosen_reward() {
  return {spec_of("ChosenReward-v0", {{"nothing", 0, 0}}, 2), {{{0}, {ends(-1), ends(1)}}}};
}

TabularModel observed_choice() {
  return {
      spec_of("ObservedChoice-v0", {{"action", 0, 1}}, 2), {{{0}, {ends(1), ends(-1)}}, {{1}, {ends(-1), ends(1)}}}, 2};
}

// A day of four phases, busy in the last two of them; +1 for each step whose replica is up exactly when it is busy.
// State: (the three actions that have no effect yet, the oldest the highest bit; the phase).
TabularModel delayed_action() {
  constexpr size_t kPhases = 4, kDelay = 3, kPending = size_t{1} << kDelay;
  TabularModel out{spec_of("DelayedAction-v0", flags("phase", kPhases), 2), {}, kPhases};
  for (size_t d = 0; d < kDelay; ++d)
    out.spec.observation.push_back({fmt::format("ordered {} steps ago", kDelay - d), 0, 1});
  out.spec.max_episode_steps = 24;
  for (size_t s = 0; s < kPending * kPhases; ++s) {
    const size_t pending = s / kPhases, phase = s % kPhases;
    TabularState state{one_hot(kPhases, phase), {}};
    for (size_t d = 0; d < kDelay; ++d) state.observation.push_back(pending >> (kDelay - 1 - d) & 1);
    const bool up = pending >> (kDelay - 1) & 1, busy = phase >= kPhases / 2;
    for (size_t action = 0; action < 2; ++action)
      state.outcomes.push_back(
          goes((pending * 2 + action) % kPending * kPhases + (phase + 1) % kPhases, up == busy ? 1 : 0));
    out.states.push_back(std::move(state));
  }
  return out;
}

// State: (step, which light). Seen in step 0: the light, −1 or 1; in the last step: that an answer is due.
TabularModel blinking_light() {
  constexpr size_t kSteps = 5;
  TabularModel out{spec_of("BlinkingLight-v0", {{"light", -1, 1}, {"answer", 0, 1}}, 2), {}, 2};
  for (size_t s = 0; s < 2 * kSteps; ++s) {
    const size_t step = s / 2, light = s % 2;
    const float seen = step > 0 ? 0.0f : light ? 1.0f : -1.0f;
    if (step + 1 < kSteps)
      out.states.push_back({{seen, 0}, {goes(s + 2, 0), goes(s + 2, 0)}});
    else
      out.states.push_back({{seen, 1}, {ends(light ? -1 : 1), ends(light ? 1 : -1)}});
  }
  return out;
}

// Each step: the fast way pays 3 and costs 1 of the first budget, the cheap way pays 2 and costs 1 of the second,
// waiting neither. The best policy goes fast 1.5 times and cheap twice an episode, as often as the budgets allow: it
// earns 8.5, and a unit more of either budget would be worth 3 or 2 (the optimal multipliers).
TabularModel two_constraints() {
  constexpr size_t kSteps = 5;
  TabularModel out{spec_of("TwoConstraints-v0", flags("step", kSteps), 3), {}};
  out.spec.costs = {{"fast", 1.5}, {"cheap", 2}};
  for (size_t step = 0; step < kSteps; ++step) {
    TabularState state{one_hot(kSteps, step), {}};
    for (double reward : {3, 2, 0}) state.outcomes.push_back(step + 1 < kSteps ? goes(step + 1, reward) : ends(reward));
    state.outcomes[0].costs = {1, 0};
    state.outcomes[1].costs = {0, 1};
    out.states.push_back(std::move(state));
  }
  return out;
}

// State: the action that is not allowed. Action i pays i; ten steps.
TabularModel masked_actions() {
  constexpr size_t kActions = 4;
  TabularModel out{spec_of("MaskedActions-v0", flags("forbidden", kActions), kActions), {}, kActions};
  out.spec.masked = true;
  out.spec.max_episode_steps = 10;
  for (size_t forbidden = 0; forbidden < kActions; ++forbidden) {
    TabularState state{one_hot(kActions, forbidden), {}, std::vector<uint8_t>(kActions, 1)};
    for (size_t action = 0; action < kActions; ++action) state.outcomes.push_back(draws(static_cast<double>(action)));
    state.allowed[forbidden] = 0;
    out.states.push_back(std::move(state));
  }
  return out;
}

TabularModel infinite_horizon() {
  constexpr size_t kStates = 4;
  TabularModel out{spec_of("InfiniteHorizon-v0", flags("state", kStates), 2), {}};
  out.spec.max_episode_steps = 8;
  for (size_t s = 0; s < kStates; ++s) {
    const TabularOutcome next = goes((s + 1) % kStates, 1);
    out.states.push_back({one_hot(kStates, s), {next, next}});
  }
  return out;
}

constexpr int32_t kIdentitySteps = 100;

// Every component has four choices.
TabularModel identity(std::string name, std::vector<int32_t> components) {
  TabularModel out{spec_of(std::move(name), {}, 1), {}};
  size_t actions = 1;
  for (int32_t n : components) actions *= static_cast<size_t>(n);
  for (size_t c = 0; c < components.size(); ++c)
    for (const Feature& flag : flags(fmt::format("component {}:", c), static_cast<size_t>(components[c])))
      out.spec.observation.push_back(flag);
  out.spec.actions = {
      components.size() == 1 ? ActionSpace::Kind::Discrete : ActionSpace::Kind::MultiDiscrete, components, {}, {}};
  out.spec.max_episode_steps = kIdentitySteps;
  out.first_states = static_cast<uint32_t>(actions);
  for (size_t s = 0; s < actions; ++s) {
    TabularState state;
    size_t rest = s, weight = actions;
    for (int32_t n : components) {
      weight /= static_cast<size_t>(n);
      for (float x : one_hot(static_cast<size_t>(n), rest / weight)) state.observation.push_back(x);
      rest %= weight;
    }
    for (size_t action = 0; action < actions; ++action) state.outcomes.push_back(draws(action == s ? 1 : 0));
    out.states.push_back(std::move(state));
  }
  return out;
}

}  // namespace

std::vector<TabularModel> tabular_probes() {
  return {constant_reward(),
          observed_reward(),
          delayed_reward(),
          chosen_reward(),
          observed_choice(),
          delayed_action(),
          blinking_light(),
          two_constraints(),
          masked_actions(),
          infinite_horizon(),
          identity("Identity-v0", {4}),
          identity("IdentityMultiDiscrete-v0", {4, 4})};
}

const EnvSpec& IdentityBox::spec() const {
  static const EnvSpec spec{
      "IdentityBox-v0", {{"action", -1, 1}}, ActionSpace::box({-1}, {1}), kIdentitySteps, std::nullopt};
  return spec;
}

void IdentityBox::draw(std::span<float> observation) {
  wanted_ = observation[0] = static_cast<float>(2 * stream_.uniform() - 1);
}

void IdentityBox::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  stream_ = Stream(seed, episode, Purpose::Episode);
  draw(observation);
}

Transition IdentityBox::advance(std::span<const float> action, std::span<float> observation) {
  constexpr float kNear = 0.05f;
  const bool near = std::abs(action[0] - wanted_) <= kNear;
  draw(observation);
  return {.reward = near ? 1.0 : 0.0};
}

}  // namespace kisim

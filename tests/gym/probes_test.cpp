#include "gym/probes.hpp"

#include "core/error.hpp"
#include "gym/registry.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace kisim;

namespace {

constexpr int kNoLimit = 5000;

TabularModel probe(const std::string& name) {
  for (TabularModel& model : tabular_probes())
    if (model.spec.name == name) return model;
  FAIL("no probe " << name);
  return {};
}

double mean_of_first(const TabularModel& model, const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.begin() + model.first_states, 0.0) / model.first_states;
}

// The best values by state, with `steps` left to go (backward induction); `price` is paid for each unit of cost.
std::vector<double> best_values(const TabularModel& model, double gamma, int steps,
                                const std::vector<double>& price = {}) {
  std::vector<double> values(model.states.size(), 0.0);
  for (int step = 0; step < steps; ++step) {
    const double drawn = mean_of_first(model, values);
    std::vector<double> better(values.size(), -INFINITY);
    for (size_t s = 0; s < values.size(); ++s)
      for (size_t a = 0; a < model.states[s].outcomes.size(); ++a) {
        // The tables with masks have one component.
        if (!model.states[s].allowed.empty() && !model.states[s].allowed[a]) continue;
        const TabularOutcome& outcome = model.states[s].outcomes[a];
        double value = outcome.reward;
        for (size_t c = 0; c < price.size() && !outcome.costs.empty(); ++c) value -= price[c] * outcome.costs[c];
        if (outcome.then == TabularOutcome::Then::Go) value += gamma * values[outcome.next];
        if (outcome.then == TabularOutcome::Then::Draw) value += gamma * drawn;
        better[s] = std::max(better[s], value);
      }
    values = better;
  }
  return values;
}

double best_return(const TabularModel& model) {
  const int32_t limit = model.spec.max_episode_steps;
  return mean_of_first(model, best_values(model, 1, limit > 0 ? limit : kNoLimit));
}

// The mean return of `choose(observation)` over episodes.
template <class Choose>
double mean_return(Env& env, int episodes, const Choose& choose, std::vector<double>* costs = nullptr) {
  std::vector<float> observation(env.spec().observation.size()), action(env.spec().actions.size());
  std::vector<double> cost(env.spec().costs.size());
  double sum = 0;
  for (int e = 0; e < episodes; ++e) {
    env.reset(7, static_cast<uint64_t>(e), observation);
    for (Transition t; !t.terminated && !t.truncated;) {
      choose(observation, action);
      t = env.step(action, observation);
      sum += t.reward / episodes;
      env.costs(cost);
      for (size_t c = 0; costs && c < cost.size(); ++c) (*costs)[c] += cost[c] / episodes;
    }
  }
  return sum;
}

size_t hot(const std::vector<float>& observation, size_t from, size_t n) {
  return static_cast<size_t>(std::find(observation.begin() + static_cast<long>(from),
                                       observation.begin() + static_cast<long>(from + n), 1.0f) -
                             observation.begin()) -
         from;
}

}  // namespace

TEST_CASE("the ladder's values are those of its rungs") {
  CHECK(best_values(probe("ConstantReward-v0"), .9, 9) == std::vector<double>{1});
  CHECK(best_values(probe("ObservedReward-v0"), .9, 9) == std::vector<double>{-1, 1});
  CHECK(best_values(probe("DelayedReward-v0"), .9, 9) == std::vector<double>{.9, 1});
  CHECK(best_values(probe("ChosenReward-v0"), .9, 9) == std::vector<double>{1});
  CHECK(best_values(probe("ObservedChoice-v0"), .9, 9) == std::vector<double>{1, 1});

  auto nothing = [](const std::vector<float>&, std::vector<float>& action) { action[0] = 0; };
  CHECK(mean_return(*make_env("ConstantReward-v0"), 10, nothing) == Approx(1));
  CHECK(mean_return(*make_env("DelayedReward-v0"), 10, nothing) == Approx(1));
  CHECK(mean_return(*make_env("ChosenReward-v0"), 10, nothing) == Approx(-1));
  CHECK(std::abs(mean_return(*make_env("ObservedReward-v0"), 10'000, nothing)) < 0.04);
  auto as_seen = [](const std::vector<float>& seen, std::vector<float>& action) { action[0] = seen[0]; };
  CHECK(mean_return(*make_env("ObservedChoice-v0"), 100, as_seen) == Approx(1));
}

TEST_CASE("an action of DelayedAction takes effect three steps later") {
  // Nothing is up in the first three steps; half of them are busy. After that every step can be right.
  CHECK(best_return(probe("DelayedAction-v0")) == Approx(21 + 1.5));
  auto env = make_env("DelayedAction-v0");
  auto ahead = [](size_t steps) {
    return [steps](const std::vector<float>& seen, std::vector<float>& action) {
      action[0] = (hot(seen, 0, 4) + steps) % 4 >= 2 ? 1 : 0;
    };
  };
  CHECK(mean_return(*env, 4000, ahead(3)) == Approx(22.5).epsilon(0.01));
  // To act on what is seen now is no better than a coin.
  CHECK(mean_return(*env, 4000, ahead(0)) == Approx(12).epsilon(0.02));
}

TEST_CASE("BlinkingLight cannot be answered without a memory") {
  const TabularModel model = probe("BlinkingLight-v0");
  CHECK(best_return(model) == 1);
  std::vector<const TabularState*> last;
  for (const TabularState& state : model.states)
    if (state.outcomes[0].then == TabularOutcome::Then::Terminate) last.push_back(&state);
  REQUIRE(last.size() == 2);
  CHECK(last[0]->observation == last[1]->observation);
  for (size_t action = 0; action < 2; ++action)
    CHECK(last[0]->outcomes[action].reward + last[1]->outcomes[action].reward == 0);

  float memory = 0;
  auto remembered = [&](const std::vector<float>& seen, std::vector<float>& action) {
    if (seen[0] != 0) memory = seen[0];
    action[0] = memory > 0 ? 1 : 0;
  };
  CHECK(mean_return(*make_env("BlinkingLight-v0"), 100, remembered) == Approx(1));
}

TEST_CASE("the best policy of TwoConstraints earns 8.5 within its budgets") {
  const TabularModel model = probe("TwoConstraints-v0");
  // From above: the Lagrangian dual, a bound for every price and equal to the optimum at the best one.
  auto dual = [&](double fast, double cheap) {
    return best_values(model, 1, 5, {fast, cheap})[0] + fast * model.spec.costs[0].limit +
           cheap * model.spec.costs[1].limit;
  };
  CHECK(dual(3, 2) == Approx(8.5));
  for (double fast : {0., 2.9, 3.1, 5.})
    for (double cheap : {0., 1.9, 2.1, 5.}) CHECK(dual(fast, cheap) > 8.5);
  // From below: a policy that keeps the budgets.
  Stream stream(1, 0, Purpose::Policy);
  auto mixed = [&](const std::vector<float>&, std::vector<float>& action) {
    const double u = stream.uniform();
    action[0] = u < .3 ? 0 : u < .7 ? 1 : 2;
  };
  std::vector<double> costs(2);
  CHECK(mean_return(*make_env("TwoConstraints-v0"), 40'000, mixed, &costs) == Approx(8.5).epsilon(0.005));
  CHECK(costs[0] == Approx(1.5).epsilon(0.02));
  CHECK(costs[1] == Approx(2).epsilon(0.02));
}

TEST_CASE("MaskedActions pays best what is forbidden at times, and refuses it then") {
  CHECK(best_return(probe("MaskedActions-v0")) == Approx(10 * (3 * 3 + 2) / 4.0));
  auto env = make_env("MaskedActions-v0");
  REQUIRE(env->spec().masked);
  auto best = [&](const std::vector<float>& seen, std::vector<float>& action) {
    std::vector<uint8_t> allowed(4);
    env->mask(allowed);
    CHECK(std::count(allowed.begin(), allowed.end(), 1) == 3);
    CHECK(allowed[hot(seen, 0, 4)] == 0);
    action[0] = hot(seen, 0, 4) == 3 ? 2 : 3;
  };
  CHECK(mean_return(*env, 2000, best) == Approx(27.5).epsilon(0.01));
  auto forbidden = [](const std::vector<float>& seen, std::vector<float>& action) {
    action[0] = static_cast<float>(hot(seen, 0, 4));
  };
  CHECK_THROWS_AS(mean_return(*env, 1, forbidden), InvariantError);
  auto unknown = [](const std::vector<float>&, std::vector<float>& action) { action[0] = 4; };
  CHECK_THROWS_AS(mean_return(*make_env("ChosenReward-v0"), 1, unknown), InvariantError);
}

TEST_CASE("the ring goes on for ever, but is cut after eight steps") {
  const TabularModel model = probe("InfiniteHorizon-v0");
  for (double value : best_values(model, .98, kNoLimit)) CHECK(value == Approx(50));
  TabularEnv env(model);
  std::vector<float> observation(4), action(1);
  env.reset(0, 0, observation);
  for (int step = 1; step <= 8; ++step) {
    Transition t = env.step(action, observation);
    CHECK(t.reward == 1);
    CHECK_FALSE(t.terminated);
    CHECK(t.truncated == (step == 8));
    CHECK(hot(observation, 0, 4) == static_cast<size_t>(step % 4));
  }
}

TEST_CASE("the identity earns 100") {
  auto same = [](const std::vector<float>& seen, std::vector<float>& action) {
    for (size_t c = 0; c < action.size(); ++c) action[c] = static_cast<float>(hot(seen, 4 * c, 4));
  };
  CHECK(mean_return(*make_env("Identity-v0"), 10, same) == Approx(100));
  CHECK(mean_return(*make_env("IdentityMultiDiscrete-v0"), 10, same) == Approx(100));
  auto zero = [](const std::vector<float>&, std::vector<float>& action) { std::fill(action.begin(), action.end(), 0); };
  CHECK(mean_return(*make_env("Identity-v0"), 400, zero) == Approx(25).epsilon(0.04));
  CHECK(mean_return(*make_env("IdentityMultiDiscrete-v0"), 400, zero) == Approx(6.25).epsilon(0.08));

  auto near = [](float off) {
    return [off](const std::vector<float>& seen, std::vector<float>& action) { action[0] = seen[0] + off; };
  };
  CHECK(mean_return(*make_env("IdentityBox-v0"), 10, near(0.049f)) == Approx(100));
  CHECK(mean_return(*make_env("IdentityBox-v0"), 10, near(-0.051f)) == 0);
}

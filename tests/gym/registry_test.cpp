#include "gym/registry.hpp"

#include "core/error.hpp"
#include "gym/probes.hpp"
#include "rl/rollouts.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

// Observations, rewards and ends of random actions.
std::vector<double> trajectory(Env& env, uint64_t seed, int steps) {
  const EnvSpec& spec = env.spec();
  std::vector<float> observation(spec.observation.size()), action(spec.actions.size());
  std::vector<uint8_t> allowed(spec.actions.outputs());
  Stream stream(1, 0, Purpose::Policy);
  std::vector<double> out;
  uint64_t episode = 0;
  auto note = [&] {
    out.insert(out.end(), observation.begin(), observation.end());
    for (size_t i = 0; i < observation.size(); ++i) {
      REQUIRE(observation[i] >= spec.observation[i].low);
      REQUIRE(observation[i] <= spec.observation[i].high);
    }
  };
  env.reset(seed, episode, observation);
  note();
  for (int step = 0; step < steps; ++step) {
    env.mask(allowed);
    test::draw_action(spec.actions, allowed, stream, action);
    Transition t = env.step(action, observation);
    note();
    out.insert(out.end(), {t.reward, t.terminated ? 1.0 : 0.0, t.truncated ? 1.0 : 0.0});
    if (!t.terminated && !t.truncated) continue;
    env.reset(seed, ++episode, observation);
    note();
  }
  return out;
}

// Environments whose episodes all begin alike and know no chance.
std::set<std::string> without_chance() {
  std::set<std::string> out;
  for (const TabularModel& model : tabular_probes())
    if (model.first_states == 1) out.insert(model.spec.name);
  return out;
}

}  // namespace

TEST_CASE("every environment keeps to its bounds and to its seed") {
  const std::set<std::string> certain = without_chance();
  for (const std::string& name : env_names()) {
    INFO(name);
    auto env = make_env(name);
    CHECK(env->spec().name == name);
    CHECK(env->spec().actions.size() > 0);
    const std::vector<double> first = trajectory(*env, 5, 5000);
    CHECK(trajectory(*env, 5, 5000) == first);
    CHECK(trajectory(*make_env(name), 5, 5000) == first);
    CHECK((trajectory(*env, 6, 5000) == first) == (certain.count(name) > 0));
  }
}

TEST_CASE("an unknown environment is refused with those that are known") {
  CHECK_THROWS_WITH(make_env("CartPole-v2"), Contains("found 'CartPole-v2'") && Contains("Acrobot-v1, ") &&
                                                 Contains("did you mean 'CartPole-v1'?"));
  CHECK_THROWS_AS(make_env(""), UsageError);
}

// Training and acting in CartPole, whose own step costs next to nothing, on one core. Counters: samples/s of acting and
// learning together; steps until a policy balances the pole; decisions/s of acting alone, and heap allocations by
// decision.

#include "algorithm.hpp"
#include "allocations.hpp"
#include "evaluate.hpp"
#include "gym/registry.hpp"
#include "tensor.hpp"

#include <benchmark/benchmark.h>

namespace kisim::learning {
namespace {

using benchmark::Counter;
using Values = std::map<std::string, std::string>;

std::unique_ptr<Env> cart_pole() { return make_env("CartPole-v1"); }

std::unique_ptr<Algorithm> make(const std::string& algorithm, const std::string& preset, const Values& values,
                                int64_t steps, uint64_t seed = 0) {
  use_one_thread();
  return make_algorithm(
      algorithm, cart_pole,
      {.params = train_params(find_algorithm(algorithm), preset, values), .steps = steps, .seed = seed});
}

void learn(benchmark::State& state, Algorithm& algorithm) {
  Metrics metrics;
  int64_t samples = 0;
  for (auto _ : state) samples += algorithm.iterate(metrics);
  state.counters["samples_per_s"] = Counter(static_cast<double>(samples), Counter::kIsRate);
}

// Two networks of 64 and 64, 4 epochs of minibatches of 1024 over 4096 rows.
void ppo(benchmark::State& state) { learn(state, *make("ppo", "", {{"numEnvs", "16"}}, 1'000'000'000)); }
BENCHMARK(ppo)->Name("learning/ppo_2x64")->Unit(benchmark::kMillisecond);

// A network of 120 and 84, a batch of 128 every 10 steps.
void dqn(benchmark::State& state) { learn(state, *make("dqn", "cleanrl", {{"learningStarts", "0"}}, 1'000'000'000)); }
BENCHMARK(dqn)->Name("learning/dqn_120_84")->Unit(benchmark::kMillisecond);

// Until 100 deterministic episodes have a mean return of 475, which is looked at every 5,000 steps, by a watch that
// stands still. An iteration is a seed.
void balance(benchmark::State& state) {
  constexpr int64_t kMost = 100'000, kLook = 5'000;
  uint64_t seed = 0, solved = 0;
  int64_t all = 0, most = 0;
  for (auto _ : state) {
    const auto algorithm = make("ppo", "zoo-cartpole", {}, kMost, seed++);
    Metrics metrics;
    bool balanced = false;
    int64_t steps = 0;
    for (int64_t looked = 0; steps < kMost && !balanced;) {
      steps += algorithm->iterate(metrics);
      if (steps - looked < kLook) continue;
      state.PauseTiming();
      looked = steps;
      balanced = evaluate(algorithm->policy(), cart_pole, 1, 100) >= 475;
      state.ResumeTiming();
    }
    solved += balanced;
    all += steps;
    most = std::max(most, steps);
  }
  state.counters["solved"] = static_cast<double>(solved);
  state.counters["steps"] = Counter(static_cast<double>(all), Counter::kAvgIterations);
  state.counters["most_steps"] = static_cast<double>(most);
}
BENCHMARK(balance)->Name("learning/cart_pole_475")->Iterations(5)->Unit(benchmark::kSecond);

// Actions drawn from a policy of 64 and 64, and carried out.
void act(benchmark::State& state) {
  const auto algorithm = make("ppo", "", {{"numEnvs", "16"}}, 4096);
  Environments& environments = algorithm->environments();
  const PolicyNetwork policy = algorithm->policy();
  Actor actor(policy);
  const size_t n = environments.size(), outputs = policy.actions.outputs();
  std::vector<float> logits(n * outputs), actions(n);
  Stream stream(1, 0, Purpose::Exploration);
  const uint64_t before = test::allocations();
  for (auto _ : state) {
    actor.forward(environments.observations(), n, logits);
    for (size_t i = 0; i < n; ++i)
      sample_action(policy.actions, std::span<const float>(logits).subspan(i * outputs, outputs), {}, {}, stream,
                    std::span(actions).subspan(i, 1));
    environments.step(actions);
  }
  const double decisions = static_cast<double>(state.iterations()) * static_cast<double>(n);
  state.counters["decisions_per_s"] = Counter(decisions, Counter::kIsRate);
  state.counters["allocations"] = static_cast<double>(test::allocations() - before) / decisions;
}
BENCHMARK(act)->Name("learning/act_2x64_16")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kisim::learning

BENCHMARK_MAIN();

// Training and acting: two networks of 2x64 in CartPole, whose own step costs next to nothing. Counters: samples/s of
// acting and learning together, decisions/s of acting alone, heap allocations by decision.

#include "algorithm.hpp"
#include "allocations.hpp"
#include "gym/registry.hpp"
#include "tensor.hpp"

#include <benchmark/benchmark.h>

namespace kisim::learning {
namespace {

std::unique_ptr<Env> cart_pole() { return make_env("CartPole-v1"); }

// Default parameters: 4 epochs of minibatches of 1024.
void ppo(benchmark::State& state) {
  use_one_thread();
  const AlgorithmSpec& spec = find_algorithm("ppo");
  const auto algorithm =
      make_algorithm("ppo", cart_pole, {.params = train_params(spec, "", {{"numEnvs", "16"}}), .steps = 1'000'000'000});
  Metrics metrics;
  int64_t samples = 0;
  for (auto _ : state) samples += algorithm->iterate(metrics);
  state.counters["samples/s"] = benchmark::Counter(static_cast<double>(samples), benchmark::Counter::kIsRate);
}
BENCHMARK(ppo)->Name("learning/ppo")->Unit(benchmark::kMillisecond);

void acting(benchmark::State& state) {
  const AlgorithmSpec& spec = find_algorithm("ppo");
  const auto algorithm =
      make_algorithm("ppo", cart_pole, {.params = train_params(spec, "", {{"numEnvs", "16"}}), .steps = 4096});
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
  state.counters["decisions/s"] = benchmark::Counter(decisions, benchmark::Counter::kIsRate);
  state.counters["allocations"] = static_cast<double>(test::allocations() - before) / decisions;
}
BENCHMARK(acting)->Name("learning/acting")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kisim::learning

BENCHMARK_MAIN();

// What one core does for learning beside the simulation: steps of a light environment through a VectorEnv, and actions
// of a policy with two hidden layers of 64.

#include "gym/registry.hpp"
#include "rl/random_network.hpp"
#include "rl/rollouts.hpp"

#include <benchmark/benchmark.h>

namespace kisim {
namespace {

using benchmark::Counter;

void cart_pole(benchmark::State& state) {
  constexpr size_t kEnvironments = 64;
  VectorEnv envs([] { return make_env("CartPole-v1"); }, kEnvironments, 1, Autoreset::SameStep);
  test::StepArrays arrays(envs);
  std::vector<float> actions(kEnvironments);
  envs.reset(1, arrays.buffers());
  Stream stream(1, 0, Purpose::Policy);
  for (auto _ : state) {
    for (float& action : actions) action = static_cast<float>(stream.next_u32() & 1);
    envs.step(actions, arrays.buffers());
  }
  state.counters["steps_per_s"] = Counter(static_cast<double>(state.iterations()) * kEnvironments, Counter::kIsRate);
}
BENCHMARK(cart_pole)->Name("rl/cart_pole_64")->Unit(benchmark::kMicrosecond);

void act(benchmark::State& state) {
  constexpr size_t kFeatures = 16;
  const auto batch = static_cast<size_t>(state.range(0));
  test::RandomNetwork random("bench");
  PolicyNetwork network = random.mlp(kFeatures, 64, Activation::Tanh, ActionSpace::discrete(5));
  network.normaliser = random.normaliser(kFeatures);
  Actor actor(network);
  const std::vector<float> observations = random.normals(kFeatures * batch);
  std::vector<float> outputs(batch * network.actions.outputs());
  for (auto _ : state) {
    actor.forward(observations, batch, outputs);
    benchmark::DoNotOptimize(outputs.data());
  }
  state.counters["actions_per_s"] =
      Counter(static_cast<double>(state.iterations()) * static_cast<double>(batch), Counter::kIsRate);
}
BENCHMARK(act)->Name("rl/act_2x64")->Arg(1)->Arg(64)->Arg(1024)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kisim

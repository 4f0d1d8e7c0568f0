// The autoscaling environment: decisions per second and core at each level of detail. One Deployment of an LLM that
// gets ten requests per second on average, another rate at every decision, 15 s apart; every tenth decision changes the
// replicas.

#include "gym/autoscaling.hpp"
#include "io/input.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace kisim {
namespace {

std::shared_ptr<const AutoscalingSpec> environment(const std::string& detail) {
  Scenario scenario =
      read_scenario({KISIM_ROOT "/bench/autoscaling.yaml"}, {.overrides = {{"models.llama.detail", detail}}});
  scenario.trains_agents = true;
  AutoscalingSpec spec;
  spec.scenarios = {std::make_shared<const Scenario>(std::move(scenario))};
  return std::make_shared<const AutoscalingSpec>(std::move(spec));
}

void decisions(benchmark::State& state, const char* detail) {
  AutoscalingEnv env(environment(detail));
  std::vector<float> observation(env.spec().observation.size()), action(1);
  uint64_t decisions = 0, requests = 0, events = 0, episode = 0;
  double reward = 0;
  env.reset(1, episode, observation);
  for (auto _ : state) {
    // Up by one, and ten decisions later down by one.
    action[0] = decisions % 20 == 0 ? 3 : decisions % 20 == 10 ? 1 : 2;
    const Transition t = env.step(action, observation);
    reward += t.reward;
    ++decisions;
    if (!t.truncated) continue;
    requests += env.world().state().serving.clients[0].arrived;
    events += env.world().state().engine.events();
    env.reset(1, ++episode, observation);
  }
  requests += env.world().state().serving.clients[0].arrived;
  events += env.world().state().engine.events();
  const auto n = static_cast<double>(decisions);
  using Counter = benchmark::Counter;
  state.counters["decisions_per_s"] = Counter(n, Counter::kIsRate);
  state.counters["events_per_s"] = Counter(static_cast<double>(events), Counter::kIsRate);
  state.counters["requests_per_decision"] = static_cast<double>(requests) / n;
  state.counters["mean_reward"] = reward / n;
}
BENCHMARK_CAPTURE(decisions, fluid, "fluid")->Name("autoscaling/fluid")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decisions, linear, "linear")->Name("autoscaling/linear")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decisions, iteration, "iteration")->Name("autoscaling/iteration")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kisim

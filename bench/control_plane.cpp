// What a large cluster costs in which nothing happens, and one in which much does.

#include "memory_use.hpp"
#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace kisim {
namespace {

Scenario cluster_of(int nodes, int pods, int pods_per_deployment, Duration duration) {
  Scenario s;
  s.name = "cluster";
  s.duration = duration;
  s.seed = 1;
  for (int n = 0; n < nodes; ++n) {
    Node node = test::node("node-" + std::to_string(n), 0);
    node.meta.labels.push_back({"topology.kubernetes.io/zone", "zone-" + std::to_string(n % 3)});
    s.manifests.nodes.push_back(node);
  }
  for (int d = 0; d * pods_per_deployment < pods; ++d)
    s.manifests.deployments.push_back(test::deployment("web-" + std::to_string(d), pods_per_deployment, 0));
  return s;
}

void simulate(benchmark::State& state, const Scenario& scenario) {
  bool knows_memory = reset_peak_rss();
  auto model = compile(scenario);
  Summary summary;
  for (auto _ : state) summary = run(model);
  state.counters["events"] = static_cast<double>(summary.events);
  state.counters["pods"] = static_cast<double>(summary.pods.scheduled);
  state.counters["times_real_time"] = summary.simulated_s / summary.wall_s;
  if (knows_memory) state.counters["peak_rss_MB"] = peak_rss() / 1e6;
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}

// Ten thousand nodes that renew their leases and a hundred thousand pods that run: a day of it.
void idle_day(benchmark::State& state) { simulate(state, cluster_of(10'000, 100'000, 100, Duration::seconds(86400))); }
BENCHMARK(idle_day)->Name("control_plane/idle_day_10000_nodes")->Unit(benchmark::kSecond)->Iterations(1);

// A thousand nodes of which each is lost for ten minutes once in eight hours.
void failing_day(benchmark::State& state) {
  Scenario s = cluster_of(1'000, 10'000, 100, Duration::seconds(86400));
  FaultSpec fault;
  fault.every = Distribution::exponential(8 * 3600);
  fault.for_ = Distribution::constant(600);
  for (Node& node : s.manifests.nodes) node.meta.labels.push_back({"machine", "old"});
  for (Node& node : s.manifests.nodes) std::sort(node.meta.labels.begin(), node.meta.labels.end());
  fault.node_selector = {{"machine", "old"}};
  s.faults = {fault};
  simulate(state, s);
}
BENCHMARK(failing_day)->Name("control_plane/failing_day_1000_nodes")->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace kisim

// What autoscaling costs: many Deployments, each under a HorizontalPodAutoscaler that looks every 15 s.

#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace kisim {
namespace {

// Deployments of ten pods with an HPA on CPU utilisation. What pods use differs from pod to pod, so that each workload
// finds a number of replicas of its own.
Scenario autoscaled(int deployments, Duration duration, const Distribution& cpu) {
  Scenario s;
  s.name = "autoscaled";
  s.duration = duration;
  s.seed = 1;
  for (int n = 0; n * 5 < deployments; ++n) s.manifests.nodes.push_back(test::node("node-" + std::to_string(n), 0));
  for (int d = 0; d < deployments; ++d) {
    std::string name = "web-" + std::to_string(d);
    Deployment deployment = test::deployment(name, 10, 0);
    deployment.pod_template.labels.push_back({"tier", "web"});
    s.manifests.deployments.push_back(deployment);
    MetricSpec utilization;
    utilization.name = "cpu";
    utilization.target.type = MetricTarget::Type::Utilization;
    utilization.target.utilization = 50;
    HorizontalPodAutoscaler hpa;
    hpa.meta.name = name;
    hpa.target_kind = "Deployment";
    hpa.target_name = name;
    hpa.max_replicas = 20;
    hpa.metrics = {utilization};
    s.manifests.hpas.push_back(hpa);
  }
  PodBehaviourSpec pods;
  pods.name = "web";
  pods.selector = {{"tier", "web"}};
  pods.cpu = cpu;
  s.pods = {pods};
  return s;
}

void simulate(benchmark::State& state, const Scenario& scenario) {
  auto model = compile(scenario);
  Summary summary;
  for (auto _ : state) summary = run(model);
  double syncs = scenario.duration.to_seconds() / 15 * static_cast<double>(scenario.manifests.hpas.size());
  state.counters["syncs"] = syncs;
  state.counters["ns_per_sync"] = summary.wall_s * 1e9 / syncs;
  state.counters["pods"] = static_cast<double>(summary.pods.scheduled);
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}

// A day of 1,000 Deployments of ten pods that use what they should.
void hpa_day(benchmark::State& state) {
  simulate(state, autoscaled(1000, Duration::seconds(86400), Distribution::constant(0.5)));
}
BENCHMARK(hpa_day)->Name("hpa/day_of_1000_deployments")->Unit(benchmark::kSecond)->Iterations(1);

// The same where each pod uses something else, and replicas come and go until the mean fits.
void hpa_day_varied(benchmark::State& state) {
  simulate(state, autoscaled(1000, Duration::seconds(86400), Distribution::lognormal(0.5, 0.3)));
}
BENCHMARK(hpa_day_varied)->Name("hpa/day_of_1000_varied_deployments")->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace kisim

// The scheduler on one core: queue, full filter and score with kube-scheduler's own sampling, binding; no API server.
// `upstream` is how many times faster than kube-scheduler v1.34.1 driven as a library on a comparable core. The
// yardstick is what one would write first for resources alone: a loop that looks at as many nodes per pod, checks
// three resources and keeps the least allocated; `ratio` is its time over ours.

#include "interleaved.hpp"
#include "kube/scheduler_fixture.hpp"
#include "memory_use.hpp"

#include <benchmark/benchmark.h>

namespace kisim {
namespace {

using namespace test;

constexpr int64_t kGiB = 1ll << 30;

std::vector<Node> make_nodes(int64_t count) {
  std::vector<Node> nodes;
  for (int64_t i = 0; i < count; ++i) {
    std::string name = fmt::format("node-{:05}", i);
    Labels labels{{"kubernetes.io/hostname", name}, {"topology.kubernetes.io/zone", fmt::format("zone-{}", i % 3)}};
    nodes.push_back(make_node(name, {{"cpu", 32000}, {"memory", 256 * kGiB}}, std::move(labels)));
  }
  return nodes;
}

LabelSelector app_web() { return {{{"app", SelectorOperator::In, {"web"}}}}; }

PodTemplate make_pods(bool spread) {
  PodTemplate pods{{{"app", "web"}}, {}, make_pod({{"cpu", 100}, {"memory", kGiB / 2}})};
  if (!spread) return pods;
  TopologySpreadConstraint zone;
  zone.topology_key = "topology.kubernetes.io/zone";
  zone.when_unsatisfiable = TopologySpreadConstraint::Unsatisfiable::ScheduleAnyway;
  zone.label_selector = app_web();
  pods.spec.topology_spread_constraints.push_back(zone);
  PodAffinityTerm apart;
  apart.label_selector = app_web();
  apart.topology_key = "kubernetes.io/hostname";
  pods.spec.pod_anti_affinity.preferred.push_back({100, apart});
  return pods;
}

// kube-scheduler's share of nodes, without its filters and scores but one.
double yardstick_seconds(int64_t node_count, int64_t pods) {
  struct Row {
    int64_t allocatable[3], requested[3];
  };
  std::vector<Row> nodes(static_cast<size_t>(node_count), Row{{32000, 256 * kGiB, 110}, {0, 0, 0}});
  const int64_t request[3] = {100, kGiB / 2, 1};
  size_t share =
      node_count < 100 ? nodes.size() : std::max<size_t>(nodes.size() * (50 - nodes.size() / 125) / 100, 100);
  return time_of([&] {
    size_t at = 0;
    for (int64_t p = 0; p < pods; ++p) {
      Row* best = nullptr;
      int64_t most = -1;
      for (size_t i = 0; i < share; ++i, at = (at + 1) % nodes.size()) {
        Row& node = nodes[at];
        int64_t score = 0;
        bool fits = true;
        for (int r = 0; r < 3; ++r) fits &= request[r] <= node.allocatable[r] - node.requested[r];
        for (int r = 0; fits && r < 2; ++r)
          score += (node.allocatable[r] - node.requested[r] - request[r]) * 100 / node.allocatable[r];
        if (fits && score > most) most = score, best = &node;
      }
      for (int r = 0; best && r < 3; ++r) best->requested[r] += request[r];
    }
    benchmark::DoNotOptimize(nodes.data());
  });
}

// `upstream`: pods/s that kube-scheduler v1.34.1 reaches here.
void schedule(benchmark::State& state, bool spread, double upstream) {
  const int64_t nodes = state.range(0), pods = std::min<int64_t>(nodes * 20, 30000);
  Objects objects;
  objects.nodes = make_nodes(nodes);
  objects.workloads.push_back({make_pods(spread), "default", {}});
  Samples ours, yardstick;
  for (auto _ : state) {
    SchedulerFixture fixture(objects, default_config(34));
    ours.add(time_of([&] {
      for (int64_t p = 0; p < pods; ++p) fixture.add(0);
      fixture.run_to(1);
    }));
    if (fixture.state.scheduled != static_cast<uint64_t>(pods)) state.SkipWithError("pods stay pending");
    yardstick.add(yardstick_seconds(nodes, pods));
    state.SetIterationTime(ours.last());
  }
  double rate = static_cast<double>(pods) / ours.median();
  state.counters["pods_per_s"] = rate;
  state.counters["upstream"] = rate / upstream;
  state.counters["ratio"] = yardstick.median() / ours.median();
}

void with_defaults(benchmark::State& state) {
  schedule(state, false, state.range(0) == 100 ? 1800 : state.range(0) == 1000 ? 430 : 345);
}
void with_spread_and_anti_affinity(benchmark::State& state) { schedule(state, true, 148); }

BENCHMARK(with_defaults)
    ->Name("scheduler/default")
    ->Arg(100)
    ->Arg(1000)
    ->Arg(5000)
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(with_spread_and_anti_affinity)
    ->Name("scheduler/spread")
    ->Arg(5000)
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// What a large cluster takes in memory.
void hundred_thousand_pods(benchmark::State& state) {
  Objects objects;
  objects.nodes = make_nodes(10000);
  objects.workloads.push_back({make_pods(true), "default", {}});
  double peak = 0;
  for (auto _ : state) {
    bool clean = reset_peak_rss();
    SchedulerFixture fixture(objects, default_config(34));
    state.SetIterationTime(time_of([&] {
      for (int64_t p = 0; p < 100000; ++p) fixture.add(0);
      fixture.run_to(1);
    }));
    if (fixture.state.scheduled != 100000) state.SkipWithError("pods stay pending");
    peak = clean ? peak_rss() : 0;
  }
  state.counters["peak_rss_mb"] = peak / 1e6;
}
BENCHMARK(hundred_thousand_pods)
    ->Name("scheduler/hundred_thousand_pods")
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kisim

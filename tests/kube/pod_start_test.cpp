#include "kube/pod_start.hpp"

#include "kube/kubelet.hpp"
#include "kubelet_events.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// 1 s of container, 8 s of weights from the registry (1 s from the disk, 2 s from a peer), 4 s of compilation, 2 s of
// graph capture, 1 s of warm-up.
PodStartup in_phases(WeightsFrom from) {
  PodStartup s;
  s.container = Distribution::constant(1);
  s.weights_bytes = Distribution::constant(8e9);
  s.weights_bandwidth = Distribution::constant(8e9);
  s.registry_bandwidth = Distribution::constant(1e9);
  s.peer_bandwidth = Distribution::constant(4e9);
  s.weights_from = from;
  s.compile = Distribution::constant(4);
  s.graph_capture = Distribution::constant(2);
  s.warmup = Distribution::constant(1);
  s.artefacts = 1;
  return s;
}

double seconds(const PodStart& start, StartPhase phase) { return start.lasted(phase).to_seconds(); }

}  // namespace

TEST_CASE("every phase of a start is recorded, and tells itself while it lasts", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("llm", 1, setup.pod());
  setup.kube.workloads[w].startup = in_phases(WeightsFrom::Registry);
  KubeRun run(setup);
  run.run_until(at(5));
  CHECK(run.state().nodes[NodeId(0u)].start_of(PodId(0u))->phase_at(at(5)) == StartPhase::Weights);
  run.run_until(at(14));
  CHECK(run.state().nodes[NodeId(0u)].start_of(PodId(0u))->phase_at(at(14)) == StartPhase::GraphCapture);
  run.run_until(at(16));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK_FALSE(run.state().nodes[NodeId(0u)].start_of(PodId(0u)));
  REQUIRE(run.statistics().starts.size() == 1);
  const PodStart& start = run.statistics().starts[0];
  CHECK(start.weights_from == WeightsFrom::Registry);
  CHECK(seconds(start, StartPhase::Container) == 1);
  CHECK(seconds(start, StartPhase::Weights) == 8);
  CHECK(seconds(start, StartPhase::Compile) == 4);
  CHECK(seconds(start, StartPhase::GraphCapture) == 2);
  CHECK(seconds(start, StartPhase::Warmup) == 1);
  double sum = 0;
  for (size_t p = 0; p < kStartPhases; ++p) sum += seconds(start, static_cast<StartPhase>(p));
  CHECK(sum == (run.pod(0).ready - run.pod(0).scheduled).to_seconds());
}

TEST_CASE("a node keeps weights and compiled code", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("llm", 1, setup.pod());
  setup.kube.workloads[w].startup = in_phases(WeightsFrom::Registry);
  KubeRun run(setup);
  run.run_until(at(20));
  scale(run, w, 2);
  run.run_until(at(40));
  REQUIRE(run.statistics().starts.size() == 2);
  const PodStart& second = run.statistics().starts[1];
  CHECK(second.weights_from == WeightsFrom::Disk);
  CHECK(seconds(second, StartPhase::Weights) == 1);
  CHECK(seconds(second, StartPhase::Compile) == 0);
  CHECK(seconds(second, StartPhase::GraphCapture) == 2);
}

TEST_CASE("a peer that is ready serves weights faster than the registry, to another node", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a", 1000);
  setup.add_node("b", 1000);
  WorkloadId w = setup.add_server("llm", 1, setup.pod(1000));
  setup.kube.workloads[w].startup = in_phases(WeightsFrom::Peer);
  KubeRun run(setup);
  run.run_until(at(20));
  scale(run, w, 2);
  run.run_until(at(40));
  REQUIRE(run.statistics().starts.size() == 2);
  CHECK(run.statistics().starts[0].weights_from == WeightsFrom::Registry);  // nobody had them
  const PodStart& second = run.statistics().starts[1];
  CHECK(second.weights_from == WeightsFrom::Peer);
  CHECK(seconds(second, StartPhase::Weights) == 2);
  CHECK(seconds(second, StartPhase::Compile) == 4);
}

}  // namespace kisim::test

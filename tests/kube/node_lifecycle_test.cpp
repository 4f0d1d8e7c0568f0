#include "kube/node_lifecycle.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// A node with one pod, lost at 100 s, and one that is too small for it.
KubeSetup one_node(Duration outage, PodSpec spec) {
  KubeSetup setup;
  setup.add_node("a", 8000);
  setup.add_node("small", 100);
  setup.add_server("web", 1, spec, 10);
  setup.kube.workloads[WorkloadId(0u)].startup.container = Distribution::constant(1);
  setup.lose(NodeId(0u), 100, outage);
  return setup;
}

// The instant at which a decision was counted for the first time, to the millisecond.
double when(KubeRun& run, const std::string& reason, double until) {
  for (double t = run.engine().now().to_seconds(); t <= until; t += 0.5) {
    run.run_until(at(t));
    if (run.decided(reason) > 0) return t;
  }
  return -1;
}

TEST_CASE("a lost node is seen when its lease runs out; its pods move after grace period and toleration", "[node]") {
  KubeSetup setup = one_node(3600_s, KubeSetup{}.pod());
  setup.add_node("spare", 2000);  // fuller than "a" with the pod, so that it comes second
  KubeRun run(setup);
  run.run_until(at(99));
  REQUIRE(run.pod(0).phase == PodPhase::Ready);
  REQUIRE(run.pod(0).node == NodeId(0u));
  run.submit();
  run.run_until(at(101));
  // Nobody knows yet, and what is there hangs, like what still comes.
  CHECK(run.pod(0).phase == PodPhase::Ready);
  run.submit();
  run.run_until(at(130));
  CHECK(run.client().failed == 0);
  CHECK(run.serving().state.services[ServiceId(0u)].serving.outstanding == std::vector<uint32_t>{2});
  CHECK(run.statistics().workloads[WorkloadId(0u)].ready.value() == 1);

  // The last lease is from the ten seconds before; the controller looks every five.
  double noticed = when(run, "NodeNotReady", 400);
  CHECK(noticed > 140);
  CHECK(noticed <= 155);
  CHECK(static_cast<int>(noticed) % 5 == 0);
  CHECK(run.client().failed == 2);
  CHECK(run.statistics().workloads[WorkloadId(0u)].ready.value() == 0);
  CHECK(run.pod(0).phase == PodPhase::Probing);  // its phase in the API is still Running
  CHECK(run.pod(0).unready == at(noticed));
  run.submit();
  CHECK(run.serving().held(ServiceId(0u)) == 1);
  run.run_until(at(noticed + 299.5));
  CHECK(run.statistics().evicted == 0);
  run.run_until(at(noticed + 302));
  CHECK(run.statistics().evicted == 1);
  CHECK(run.decided("TaintManagerEviction") == 1);
  CHECK(run.pod(0).phase == PodPhase::Terminating);  // nobody there to end it
  CHECK(run.pod(1).node == NodeId(2u));
  CHECK(run.pod(1).ready == at(noticed + 301));
  run.run_until(at(3700));
  CHECK(run.pod(0).phase == PodPhase::Gone);
}

TEST_CASE("a node that returns in time keeps its pods and starts them again", "[node]") {
  KubeRun run(one_node(200_s, KubeSetup{}.pod()));
  run.run_until(at(200));
  CHECK(run.pod(0).phase == PodPhase::Probing);
  CHECK_FALSE(run.cluster().node_ready(NodeId(0u)));
  run.run_until(at(400));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(301));
  CHECK(run.cluster().node_ready(NodeId(0u)));
  CHECK(run.decided("NodeReady") == 1);
  CHECK(run.statistics().evicted == 0);
  CHECK(run.cluster().state.pods.size() == 1);
}

TEST_CASE("an outage shorter than the grace period is never seen as NotReady", "[node]") {
  KubeRun run(one_node(39_s, KubeSetup{}.pod()));
  run.run_until(at(138));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  run.run_until(at(139));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);  // the kubelet is back and finds its containers gone
  CHECK(run.pod(0).unready == at(139));
  CHECK(run.state().nodes[NodeId(0u)].find(PodId(0u))->exit_reason == "Unknown");
  run.run_until(at(300));
  CHECK(run.decided("NodeNotReady") == 0);
  CHECK(run.pod(0).ready == at(140));
}

TEST_CASE("tolerationSeconds of the pod replace the default", "[node]") {
  PodSpec spec = KubeSetup{}.pod();
  Toleration t;
  t.key = "node.kubernetes.io/unreachable";
  t.op = TolerationOperator::Exists;
  t.effect = TaintEffect::NoExecute;
  SECTION("to a stay without end") {
    t.toleration_seconds = INT64_MAX;
    spec.tolerations = {t};
    KubeRun run(one_node(0_s, spec));
    run.run_until(at(1e6));
    CHECK(run.decided("NodeNotReady") == 1);
    CHECK(run.statistics().evicted == 0);
  }
  SECTION("to a shorter stay") {
    t.toleration_seconds = 10;
    spec.tolerations = {t};
    KubeRun run(one_node(0_s, spec));
    double noticed = when(run, "NodeNotReady", 400);
    run.run_until(at(noticed + 9.5));
    CHECK(run.statistics().evicted == 0);
    run.run_until(at(noticed + 10));
    CHECK(run.statistics().evicted == 1);
    CHECK(run.pod(1).phase == PodPhase::Pending);  // no other node
    CHECK(run.statistics().pending.value() == 1);
  }
  SECTION("to for ever") {
    spec.tolerations = {t};
    KubeRun run(one_node(0_s, spec));
    run.run_until(at(100000));
    CHECK(run.statistics().evicted == 0);
  }
}

TEST_CASE("overlapping faults hold a node down until the last ends", "[node]") {
  KubeSetup setup = one_node(50_s, KubeSetup{}.pod());
  setup.lose(NodeId(0u), 120, 100_s);
  KubeRun run(setup);
  run.run_until(at(219));
  CHECK(run.pod(0).phase == PodPhase::Probing);
  run.run_until(at(221));
  CHECK(run.pod(0).ready == at(221));
}

// Nodes of two zones with a pod each.
KubeSetup two_zones(int in_first, int in_second) {
  KubeSetup setup;
  for (int i = 0; i < in_first + in_second; ++i) {
    Node node;
    node.meta.name = fmt::format("n{}", i);
    node.meta.labels = {{"topology.kubernetes.io/zone", i < in_first ? "a" : "b"}};
    node.allocatable = {{"cpu", 1000}, {"memory", 64 * kGigabyte}, {"pods", 110}};
    setup.builder.add_node(node);
    ++setup.nodes;
  }
  setup.add("web", in_first + in_second, setup.pod());
  return setup;
}

TEST_CASE("the nodes of a zone that is ill give up their pods one in ten seconds", "[node]") {
  KubeSetup setup = two_zones(4, 4);
  for (uint32_t n = 0; n < 4; ++n) setup.lose(NodeId(n), 100, 0_s);
  KubeRun run(setup);
  double first = when(run, "TaintManagerEviction", 1000);
  REQUIRE(first > 0);
  run.run_until(at(first + 9));
  CHECK(run.statistics().evicted == 1);
  run.run_until(at(first + 100));
  CHECK(run.statistics().evicted == 4);
}

TEST_CASE("a small zone that is ill for the most part keeps its pods", "[node]") {
  KubeSetup setup = two_zones(5, 5);
  for (uint32_t n = 0; n < 4; ++n) setup.lose(NodeId(n), 100, 0_s);
  KubeRun run(setup);
  run.run_until(at(5000));
  CHECK(run.decided("NodeNotReady") == 4);
  CHECK(run.statistics().evicted <= 2);  // those that were taken before the zone was known to be ill
}

TEST_CASE("nobody is evicted when every zone is down", "[node]") {
  KubeSetup setup = two_zones(2, 2);
  for (uint32_t n = 0; n < 4; ++n) setup.lose(NodeId(n), 100, 0_s);
  KubeRun run(setup);
  run.run_until(at(200));
  uint64_t before = run.statistics().evicted;
  run.run_until(at(5000));
  CHECK(run.statistics().evicted == before);
  CHECK(before == 0);
}

}  // namespace
}  // namespace kisim::test

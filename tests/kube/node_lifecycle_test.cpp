#include "kube/node_lifecycle.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// A node with one pod, lost at 100 s.
KubeSetup one_node(Duration outage, PodSpec spec) {
  KubeSetup setup;
  setup.add_node("a", 8000);
  setup.add_server("web", 1, spec, 10);
  setup.kube.workloads[WorkloadId(0u)].startup.container = Distribution::constant(1);
  setup.kube.faults = {{NodeId(0u), at(100), outage}};
  return setup;
}

TEST_CASE("a lost node takes its requests with it; its pods move after grace period and toleration", "[node]") {
  KubeSetup setup = one_node(3600_s, KubeSetup{}.pod());
  setup.add_node("spare", 2000);  // fuller than "a" with the pod, so that it comes second
  KubeRun run(setup);
  run.run_until(at(99));
  REQUIRE(run.pod(0).phase == PodPhase::Ready);
  REQUIRE(run.pod(0).node == NodeId(0u));
  run.submit();
  run.run_until(at(100));
  CHECK(run.client().failed == 1);
  CHECK(run.statistics().workloads[WorkloadId(0u)].ready.value() == 0);
  run.run_until(at(139.999));
  CHECK(run.decided("NodeNotReady") == 0);
  run.run_until(at(140));
  CHECK(run.decided("NodeNotReady") == 1);
  run.run_until(at(439.999));
  CHECK(run.statistics().evicted == 0);
  run.run_until(at(441));
  CHECK(run.statistics().evicted == 1);
  CHECK(run.decided("TaintManagerEviction") == 1);
  CHECK(run.pod(0).deleted == at(440));
  CHECK(run.pod(1).node == NodeId(1u));
  CHECK(run.pod(1).ready == at(441));
}

TEST_CASE("a node that returns in time keeps its pods and starts them again", "[node]") {
  KubeRun run(one_node(200_s, KubeSetup{}.pod()));
  run.run_until(at(200));
  CHECK(run.pod(0).phase == PodPhase::Binding);
  CHECK(run.cluster().state.node_ready[0] == 0);
  run.run_until(at(400));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(301));
  CHECK(run.cluster().state.node_ready[0] == 1);
  CHECK(run.decided("NodeReady") == 1);
  CHECK(run.statistics().evicted == 0);
  CHECK(run.cluster().state.pods.size() == 1);
}

TEST_CASE("an outage shorter than the grace period is never seen as NotReady", "[node]") {
  KubeRun run(one_node(39_s, KubeSetup{}.pod()));
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
    run.run_until(at(149.999));
    CHECK(run.statistics().evicted == 0);
    run.run_until(at(150));
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
  setup.kube.faults.push_back({NodeId(0u), at(120), 100_s});
  KubeRun run(setup);
  run.run_until(at(219));
  CHECK(run.pod(0).phase == PodPhase::Binding);
  run.run_until(at(221));
  CHECK(run.pod(0).ready == at(221));
}

}  // namespace
}  // namespace kisim::test

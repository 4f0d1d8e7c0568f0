#include "kube/daemon_set_controller.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

std::vector<std::string> nodes_of(KubeRun& run, WorkloadId id) {
  std::vector<std::string> out;
  for (PodId pod : run.cluster().state.workload_pods[id.value])
    if (NodeId node = run.cluster().state.pods[pod].node; node.valid())
      out.push_back(run.cluster().node(node).object.meta.name);
  std::sort(out.begin(), out.end());
  return out;
}

TEST_CASE("a DaemonSet has a pod on every node that it may run on", "[daemonset]") {
  KubeSetup setup;
  Node tainted;
  tainted.meta.name = "tainted";
  tainted.allocatable = {{"cpu", 8000}, {"memory", kGigabyte}, {"pods", 110}};
  tainted.taints = {{"dedicated", "ml", TaintEffect::NoSchedule}};
  setup.builder.add_node(tainted);
  ++setup.nodes;
  setup.add_node("a");
  setup.add_node("full", 100);
  WorkloadId id = setup.add_object("agent", DaemonSet{}, setup.pod());
  KubeRun run(setup);
  run.run_until(at(10));
  CHECK(nodes_of(run, id) == std::vector<std::string>{"a"});
  CHECK(run.pods_in(PodPhase::Pending) == 1);  // its pod for the full node
}

TEST_CASE("a cordoned node keeps its daemon pods and gets new ones", "[daemonset]") {
  KubeSetup setup;
  setup.add_node("a");
  Action cordon;
  cordon.kind = Action::Kind::Cordon;
  cordon.node = NodeId(0u);
  setup.kube.actions.push_back(cordon);
  WorkloadId id = setup.add_object("agent", DaemonSet{}, setup.pod());
  KubeRun run(setup);
  run.run_until(at(10));
  CHECK(nodes_of(run, id) == std::vector<std::string>{"a"});
}

TEST_CASE("a rolling update takes maxUnavailable nodes at a time", "[daemonset]") {
  KubeSetup setup;
  for (const char* name : {"a", "b", "c"}) setup.add_node(name);
  DaemonSet object;
  WorkloadId id = setup.add_object("agent", object, setup.pod());
  setup.kube.workloads[id].startup.container = Distribution::constant(10);
  setup.apply(100, id, setup.revise(id, object, setup.pod(500), "agent"));
  KubeRun run(setup);
  run.run_until(at(101));
  CHECK(run.pods_in(PodPhase::Terminating) == 1);
  for (double t = 101; t < 300; t += 1) {
    run.run_until(at(t));
    REQUIRE(run.cluster().state.counts[TemplateId(0u)].ready + run.cluster().state.counts[TemplateId(1u)].ready >= 2);
  }
  CHECK(run.cluster().state.counts[TemplateId(1u)].ready == 3);
}

TEST_CASE("maxSurge starts the new pod beside the old one", "[daemonset]") {
  KubeSetup setup;
  for (const char* name : {"a", "b"}) setup.add_node(name);
  DaemonSet object;
  object.rolling_update = {{1, false}, {0, false}};
  WorkloadId id = setup.add_object("agent", object, setup.pod());
  setup.kube.workloads[id].startup.container = Distribution::constant(10);
  setup.apply(100, id, setup.revise(id, object, setup.pod(500), "agent"));
  KubeRun run(setup);
  run.run_until(at(101));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 2);
  CHECK(run.cluster().state.counts[TemplateId(1u)].active == 1);
  run.run_until(at(300));
  CHECK(run.cluster().state.counts[TemplateId(0u)].active == 0);
  CHECK(run.cluster().state.counts[TemplateId(1u)].ready == 2);
}

TEST_CASE("failed pods of a DaemonSet are replaced at once, and then after 1 s, 2 s, 4 s", "[daemonset]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.restart_policy = RestartPolicy::Never;
  WorkloadId id = setup.add_object("agent", DaemonSet{}, spec);
  setup.kube.workloads[id].behaviour.run = Distribution::constant(0.5);
  setup.kube.workloads[id].behaviour.failure = 1;
  KubeRun run(setup);
  run.run_until(at(10));
  // The back-off counts from the last deletion; who looks within it comes again after all of it.
  std::vector<Time> created;
  for (uint32_t p = 0; p < run.cluster().state.pods.size(); ++p) created.push_back(run.pod(p).created);
  CHECK(created == std::vector<Time>{at(0), at(0.5), at(2), at(4.5), at(9)});
  CHECK(run.decided("FailedDaemonPod") == 4);
}

TEST_CASE("a quota that holds a rolling update up is asked less and less often", "[daemonset]") {
  KubeSetup setup;
  setup.add_node("a");
  DaemonSet object;
  object.rolling_update = {{1, false}, {0, false}};
  WorkloadId id = setup.add_object("agent", object, setup.pod());
  QuotaModel quota;
  quota.object.hard = {{"pods", 1}};
  for (int t = 0; t < 2; ++t) quota.charges.push_back({1});
  setup.kube.quotas.push_back(quota);
  setup.apply(100, id, setup.revise(id, object, setup.pod(500), "agent"));
  KubeRun run(setup);
  run.run_until(at(100.036));  // 5, 15, 35
  CHECK(run.decided("FailedCreate") == 4);
}

}  // namespace
}  // namespace kisim::test

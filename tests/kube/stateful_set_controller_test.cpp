#include "kube/stateful_set_controller.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

struct Set {
  explicit Set(StatefulSet object) {
    for (const char* name : {"a", "b"}) setup.add_node(name, 16000);
    id = setup.add_object("db", object, setup.pod());
    setup.kube.workloads[id].startup.container = Distribution::constant(10);
  }
  KubeSetup setup;
  WorkloadId id;
};

StatefulSet of(int32_t replicas) {
  StatefulSet s;
  s.replicas = replicas;
  return s;
}

// "db-0 Ready, db-1 Starting", by ordinal.
std::string pods(KubeRun& run, WorkloadId id) {
  std::map<std::string, std::string> texts;
  for (PodId pod : run.cluster().state.workload_pods[id.value])
    texts[run.cluster().pod_name(pod)] = to_string(run.cluster().state.pods[pod].phase);
  std::string out;
  for (const auto& [name, phase] : texts) out += (out.empty() ? "" : ", ") + name + " " + phase;
  return out;
}

TEST_CASE("pods of a StatefulSet start one after another", "[statefulset]") {
  Set s(of(3));
  KubeRun run(s.setup);
  run.run_until(at(5));
  CHECK(pods(run, s.id) == "db-0 Starting");
  run.run_until(at(15));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Starting");
  run.run_until(at(35));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Ready, db-2 Ready");
}

TEST_CASE("Parallel starts all at once, from the first ordinal on", "[statefulset]") {
  StatefulSet object = of(2);
  object.pod_management = StatefulSet::PodManagement::Parallel;
  object.first_ordinal = 5;
  Set s(object);
  KubeRun run(s.setup);
  run.run_until(at(11));
  CHECK(pods(run, s.id) == "db-5 Ready, db-6 Ready");
}

TEST_CASE("scaling down takes the highest ordinal first and waits for it", "[statefulset]") {
  Set s(of(3));
  KubeRun run(s.setup);
  run.run_until(at(100));
  run.kube().scale(s.id, 1, "test");
  run.run_until(at(101));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Ready, db-2 Terminating");
  run.run_until(at(131));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Terminating");
  run.run_until(at(161));
  CHECK(pods(run, s.id) == "db-0 Ready");
}

TEST_CASE("an update goes from the highest ordinal to the partition", "[statefulset]") {
  StatefulSet object = of(3);
  Set s(object);
  object.partition = 1;
  s.setup.apply(100, s.id, s.setup.revise(s.id, object, s.setup.pod(500), "db"));
  KubeRun run(s.setup);
  run.run_until(at(101));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Ready, db-2 Terminating");
  run.run_until(at(141));
  CHECK(pods(run, s.id) == "db-0 Ready, db-1 Terminating, db-2 Ready");
  run.run_until(at(300));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 1);
  CHECK(run.cluster().state.counts[TemplateId(1u)].ready == 2);
}

TEST_CASE("OnDelete changes nothing until somebody deletes a pod", "[statefulset]") {
  StatefulSet object = of(2);
  object.update = StatefulSet::Update::OnDelete;
  Set s(object);
  s.setup.apply(100, s.id, s.setup.revise(s.id, object, s.setup.pod(500), "db"));
  KubeRun run(s.setup);
  run.run_until(at(300));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 2);
}

TEST_CASE("the pod of a lost node is not made again until the node is back", "[statefulset]") {
  KubeSetup setup;
  setup.add_node("a", 1500);
  setup.add_node("b", 1500);
  WorkloadId id = setup.add_object("db", of(2), setup.pod());
  setup.lose(NodeId(0u), 100, 1000_s);
  KubeRun run(setup);
  run.run_until(at(1000));
  // At most one pod of a name: its place on the other node stays empty.
  CHECK((pods(run, id) == "db-0 Terminating, db-1 Ready" || pods(run, id) == "db-0 Ready, db-1 Terminating"));
  run.run_until(at(1200));
  CHECK(pods(run, id) == "db-0 Ready, db-1 Ready");
}

}  // namespace
}  // namespace kisim::test

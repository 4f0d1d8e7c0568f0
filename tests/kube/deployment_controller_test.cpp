#include "kube/deployment_controller.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

Deployment rolling(int32_t replicas, IntOrPercent surge, IntOrPercent unavailable) {
  Deployment d;
  d.replicas = replicas;
  d.rolling_update = {surge, unavailable};
  return d;
}

// A Deployment whose pods take ten seconds to start; its second revision is applied at 100 s.
struct Rollout {
  Rollout(const Deployment& object, int nodes = 10) {
    for (int n = 0; n < nodes; ++n) setup.add_node(fmt::format("n{}", n), 16000);
    id = setup.add_object("web", object, setup.pod());
    setup.kube.workloads[id].startup.container = Distribution::constant(10);
    setup.apply(100, id, setup.revise(id, object, setup.pod(500), "web"));
  }
  KubeSetup setup;
  WorkloadId id;
};

// Pods by revision: {active old, ready old, active new, ready new}.
std::vector<int32_t> pods(KubeRun& run) {
  const auto& counts = run.cluster().state.counts;
  return {counts[TemplateId(0u)].active, counts[TemplateId(0u)].ready, counts[TemplateId(1u)].active,
          counts[TemplateId(1u)].ready};
}

std::string condition(KubeRun& run, WorkloadId id, std::string_view type) {
  for (const Condition& c : run.state().workloads[id].conditions)
    if (c.type == type) return fmt::format("{} {}", c.status ? "True" : "False", c.reason);
  return "";
}

TEST_CASE("a rollout keeps to maxSurge and maxUnavailable", "[deployment]") {
  // 25 % of 10: three more, two fewer.
  Rollout r(rolling(10, {25, true}, {25, true}));
  KubeRun run(r.setup);
  run.run_until(at(99));
  CHECK(pods(run) == std::vector<int32_t>{10, 10, 0, 0});
  CHECK(condition(run, r.id, "Progressing") == "True NewReplicaSetAvailable");
  run.run_until(at(101));
  CHECK(pods(run) == std::vector<int32_t>{8, 8, 5, 0});
  CHECK(condition(run, r.id, "Progressing") == "True ReplicaSetUpdated");
  for (double t = 101; t < 200; t += 0.5) {
    run.run_until(at(t));
    auto now = pods(run);
    REQUIRE(now[0] + now[2] <= 13);
    REQUIRE(now[1] + now[3] >= 8);
  }
  CHECK(pods(run) == std::vector<int32_t>{0, 0, 10, 10});
  CHECK(condition(run, r.id, "Available") == "True MinimumReplicasAvailable");
}

TEST_CASE("maxSurge 0 takes old pods away first, maxUnavailable 0 adds new ones first", "[deployment]") {
  SECTION("no surge") {
    Rollout r(rolling(4, {0, false}, {1, false}));
    KubeRun run(r.setup);
    run.run_until(at(101));
    CHECK(pods(run) == std::vector<int32_t>{3, 3, 1, 0});
  }
  SECTION("none unavailable") {
    Rollout r(rolling(4, {1, false}, {0, false}));
    KubeRun run(r.setup);
    run.run_until(at(101));
    CHECK(pods(run) == std::vector<int32_t>{4, 4, 1, 0});
  }
  SECTION("neither means one unavailable") {
    Rollout r(rolling(4, {0, false}, {0, true}));
    KubeRun run(r.setup);
    run.run_until(at(101));
    CHECK(pods(run) == std::vector<int32_t>{3, 3, 1, 0});
  }
}

TEST_CASE("Recreate waits until the last old pod is gone", "[deployment]") {
  Deployment d;
  d.replicas = 3;
  d.strategy = Deployment::Strategy::Recreate;
  Rollout r(d);
  KubeRun run(r.setup);
  run.run_until(at(101));
  CHECK(pods(run) == std::vector<int32_t>{0, 0, 0, 0});
  CHECK(run.pods_in(PodPhase::Terminating) == 3);
  run.run_until(at(131));  // the grace period of 30 s
  CHECK(pods(run) == std::vector<int32_t>{0, 0, 3, 0});
}

TEST_CASE("minReadySeconds slows a rollout down", "[deployment]") {
  Deployment d = rolling(2, {1, false}, {0, false});
  d.min_ready = 30_s;
  Rollout r(d);
  KubeRun run(r.setup);
  run.run_until(at(111));  // the first new pod is ready, not available
  CHECK(pods(run) == std::vector<int32_t>{2, 2, 1, 1});
  run.run_until(at(141));
  CHECK(pods(run) == std::vector<int32_t>{1, 1, 2, 1});
}

TEST_CASE("a revision that cannot run stops the rollout and is told after the deadline", "[deployment]") {
  Deployment d = rolling(4, {1, false}, {0, false});
  d.progress_deadline = 60_s;
  KubeSetup setup;
  setup.add_node("a", 8000);
  WorkloadId id = setup.add_object("web", d, setup.pod());
  setup.apply(100, id, setup.revise(id, d, setup.pod(100'000), "web"));  // no node is as large
  KubeRun run(setup);
  run.run_until(at(150));
  CHECK(condition(run, id, "Progressing") == "True ReplicaSetUpdated");
  run.run_until(at(161));
  CHECK(condition(run, id, "Progressing") == "False ProgressDeadlineExceeded");
  CHECK(run.decided("ProgressDeadlineExceeded") == 1);
  CHECK(pods(run) == std::vector<int32_t>{4, 4, 1, 0});
}

TEST_CASE("a rollback goes back to the old ReplicaSet", "[deployment]") {
  Rollout r(rolling(4, {25, true}, {25, true}));
  r.setup.apply(300, r.id, r.setup.kube.workloads[r.id].spec);
  KubeRun run(r.setup);
  run.run_until(at(299));
  CHECK(pods(run) == std::vector<int32_t>{0, 0, 4, 4});
  run.run_until(at(500));
  CHECK(pods(run) == std::vector<int32_t>{4, 4, 0, 0});
  CHECK(run.state().workloads[r.id].replica_sets.size() == 2);
}

TEST_CASE("scaling in the midst of a rollout is shared between the ReplicaSets", "[deployment]") {
  // 10 + 3: 8 old and 5 new when it starts; 13 of 13 become 26 of 26, 16 and 10.
  Rollout r(rolling(10, {30, true}, {20, true}));
  KubeRun run(r.setup);
  run.run_until(at(105));
  REQUIRE(pods(run) == std::vector<int32_t>{8, 8, 5, 0});
  run.kube().scale(r.id, 20, "test");
  run.run_until(at(106));
  auto now = pods(run);
  CHECK(now[0] == 16);
  CHECK(now[2] == 10);
}

TEST_CASE("a paused Deployment scales and does not roll", "[deployment]") {
  Deployment d = rolling(2, {1, false}, {0, false});
  KubeSetup setup;
  setup.add_node("a", 16000);
  WorkloadId id = setup.add_object("web", d, setup.pod());
  d.paused = true;
  d.replicas = 3;
  setup.apply(100, id, setup.revise(id, d, setup.pod(500), "web"));
  KubeRun run(setup);
  run.run_until(at(200));
  CHECK(pods(run) == std::vector<int32_t>{3, 3, 0, 0});
}

TEST_CASE("old ReplicaSets beyond revisionHistoryLimit are forgotten", "[deployment]") {
  Deployment d = rolling(1, {1, false}, {0, false});
  d.revision_history_limit = 1;
  KubeSetup setup;
  setup.add_node("a", 16000);
  WorkloadId id = setup.add_object("web", d, setup.pod());
  for (int i = 1; i <= 4; ++i)
    setup.apply(100 * i, id, setup.revise(id, d, setup.pod(500 + i), "web", fmt::format("v{}", i)));
  KubeRun run(setup);
  run.run_until(at(1000));
  CHECK(run.state().workloads[id].replica_sets.size() == 2);
}

}  // namespace
}  // namespace kisim::test

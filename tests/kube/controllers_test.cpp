#include "kube/controllers.hpp"

#include "kube_world.hpp"
#include "policy/registry.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

TEST_CASE("a ReplicaSet gives up pods in Kubernetes' order", "[controllers]") {
  const Time now = at(10000);
  const DeletionRank settled{true, true, true, 1, at(5000), at(4000), 7};
  DeletionRank other = settled;

  SECTION("unassigned before assigned") { other.assigned = other.running = other.ready = false; }
  SECTION("pending before running") { other.running = other.ready = false; }
  SECTION("not ready before ready") { other.ready = false; }
  SECTION("doubled up before alone") { other.same_node = 2; }
  SECTION("ready for less time first") { other.ready_since = at(9000); }
  SECTION("younger first") { other.created = at(9000); }
  SECTION("ages of one power of two by UID") {
    other.ready_since = at(5001);
    other.uid = 6;
  }
  CHECK(deleted_before(other, settled, now));
  CHECK_FALSE(deleted_before(settled, other, now));
}

TEST_CASE("an earlier rule outweighs all later ones", "[controllers]") {
  DeletionRank crowded{true, true, true, 5, at(99), at(99), 0}, pending{true, false, false, 1, at(0), at(0), 9};
  CHECK(deleted_before(pending, crowded, at(100)));
}

TEST_CASE("ages differ by the logarithm of whole seconds since", "[controllers]") {
  // 5000.2 s and 5000.9 s are one second to the API server; 4096 s and 8192 s of age are two buckets.
  DeletionRank a{true, true, true, 1, at(5000.2), at(0), 2}, b{true, true, true, 1, at(5000.9), at(0), 1};
  CHECK(deleted_before(b, a, at(10000)));  // by UID
  CHECK_FALSE(deleted_before(a, b, at(10000)));
}

TEST_CASE("scaling creates what is missing and deletes what is too much", "[controllers]") {
  KubeSetup setup;
  setup.add_node("a", 2500);
  WorkloadId w = setup.add("web", 2, setup.pod());
  KubeRun run(setup);
  run.run_until(at(1));
  run.kube().scale(w, 4, "test");
  run.run_until(at(2));
  CHECK(run.statistics().pending.value() == 2);  // no room for the third and fourth

  run.kube().scale(w, 2, "test");
  run.run_until(at(2));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(1).phase == PodPhase::Ready);
  CHECK(run.pod(2).phase == PodPhase::Gone);
  CHECK(run.pod(3).phase == PodPhase::Gone);
  CHECK(run.statistics().pending.value() == 0);

  const auto& counted = run.statistics().workloads[w];
  CHECK(counted.scale_ups == 1);
  CHECK(counted.scale_downs == 1);
  REQUIRE(run.statistics().scalings.size() == 2);
  CHECK(run.statistics().scalings[1].from == 4);
  CHECK(run.statistics().scalings[1].to == 2);
  CHECK(run.decided("ScalingReplicaSet") == 3);  // its creation among them
}

TEST_CASE("room that a deleted pod leaves is taken by one that waits", "[controllers]") {
  KubeSetup setup;
  setup.add_node("a", 1500);
  WorkloadId first = setup.add("first", 1, setup.pod());
  setup.add("second", 1, setup.pod());
  KubeRun run(setup);
  run.run_until(at(60));
  REQUIRE(run.pod(1).phase == PodPhase::Pending);
  run.kube().scale(first, 0, "test");
  run.run_until(at(120));
  CHECK(run.pod(1).phase == PodPhase::Ready);
}

TEST_CASE("the end of warm-up restarts gauges and scale counts, not the decisions", "[controllers]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 4, setup.pod());
  KubeRun run(setup);
  run.run_until(at(10));
  run.kube().scale(w, 2, "test");
  run.run_until(at(20));
  run.kube().reset_statistics();
  run.run_until(at(40));
  const auto& counted = run.statistics().workloads[w];
  CHECK(counted.ready.mean(at(40)) == 2);
  CHECK(counted.ready.max() == 2);
  CHECK(counted.scale_downs == 0);
  CHECK(run.decided("Scheduled") == 4);
}

TEST_CASE("a copy of the control plane continues identically", "[controllers][fork]") {
  KubeSetup setup;
  for (const char* name : {"a", "b", "c"}) setup.add_node(name);
  WorkloadId w = setup.add_server("web", 3, setup.pod(), 0.7);
  setup.kube.workloads[w].startup.container = Distribution::exponential(20);
  setup.lose(NodeId(1u), 200, 500_s);
  AutoscalerBinding& autoscaler = setup.autoscaler(w);
  autoscaler.policy = Registry<Autoscaler>::instance().find("hpa")->make([] {
    Params p;
    p.set("tolerance", 0.1);
    p.set("downscaleStabilization", 60.0);
    p.set("cpuInitializationPeriod", 300.0);
    p.set("initialReadinessDelay", 30.0);
    p.set("featureGates", "");
    return p;
  }());
  MetricSpec waiting{.source = MetricSpec::Source::Pods, .name = "nv_inference_pending_request_count"};
  waiting.target.milli_value = 2000;
  autoscaler.object = HorizontalPodAutoscaler{.max_replicas = 10, .metrics = {waiting}};
  autoscaler.max_replicas = 10;
  KubeRun run(setup);
  auto drive = [](KubeRun& r, double from, double to) {
    for (double t = from; t < to; t += 0.1) {
      r.run_until(at(t));
      r.submit();
    }
    r.run_until(at(to));
  };
  drive(run, 0, 50);
  run.run_until(at(150));
  KubeRun copy(run);
  drive(run, 150, 300);
  drive(copy, 150, 300);
  run.run_until(at(2000));
  copy.run_until(at(2000));
  CHECK(run.statistics().scalings.size() > 2);
  CHECK(run.engine().events() == copy.engine().events());
  CHECK(run.engine().signature() == copy.engine().signature());
  CHECK(run.kube().decisions() == copy.kube().decisions());
}

}  // namespace
}  // namespace kisim::test

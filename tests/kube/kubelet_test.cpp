#include "kube/kubelet.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// 2 s of image, 1 s of container, 3 s of weights, 0.5 s of engine.
PodStartup cold_start() {
  PodStartup s;
  s.image = "server";
  s.image_bytes = Distribution::constant(2e9);
  s.image_bandwidth = Distribution::constant(1e9);
  s.container = Distribution::constant(1);
  s.weights_bytes = Distribution::constant(6e9);
  s.weights_bandwidth = Distribution::constant(2e9);
  s.engine = Distribution::constant(0.5);
  return s;
}

TEST_CASE("a pod goes through its phases at the nanosecond", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe = Container::ReadinessProbe{.initial_delay = 2_s, .period = 10_s};
  WorkloadId w = setup.add_server("llm", 1, spec);
  setup.kube.workloads[w].startup = cold_start();
  KubeRun run(setup);

  run.run_until(at(1.999999999));
  CHECK(run.pod(0).phase == PodPhase::Pulling);
  CHECK(run.pod(0).scheduled == at(0));
  run.run_until(at(2));
  CHECK(run.pod(0).phase == PodPhase::Starting);
  run.run_until(at(3));
  CHECK(run.pod(0).phase == PodPhase::Loading);
  CHECK(run.pod(0).started == at(3));
  run.run_until(at(6.5));
  CHECK(run.pod(0).phase == PodPhase::Probing);
  // Probes at 3 + 2, + 10, …: the first after 6.5 s is at 15 s.
  run.run_until(at(14.999999999));
  CHECK(run.pod(0).phase == PodPhase::Probing);
  CHECK(run.serving().state.services[ServiceId(0u)].endpoints.empty());
  run.run_until(at(15));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(15));
  CHECK(run.serving().state.services[ServiceId(0u)].endpoints.size() == 1);
  CHECK(run.statistics().workloads[w].ready.value() == 1);
}

TEST_CASE("readiness needs successThreshold probes, the first when the server is up", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe =
      Container::ReadinessProbe{.initial_delay = 5_s, .period = 2_s, .success_threshold = 3};
  WorkloadId w = setup.add_server("a", 1, spec);
  setup.kube.workloads[w].startup.engine = Distribution::constant(7);
  KubeRun run(setup);
  run.run_until(at(60));
  // Up at 7 s, which is a probe's instant: 7, 9, 11.
  CHECK(run.pod(0).ready == at(11));
}

TEST_CASE("readiness that no run lives to see", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe =
      Container::ReadinessProbe{.period = 1_s * INT32_MAX, .success_threshold = INT32_MAX};
  setup.add_server("a", 1, spec);
  KubeRun run(setup);
  run.run_until(at(1e6));
  CHECK(run.pod(0).phase == PodPhase::Probing);
}

TEST_CASE("phases of zero length take no event", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add("web", 3, setup.pod());
  KubeRun run(setup);
  run.run_until(at(1));
  CHECK(run.pod(2).phase == PodPhase::Ready);
  CHECK(run.pod(2).ready == at(0));
  CHECK(run.kube_events == 0);
}

TEST_CASE("a node pulls one image at a time, and each image once", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId first = setup.add("first", 2, setup.pod()), second = setup.add("second", 1, setup.pod());
  setup.kube.workloads[first].startup = cold_start();
  setup.kube.workloads[second].startup = cold_start();
  setup.kube.workloads[second].startup.image = "other";
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.pod(0).started == at(2 + 1));
  CHECK(run.pod(1).started == at(2 + 1));      // waits for the same pull
  CHECK(run.pod(2).started == at(2 + 2 + 1));  // its own comes after
  run.kube().scale(first, 3, "test");
  run.run_until(at(40));
  CHECK(run.pod(3).started == at(20 + 1));  // cached
}

TEST_CASE("an image in node.status.images needs no pull", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a", 8000, {{"server", 2 * kGigabyte}});
  WorkloadId w = setup.add("web", 1, setup.pod());
  setup.kube.workloads[w].startup = cold_start();
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.pod(0).started == at(1));
}

TEST_CASE("a deleted pod leaves its Service at once and lives until its last request is answered", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 5);
  KubeRun run(setup);
  run.run_until(at(1));
  run.submit();
  run.run_until(at(2));
  run.kube().scale(w, 0, "test");
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  CHECK(run.serving().state.services[ServiceId(0u)].endpoints.empty());
  CHECK(run.statistics().workloads[w].ready.value() == 0);
  run.run_until(at(5.999999999));
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  run.run_until(at(6));
  CHECK(run.pod(0).phase == PodPhase::Gone);
  CHECK(run.pod(0).deleted == at(6));
  CHECK(run.client().completed == 1);
  CHECK(run.cluster().state.requested[kCpu.value] == 0);
}

TEST_CASE("the grace period ends a pod that does not drain", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.termination_grace_period = 2_s;
  WorkloadId w = setup.add_server("web", 1, spec, 5);
  KubeRun run(setup);
  run.run_until(at(1));
  run.submit();
  run.kube().scale(w, 0, "test");
  run.run_until(at(2.999999999));
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  run.run_until(at(3));
  CHECK(run.pod(0).phase == PodPhase::Gone);
  CHECK(run.client().failed == 1);
  run.run_until(at(20));
  CHECK(run.client().completed == 0);
}

TEST_CASE("an idle pod and a pod that still starts end at once", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId idle = setup.add_server("idle", 1, setup.pod()), cold = setup.add_server("cold", 1, setup.pod());
  setup.kube.workloads[cold].startup = cold_start();
  KubeRun run(setup);
  run.run_until(at(1));
  run.kube().scale(idle, 0, "test");
  run.kube().scale(cold, 0, "test");
  CHECK(run.pod(0).phase == PodPhase::Gone);
  CHECK(run.pod(1).phase == PodPhase::Gone);
  run.run_until(at(30));
  CHECK(run.statistics().workloads[cold].ready.max() == 0);
}

TEST_CASE("a pod larger than any node stays Pending and says why", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a", 4000);
  setup.add_node("b", 2000);
  setup.add("huge", 1, setup.pod(16000));
  KubeRun run(setup);
  run.run_until(at(3600));
  CHECK(run.pod(0).phase == PodPhase::Pending);
  CHECK(run.statistics().pending.value() == 1);
  CHECK_THAT(run.kube().failure_message(PodId(0u)),
             Catch::Matchers::Contains("0/2 nodes are available") && Catch::Matchers::Contains("Insufficient cpu"));
  CHECK(run.decided("FailedScheduling: Insufficient cpu") > 0);
  CHECK(run.decided("Scheduled") == 0);
}

}  // namespace
}  // namespace kisim::test

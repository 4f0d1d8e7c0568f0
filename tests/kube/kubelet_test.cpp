#include "kube/kubelet.hpp"

#include "kubelet_events.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// 2 s of image, 1 s of container, 3 s of weights, 0.5 s of engine.
PodStartup cold_start() {
  PodStartup s;
  s.image_bytes = Distribution::constant(2e9);
  s.image_bandwidth = Distribution::constant(1e9);
  s.container = Distribution::constant(1);
  s.weights_bytes = Distribution::constant(6e9);
  s.weights_bandwidth = Distribution::constant(2e9);
  s.engine = Distribution::constant(0.5);
  return s;
}

// A server that takes so long to be up.
PodStartup loads_for(double seconds) {
  PodStartup s;
  s.engine = Distribution::constant(seconds);
  return s;
}

// Containers that exit after so many seconds.
PodBehaviour runs_for(double seconds, double failure = 0) {
  PodBehaviour b;
  b.run = Distribution::constant(seconds);
  b.failure = failure;
  return b;
}

Fault fault(Fault::Kind kind, double at_s, double for_s, WorkloadId workload = {}) {
  Fault f;
  f.kind = kind;
  f.at = Distribution::constant(at_s);
  f.for_ = Distribution::constant(for_s);
  f.workload = workload;
  return f;
}

// --- the start

TEST_CASE("a pod goes through its phases at the nanosecond", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe = Probe{.initial_delay = 2_s, .period = 10_s};
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
  CHECK(run.serving().state.services[ServiceId(0u)].serving.endpoints.empty());
  run.run_until(at(15));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(15));
  CHECK(run.serving().state.services[ServiceId(0u)].serving.endpoints.size() == 1);
  CHECK(run.statistics().workloads[w].ready.value() == 1);
}

TEST_CASE("a pod is ready when all its containers are", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers.push_back(container(100));
  spec.containers[1].readiness_probe = Probe{.initial_delay = 9_s};  // up at its start, asked late
  WorkloadId w = setup.add_server("llm", 1, spec);
  setup.kube.workloads[w].startup = loads_for(4);
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).ready == at(9));
}

TEST_CASE("readiness that no run lives to see", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe = Probe{.period = 1_s * INT32_MAX, .success_threshold = INT32_MAX};
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
  run.run_until(at(0));
  CHECK(run.pod(2).phase == PodPhase::Ready);
  CHECK(run.pod(2).ready == at(0));
  CHECK(run.kube().state.nodes[NodeId(0u)].pods.empty());
}

TEST_CASE("what a kubelet tells of a start", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 1, setup.pod());
  setup.kube.workloads[w].startup = cold_start();
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(10));
  CHECK(told.lines == std::vector<std::string>{
                          "0 Pulling Pulling image \"server\"",
                          "2 Pulled Successfully pulled image \"server\" in 2s (2s including waiting). Image size: "
                          "2000000000 bytes.",
                          "3 Created Container created", "3 Started Container started"});
  CHECK(run.decided("Started") == 0);  // what happens to every pod is no decision
}

TEST_CASE("a kubelet sees what containers do when it looks at them", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.kube.latencies.pleg = 1_s;
  PodSpec spec = setup.pod();
  spec.containers[0].readiness_probe = Probe{.period = 10_s};
  WorkloadId w = setup.add_server("llm", 1, spec);
  setup.kube.workloads[w].startup = cold_start();
  KubeRun run(setup);
  run.run_until(at(100));
  Duration late = run.pod(0).started - at(3);
  CHECK(late.ns > 0);
  CHECK(late < 1_s);
  // It is up at 6.5 and answers the probe of 13; both looks are whole seconds apart.
  CHECK(run.pod(0).ready == at(13) + late);
}

// --- restarts

TEST_CASE("the first restart comes at once, then after 10 s, 20 s … 300 s", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 1, setup.pod());
  setup.kube.workloads[w].behaviour = runs_for(5, 1);
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(5));
  CHECK(run.pod(0).restarts == 1);
  CHECK(run.pod(0).phase == PodPhase::Ready);
  run.run_until(at(10));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  CHECK(run.statistics().workloads[w].ready.value() == 0);
  run.run_until(at(19.999999999));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  double start = 20;
  uint32_t restarts = 2;
  for (double wait : {20, 40, 80, 160, 300, 300, 300}) {
    run.run_until(at(start));
    CHECK(run.pod(0).phase == PodPhase::Ready);
    CHECK(run.pod(0).restarts == restarts++);
    start += 5 + wait;
    run.run_until(at(start) - 1_ns);
    CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  }
  CHECK(run.decided("BackOff") == 8);
  CHECK(std::any_of(told.lines.begin(), told.lines.end(), [&](const std::string& line) {
    return line.starts_with("10 BackOff Back-off restarting failed container server in pod " +
                            run.cluster().pod_name(PodId(0u)) + "_default(");
  }));
}

TEST_CASE("ten minutes of running forgive the crashes before", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId forgiven = setup.add("a", 1, setup.pod()), remembered = setup.add("b", 1, setup.pod());
  setup.kube.workloads[forgiven].behaviour = runs_for(600.001, 1);
  setup.kube.workloads[remembered].behaviour = runs_for(600, 1);
  KubeRun run(setup);
  run.run_until(at(600.001 * 3));
  CHECK(run.pod(0).restarts == 3);
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(1).restarts == 2);  // the second one came 10 s late, the third 20 s
  run.run_until(at(600 + 610 + 620 + 0.001));
  CHECK(run.pod(1).restarts == 3);
}

TEST_CASE("restartPolicy says what becomes of containers that exit", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  auto add = [&](const std::string& name, RestartPolicy policy, double failure) {
    PodSpec spec = setup.pod(100);
    spec.restart_policy = policy;
    WorkloadId w = setup.add_object(name, Pod{}, spec);
    setup.kube.workloads[w].behaviour = runs_for(5, failure);
  };
  add("never-good", RestartPolicy::Never, 0);
  add("never-bad", RestartPolicy::Never, 1);
  add("on-failure-good", RestartPolicy::OnFailure, 0);
  add("on-failure-bad", RestartPolicy::OnFailure, 1);
  add("always-good", RestartPolicy::Always, 0);
  KubeRun run(setup);
  run.run_until(at(10));
  CHECK(run.pod(0).phase == PodPhase::Succeeded);
  CHECK(run.pod(1).phase == PodPhase::Failed);
  CHECK(run.pod(2).phase == PodPhase::Succeeded);
  CHECK(run.pod(3).phase == PodPhase::CrashLoop);
  CHECK(run.pod(4).phase == PodPhase::CrashLoop);
  CHECK(run.cluster().state.requested[kCpu.value] == 200);
}

TEST_CASE("half of the starts fail, each drawn by itself", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a", 80000);
  PodSpec spec = setup.pod(100);
  spec.restart_policy = RestartPolicy::Never;
  for (int i = 0; i < 100; ++i) {
    WorkloadId w = setup.add_object("p" + std::to_string(i), Pod{}, spec);
    setup.kube.workloads[w].behaviour = runs_for(5, 0.5);
  }
  KubeRun run(setup);
  run.run_until(at(5));
  int failed = 0;
  for (uint32_t i = 0; i < 100; ++i) failed += run.pod(i).phase == PodPhase::Failed;
  CHECK(failed > 30);
  CHECK(failed < 70);
}

TEST_CASE("a server loads again after a crash, and its requests fail", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("llm", 1, setup.pod(), 50);
  setup.kube.workloads[w].startup = cold_start();
  setup.kube.faults.push_back(fault(Fault::Kind::OomKill, 10, 0, w));
  KubeRun run(setup);
  run.run_until(at(9));
  run.submit();
  run.run_until(at(10));
  CHECK(run.client().failed == 1);
  CHECK(run.serving().state.services[ServiceId(0u)].serving.endpoints.empty());
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);  // the container takes 1 s to start, its image is there
  run.run_until(at(11));
  CHECK(run.pod(0).phase == PodPhase::Loading);
  CHECK(run.pod(0).restarts == 1);
  CHECK(run.pod(0).started == at(3));  // of the pod
  run.run_until(at(14.5));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(14.5));
}

TEST_CASE("a crash loop lasts as long as its fault", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 2, setup.pod()), other = setup.add("other", 1, setup.pod());
  setup.kube.faults.push_back(fault(Fault::Kind::CrashLoop, 100, 25, w));
  KubeRun run(setup);
  run.run_until(at(100));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  CHECK(run.pod(0).restarts == 1);  // at once, in vain
  CHECK(run.statistics().workloads[other].ready.value() == 1);
  run.run_until(at(110));
  CHECK(run.pod(1).restarts == 2);
  CHECK(run.pod(1).phase == PodPhase::CrashLoop);
  run.run_until(at(129.999999999));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  run.run_until(at(130));
  CHECK(run.statistics().workloads[w].ready.value() == 2);
}

// --- probes that kill

TEST_CASE("a liveness probe kills a server that loads too long", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.containers[0].liveness_probe = Probe{.initial_delay = 5_s, .period = 10_s};
  WorkloadId w = setup.add_server("llm", 1, spec);
  setup.kube.workloads[w].startup = loads_for(60);
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(25));
  CHECK(run.pod(0).restarts == 1);
  CHECK(run.pod(0).phase == PodPhase::Loading);
  CHECK(told.has("25 Unhealthy Liveness probe failed: dial tcp: connect: connection refused"));
  CHECK(told.has("25 Killing Container server failed liveness probe, will be restarted"));
  run.run_until(at(50));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  run.run_until(at(60));
  CHECK(run.pod(0).restarts == 2);
  run.run_until(at(3600));
  CHECK(run.statistics().workloads[w].ready.max() == 0);
}

TEST_CASE("a startup probe gives a server its time", "[kubelet]") {
  for (int32_t failures : {6, 7}) {
    KubeSetup setup;
    setup.add_node("a");
    PodSpec spec = setup.pod();
    spec.containers[0].liveness_probe = Probe{.period = 1_s};
    spec.containers[0].startup_probe = Probe{.period = 10_s, .failure_threshold = failures};
    WorkloadId w = setup.add_server("llm", 1, spec);
    setup.kube.workloads[w].startup = loads_for(60);
    KubeRun run(setup);
    run.run_until(at(60));
    // Probes at 0, 10 … 60.
    CHECK(run.pod(0).restarts == (failures == 6 ? 1 : 0));
    CHECK((run.pod(0).phase == PodPhase::Ready) == (failures == 7));
  }
}

TEST_CASE("without restarts a failed probe is the pod's end", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.restart_policy = RestartPolicy::Never;
  spec.termination_grace_period = 30_s;
  spec.containers[0].liveness_probe = Probe{.period = 10_s, .failure_threshold = 1};
  WorkloadId w = setup.add_object("batch", Pod{}, spec);
  setup.kube.workloads[w].startup = loads_for(60);
  KubeRun run(setup);
  run.run_until(at(29.999999999));
  CHECK(run.pod(0).phase == PodPhase::Loading);  // it serves nothing: SIGKILL ends it
  run.run_until(at(30));
  CHECK(run.pod(0).phase == PodPhase::Failed);
}

// --- deletion

TEST_CASE("a deleted pod leaves its Service at once and lives until its last request is answered", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 5);
  KubeRun run(setup);
  run.run_until(at(1));
  run.submit();
  run.run_until(at(2));
  scale(run, w, 0);
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  CHECK(run.serving().state.services[ServiceId(0u)].serving.endpoints.empty());
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
  scale(run, w, 0);
  run.run_until(at(2.999999999));
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  run.run_until(at(3));
  CHECK(run.pod(0).phase == PodPhase::Gone);
  CHECK(run.client().failed == 1);
  run.run_until(at(20));
  CHECK(run.client().completed == 0);
}

TEST_CASE("preStop holds an idle server, within the grace period", "[kubelet]") {
  for (double pre_stop : {10, 40}) {
    KubeSetup setup;
    setup.add_node("a");
    PodSpec spec = setup.pod();
    spec.containers[0].pre_stop = Duration::seconds(pre_stop);
    WorkloadId w = setup.add_server("web", 1, spec, 3);
    KubeRun run(setup);
    KubeletEvents told;
    run.kube().set_event_sink(&told);
    run.run_until(at(1));
    run.submit();
    scale(run, w, 0);
    run.run_until(at(4));
    CHECK(run.client().completed == 1);  // drained, but still asleep
    CHECK(told.has("1 Killing Stopping container server"));
    double end = 1 + std::min(pre_stop, 30.0);
    run.run_until(at(end) - 1_ns);
    CHECK(run.pod(0).phase == PodPhase::Terminating);
    run.run_until(at(end));
    CHECK(run.pod(0).phase == PodPhase::Gone);
  }
}

TEST_CASE("an idle pod and a pod that still starts end at once, one that serves nothing takes its grace period",
          "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId idle = setup.add_server("idle", 1, setup.pod()), cold = setup.add_server("cold", 1, setup.pod());
  WorkloadId deaf = setup.add("deaf", 1, setup.pod()), crashed = setup.add("crashed", 1, setup.pod());
  setup.kube.workloads[cold].startup = cold_start();
  setup.kube.workloads[crashed].behaviour = runs_for(0.25, 1);
  KubeRun run(setup);
  run.run_until(at(1));
  for (WorkloadId w : {idle, cold, deaf, crashed}) scale(run, w, 0);
  CHECK(run.pod(0).phase == PodPhase::Gone);
  CHECK(run.pod(1).phase == PodPhase::Gone);
  CHECK(run.pod(2).phase == PodPhase::Terminating);
  CHECK(run.pod(3).phase == PodPhase::Gone);  // in its back-off
  run.run_until(at(30.999999999));
  CHECK(run.pod(2).phase == PodPhase::Terminating);
  run.run_until(at(31));
  CHECK(run.pod(2).phase == PodPhase::Gone);
  CHECK(run.statistics().workloads[cold].ready.max() == 0);
  CHECK(run.kube().state.nodes[NodeId(0u)].pods.empty());
}

TEST_CASE("a deletion that the kubelet has not heard of", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.kube.latencies.watch = 2_s;
  WorkloadId w = setup.add_server("web", 1, setup.pod());
  setup.kube.workloads[w].startup = loads_for(10);
  KubeRun run(setup);
  run.run_until(at(13.5));
  REQUIRE(run.pod(0).phase == PodPhase::Loading);  // since 6: 2 s to its controller, the scheduler, the kubelet each
  run.kube().scale(w, 0, "test");
  run.run_until(at(15.499999999));
  CHECK(run.pod(0).phase == PodPhase::Loading);
  run.run_until(at(17.499999999));
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  CHECK(run.statistics().workloads[w].ready.max() == 0);  // it was up at 16
  run.run_until(at(17.5));
  CHECK(run.pod(0).phase == PodPhase::Gone);
}

TEST_CASE("activeDeadlineSeconds ends a pod wherever it is", "[kubelet]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.active_deadline = 4_s;
  WorkloadId pulls = setup.add_object("pulls", Pod{}, spec), runs = setup.add_object("runs", Pod{}, spec);
  setup.kube.workloads[pulls].startup = cold_start();
  setup.kube.workloads[runs].startup = loads_for(1);
  KubeRun run(setup);
  run.run_until(at(3.999999999));
  CHECK(run.pod(0).phase == PodPhase::Loading);
  CHECK(run.pod(1).ready == at(3));  // its image came with the other's
  run.run_until(at(4));
  CHECK(run.pod(0).phase == PodPhase::Failed);
  CHECK(run.pod(0).reason == "DeadlineExceeded");
  CHECK(run.pod(1).phase == PodPhase::Failed);
  CHECK(run.decided("DeadlineExceeded") == 2);
}

// --- nodes and devices

TEST_CASE("pods of a node that was away start again and count it", "[kubelet]") {
  KubeSetup setup;
  NodeId node = setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 50);
  setup.kube.workloads[w].startup = cold_start();
  setup.lose(node, 20, 10_s);
  KubeRun run(setup);
  run.run_until(at(19));
  run.submit();
  run.run_until(at(29));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.client().failed == 0);
  run.run_until(at(30));
  CHECK(run.client().failed == 1);
  run.run_until(at(34.5));  // the image is on the disk: 1 + 3.5 s
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(0).ready == at(34.5));
  CHECK(run.pod(0).restarts == 1);
}

TEST_CASE("a pod that never starts its containers again ends when its node is back", "[kubelet]") {
  KubeSetup setup;
  NodeId node = setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.restart_policy = RestartPolicy::Never;
  setup.add_object("once", Pod{}, spec);
  setup.lose(node, 20, 10_s);
  KubeRun run(setup);
  run.run_until(at(29));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  run.run_until(at(30));
  CHECK(run.pod(0).phase == PodPhase::Failed);
}

TEST_CASE("a pod that is deleted on a node that is away goes when the node is back", "[kubelet]") {
  KubeSetup setup;
  NodeId node = setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod());
  setup.lose(node, 20, 20_s);
  KubeRun run(setup);
  run.run_until(at(21));
  scale(run, w, 0);
  run.run_until(at(39.999999999));
  CHECK(run.pod(0).phase == PodPhase::Terminating);
  run.run_until(at(40));
  CHECK(run.pod(0).phase == PodPhase::Gone);
}

TEST_CASE("containers crash on a device that fails, until it is repaired", "[kubelet]") {
  KubeSetup setup;
  Node gpus;
  gpus.meta.name = "gpus";
  gpus.allocatable = {{"cpu", 8000}, {"memory", 64 * kGigabyte}, {"nvidia.com/gpu", 2}, {"pods", 110}};
  setup.builder.add_node(gpus);
  PodSpec spec = setup.pod();
  spec.containers[0].requests.push_back({"nvidia.com/gpu", 1});
  WorkloadId w = setup.add("llm", 2, spec);
  Fault failure = fault(Fault::Kind::GpuFailure, 100, 15);
  failure.nodes = {NodeId(0u)};
  setup.kube.faults.push_back(failure);
  KubeRun run(setup);
  run.run_until(at(100));
  CHECK(run.statistics().workloads[w].ready.value() == 1);
  uint32_t hit = run.pod(0).phase == PodPhase::CrashLoop ? 0 : 1;
  CHECK(run.pod(hit).gpus == std::vector<GpuId>{GpuId(1u)});
  CHECK(run.pod(hit).restarts == 1);
  run.run_until(at(129.999999999));  // 10 s, then 20 s
  CHECK(run.pod(hit).restarts == 2);
  run.run_until(at(130));
  CHECK(run.pod(hit).phase == PodPhase::Ready);
}

TEST_CASE("GPUs lose their NVLinks for a while, and nothing else", "[kubelet]") {
  KubeSetup setup;
  NodeId node = setup.add_gpu_node("gpus", 3);
  WorkloadId w = setup.add("llm", 3, setup.gpu_pod());
  Fault failure = fault(Fault::Kind::NvlinkFailure, 100, 15);
  failure.nodes = {node};
  failure.gpus = 2;
  setup.kube.faults.push_back(failure);
  KubeRun run(setup);
  run.run_until(at(99));
  CHECK(run.cluster().nvlinks_down(node) == 0);
  run.run_until(at(100));
  CHECK(run.cluster().nvlinks_down(node) == 0b110);
  CHECK(run.decided("NvlinkDown") == 1);
  CHECK(run.statistics().workloads[w].ready.value() == 3);
  run.run_until(at(115));
  CHECK(run.cluster().nvlinks_down(node) == 0);
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

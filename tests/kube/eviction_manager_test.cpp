#include "kube/eviction_manager.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

constexpr NodeId kNode{0u};

struct Wanted {
  std::string name;
  double memory = 0;
  int32_t priority = 0;
  int64_t request = 0;
};

// A bare pod: nobody makes another when it is evicted.
WorkloadId add(KubeSetup& setup, const Wanted& wanted) {
  PodSpec spec = setup.pod(100);
  spec.priority = wanted.priority;
  if (wanted.request > 0) spec.containers[0].requests.push_back({"memory", wanted.request});
  WorkloadId w = setup.add_object(wanted.name, Pod{}, spec);
  setup.kube.workloads[w].behaviour.memory = Distribution::constant(wanted.memory);
  return w;
}

bool under_pressure(KubeRun& run) {
  return run.cluster().state.node_conditions[kNode.value].any_of(kNodeMemoryPressure);
}

struct Recorder : EventSink {
  std::vector<std::string> lines;
  void record(KubeEvent event) override {
    if (event.component == "kubelet" && event.type == KubeEvent::Type::Warning)
      lines.push_back(fmt::format("{:g} {} {}", event.at.to_seconds(), event.reason, event.message));
  }
};

TEST_CASE("a node short of memory evicts one pod at each look, and is under pressure for 5 min more", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");  // 64e9 bytes
  for (const char* name : {"p", "q", "r", "s"}) add(setup, {name, 22e9});
  KubeRun run(setup);
  Recorder told;
  run.kube().set_event_sink(&told);
  run.run_until(at(9.999999999));
  CHECK_FALSE(under_pressure(run));
  run.run_until(at(10));
  CHECK(under_pressure(run));
  CHECK(run.pod(0).phase == PodPhase::Failed);
  CHECK(run.pod(0).reason == "Evicted");
  CHECK(run.pod(1).phase == PodPhase::Ready);
  CHECK(told.lines == std::vector<std::string>{
                          "10 EvictionThresholdMet Attempting to reclaim memory",
                          "10 Evicted The node was low on resource: memory. Threshold quantity: 100Mi, available: "
                          "-23437500Ki. Container server was using 21484375Ki, request is 0, has larger consumption "
                          "of memory. "});
  run.run_until(at(20));  // 66e9 are still too many
  CHECK(run.pod(1).phase == PodPhase::Failed);
  run.run_until(at(319.999999999));
  CHECK(run.pod(2).phase == PodPhase::Ready);
  CHECK(under_pressure(run));
  run.run_until(at(320));
  CHECK_FALSE(under_pressure(run));
  CHECK(run.statistics().evicted == 2);
  CHECK_FALSE(run.kube().state.nodes[kNode].housekeeping);
  CHECK(run.decided("NodeHasSufficientMemory") == 1);
}

TEST_CASE("looks that find memory again do not end the pressure before its time", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, {"p", 70e9});
  WorkloadId server = setup.add_server("web", 1, setup.pod(100));
  setup.kube.workloads[server].behaviour.memory_per_request = 1;  // without a bound: looked at every 10 s
  KubeRun run(setup);
  run.run_until(at(10));
  CHECK(run.pod(0).phase == PodPhase::Failed);
  run.run_until(at(309.999999999));
  CHECK(under_pressure(run));
  run.run_until(at(310));
  CHECK_FALSE(under_pressure(run));
}

TEST_CASE("a pod that comes under pressure is looked at in its turn", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, {"p", 70e9});
  PodSpec spec = setup.pod(100);
  spec.node_name = "a";
  WorkloadId later = setup.add_object("later", Pod{}, spec);
  setup.kube.workloads[later].behaviour.memory = Distribution::constant(70e9);
  SpecId spec_id = std::exchange(setup.kube.workloads[later].spec, {});
  setup.apply(35, later, spec_id);
  KubeRun run(setup);
  run.run_until(at(39.999999999));
  CHECK(run.pod(1).phase == PodPhase::Ready);
  run.run_until(at(40));
  CHECK(run.pod(1).phase == PodPhase::Failed);
}

TEST_CASE("who is evicted: above the request first, then by priority, then by how far above", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, {"within", 30e9, 0, 31'000'000'000});
  add(setup, {"important", 20e9, 5, 0});
  add(setup, {"near", 8e9, 0, 1'000'000'000});
  add(setup, {"far", 9e9, 0, 1'000'000'000});
  add(setup, {"critical", 20e9, 2'000'000'000, 0});
  KubeRun run(setup);
  auto failed = [&](uint32_t i) { return run.pod(i).phase == PodPhase::Failed; };
  run.run_until(at(10));  // 87e9
  CHECK(failed(3));
  run.run_until(at(20));  // 78e9
  CHECK(failed(2));
  run.run_until(at(30));  // 70e9
  CHECK(failed(1));
  run.run_until(at(400));  // 50e9
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(4).phase == PodPhase::Ready);
}

TEST_CASE("the threshold is 100Mi", "[eviction]") {
  for (int64_t left : {(100ll << 20) - 1, 100ll << 20}) {
    KubeSetup setup;
    setup.add_node("a");
    add(setup, {"p", static_cast<double>(64 * kGigabyte - left)});
    KubeRun run(setup);
    run.run_until(at(10));
    CHECK((run.pod(0).phase == PodPhase::Failed) == (left < 100ll << 20));
  }
}

TEST_CASE("nodes whose pods cannot come to too much are not looked at", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, {"p", 30e9});
  WorkloadId server = setup.add_server("web", 1, setup.pod(100));
  setup.kube.workloads[server].behaviour.memory_per_request = 1e9;
  setup.serving.models[ServingModelId(0u)].max_queue_size = 30;
  SECTION("a bounded queue") {
    KubeRun run(setup);
    run.run_until(at(1));
    CHECK_FALSE(run.kube().state.nodes[kNode].housekeeping);
  }
  SECTION("a longer one") {
    setup.serving.models[ServingModelId(0u)].max_queue_size = 40;
    KubeRun run(setup);
    run.run_until(at(1));
    CHECK(run.kube().state.nodes[kNode].housekeeping);
  }
}

TEST_CASE("containers above their limit are killed: for their own part at the start", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod(100);
  spec.containers[0].limits = {{"memory", 1'000'000'000}};
  WorkloadId w = setup.add("web", 1, spec);
  setup.kube.workloads[w].behaviour.memory = Distribution::constant(1'000'000'001);
  KubeRun run(setup);
  run.run_until(at(0));
  CHECK(run.pod(0).phase == PodPhase::CrashLoop);
  CHECK(run.pod(0).restarts == 1);
  const KubeletPod* record = run.kube().state.nodes[kNode].find(PodId(0u));
  REQUIRE(record);
  CHECK(record->exit_reason == "OOMKilled");
  CHECK(record->exit_code == 137);
  CHECK(record->waiting == "CrashLoopBackOff");
}

TEST_CASE("containers above their limit are killed: for their requests at the next look", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod(100);
  spec.containers[0].limits = {{"memory", 2'000'000'000}};
  WorkloadId w = setup.add_server("web", 1, spec, 100);
  PodBehaviour& b = setup.kube.workloads[w].behaviour;
  b.memory = Distribution::constant(1e9);
  b.memory_per_request = 5e8;
  KubeRun run(setup);
  run.run_until(at(1));
  run.submit();
  run.submit();
  run.run_until(at(10));
  CHECK(run.pod(0).restarts == 0);  // at its limit
  run.submit();
  run.run_until(at(19.999999999));
  CHECK(run.pod(0).restarts == 0);
  run.run_until(at(20));
  CHECK(run.pod(0).restarts == 1);
  CHECK(run.client().failed == 3);
}

TEST_CASE("a node under pressure takes no BestEffort pod", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, {"critical", 70e9, 2'000'000'000});
  PodSpec spec = setup.pod();
  spec.node_name = "a";
  spec.containers[0].requests.clear();
  WorkloadId later = setup.add_object("later", Pod{}, spec);
  SpecId spec_id = std::exchange(setup.kube.workloads[later].spec, {});
  setup.apply(15, later, spec_id);
  KubeRun run(setup);
  run.run_until(at(15));
  REQUIRE(under_pressure(run));
  CHECK(run.pod(0).phase == PodPhase::Ready);
  CHECK(run.pod(1).phase == PodPhase::Failed);
  CHECK(run.pod(1).reason == "Evicted");
}

}  // namespace
}  // namespace kisim::test

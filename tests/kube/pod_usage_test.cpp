#include "kube/pod_usage.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

PodUsage usage_of(KubeRun& run) { return {run.kube().model, run.kube().state, run.cluster(), run.serving()}; }

TEST_CASE("a pod uses its own part and one for each request, while it runs", "[usage]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add_server("web", 1, setup.pod(), 10);
  PodBehaviour& b = setup.kube.workloads[w].behaviour;
  b.cpu = Distribution::constant(0.5);
  b.cpu_per_request = 0.25;
  b.memory = Distribution::constant(1e9);
  b.memory_per_request = 1e8;
  setup.kube.workloads[w].startup.container = Distribution::constant(2);
  KubeRun run(setup);
  PodUsage usage = usage_of(run);
  run.run_until(at(1));
  CHECK(usage.cpu_milli(PodId(0u)) == 0);
  CHECK(usage.memory_bytes(PodId(0u)) == 0);
  run.run_until(at(2));
  CHECK(usage.cpu_milli(PodId(0u)) == 500);
  CHECK(usage.memory_bytes(PodId(0u)) == 1'000'000'000);
  for (int i = 0; i < 3; ++i) run.submit();  // one runs, two wait
  CHECK(usage.cpu_milli(PodId(0u)) == 1250);
  CHECK(usage.memory_bytes(PodId(0u)) == 1'300'000'000);
  run.run_until(at(12));
  CHECK(usage.cpu_milli(PodId(0u)) == 1000);
  CHECK(usage.cpu_seconds(PodId(0u), at(12)) == Approx(0.5 * 10 + 0.25 * 3 * 10));
  run.run_until(at(22));
  CHECK(usage.cpu_seconds(PodId(0u), at(22)) == Approx(0.5 * 20 + 0.25 * (3 * 10 + 2 * 10)));
  run.submit();
  CHECK(usage.cpu_milli(PodId(0u)) == 1000);
  run.kube().scale(w, 0, "test");
  run.run_until(at(22));
  CHECK(usage.cpu_milli(PodId(0u)) == 1000);  // it drains
  run.run_until(at(60));
  CHECK(usage.cpu_milli(PodId(0u)) == 0);
}

TEST_CASE("containers that have exited use nothing", "[usage]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 1, setup.pod());
  PodBehaviour& b = setup.kube.workloads[w].behaviour;
  b.cpu = Distribution::constant(1);
  b.run = Distribution::constant(5);
  KubeRun run(setup);
  PodUsage usage = usage_of(run);
  run.run_until(at(6));
  CHECK(usage.cpu_milli(PodId(0u)) == 1000);
  CHECK(usage.cpu_seconds(PodId(0u), at(6)) == 1);  // of its second container
  run.run_until(at(11));
  REQUIRE(run.pod(0).phase == PodPhase::CrashLoop);
  CHECK(usage.cpu_milli(PodId(0u)) == 0);
}

TEST_CASE("own parts are drawn once per pod", "[usage]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = setup.add("web", 2, setup.pod());
  setup.kube.workloads[w].behaviour.cpu = Distribution::uniform(0.1, 0.9);
  KubeRun run(setup);
  PodUsage usage = usage_of(run);
  run.run_until(at(1));
  int64_t first = usage.cpu_milli(PodId(0u)), second = usage.cpu_milli(PodId(1u));
  CHECK(first != second);
  CHECK(first >= 100);
  CHECK(first <= 900);
  run.run_until(at(100));
  CHECK(usage.cpu_milli(PodId(0u)) == first);
}

TEST_CASE("which workloads have data", "[usage]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId none = setup.add("none", 1, setup.pod()), cpu = setup.add("cpu", 1, setup.pod()),
             memory = setup.add("memory", 1, setup.pod());
  setup.kube.workloads[cpu].behaviour.cpu_per_request = 1;
  setup.kube.workloads[memory].behaviour.memory = Distribution::uniform(0, 1);
  KubeRun run(setup);
  PodUsage usage = usage_of(run);
  CHECK_FALSE(usage.has_usage(none));
  CHECK(usage.has_usage(cpu));
  CHECK_FALSE(usage.has_memory(cpu));
  CHECK(usage.has_memory(memory));
}

TEST_CASE("how much memory a pod can come to", "[usage]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  WorkloadId open = setup.add_server("open", 1, spec), bounded = setup.add_server("bounded", 1, spec);
  spec.containers[0].limits = {{"memory", 7}};
  spec.containers.push_back(spec.containers[0]);
  WorkloadId limited = setup.add("limited", 1, spec);
  for (WorkloadId w : {open, bounded}) {
    setup.kube.workloads[w].behaviour.memory = Distribution::constant(100);
    setup.kube.workloads[w].behaviour.memory_per_request = 10;
  }
  setup.serving.models[ServingModelId(1u)].max_queue_size = 4;
  setup.kube.workloads[limited].behaviour.memory = Distribution::constant(100);
  KubeRun run(setup);
  PodUsage usage = usage_of(run);
  run.run_until(at(1));
  CHECK_FALSE(usage.most_memory(PodId(0u)));
  CHECK(usage.most_memory(PodId(1u)) == 100 + 10 * (1 + 4));
  CHECK(usage.most_memory(PodId(2u)) == 100);
  CHECK_FALSE(usage.memory_limit(run.pod(0).pod_template));
  CHECK(usage.memory_limit(run.pod(2).pod_template) == 14);
}

}  // namespace
}  // namespace kisim::test

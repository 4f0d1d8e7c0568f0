#include "kube/descheduler_loop.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

#include <memory>

namespace kisim::test {
namespace {

struct DeschedulerEvents : EventSink {
  std::vector<std::string> lines;
  void record(KubeEvent event) override {
    if (event.component == "sigs.k8s.io/descheduler")
      lines.push_back(fmt::format("{:g} {}", event.at.to_seconds(), event.reason));
  }
};

// Node "a" with pods that ask for a tenth of a core and use three quarters of one, node "b" with none.
struct Unbalanced : KubeSetup {
  explicit Unbalanced(int32_t pods) {
    add_node("a", 4000);
    add_node("b", 4000);
    PodSpec spec = pod(100);
    spec.node_selector = {{"kubernetes.io/hostname", "a"}};
    web = add("web", pods, spec);
    kube.workloads[web].behaviour.cpu = Distribution::constant(0.75);
  }

  // LowNodeUtilization by what is used, at 100 s and every 10 s from there.
  void add_descheduler(bool measured) {
    LowNodeUtilizationArgs args;
    args.thresholds = {{"cpu", 20}};
    args.target_thresholds = {{"cpu", 50}};
    if (measured) args.metrics_utilization.emplace();
    DeschedulerProfile profile;
    profile.plugin_config["LowNodeUtilization"].args = args;
    profile.plugin_config["DefaultEvictor"].args = DefaultEvictorArgs{};
    profile.balance = {"LowNodeUtilization"};
    profile.filter = profile.pre_eviction_filter = {"DefaultEvictor"};
    DeschedulerPolicy policy;
    policy.profiles = {profile};
    policy.kubernetes_metrics = measured;
    kube.descheduler = DeschedulerModel{std::make_shared<const DeschedulerPolicy>(policy), 10_s, at(100), false};
  }

  WorkloadId web;
};

TEST_CASE("LowNodeUtilization evicts by what nodes use, where it asks for that", "[descheduler]") {
  auto evicted = [](bool measured) {
    Unbalanced setup(4);
    setup.add_descheduler(measured);
    KubeRun run(setup);
    run.run_until(at(100));
    return run.statistics().evicted;
  };
  CHECK(evicted(false) == 0);
  CHECK(evicted(true) == 2);  // three of four cores are used, and two are the target
}

TEST_CASE("the metrics collector remembers nine tenths of what it had", "[descheduler]") {
  Unbalanced setup(0);
  setup.add_descheduler(true);
  KubeRun run(setup);
  auto milli_cpu = [&](size_t node) { return run.state().descheduler_usage.at(2 * node); };
  run.run_until(at(101));
  CHECK(milli_cpu(0) == 0);
  run.kube().scale(setup.web, 4, "test");
  run.run_until(at(105));
  CHECK(milli_cpu(0) == 299);  // a tenth of 3000 in doubles, rounded down
  run.run_until(at(110));
  CHECK(milli_cpu(0) == 569);
  CHECK(milli_cpu(1) == 0);
}

TEST_CASE("an eviction that waits for the client's limit says whose it is", "[descheduler]") {
  Unbalanced setup(4);
  setup.add_descheduler(true);
  setup.kube.latencies.descheduler = {0.5, 1};
  KubeRun run(setup);
  DeschedulerEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(105));
  CHECK(told.lines == std::vector<std::string>{"100 LowNodeUtilization", "102 LowNodeUtilization"});
}

}  // namespace
}  // namespace kisim::test

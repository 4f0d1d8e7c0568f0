// LowNodeUtilization and HighNodeUtilization, on nodes of 10 CPUs each unless said otherwise.

#include "descheduler_fixture.hpp"
#include "policy/scheduler.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;

// Pods named "a0", "a1" … of these CPUs, on the node.
void add_pods(DeschedulerFixture& f, const std::string& prefix, NodeId node, std::vector<int64_t> milli_cpus) {
  for (size_t i = 0; i < milli_cpus.size(); ++i)
    f.pod(prefix + std::to_string(i), node, {{"cpu", milli_cpus[i]}}).facts.priority = static_cast<int32_t>(i);
}

LowNodeUtilizationArgs low(double under, double over) {
  LowNodeUtilizationArgs out;
  out.thresholds = {{"cpu", under}};
  out.target_thresholds = {{"cpu", over}};
  return out;
}

HighNodeUtilizationArgs high(double under) {
  HighNodeUtilizationArgs out;
  out.thresholds = {{"cpu", under}};
  return out;
}

DeschedulerFixture nodes(size_t count) {
  DeschedulerFixture f;
  for (size_t i = 0; i < count; ++i) f.node(std::string(1, static_cast<char>('a' + i)));
  return f;
}

Texts run_low(DeschedulerFixture& f, const LowNodeUtilizationArgs& args) {
  return f.run(policy_of("LowNodeUtilization", args));
}
Texts run_high(DeschedulerFixture& f, const HighNodeUtilizationArgs& args) {
  return f.run(policy_of("HighNodeUtilization", args));
}

TEST_CASE("LowNodeUtilization evicts by priority until the node is at its target") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {2000, 2000, 2000, 2000});
  CHECK(run_low(f, low(20, 50)) == Texts{"a0", "a1"});  // 80 % -> 40 %
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "node is overutilized: cpu 80.0 %, target 50.0 %");
  CHECK(f.kept("the node gives no more, or no other has room") == 2);
  CHECK(run_low(f, low(20, 60)) == Texts{"a0"});  // at its target is not above
}

TEST_CASE("LowNodeUtilization: thresholds are not exceeded by what equals them") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {4000, 4000});
  add_pods(f, "b", NodeId(1), {2000});
  CHECK(run_low(f, low(20, 50)) == Texts{"a0"});
  CHECK(run_low(f, low(19, 50)).empty());
  CHECK(run_low(f, low(20, 80)).empty());
}

TEST_CASE("LowNodeUtilization acts if more than numberOfNodes are underutilized, but not all") {
  DeschedulerFixture f = nodes(3);
  add_pods(f, "a", NodeId(0), {3000, 3000, 3000});
  LowNodeUtilizationArgs args = low(20, 50);
  args.number_of_nodes = 1;
  CHECK(run_low(f, args).size() == 2);
  args.number_of_nodes = 2;
  CHECK(run_low(f, args).empty());
  CHECK(run_low(f, low(100, 100)).empty());
}

TEST_CASE("LowNodeUtilization stops when the others have no room left") {
  DeschedulerFixture f = nodes(2);
  f.nodes[1].allocatable = {{"cpu", 3000}, {"memory", kGiB}, {"pods", 110}};  // up to 50 %: 1500m
  add_pods(f, "a", NodeId(0), {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000});
  CHECK(run_low(f, low(20, 50)) == Texts{"a0", "a1"});
}

TEST_CASE("LowNodeUtilization counts pods that are protected, terminating or excluded, and evicts none") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {2000, 2000, 2000, 2000});
  f.pods[0].facts.local_storage = true;
  f.pods[1].status.terminating = true;
  f.pods[2].namespace_ = "default-not";
  LowNodeUtilizationArgs args = low(20, 50);
  args.exclude_namespaces = {"default-not"};
  CHECK(run_low(f, args) == Texts{"a3"});
  CHECK(f.kept("namespace is excluded") == 1);
}

TEST_CASE("LowNodeUtilization: pods that have ended use nothing") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {4000, 4000});
  f.pods[0].status.phase = DeschedulerPod::Phase::Succeeded;
  CHECK(run_low(f, low(20, 50)).empty());
}

TEST_CASE("LowNodeUtilization: a cordoned node is never a destination, yet may be a source") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {4000, 4000});
  f.nodes[1].unschedulable = true;
  CHECK(run_low(f, low(20, 50)).empty());
  f.nodes[1].unschedulable = false;
  f.nodes[0].unschedulable = true;
  CHECK(run_low(f, low(20, 50)) == Texts{"a0"});
}

TEST_CASE("LowNodeUtilization: a destination with more taints than tolerations is out, whatever their effect") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {4000, 4000});
  f.nodes[1].taints = {{"k", "v", TaintEffect::PreferNoSchedule}};
  CHECK(run_low(f, low(20, 50)).empty());
  CHECK(f.kept("tolerates the taints of no destination") == 2);
  const Toleration all{"", TolerationOperator::Exists, "", {}, {}};
  f.pods[1].pods.spec.tolerations = {all};
  CHECK(run_low(f, low(20, 50)) == Texts{"a1"});
  f.nodes[1].taints.push_back({"l", "v", TaintEffect::NoSchedule});
  CHECK(run_low(f, low(20, 50)).empty());
}

TEST_CASE("LowNodeUtilization: extended resources, and all others as a bound") {
  DeschedulerFixture f;
  for (const char* name : {"a", "b"})
    f.node(name, {}, {{"cpu", 10'000}, {"memory", kGiB}, {"nvidia.com/gpu", 8}, {"pods", 110}});
  for (int i = 0; i < 8; ++i) f.pod("a" + std::to_string(i), NodeId(0), {{"nvidia.com/gpu", 1}});
  LowNodeUtilizationArgs args;
  args.thresholds = {{"nvidia.com/gpu", 25}};
  args.target_thresholds = {{"nvidia.com/gpu", 75}};
  CHECK(run_low(f, args).size() == 2);
  // No CPU left on the destination: nothing may move, although no threshold names it.
  f.pod("b0", NodeId(1), {{"cpu", 10'000}});
  CHECK(run_low(f, args).empty());
}

TEST_CASE("LowNodeUtilization: deviations are of the mean over nodes that have the resource") {
  DeschedulerFixture f = nodes(3);
  f.nodes[2].allocatable = {{"memory", kGiB}, {"pods", 110}};  // no cpu at all
  add_pods(f, "a", NodeId(0), {2000, 2000, 2000, 2000});
  LowNodeUtilizationArgs args = low(10, 10);
  args.use_deviation_thresholds = true;  // mean 40 %: under 30 %, over 50 %
  CHECK(run_low(f, args) == Texts{"a0", "a1"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "node is overutilized: cpu 80.0 %, target 50.0 %");
  args.target_thresholds = {{"cpu", 70}};  // cut to 100 %
  CHECK(run_low(f, args).empty());
}

TEST_CASE("LowNodeUtilization starts with the node that uses most and heeds evictionLimits.node") {
  DeschedulerFixture f = nodes(4);
  add_pods(f, "a", NodeId(0), {3000, 3000, 1000});
  add_pods(f, "b", NodeId(1), {3000, 3000, 3000});
  LowNodeUtilizationArgs args = low(20, 50);
  CHECK(run_low(f, args) == Texts{"b0", "b1", "a0"});
  args.node_limit = 1;
  CHECK(run_low(f, args) == Texts{"b0", "a0"});
}

TEST_CASE("pods of a node go by priority, then BestEffort before Guaranteed, then those that prefer to stay") {
  DeschedulerFixture f = nodes(2);
  f.pod("guaranteed", NodeId(0));
  Container& c = f.pods.back().pods.spec.containers[0];
  c.requests = c.limits = {{"cpu", 100}, {"memory", kGiB}};
  f.pod("reluctant", NodeId(0)).facts.prefer_no_eviction = true;
  f.pod("burstable", NodeId(0), {{"cpu", 100}});
  f.pod("best-effort", NodeId(0));
  f.pod("important", NodeId(0)).facts.priority = 1;
  f.pod("without", NodeId(0)).facts.priority.reset();
  f.pod("b", NodeId(1), {{"cpu", 5000}});
  CHECK(run_high(f, high(20)) == Texts{"without", "best-effort", "reluctant", "burstable", "guaranteed", "important"});
}

TEST_CASE("LowNodeUtilization: what a node does not have bounds the others, too") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {4000, 4000});
  f.nodes[1].allocatable = {{"cpu", 10'000}, {"pods", 110}};
  CHECK(run_low(f, low(20, 50)).empty());
}

TEST_CASE("HighNodeUtilization empties nodes below the threshold, the emptiest first") {
  DeschedulerFixture f = nodes(3);
  add_pods(f, "a", NodeId(0), {1000, 500});
  add_pods(f, "b", NodeId(1), {500});
  add_pods(f, "c", NodeId(2), {5000});
  CHECK(run_high(f, high(20)) == Texts{"b0", "a0", "a1"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "node is underutilized: cpu 5.0 %, threshold 20.0 %");
}

TEST_CASE("HighNodeUtilization needs a node to go to, and numberOfNodes, and not all underutilized") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {1000});
  add_pods(f, "b", NodeId(1), {5000});
  HighNodeUtilizationArgs args = high(20);
  CHECK(run_high(f, args) == Texts{"a0"});
  args.number_of_nodes = 1;
  CHECK(run_high(f, args).empty());
  f.nodes[1].unschedulable = true;
  CHECK(run_high(f, high(20)).empty());
  f.nodes[1].unschedulable = false;
  CHECK(run_high(f, high(60)).empty());
}

TEST_CASE("HighNodeUtilization fills the others up to all they have") {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {600, 600, 600});
  add_pods(f, "b", NodeId(1), {9000});  // 1000m left
  CHECK(run_high(f, high(20)) == Texts{"a0", "a1"});
}

TEST_CASE("HighNodeUtilization, OnlyThresholdingResources: pods that request one of them") {
  DeschedulerFixture f = nodes(2);
  f.pod("asks", NodeId(0), {{"cpu", 0}});
  f.pod("does-not", NodeId(0));
  add_pods(f, "b", NodeId(1), {5000});
  HighNodeUtilizationArgs args = high(20);
  CHECK(run_high(f, args).size() == 2);
  args.only_thresholding_resources = true;
  CHECK(run_high(f, args) == Texts{"asks"});
  CHECK(f.kept("requests none of the resources with thresholds") == 1);
}

// ----------------------------------------------------------------------------------------------------------- metrics

// Node a is used to 80 %, node b to nothing, whatever is requested. The columns are cpu, memory, storage, pods.
DeschedulerFixture measured() {
  DeschedulerFixture f = nodes(2);
  add_pods(f, "a", NodeId(0), {0, 0, 0, 0});
  for (Node& node : f.nodes) node.allocatable = {{"cpu", 10'000}, {"memory", kGiB}, {"pods", 110}};
  f.metrics.node_usage = {8000, 0, -1, -1, 0, 0, -1, -1};
  for (int i = 0; i < 4; ++i) f.metrics.pod_usage.insert(f.metrics.pod_usage.end(), {2000, 0, -1, -1});
  return f;
}

LowNodeUtilizationArgs by_metrics(MetricsUtilization::Source source, const std::string& resource) {
  LowNodeUtilizationArgs out;
  out.thresholds = {{resource, 20}};
  out.target_thresholds = {{resource, 50}};
  out.metrics_utilization = MetricsUtilization{source, "gpu"};
  return out;
}

TEST_CASE("LowNodeUtilization by the metrics server") {
  LowNodeUtilizationArgs args = by_metrics(MetricsUtilization::Source::KubernetesMetrics, "cpu");
  DeschedulerFixture f = measured();
  CHECK(run_low(f, args) == Texts{"a0", "a1"});
  f.metrics.pod_usage[0] = DeschedulerMetrics::kUnknown;
  CHECK(run_low(f, args) == Texts{"a1", "a2"});
  CHECK(f.kept("no metrics of the pod") == 1);
  f.metrics.node_usage[4] = DeschedulerMetrics::kUnknown;
  CHECK(run_low(f, args).empty());
  CHECK(f.report.strategies[0].error == "no metrics of cpu on node b");
  f.metrics = {};
  CHECK(run_low(f, args).empty());
  CHECK(f.report.strategies[0].error == "there is no metrics server");
}

TEST_CASE("LowNodeUtilization by a Prometheus query: one pod per node, or as many as the limit says") {
  LowNodeUtilizationArgs args = by_metrics(MetricsUtilization::Source::Prometheus, "MetricResource");
  DeschedulerFixture f = measured();
  f.metrics.answers["gpu"] = {0.8, 0.1};
  CHECK(run_low(f, args) == Texts{"a0"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "node is overutilized: MetricResource 80.0 %, target 50.0 %");
  args.node_limit = 3;
  CHECK(run_low(f, args) == Texts{"a0", "a1", "a2"});
  f.metrics.answers["gpu"] = {0.8, -1};
  CHECK(run_low(f, args).empty());
  CHECK(f.report.strategies[0].error == "no sample from 0 to 1 of node b");
}

}  // namespace
}  // namespace kisim

#include "kube/scheduler.hpp"

#include "allocations.hpp"
#include "core/hash.hpp"
#include "kube/scheduler_fixture.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler_args.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <set>

namespace kisim {
namespace {

using namespace test;
using Place = QueuedPod::Place;

ResourceList amounts(int64_t cpu, int64_t mib) { return {{"cpu", cpu}, {"memory", mib * kMiB}}; }

std::vector<Node> equal_nodes(size_t count) {
  std::vector<Node> nodes;
  for (size_t i = 0; i < count; ++i) nodes.push_back(make_node("n" + std::to_string(i), amounts(4000, 4000)));
  return nodes;
}

// --- placing

PluginSet& points(SchedulerConfig& config, ExtensionPoint point) {
  return config.configuration.profiles.front().points[static_cast<size_t>(point)];
}

TEST_CASE("pods added at one instant are scheduled at that instant, in order of priority") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(2000, 100)), make_pod(amounts(3000, 100), 10)});
  f.run_to(7);
  PodId low = f.add(0), high = f.add(1);
  CHECK(f.engine.pending() == 1);  // one event for both
  f.run_to(7);
  CHECK(f.node_of(high) == "n0");
  CHECK(f.cluster_state.pods[high].scheduled == Time{} + 7_s);
  CHECK(f.node_of(low).empty());
  CHECK(f.scheduler.failure_message(low) == "0/1 nodes are available: 1 Insufficient cpu.");
  CHECK(f.scheduler.failure_message(high).empty());
  CHECK(f.state.bound == std::vector<PodId>{high});
  CHECK(f.state.scheduled == 1);
  CHECK(f.state.attempts == 2);
  CHECK(f.state.unschedulable == 1);
  CHECK(f.decisions("Insufficient cpu") == 1);
  CHECK(f.scheduler.pending() == 1);
}

TEST_CASE("the message counts nodes per reason and sorts the finished texts") {
  std::vector<Node> nodes = equal_nodes(12);
  nodes[0].taints = {{"gpu", "", TaintEffect::NoSchedule}};
  SchedulerFixture f(nodes, {make_pod({{"cpu", 100}, {"nvidia.com/gpu", 1}})});
  PodId pod = f.add(0);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(pod) ==
        "0/12 nodes are available: 1 node(s) had untolerated taint(s), 11 Insufficient nvidia.com/gpu.");
  CHECK(f.decisions("Insufficient nvidia.com/gpu") == 1);  // attempts, not nodes
}

TEST_CASE("nodes are visited round robin over zones in order of first appearance") {
  auto in_zone = [](const std::string& name, const std::string& zone) {
    return make_node(name, amounts(4000, 4000), {{"topology.kubernetes.io/zone", zone}});
  };
  SchedulerFixture f({in_zone("a1", "a"), in_zone("a2", "a"), in_zone("b1", "b"), in_zone("a3", "a")},
                     {make_pod(amounts(1, 1))});
  CHECK(CycleProbe(f, f.create(0)).feasible() == std::vector<std::string>{"a1", "b1", "a2", "a3"});
  CHECK(CycleProbe(f, f.create(0), 1).feasible() == std::vector<std::string>{"b1", "a2", "a3", "a1"});
}

TEST_CASE("fewer than 100 nodes: all are looked at and the start stays") {
  SchedulerFixture f(equal_nodes(99), {make_pod(amounts(1, 1))});
  CycleProbe probe(f, f.create(0), 5);
  CHECK(probe.cycle.feasible().size() == 99);
  CHECK(probe.cycle.next_start() == 5);
}

TEST_CASE("300 nodes: 48 per cent are enough, and the start moves on by the nodes looked at") {
  std::vector<Node> nodes = equal_nodes(300);
  for (size_t i = 0; i < 300; i += 3) nodes[i].unschedulable = true;  // every third fails
  SchedulerFixture f(nodes, {make_pod(amounts(1, 1))});
  // 50 − 300/125 = 48 per cent: 144 nodes. From 0 these are the feasible ones among the first 216: 0 fails, 1 and 2
  // pass, and so on; the 144th is node 215. Node 216 fails and is counted, node 217 is number 145 and is not.
  CycleProbe first(f, f.create(0), 0);
  CHECK(first.cycle.feasible().size() == 144);
  CHECK(first.cycle.feasible().back() == NodeId(215u));
  CHECK(first.cycle.next_start() == 217);
  // From 217: 217 and 218, then 71 more threes reach 431; 432 = 132 mod 300 fails, 133 is number 145.
  CycleProbe second(f, f.create(0), 217);
  CHECK(second.cycle.feasible().front() == NodeId(217u));
  CHECK(second.cycle.next_start() == 133);
}

TEST_CASE("fewer feasible nodes than wanted: all are counted, so the start stays") {
  std::vector<Node> nodes = equal_nodes(300);
  for (size_t i = 0; i < 250; ++i) nodes[i].unschedulable = true;
  SchedulerFixture f(nodes, {make_pod(amounts(1, 1))});
  CycleProbe probe(f, f.create(0), 10);
  CHECK(probe.cycle.feasible().size() == 50);
  CHECK(probe.cycle.next_start() == 10);
}

TEST_CASE("the sample is at least 100 nodes and at least 5 per cent, unless the profile says another share") {
  auto found = [](size_t count, int32_t percentage) {
    SchedulerConfig config = default_config();
    config.configuration.percentage_of_nodes_to_score = percentage;
    SchedulerFixture f(equal_nodes(count), {make_pod(amounts(1, 1))}, config);
    return CycleProbe(f, f.create(0)).cycle.feasible().size();
  };
  CHECK(found(100, 0) == 100);   // 50 per cent would be 50
  CHECK(found(6000, 0) == 300);  // 50 − 48 = 2, raised to 5 per cent
  CHECK(found(1000, 70) == 700);
}

TEST_CASE("without score plugins the first feasible node is taken and the start moves on") {
  SchedulerConfig config = default_config();
  points(config, ExtensionPoint::Score).disabled = {{"*"}};
  SchedulerFixture f(equal_nodes(3), {make_pod({})}, config);
  std::string order;
  for (int i = 0; i < 4; ++i) {
    PodId pod = f.add(0);
    f.run_to(0);
    order += f.node_of(pod);
  }
  CHECK(order == "n0n1n2n0");
}

// --- ties

TEST_CASE("seeded ties reach every node and depend on nothing but seed and pod") {
  auto nodes_of = [](uint64_t seed, size_t burn) {
    SchedulerConfig config = default_config();
    config.seed = seed;
    SchedulerFixture f(equal_nodes(4), {make_pod({}), make_pod({})}, config);
    for (size_t i = 0; i < burn; ++i) f.remove(f.add(1));  // pods of another workload shift nothing
    std::vector<NodeId> out;
    for (int i = 0; i < 400; ++i) out.push_back(CycleProbe(f, f.create(0)).cycle.host());
    return out;
  };
  std::vector<NodeId> reference = nodes_of(1, 0);
  CHECK(nodes_of(1, 5) == reference);
  CHECK(nodes_of(2, 0) != reference);
  std::map<uint32_t, int> count;
  for (NodeId n : reference) ++count[n.value];
  for (const auto& [node, hits] : count) CHECK(std::abs(hits - 100) < 35);  // four standard deviations of 8.7
  CHECK(count.size() == 4);
}

TEST_CASE("the other tie rules: first visited, smallest name, root of the heap") {
  // Totals over five nodes, by cpu size: the heap rule is worked out below.
  auto host = [](TieBreak rule, const std::vector<std::string>& names, const std::vector<int64_t>& cpu,
                 uint32_t start) {
    SchedulerConfig config = default_config();
    config.tie_break = rule;
    std::vector<Node> nodes;
    for (size_t i = 0; i < names.size(); ++i) nodes.push_back(make_node(names[i], amounts(cpu[i], 4000)));
    SchedulerFixture f(nodes, {make_pod({{"cpu", 1000}})}, config);
    CycleProbe probe(f, f.create(0), start);
    return names[probe.cycle.host().value];
  };
  const std::vector<std::string> names{"d", "b", "c", "a", "e"};
  const std::vector<int64_t> same(5, 4000);
  CHECK(host(TieBreak::First, names, same, 0) == "d");
  CHECK(host(TieBreak::First, names, same, 2) == "c");
  CHECK(host(TieBreak::Name, names, same, 2) == "a");
  CHECK(host(TieBreak::Heap, names, same, 2) == "c");  // nothing is strictly better: the first stays the root
  // b (index 1) and e (index 4) are best. Heapify: 1 against its children a and e: e is not strictly better, b stays;
  // then the root d against b and c: b is taken.
  CHECK(host(TieBreak::Heap, names, {4000, 8000, 4000, 4000, 8000}, 0) == "b");
  // a (index 3) and c (index 2): a rises above b; at the root, the right child c is not strictly better than a.
  CHECK(host(TieBreak::Heap, names, {4000, 4000, 8000, 8000, 4000}, 0) == "a");
  CHECK(host(TieBreak::First, names, {4000, 4000, 8000, 8000, 4000}, 0) == "c");
}

// --- waiting

TEST_CASE("a pod that does not fit waits until a pod on a node is deleted, not longer") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100))});
  PodId running = f.place(0, 0), waiting = f.add(0);
  f.run_to(100);
  CHECK(f.state.attempts == 1);
  CHECK(f.place_of(waiting) == Place::Unschedulable);
  f.remove(running);
  f.run_to(100);
  CHECK(f.node_of(waiting) == "n0");
  CHECK(f.state.attempts == 2);
}

TEST_CASE("an idle scheduler retries a pod that backs off at once") {
  SchedulerFixture f(equal_nodes(2), {make_pod(amounts(3000, 100))});
  PodId a = f.place(0, 0), b = f.place(0, 1), waiting = f.add(0);
  (void)b;
  f.run_to(10);
  f.remove(a);
  f.run_to(10.2);
  CHECK(f.cluster_state.pods[waiting].scheduled == Time{} + 10_s);
}

TEST_CASE("a node that becomes ready brings back the pods that its taint kept away") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100)), make_pod(amounts(5000, 100))});
  f.set_ready(0, false);
  PodId tainted = f.add(0);
  f.run_to(10);
  CHECK(f.scheduler.failure_message(tainted) == "0/1 nodes are available: 1 node(s) had untolerated taint(s).");
  f.set_ready(0, true);
  f.run_to(10);
  CHECK(f.node_of(tainted) == "n0");
}

// A tainted node that joins is not told of as an addition, so plugins that wait for one get every change of taints.
TEST_CASE("a change of taints brings back pods that wait for a node to join, fit or not") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(5000, 100))});
  PodId too_big = f.add(0);
  f.run_to(20);
  f.set_ready(0, false);
  f.run_to(20);
  CHECK(f.state.attempts == 2);
  CHECK(f.place_of(too_big) == Place::Unschedulable);
}

TEST_CASE("a node that joins brings back pods that would fit it empty, and no others") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100)), make_pod(amounts(5000, 100))});
  f.place(0, 0);
  PodId waiting = f.add(0), too_big = f.add(1);
  f.run_to(50);
  REQUIRE(f.state.attempts == 2);
  ClusterEvent joined;
  joined.kind = ClusterEvent::Kind::NodeAdd;
  joined.node = NodeId(0u);
  joined.after = 0;
  f.scheduler.cluster_event(joined);
  f.run_to(50);
  CHECK(f.state.attempts == 3);
  CHECK(f.place_of(waiting) == Place::Unschedulable);
  CHECK(f.place_of(too_big) == Place::Unschedulable);
}

TEST_CASE("left-overs are tried again after five minutes; nothing ticks while nothing waits") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(5000, 100))});
  CHECK(f.engine.pending() == 0);
  f.run_to(1);
  PodId pod = f.add(0);
  f.run_to(329);
  CHECK(f.state.attempts == 1);
  f.run_to(330);  // 1 s + 5 min, at the next half minute
  CHECK(f.state.attempts == 2);
  f.run_to(659);
  CHECK(f.state.attempts == 2);
  f.run_to(660);  // 330 s + 5 min is exactly 630 s and not more: the check after that
  CHECK(f.state.attempts == 3);
  f.remove(pod);
  CHECK(f.engine.pending() == 0);
}

TEST_CASE("gated pods are not tried until their gates are lifted") {
  PodSpec gated = make_pod(amounts(1, 1));
  gated.scheduling_gates = {"example.com/quota"};
  SchedulerFixture f(equal_nodes(1), {gated});
  PodId pod = f.add(0);
  f.run_to(400);
  CHECK(f.state.attempts == 0);
  CHECK(f.scheduler.failure_message(pod) == "Scheduling is blocked due to non-empty scheduling gates");
  f.scheduler.gates_removed(pod);
  f.run_to(400);
  CHECK(f.node_of(pod) == "n0");
}

TEST_CASE("a pod deleted while it waits is forgotten") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100))});
  PodId running = f.place(0, 0), waiting = f.add(0);
  f.run_to(1);
  f.remove(waiting);
  f.remove(running);
  f.run_to(1000);
  CHECK(f.state.attempts == 1);
  CHECK(f.scheduler.pending() == 0);
  CHECK(f.scheduler.failure_message(waiting).empty());
}

TEST_CASE("without nodes pods wait as after an error, and time goes on") {
  SchedulerFixture f({}, {make_pod({})});
  PodId pod = f.add(0);
  f.run_to(8);
  CHECK(f.scheduler.failure_message(pod) == "no nodes available to schedule pods");
  CHECK(f.state.attempts == 3);  // at 0, 2 (after 1 s) and 5 s (after 2 s); the next after 4 s, at 10 s
}

// --- binding

TEST_CASE("with a bind latency the node is charged at once and the pod is bound later") {
  SchedulerConfig config = default_config();
  config.bind_latency = 50_ms;
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100))}, config);
  PodId first = f.add(0), second = f.add(0);
  f.run_to(0.02);
  CHECK(f.node_of(first).empty());
  CHECK(f.state.snapshot.requested[kCpu.value] == 3000);
  CHECK(f.state.snapshot.requested[kPods.value] == 1);
  CHECK(f.scheduler.failure_message(second) == "0/1 nodes are available: 1 Insufficient cpu.");
  f.run_to(0.05);
  CHECK(f.node_of(first) == "n0");
  CHECK(f.state.snapshot.requested[kCpu.value] == 3000);
  CHECK(f.cluster_state.pods[first].scheduled == Time{} + 50_ms);
}

TEST_CASE("a pod deleted while it is being bound gives its place back at once") {
  SchedulerConfig config = default_config();
  config.bind_latency = 1_s;
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100))}, config);
  PodId first = f.add(0), second = f.add(0);
  f.run_to(0.5);
  f.remove(first);
  f.run_to(3);
  CHECK(f.node_of(first).empty());
  CHECK(f.node_of(second) == "n0");
  CHECK(f.state.bound == std::vector<PodId>{second});
  CHECK(f.state.snapshot.requested[kCpu.value] == 3000);
}

// A gang of two: the first member waits for the second, at most 10 s.
struct GangMemory : CopyableMemory<GangMemory> {
  std::vector<PodId> waiting;
  int reserved = 0;
};
class PairGang : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Reserve, ExtensionPoint::Permit}; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<GangMemory>(); }
  StatusCode reserve(PluginContext& c, NodeId, std::vector<uint16_t>&) const override {
    ++memory(c).reserved;
    return StatusCode::Success;
  }
  void unreserve(PluginContext& c, NodeId) const override {
    --memory(c).reserved;
    std::erase(memory(c).waiting, c.pod);
  }
  StatusCode permit(PluginContext& c, NodeId, PermitOutcome& out) const override {
    if (memory(c).waiting.empty()) {
      memory(c).waiting.push_back(c.pod);
      out.timeout = 10_s;
      return StatusCode::Wait;
    }
    out.allow = memory(c).waiting;
    memory(c).waiting.clear();
    return StatusCode::Success;
  }
  std::vector<std::string> reasons(const ClusterModel&, int) const override { return {"the other half is missing"}; }

 private:
  static GangMemory& memory(PluginContext& c) { return static_cast<GangMemory&>(*c.memory); }
};
KISIM_POLICY(SchedulerPlugin, "TestPairGang", "for tests", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<PairGang>(); });

SchedulerConfig with_plugin(const std::string& name) {
  SchedulerConfig config = default_config();
  config.configuration.profiles.front().multi_point.enabled.push_back({name});
  return config;
}

TEST_CASE("Permit: a pod waits with its node charged until another allows it") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(1000, 100))}, with_plugin("TestPairGang"));
  PodId first = f.add(0);
  f.run_to(3);
  CHECK(f.node_of(first).empty());
  CHECK(f.state.snapshot.requested[kCpu.value] == 1000);
  PodId second = f.add(0);
  f.run_to(3);
  CHECK(f.state.bound == std::vector<PodId>{first, second});
  CHECK(f.state.snapshot.requested[kCpu.value] == 2000);
}

TEST_CASE("Permit: a wait that times out is unreserved, forgotten and retried after an event") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(1000, 100)), make_pod(amounts(100, 100))},
                     with_plugin("TestPairGang"));
  PodId other = f.place(1, 0), pod = f.add(0);
  f.run_to(10);
  GangMemory& memory = static_cast<GangMemory&>(*f.state.memory.front()[f.plugin("TestPairGang")]);
  CHECK(f.place_of(pod) == Place::Unschedulable);
  CHECK(memory.reserved == 0);
  CHECK(f.state.snapshot.requested[kCpu.value] == 100);
  CHECK(f.scheduler.failure_message(pod) == "the other half is missing");
  f.remove(other);
  f.run_to(12);
  CHECK(memory.reserved == 1);
  CHECK(f.state.attempts == 2);
}

// Refuses the first two bindings with an error.
struct FlakyMemory : CopyableMemory<FlakyMemory> {
  int failures = 2;
};
class FlakyPreBind : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::PreBind}; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<FlakyMemory>(); }
  StatusCode pre_bind(PluginContext& c, NodeId) const override {
    return static_cast<FlakyMemory&>(*c.memory).failures-- > 0 ? StatusCode::Error : StatusCode::Success;
  }
};
KISIM_POLICY(SchedulerPlugin, "TestFlakyPreBind", "for tests", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<FlakyPreBind>(); });

TEST_CASE("an error in the binding cycle frees the node and backs off, even on an idle scheduler") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(1000, 100))}, with_plugin("TestFlakyPreBind"));
  PodId pod = f.add(0);
  f.run_to(1.9);
  CHECK(f.state.errors == 1);
  CHECK(f.state.snapshot.requested[kCpu.value] == 0);
  f.run_to(2);  // first error at 0: over at 1 s, noticed at 2 s
  CHECK(f.state.errors == 2);
  f.run_to(60);  // second at 2: 2 s later, noticed at 5 s
  CHECK(f.cluster_state.pods[pod].scheduled == Time{} + 5_s);
}

// Nominates node n1 for every pod that fits nowhere.
class NominateSecond : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::PostFilter}; }
  StatusCode post_filter(PluginContext&, std::span<const NodeVerdict> verdicts, FilterDryRun&,
                         PostFilterResult& result) const override {
    if (verdicts[1].code != StatusCode::Unschedulable) return StatusCode::Unschedulable;
    result.nominated = NodeId(1u);
    return StatusCode::Success;
  }
};
KISIM_POLICY(SchedulerPlugin, "TestNominateSecond", "for tests", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NominateSecond>();
             });

TEST_CASE("a nominated node is tried first and alone") {
  SchedulerConfig config = with_plugin("TestNominateSecond");
  config.configuration.profiles.front().multi_point.disabled = {{"DefaultPreemption"}};
  config.tie_break = TieBreak::First;
  SchedulerFixture f(equal_nodes(3), {make_pod(amounts(3000, 100))}, config);
  PodId running[3] = {f.place(0, 0), f.place(0, 1), f.place(0, 2)};
  PodId pod = f.add(0);
  f.run_to(1);
  for (PodId p : running) f.remove(p);
  f.run_to(1);
  CHECK(f.node_of(pod) == "n1");
}

// --- profile

TEST_CASE("a profile that cannot work is refused with Kubernetes' words") {
  ClusterModel model = make_model(make_objects(equal_nodes(1), {make_pod({})}));
  auto message = [&](ExtensionPoint point) {
    SchedulerConfig config;
    points(config, point).disabled = {{"*"}};
    try {
      compile_scheduler(model, config);
    } catch (const InputError& error) {
      return error.diagnostics().front().message;
    }
    return std::string();
  };
  CHECK_THAT(message(ExtensionPoint::QueueSort), Catch::Contains("one queue sort plugin required"));
  CHECK_THAT(message(ExtensionPoint::Bind), Catch::Contains("at least one bind plugin is needed"));
  CHECK(message(ExtensionPoint::PreScore).empty());
}

TEST_CASE("ties are broken as the version does, unless something else is asked for") {
  auto rule = [](const std::string& asked, int minor) {
    Params params;
    REQUIRE_FALSE(fill_params(scheduler_params(), {{"tieBreak", asked}}, params));
    SchedulerConfig config = default_config(minor);
    set_scheduler_params(params, config);
    return config.tie_break;
  };
  CHECK(rule("kubernetes", 34) == TieBreak::Seeded);
  CHECK(rule("kubernetes", 35) == TieBreak::Heap);
  CHECK(rule("seeded", 36) == TieBreak::Seeded);
  CHECK(rule("heap", 34) == TieBreak::Heap);
  CHECK(rule("name", 36) == TieBreak::Name);
}

TEST_CASE("each pod is judged by the profile that its schedulerName names; others are left alone") {
  Objects objects = make_objects({make_node("full", amounts(4000, 4000)), make_node("empty", amounts(4000, 4000))},
                                 {make_pod(amounts(1000, 1000)), make_pod(amounts(1000, 1000)), make_pod({})});
  objects.workloads[1].pods.spec.scheduler_name = "packing";
  objects.workloads[2].pods.spec.scheduler_name = "somebody-else";
  SchedulerConfig config = default_config();
  SchedulerProfile packing;
  packing.scheduler_name = "packing";
  NodeResourcesFitArgs args;
  args.strategy = NodeResourcesFitArgs::Strategy::MostAllocated;
  packing.plugin_config["NodeResourcesFit"].args = args;
  config.configuration.profiles.push_back(packing);
  SchedulerFixture f(objects, config);
  f.place(0, 0);
  PodId packed = f.add(1), spread = f.add(0), ignored = f.add(2);
  f.run_to(1);
  CHECK(f.node_of(spread) == "empty");
  CHECK(f.node_of(packed) == "full");
  CHECK(f.place_of(ignored) == Place::None);
  CHECK(f.state.attempts == 2);
}

TEST_CASE("preemption: the victim is told, the preemptor takes its place when it has gone") {
  SchedulerFixture f(equal_nodes(2), {make_pod(amounts(3000, 100)), make_pod(amounts(3000, 100), 10)});
  PodId low = f.place(0, 0), high = f.place(1, 1), pod = f.add(1);
  f.run_to(1);
  REQUIRE(f.state.preemptions.size() == 1);
  CHECK(f.state.preemptions[0].victim == low);
  CHECK(f.state.preemptions[0].preemptor == pod);
  CHECK(f.state.snapshot.pod_records[pod].nominated == NodeId(0u));
  f.remove(low);
  f.run_to(1);
  CHECK(f.node_of(pod) == "n0");
  CHECK_FALSE(f.state.snapshot.pod_records[pod].nominated.valid());
  CHECK(f.node_of(high) == "n1");
}

TEST_CASE("a place that preemption made is kept from pods of lower priority") {
  SchedulerFixture f(equal_nodes(1), {make_pod(amounts(3000, 100)), make_pod(amounts(3000, 100), 10)});
  PodId low = f.place(0, 0), high = f.add(1);
  f.run_to(1);
  f.scheduler.pod_terminating(low, true);
  PodId late = f.add(0);  // would fit as soon as the victim has gone
  f.run_to(1);
  CHECK(f.state.preemptions.size() == 1);
  f.remove(low);
  f.run_to(1);
  CHECK(f.node_of(high) == "n0");
  CHECK(f.node_of(late).empty());
}

// --- determinism and cost

// Pods come and go at random; returns a hash of every placement and failure.
uint64_t churn(SchedulerFixture& f, Stream random, double from, double to, std::vector<PodId>& alive) {
  uint64_t hash = 0;
  for (double t = from; t < to; t += 0.25) {
    f.run_to(t);
    if (random.below(3) > 0 || alive.empty()) {
      alive.push_back(f.add(random.below(3)));
    } else {
      size_t i = random.below(static_cast<uint32_t>(alive.size()));
      f.remove(alive[i]);
      alive.erase(alive.begin() + static_cast<long>(i));
    }
    f.run_to(t);
    for (PodId pod : alive) {
      hash = hash_combine(hash, f.cluster_state.pods[pod].node.value);
      hash = hash_combine(hash, hash_text(f.scheduler.failure_message(pod)));
    }
  }
  return hash;
}

TEST_CASE("a copy of the state continues identically") {
  SchedulerConfig config = default_config();
  config.bind_latency = 300_ms;
  std::vector<PodSpec> specs{make_pod(amounts(1500, 500)), make_pod(amounts(700, 1500), 5), make_pod({}, 1)};
  SchedulerFixture original(equal_nodes(8), specs, config), copy(equal_nodes(8), specs, config);
  std::vector<PodId> alive;
  churn(original, Stream(1, 1, Purpose::Policy), 0, 60, alive);
  copy.engine = original.engine;
  copy.cluster_state = original.cluster_state;
  copy.state = original.state;
  std::vector<PodId> alive_too = alive;
  uint64_t expected = churn(original, Stream(1, 2, Purpose::Policy), 60, 200, alive);
  CHECK(churn(copy, Stream(1, 2, Purpose::Policy), 60, 200, alive_too) == expected);
  CHECK(copy.engine.signature() == original.engine.signature());
  CHECK(copy.state.decisions == original.state.decisions);
  CHECK(original.state.unschedulable > 20);
}

TEST_CASE("the books balance under churn: what nodes hold is what their pods request") {
  SchedulerConfig config = default_config();
  config.bind_latency = 300_ms;
  std::vector<PodSpec> specs{make_pod(amounts(1500, 500)), make_pod(amounts(700, 1500), 5), make_pod({}, 1)};
  SchedulerFixture f(equal_nodes(5), specs, config);
  std::vector<PodId> alive;
  churn(f, Stream(7, 1, Purpose::Policy), 0, 100, alive);
  f.run_to(101);  // the last bindings are done
  std::vector<int64_t> sums(f.state.snapshot.requested.size(), 0);
  for (PodId pod : alive) {
    NodeId node = f.cluster_state.pods[pod].node;
    if (!node.valid()) continue;
    const PodTemplateModel& t = f.model.templates[f.cluster_state.pods[pod].pod_template];
    for (size_t r = 0; r < t.request.size(); ++r)
      sums[node.value * t.request.size() + r] += r == kPods.value ? 1 : t.request[r];
  }
  CHECK(sums == f.state.snapshot.requested);
}

TEST_CASE("a scheduling cycle allocates nothing once everything has been seen before") {
  SchedulerFixture f(equal_nodes(200), {make_pod(amounts(1000, 100)), make_pod(amounts(100000, 100))});
  auto round = [&] {
    PodId fits[8], fails[8];
    for (int i = 0; i < 8; ++i) {
      fits[i] = f.create(0);
      fails[i] = f.create(1);
    }
    f.state.pods.reserve(f.cluster_state.pods.size());
    f.state.queue.pods.reserve(f.cluster_state.pods.size());
    uint64_t before = test::allocations();
    for (int i = 0; i < 8; ++i) {
      f.scheduler.pod_added(fits[i]);
      f.scheduler.pod_added(fails[i]);
    }
    for (Event event; f.engine.pop(f.engine.now(), event);) f.scheduler.on_event(event);
    for (int i = 0; i < 8; ++i) f.remove(fits[i]);  // moves the pods that failed, so they fail again
    for (Event event; f.engine.pop(f.engine.now(), event);) f.scheduler.on_event(event);
    for (int i = 0; i < 8; ++i) f.remove(fails[i]);
    f.state.bound.clear();
    return test::allocations() - before;
  };
  for (int i = 0; i < 200; ++i) round();  // ties are seeded: until every node has held its share
  uint64_t attempts = f.state.attempts;
  uint64_t allocated = 0;
  for (int i = 0; i < 20; ++i) allocated += round();
  CHECK(f.state.attempts - attempts == 20 * 24);
  CHECK(allocated == 0);
}

}  // namespace
}  // namespace kisim

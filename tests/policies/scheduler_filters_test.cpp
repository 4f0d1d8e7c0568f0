// The filter plugins, each against cases worked out by hand, alone in the default profile's order.

#include "kube/scheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;

const std::string kUnresolvable = " UnschedulableAndUnresolvable", kUnschedulable = " Unschedulable";

ResourceList small() { return {{"cpu", 4000}, {"memory", 4000 * kMiB}}; }

Node tainted(const std::string& name, std::vector<Taint> taints) {
  Node n = make_node(name, small());
  n.taints = std::move(taints);
  return n;
}

NodeSelectorTerm by_label(const std::string& key, SelectorOperator op, std::vector<std::string> values) {
  return {{{key, op, std::move(values)}}, {}};
}
NodeSelectorTerm by_name(std::vector<std::string> names) {
  return {{}, {{"metadata.name", SelectorOperator::In, std::move(names)}}};
}

TEST_CASE("NodeUnschedulable keeps pods off cordoned nodes unless they tolerate it") {
  Node cordoned = make_node("a", small());
  cordoned.unschedulable = true;
  PodSpec tolerant = make_pod({});
  tolerant.tolerations = {{"node.kubernetes.io/unschedulable", TolerationOperator::Exists, "", {}, {}}};
  SchedulerFixture f({cordoned, make_node("b", small())}, {make_pod({}), tolerant});
  CycleProbe plain(f, f.create(0)), tolerated(f, f.create(1));
  CHECK(plain.verdict(0) == "NodeUnschedulable" + kUnresolvable);
  CHECK(plain.feasible() == std::vector<std::string>{"b"});
  CHECK(tolerated.feasible().size() == 2);
}

TEST_CASE("NodeName lets pass the named node only") {
  PodSpec named = make_pod({});
  named.node_name = "b";
  SchedulerFixture f({make_node("a", small()), make_node("b", small())}, {named});
  CycleProbe probe(f, f.create(0));
  CHECK(probe.verdict(0) == "NodeName" + kUnresolvable);
  CHECK(probe.feasible() == std::vector<std::string>{"b"});
}

TEST_CASE("TaintToleration matches key, value and effect as Kubernetes does") {
  const Taint gpu{"gpu", "h100", TaintEffect::NoSchedule};
  PodSpec equal = make_pod({}), exists = make_pod({}), everything = make_pod({}), other_effect = make_pod({});
  equal.tolerations = {{"gpu", TolerationOperator::Equal, "h100", TaintEffect::NoSchedule, {}}};
  exists.tolerations = {{"gpu", TolerationOperator::Exists, "", {}, {}}};
  everything.tolerations = {{"", TolerationOperator::Exists, "", {}, {}}};
  other_effect.tolerations = {{"gpu", TolerationOperator::Equal, "h100", TaintEffect::NoExecute, {}}};
  SchedulerFixture f({tainted("hard", {gpu}), tainted("evicting", {{"gpu", "a100", TaintEffect::NoExecute}}),
                      tainted("soft", {{"gpu", "t4", TaintEffect::PreferNoSchedule}})},
                     {make_pod({}), equal, exists, everything, other_effect});
  using Names = std::vector<std::string>;
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"soft"});
  CHECK(CycleProbe(f, f.create(1)).feasible() == Names{"hard", "soft"});
  CHECK(CycleProbe(f, f.create(2)).feasible() == Names{"hard", "evicting", "soft"});
  CHECK(CycleProbe(f, f.create(3)).feasible() == Names{"hard", "evicting", "soft"});
  CycleProbe other(f, f.create(4));
  CHECK(other.feasible() == Names{"soft"});
  CHECK(other.verdict(0) == "TaintToleration" + kUnresolvable);
}

TEST_CASE("a node that is not ready counts as tainted") {
  PodSpec tolerant = make_pod({});
  tolerant.tolerations = {{"node.kubernetes.io/not-ready", TolerationOperator::Exists, "", {}, {}}};
  SchedulerFixture f({make_node("a", small()), make_node("b", small())}, {make_pod({}), tolerant});
  f.set_ready(0, false);
  CycleProbe plain(f, f.create(0)), tolerated(f, f.create(1));
  CHECK(plain.verdict(0) == "TaintToleration" + kUnresolvable);
  CHECK(tolerated.verdict(0).empty());
}

TEST_CASE("NodeAffinity: nodeSelector and required terms") {
  std::vector<Node> nodes{make_node("a", small(), {{"disk", "ssd"}, {"gen", "3"}}),
                          make_node("b", small(), {{"disk", "hdd"}, {"gen", "10"}}), make_node("c", small())};
  auto feasible = [&](const PodSpec& spec) {
    SchedulerFixture f(nodes, {spec});
    std::string names;
    for (const std::string& name : CycleProbe(f, f.create(0)).feasible()) names += name;
    return names;
  };
  auto required = [&](std::vector<NodeSelectorTerm> terms) {
    PodSpec spec = make_pod({});
    spec.required_node_affinity = std::move(terms);
    return feasible(spec);
  };
  PodSpec selected = make_pod({});
  selected.node_selector = {{"disk", "ssd"}};
  CHECK(feasible(make_pod({})) == "abc");
  CHECK(feasible(selected) == "a");
  CHECK(required({by_label("disk", SelectorOperator::In, {"ssd", "hdd"})}) == "ab");
  CHECK(required({by_label("disk", SelectorOperator::NotIn, {"ssd"})}) == "bc");  // also where the key is absent
  CHECK(required({by_label("disk", SelectorOperator::Exists, {})}) == "ab");
  CHECK(required({by_label("disk", SelectorOperator::DoesNotExist, {})}) == "c");
  CHECK(required({by_label("gen", SelectorOperator::Gt, {"3"})}) == "b");  // as numbers
  CHECK(required({by_label("gen", SelectorOperator::Lt, {"10"})}) == "a");
  CHECK(required({by_label("disk", SelectorOperator::In, {"ssd"}), by_label("gen", SelectorOperator::In, {"10"})}) ==
        "ab");                  // terms are alternatives
  CHECK(required({}) == "");    // no term matches nothing
  CHECK(required({{}}) == "");  // nor does an empty one
  PodSpec both = selected;      // the selector and the terms must both hold
  both.required_node_affinity = {by_label("gen", SelectorOperator::In, {"10"})};
  CHECK(feasible(both) == "");
}

TEST_CASE("NodeAffinity: names in matchFields narrow the nodes before any filter") {
  std::vector<Node> nodes{make_node("a", small()), make_node("b", small()), make_node("c", small())};
  PodSpec named = make_pod({}), partly = make_pod({}), conflict = make_pod({});
  named.required_node_affinity = {by_name({"c", "nowhere"}), by_name({"a"})};
  partly.required_node_affinity = {by_name({"c"}), by_label("kubernetes.io/os", SelectorOperator::DoesNotExist, {})};
  conflict.required_node_affinity = {
      {{}, {{"metadata.name", SelectorOperator::In, {"a"}}, {"metadata.name", SelectorOperator::In, {"b"}}}}};
  SchedulerFixture f(nodes, {named, partly, conflict});

  CycleProbe two(f, f.create(0), 1);  // start 1 of the narrowed list a, c
  CHECK(two.feasible() == std::vector<std::string>{"c", "a"});
  CHECK(two.verdict(1) == "PreFilterResult" + kUnresolvable);
  CHECK(two.cycle.next_start() == 0);  // (1 + 2 nodes) mod 3

  CycleProbe all(f, f.create(1));
  CHECK(all.feasible().size() == 3);

  PodId rejected = f.add(2);
  CycleProbe none(f, rejected);
  CHECK(none.code == StatusCode::UnschedulableAndUnresolvable);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(rejected) == "0/3 nodes are available: pod affinity terms conflict.");
}

TEST_CASE("NodeResourcesFit: room for the sum of requests, else the reason and whether eviction could help") {
  ResourceList gpu_node = {{"cpu", 4000}, {"memory", 4000 * kMiB}, {"nvidia.com/gpu", 2}};
  PodSpec too_big = make_pod({{"cpu", 5000}, {"nvidia.com/gpu", 1}}), gpus = make_pod({{"nvidia.com/gpu", 2}});
  SchedulerFixture f({make_node("cpu", small()), make_node("gpu", gpu_node)},
                     {make_pod({{"cpu", 4000}}), make_pod({{"cpu", 1}}), too_big, gpus, make_pod({})});
  f.place(0, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == std::vector<std::string>{"gpu"});  // exactly full fits
  CHECK(CycleProbe(f, f.create(1)).verdict(0) == "NodeResourcesFit" + kUnschedulable);
  CHECK(CycleProbe(f, f.create(4)).feasible().size() == 2);  // no request, no limit but the number of pods

  PodId big = f.add(2), wide = f.add(3);
  CHECK(CycleProbe(f, big).verdict(1) == "NodeResourcesFit" + kUnresolvable);
  CHECK(CycleProbe(f, wide).verdict(0) == "NodeResourcesFit" + kUnresolvable);  // a resource the node lacks
  CHECK(CycleProbe(f, wide).verdict(1).empty());
  f.place(3, 1);
  CHECK(CycleProbe(f, wide).verdict(1) == "NodeResourcesFit" + kUnschedulable);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(big) ==
        "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient nvidia.com/gpu.");
}

TEST_CASE("NodeResourcesFit: one shortage beyond the node's size makes the verdict unresolvable") {
  SchedulerFixture f({make_node("a", small())},
                     {make_pod({{"cpu", 3000}}), make_pod({{"cpu", 2000}, {"memory", 5000 * kMiB}})});
  f.place(0, 0);
  CHECK(CycleProbe(f, f.create(1)).verdict(0) == "NodeResourcesFit" + kUnresolvable);
}

TEST_CASE("NodeResourcesFit: the number of pods is a resource") {
  Node tiny = make_node("a", small());
  tiny.allocatable.back().second = 1;
  SchedulerFixture f({tiny}, {make_pod({})});
  f.place(0, 0);
  PodId second = f.add(0);
  CHECK(CycleProbe(f, second).verdict(0) == "NodeResourcesFit" + kUnschedulable);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(second) == "0/1 nodes are available: 1 Too many pods.");
}

TEST_CASE("the first plugin that rejects a node is the one named") {
  Node both = tainted("a", {{"gpu", "", TaintEffect::NoSchedule}});
  both.unschedulable = true;
  PodSpec picky = make_pod({{"cpu", 100000}});
  picky.node_selector = {{"disk", "ssd"}};
  SchedulerFixture f({both, tainted("b", {{"gpu", "", TaintEffect::NoSchedule}}), make_node("c", small()),
                      make_node("d", small(), {{"disk", "ssd"}})},
                     {picky});
  PodId pod = f.add(0);
  CycleProbe probe(f, pod);
  CHECK(probe.verdict(0) == "NodeUnschedulable" + kUnresolvable);
  CHECK(probe.verdict(1) == "TaintToleration" + kUnresolvable);
  CHECK(probe.verdict(2) == "NodeAffinity" + kUnresolvable);
  CHECK(probe.verdict(3) == "NodeResourcesFit" + kUnresolvable);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(pod) ==
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) "
        "had untolerated taint(s), 1 node(s) were unschedulable.");
}

TEST_CASE("before 1.35 the reason names the taint") {
  SchedulerConfig config = default_config();
  config.kubernetes_minor = 34;
  SchedulerFixture f({tainted("a", {{"gpu", "h100", TaintEffect::NoSchedule}}), make_node("b", small())},
                     {make_pod({})}, config);
  f.set_ready(1, false);
  PodId pod = f.add(0);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(pod) ==
        "0/2 nodes are available: 1 node(s) had untolerated taint {gpu: h100}, 1 node(s) had untolerated taint "
        "{node.kubernetes.io/not-ready: }.");
}

}  // namespace
}  // namespace kisim

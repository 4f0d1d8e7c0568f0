// The filter plugins, each against cases worked out by hand, alone in the default profile's order.

#include "kube/scheduler_fixture.hpp"
#include "policy/scheduler_args.hpp"

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

using Texts = std::vector<std::string>;

// Why the node was rejected, as Kubernetes words it.
Texts reasons(const SchedulerFixture& f, CycleProbe& probe, size_t node) {
  Texts out;
  for (uint32_t reason : probe.cycle.reasons_of(NodeId(node))) out.push_back(f.scheduler_model.reasons[reason]);
  return out;
}

SchedulerConfig with_args(const std::string& plugin, std::any args) {
  SchedulerConfig config = default_config();
  config.configuration.profiles.front().plugin_config[plugin].args = std::move(args);
  return config;
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

TEST_CASE("NodeAffinity: what the profile adds holds for every pod, and has a reason of its own") {
  NodeAffinityArgs added;
  added.required = {by_label("pool", SelectorOperator::In, {"inference"})};
  SchedulerFixture f({make_node("a", small(), {{"pool", "inference"}}), make_node("b", small())},
                     {make_pod({}), make_pod({})}, with_args("NodeAffinity", added));
  PodId pod = f.create(0);
  CycleProbe probe(f, pod);
  CHECK(probe.feasible() == Texts{"a"});
  CHECK(probe.verdict(1) == "NodeAffinity" + kUnresolvable);
  CHECK(reasons(f, probe, 1) == Texts{"node(s) didn't match scheduler-enforced node affinity"});
}

TEST_CASE("NodePorts: one pod a node for a host port, unless protocol or address differ") {
  auto with_port = [](HostPort port) {
    PodSpec spec = make_pod({});
    spec.containers[0].host_ports = {port};
    return spec;
  };
  using Protocol = HostPort::Protocol;
  PodSpec sidecar = make_pod({});
  sidecar.init_containers = {{"proxy", "proxy:1"}};
  sidecar.init_containers[0].sidecar = true;
  sidecar.init_containers[0].host_ports = {{Protocol::TCP, "0.0.0.0", 8080}};
  SchedulerFixture f({make_node("a", small())},
                     {with_port({Protocol::TCP, "0.0.0.0", 8080}), with_port({Protocol::UDP, "0.0.0.0", 8080}),
                      with_port({Protocol::TCP, "10.0.0.1", 8080}), with_port({Protocol::TCP, "0.0.0.0", 8081}),
                      make_pod({}), sidecar});
  for (size_t workload : {0, 5}) CHECK(CycleProbe(f, f.create(workload)).verdict(0).empty());
  f.place(0, 0);
  PodId again = f.create(0);
  CycleProbe taken(f, again);
  CHECK(taken.verdict(0) == "NodePorts" + kUnschedulable);
  CHECK(reasons(f, taken, 0) == Texts{"node(s) didn't have free ports for the requested pod ports"});
  CHECK(CycleProbe(f, f.create(1)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(2)).verdict(0) == "NodePorts" + kUnschedulable);  // 0.0.0.0 is every address
  CHECK(CycleProbe(f, f.create(3)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(4)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(5)).verdict(0) == "NodePorts" + kUnschedulable);
}

TEST_CASE("NodePorts: two addresses share a port, and a port that is given back is free") {
  PodSpec one = make_pod({}), other = make_pod({});
  one.containers[0].host_ports = {{HostPort::Protocol::TCP, "10.0.0.1", 53}};
  other.containers[0].host_ports = {{HostPort::Protocol::TCP, "10.0.0.2", 53}};
  SchedulerFixture f({make_node("a", small())}, {one, other});
  PodId holder = f.place(0, 0);
  CHECK(CycleProbe(f, f.create(1)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(0)).verdict(0) == "NodePorts" + kUnschedulable);
  f.remove(holder);
  CHECK(CycleProbe(f, f.create(0)).verdict(0).empty());
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

TEST_CASE("NodeResourcesFit: extended resources may be ignored, one by one or by domain; others may not") {
  NodeResourcesFitArgs args;
  args.ignored_resources = {"nvidia.com/gpu", "cpu"};
  args.ignored_resource_groups = {"example.com"};
  SchedulerFixture f({make_node("a", small())},
                     {make_pod({{"nvidia.com/gpu", 9}}), make_pod({{"example.com/license", 1}}),
                      make_pod({{"amd.com/gpu", 1}}), make_pod({{"cpu", 5000}})},
                     with_args("NodeResourcesFit", args));
  CHECK(CycleProbe(f, f.create(0)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(1)).verdict(0).empty());
  CHECK(CycleProbe(f, f.create(2)).verdict(0) == "NodeResourcesFit" + kUnresolvable);
  CHECK(CycleProbe(f, f.create(3)).verdict(0) == "NodeResourcesFit" + kUnresolvable);
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
  SchedulerConfig config = default_config(34);
  SchedulerFixture f({tainted("a", {{"gpu", "h100", TaintEffect::NoSchedule}}), make_node("b", small())},
                     {make_pod({})}, config);
  f.set_ready(1, false);
  PodId pod = f.add(0);
  f.run_to(0);
  CHECK(f.scheduler.failure_message(pod) ==
        "0/2 nodes are available: 1 node(s) had untolerated taint {gpu: h100}, 1 node(s) had untolerated taint "
        "{node.kubernetes.io/not-ready: }.");
}

// --- remedies

struct Placement {
  size_t workload, node;
};

// What would have to change of workload 0 for a pod of it to pass the filter on node 0. Applied together, they must
// make it pass.
Texts tried_remedies(Objects objects, const std::vector<Placement>& running, const std::string& plugin,
                     const SchedulerConfig& config = default_config()) {
  std::vector<Remedy> remedies;
  {
    SchedulerFixture f(objects, config);
    for (const Placement& p : running) f.place(p.workload, p.node);
    PodId pod = f.create(0);
    CycleProbe probe(f, pod);
    REQUIRE(probe.verdict(0).starts_with(plugin));
    PluginContext c = probe.cycle.context(f.plugin(plugin), pod);
    f.scheduler_model.profiles.front().plugins[f.plugin(plugin)].plugin->remedies(c, NodeId(0u), remedies);
  }
  Texts texts;
  for (const Remedy& remedy : remedies) {
    texts.push_back(remedy.text);
    remedy.apply(objects.workloads[0].pods);
  }
  if (texts.empty()) return texts;
  SchedulerFixture changed(objects, config);
  for (const Placement& p : running) changed.place(p.workload, p.node);
  CHECK_FALSE(CycleProbe(changed, changed.create(0)).verdict(0).starts_with(plugin));
  return texts;
}
Texts tried_remedies(const std::vector<Node>& nodes, const std::vector<PodSpec>& specs,
                     const std::vector<Placement>& running, const std::string& plugin) {
  return tried_remedies(make_objects(nodes, specs), running, plugin);
}

TEST_CASE("remedies of the filters that look at the node alone") {
  Node node = tainted("a", {{"dedicated", "ml", TaintEffect::NoSchedule},
                            {"soft", "", TaintEffect::PreferNoSchedule},
                            {"drain", "", TaintEffect::NoExecute}});
  CHECK(tried_remedies({node}, {make_pod({})}, {}, "TaintToleration") ==
        Texts{"tolerate the taint dedicated=ml:NoSchedule", "tolerate the taint drain:NoExecute"});
  node = make_node("a", small());
  node.unschedulable = true;
  CHECK(tried_remedies({node}, {make_pod({})}, {}, "NodeUnschedulable") ==
        Texts{"tolerate the taint node.kubernetes.io/unschedulable:NoSchedule"});
  PodSpec named = make_pod({});
  named.node_name = "b";
  CHECK(tried_remedies({make_node("a", small())}, {named}, {}, "NodeName") == Texts{"drop nodeName b"});
}

TEST_CASE("the remedy for a node that is not ready") {
  SchedulerFixture f({make_node("a", small())}, {make_pod({})});
  f.set_ready(0, false);
  PodId pod = f.create(0);
  CycleProbe probe(f, pod);
  PluginContext c = probe.cycle.context(f.plugin("TaintToleration"), pod);
  std::vector<Remedy> remedies;
  f.scheduler_model.profiles.front().plugins[f.plugin("TaintToleration")].plugin->remedies(c, NodeId(0u), remedies);
  REQUIRE(remedies.size() == 1);
  CHECK(remedies[0].text == "tolerate the taint node.kubernetes.io/not-ready:NoSchedule");
}

TEST_CASE("remedies of NodeAffinity: what does not match is dropped, the rest stays") {
  Node node = make_node("a", small(), {{"disk", "hdd"}, {"zone", "z1"}});
  PodSpec selected = make_pod({});
  selected.node_selector = {{"disk", "ssd"}, {"zone", "z1"}};
  CHECK(tried_remedies({node}, {selected}, {}, "NodeAffinity") == Texts{"drop nodeSelector disk=ssd"});
  selected.required_node_affinity = {by_label("gpu", SelectorOperator::Exists, {})};
  CHECK(tried_remedies({node}, {selected}, {}, "NodeAffinity") ==
        Texts{"drop nodeSelector disk=ssd", "drop required node affinity"});
  NodeAffinityArgs added;
  added.required = {by_label("pool", SelectorOperator::Exists, {})};
  CHECK(tried_remedies(make_objects({node}, {selected}), {}, "NodeAffinity", with_args("NodeAffinity", added)).empty());
}

TEST_CASE("remedies of NodeResourcesFit: what is free, in units that people write") {
  Node node = make_node("a", {{"cpu", 4000}, {"memory", 4000 * kMiB + 5}, {"nvidia.com/gpu", 2}});
  PodSpec running = make_pod({{"cpu", 2500}, {"memory", 1000 * kMiB}});
  PodSpec wide = make_pod({{"cpu", 2000}, {"memory", 5 * 1024 * kMiB}, {"nvidia.com/gpu", 4}});
  CHECK(tried_remedies({node}, {wide, running}, {{1, 0}}, "NodeResourcesFit") ==
        Texts{"ask for at most 1500m cpu instead of 2", "ask for at most 3000Mi memory instead of 5Gi",
              "ask for at most 2 nvidia.com/gpu instead of 4"});
  CHECK(tried_remedies({make_node("a", small())}, {make_pod({{"nvidia.com/gpu", 1}})}, {}, "NodeResourcesFit") ==
        Texts{"drop the request of 1 nvidia.com/gpu"});
  node.allocatable.back().second = 1;
  CHECK(tried_remedies({node}, {make_pod({{"cpu", 9000}}), running}, {{1, 0}}, "NodeResourcesFit").empty());
}

TEST_CASE("remedies of NodeResourcesFit reach sidecars, init containers, overhead and the pod's own requests") {
  Node node = make_node("a", small());
  PodSpec spec = make_pod({{"cpu", 3000}});
  spec.containers.push_back(spec.containers[0]);
  spec.init_containers = {spec.containers[0], spec.containers[0]};
  spec.init_containers[0].sidecar = true;
  spec.overhead = {{"cpu", 500}};
  const Texts expected{"ask for at most 4 cpu instead of 9500m"};
  CHECK(tried_remedies({node}, {spec}, {}, "NodeResourcesFit") == expected);
  spec.pod_requests = ResourceList{{"cpu", 9000}};
  CHECK(tried_remedies({node}, {spec}, {}, "NodeResourcesFit") == expected);
}

TEST_CASE("remedies of NodePorts: only the ports in the way") {
  using Protocol = HostPort::Protocol;
  PodSpec wants = make_pod({}), holds = make_pod({});
  wants.containers[0].host_ports = {{Protocol::TCP, "0.0.0.0", 8080}, {Protocol::UDP, "0.0.0.0", 53}};
  holds.containers[0].host_ports = {{Protocol::UDP, "0.0.0.0", 53}};
  CHECK(tried_remedies({make_node("a", small())}, {wants, holds}, {{1, 0}}, "NodePorts") ==
        Texts{"give up host port UDP 53"});
}

Objects::Workload labelled(const std::string& app, PodSpec spec = make_pod({})) {
  return {{{{"app", app}}, {}, std::move(spec)}, "default", {}};
}
LabelSelector app_is(const std::string& app) { return {{{"app", SelectorOperator::In, {app}}}}; }

TEST_CASE("remedies of PodTopologySpread: a larger skew, or no hard rule where the label is missing") {
  TopologySpreadConstraint over_zones, over_racks;
  over_zones.topology_key = "zone";
  over_racks.topology_key = "rack";
  over_zones.label_selector = over_racks.label_selector = app_is("web");
  PodSpec spec = make_pod({});
  spec.topology_spread_constraints = {over_zones};
  Objects objects;
  objects.nodes = {make_node("a", small(), {{"zone", "z1"}}),
                   make_node("b", small(), {{"rack", "r1"}, {"zone", "z2"}})};
  objects.workloads = {labelled("web", spec)};
  const std::string raise = "raise maxSkew of topologySpreadConstraints over zone from 1 to 3";
  CHECK(tried_remedies(objects, {{0, 0}, {0, 0}}, "PodTopologySpread") == Texts{raise});
  objects.workloads[0].pods.spec.topology_spread_constraints.push_back(over_racks);
  CHECK(tried_remedies(objects, {}, "PodTopologySpread") ==
        Texts{"make topologySpreadConstraints over rack ScheduleAnyway"});
}

TEST_CASE("remedies of PodTopologySpread turn the profile's constraints into the pod's own") {
  TopologySpreadConstraint over_zones;
  over_zones.topology_key = "zone";
  PodTopologySpreadArgs args;
  args.defaulting = PodTopologySpreadArgs::Defaulting::List;
  args.default_constraints = {over_zones};
  Objects objects;
  objects.nodes = {make_node("a", small(), {{"zone", "z1"}}), make_node("b", small(), {{"zone", "z2"}})};
  objects.workloads = {labelled("web")};
  objects.workloads[0].owner = app_is("web");
  CHECK(tried_remedies(objects, {{0, 0}, {0, 0}}, "PodTopologySpread", with_args("PodTopologySpread", args)) ==
        Texts{"raise maxSkew of topologySpreadConstraints over zone from 1 to 3"});
}

TEST_CASE("remedies of InterPodAffinity: rules to drop, but only the pod's own") {
  auto over = [](const std::string& key, const std::string& app) {
    PodAffinityTerm term;
    term.topology_key = key;
    term.label_selector = app_is(app);
    return term;
  };
  PodSpec repelled = make_pod({}), attracted = make_pod({}), hostile = make_pod({});
  repelled.pod_anti_affinity.required = {over("kubernetes.io/hostname", "web"), over("zone", "db")};
  attracted.pod_affinity.required = {over("zone", "db"), over("rack", "db")};
  hostile.pod_anti_affinity.required = {over("zone", "web")};
  Objects objects;
  objects.nodes = {make_node("a", small(), {{"kubernetes.io/hostname", "a"}, {"zone", "z1"}})};
  objects.workloads = {labelled("web", repelled), labelled("db", hostile)};
  CHECK(tried_remedies(objects, {{0, 0}}, "InterPodAffinity") ==
        Texts{"drop the required anti-affinity over kubernetes.io/hostname"});
  CHECK(tried_remedies(objects, {{0, 0}, {1, 0}}, "InterPodAffinity").empty());  // the others' rule would remain
  objects.workloads = {labelled("web", attracted), labelled("db")};
  CHECK(tried_remedies(objects, {{1, 0}}, "InterPodAffinity") == Texts{"drop the required affinity over rack"});
}

}  // namespace
}  // namespace kisim

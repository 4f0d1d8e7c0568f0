// Which events bring a rejected pod back to the scheduling queue, plugin by plugin.

#include "kube/scheduler_fixture.hpp"
#include "policy/scheduler_args.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Kind = ClusterEvent::Kind;

constexpr size_t kNothing = ~size_t{0};

ResourceList small() { return {{"cpu", 4000}, {"memory", 4000 * kMiB}}; }
Objects::Workload app(const std::string& name, PodSpec spec = make_pod({}), const std::string& namespace_ = "default") {
  return {{{{"app", name}}, {}, std::move(spec)}, namespace_, {}};
}
LabelSelector app_is(const std::string& app) { return {{{"app", SelectorOperator::In, {app}}}}; }

// Asks a plugin about pods of workload 0. Nodes are given by their place in Objects::nodes.
class Hints {
 public:
  Hints(std::string plugin, Objects objects, const SchedulerConfig& config = default_config())
      : fixture_(objects, config), plugin_(fixture_.plugin(plugin)), pod_(fixture_.create(0)), probe_(fixture_, pod_) {}

  bool node(Kind kind, size_t before, size_t after) {
    ClusterEvent event{kind, NodeId(0u)};
    if (before != kNothing) event.before = static_cast<uint32_t>(before);
    if (after != kNothing) event.after = static_cast<uint32_t>(after);
    return ask(event);
  }
  bool added(size_t node) { return this->node(Kind::NodeAdd, kNothing, node); }
  bool readiness(size_t node, bool before, bool after) {
    auto entry = static_cast<uint32_t>(node);
    NodeConditions was, is;
    was.set(kNodeNotReady, !before);
    is.set(kNodeNotReady, !after);
    return ask({Kind::NodeUpdateTaint, NodeId(node), entry, entry, was, is});
  }
  bool pod(Kind kind, size_t workload) {
    ClusterEvent event{kind};
    event.pod_template = fixture_.model.workloads[WorkloadId(workload)].pod_template;
    return ask(event);
  }
  ClusterEvents events() const { return entry().events; }

 private:
  const SchedulerModel::Plugin& entry() const { return fixture_.scheduler_model.profiles.front().plugins[plugin_]; }
  bool ask(const ClusterEvent& event) {
    REQUIRE(entry().events.has(event.kind));
    PluginContext c = probe_.cycle.context(plugin_, pod_);
    return entry().plugin->queueing_hint(c, event);
  }

  SchedulerFixture fixture_;
  size_t plugin_;
  PodId pod_;
  CycleProbe probe_;
};

TEST_CASE("NodeResourcesFit: any pod that goes, nodes that the pod fits empty and that have grown in what it needs") {
  auto node = [](int64_t cpu, int64_t gpus, int64_t pods = 110) {
    Node n = make_node("n" + std::to_string(cpu) + "-" + std::to_string(gpus) + "-" + std::to_string(pods),
                       {{"cpu", cpu}, {"memory", 4000 * kMiB}, {"nvidia.com/gpu", gpus}});
    n.allocatable.back().second = pods;
    return n;
  };
  Hints hints("NodeResourcesFit", make_objects({node(4000, 1), node(4000, 2), node(4000, 4), node(8000, 2),
                                                node(4000, 2, 200), node(4000, 2, 0)},
                                               {make_pod({{"cpu", 1000}, {"nvidia.com/gpu", 2}})}));
  CHECK(hints.pod(Kind::AssignedPodDelete, 0));
  CHECK_FALSE(hints.added(0));
  CHECK(hints.added(1));
  CHECK_FALSE(hints.added(5));
  CHECK_FALSE(hints.node(Kind::NodeUpdateAllocatable, 2, 0));  // shrinks below what is needed
  CHECK_FALSE(hints.node(Kind::NodeUpdateAllocatable, 2, 1));  // shrinks, but would do
  CHECK(hints.node(Kind::NodeUpdateAllocatable, 0, 1));
  CHECK(hints.node(Kind::NodeUpdateAllocatable, 1, 3));  // more cpu
  CHECK(hints.node(Kind::NodeUpdateAllocatable, 1, 4));  // more pods
  CHECK_FALSE(hints.events().has(Kind::NodeUpdateLabel));
}

TEST_CASE("NodeResourcesFit: the hint forgets the ignored resources, as upstream does") {
  NodeResourcesFitArgs args;
  args.ignored_resources = {"nvidia.com/gpu"};
  SchedulerConfig config = default_config();
  config.configuration.profiles.front().plugin_config["NodeResourcesFit"].args = args;
  Hints hints("NodeResourcesFit", make_objects({make_node("a", small())}, {make_pod({{"nvidia.com/gpu", 1}})}), config);
  CHECK_FALSE(hints.added(0));
}

TEST_CASE("TaintToleration: nodes that become tolerable") {
  Node tainted = make_node("tainted", small()), twice = make_node("twice", small());
  tainted.taints = {{"gpu", "", TaintEffect::NoSchedule}};
  twice.taints = {{"gpu", "", TaintEffect::NoSchedule}, {"ml", "", TaintEffect::NoExecute}};
  Hints hints("TaintToleration", make_objects({make_node("free", small()), tainted, twice}, {make_pod({})}));
  CHECK(hints.added(0));
  CHECK_FALSE(hints.added(1));
  CHECK(hints.node(Kind::NodeUpdateTaint, 1, 0));
  CHECK_FALSE(hints.node(Kind::NodeUpdateTaint, 2, 1));
  CHECK_FALSE(hints.node(Kind::NodeUpdateTaint, 0, 0));
  CHECK(hints.readiness(0, false, true));
  CHECK_FALSE(hints.readiness(0, true, false));
  CHECK_FALSE(hints.readiness(1, false, true));
}

TEST_CASE("NodeUnschedulable: nodes that are not, or no longer, cordoned") {
  Node cordoned = make_node("cordoned", small());
  cordoned.unschedulable = true;
  Hints hints("NodeUnschedulable", make_objects({make_node("free", small()), cordoned}, {make_pod({})}));
  CHECK(hints.added(0));
  CHECK_FALSE(hints.added(1));
  CHECK(hints.node(Kind::NodeUpdateTaint, 1, 0));
  CHECK_FALSE(hints.node(Kind::NodeUpdateTaint, 0, 0));
  CHECK_FALSE(hints.node(Kind::NodeUpdateTaint, 0, 1));
}

TEST_CASE("NodeAffinity: nodes that come to match") {
  PodSpec spec = make_pod({});
  spec.node_selector = {{"disk", "ssd"}};
  std::vector<Node> nodes{make_node("ssd", small(), {{"disk", "ssd"}}), make_node("hdd", small(), {{"disk", "hdd"}}),
                          make_node("pool", small(), {{"disk", "ssd"}, {"pool", "x"}})};
  Hints hints("NodeAffinity", make_objects(nodes, {spec}));
  CHECK(hints.added(0));
  CHECK_FALSE(hints.added(1));
  CHECK(hints.node(Kind::NodeUpdateLabel, 1, 0));
  CHECK_FALSE(hints.node(Kind::NodeUpdateLabel, 0, 2));
  CHECK_FALSE(hints.node(Kind::NodeUpdateLabel, 0, 1));

  NodeAffinityArgs added;
  added.required = {{{{"pool", SelectorOperator::Exists, {}}}, {}}};
  SchedulerConfig config = default_config();
  config.configuration.profiles.front().plugin_config["NodeAffinity"].args = added;
  Hints enforced("NodeAffinity", make_objects(nodes, {spec}), config);
  CHECK_FALSE(enforced.added(0));
  CHECK(enforced.added(2));
  CHECK(enforced.node(Kind::NodeUpdateLabel, 1, 2));
  CHECK_FALSE(enforced.node(Kind::NodeUpdateLabel, 0, 2));  // what the pod asks for matched before
}

TEST_CASE("NodeName and NodePorts: any new node; NodePorts: pods that held one of the ports") {
  PodSpec wants = make_pod({}), same = make_pod({}), other = make_pod({});
  wants.containers[0].host_ports = same.containers[0].host_ports = {{HostPort::Protocol::TCP, "0.0.0.0", 80}};
  other.containers[0].host_ports = {{HostPort::Protocol::UDP, "0.0.0.0", 80}};
  Objects objects = make_objects({make_node("a", small())}, {wants, same, other, make_pod({})});
  Hints ports("NodePorts", objects), name("NodeName", objects);
  CHECK(ports.added(0));
  CHECK(name.added(0));
  CHECK(ports.pod(Kind::AssignedPodDelete, 1));
  CHECK_FALSE(ports.pod(Kind::AssignedPodDelete, 2));
  CHECK_FALSE(ports.pod(Kind::AssignedPodDelete, 3));
}

TEST_CASE("PodTopologySpread: pods that a hard constraint selects, nodes of its domains") {
  TopologySpreadConstraint hard, soft;
  hard.topology_key = "zone";
  hard.label_selector = app_is("web");
  soft.topology_key = "rack";
  soft.label_selector = app_is("db");
  soft.when_unsatisfiable = TopologySpreadConstraint::Unsatisfiable::ScheduleAnyway;
  PodSpec spec = make_pod({});
  spec.topology_spread_constraints = {hard, soft};
  Objects o;
  o.nodes = {make_node("z1", small(), {{"zone", "z1"}}), make_node("none", small()),
             make_node("z2", small(), {{"zone", "z2"}}), make_node("z1x", small(), {{"other", "x"}, {"zone", "z1"}}),
             make_node("z1t", small(), {{"zone", "z1"}})};
  o.nodes[4].taints = {{"gpu", "", TaintEffect::NoSchedule}};
  o.workloads = {app("web", spec), app("web"), app("db"), app("web", make_pod({}), "elsewhere")};
  Hints hints("PodTopologySpread", o);
  for (Kind kind : {Kind::AssignedPodAdd, Kind::AssignedPodDelete}) {
    CHECK(hints.pod(kind, 1));
    CHECK_FALSE(hints.pod(kind, 2));
    CHECK_FALSE(hints.pod(kind, 3));
  }
  CHECK(hints.added(0));
  CHECK_FALSE(hints.added(1));
  CHECK(hints.node(Kind::NodeDelete, 0, kNothing));
  CHECK_FALSE(hints.node(Kind::NodeDelete, 1, kNothing));
  CHECK(hints.node(Kind::NodeUpdateLabel, 1, 0));
  CHECK(hints.node(Kind::NodeUpdateLabel, 0, 1));
  CHECK(hints.node(Kind::NodeUpdateLabel, 0, 2));
  CHECK_FALSE(hints.node(Kind::NodeUpdateLabel, 0, 3));
  CHECK_FALSE(hints.node(Kind::NodeUpdateLabel, 1, 1));
  CHECK(hints.node(Kind::NodeUpdateTaint, 0, 4));
  CHECK(hints.readiness(0, false, true));
}

PodAffinityTerm near(const std::string& key, const std::string& of) {
  PodAffinityTerm term;
  term.topology_key = key;
  term.label_selector = app_is(of);
  return term;
}

TEST_CASE("InterPodAffinity: pods that are wanted come, pods that are not go") {
  PodSpec spec = make_pod({}), hostile = make_pod({});
  spec.pod_affinity.required = {near("zone", "db")};
  spec.pod_anti_affinity.required = {near("zone", "cache")};
  hostile.pod_anti_affinity.required = {near("zone", "web")};
  Objects o;
  o.nodes = {make_node("a", small())};
  o.workloads = {app("web", spec), app("db"), app("cache"), app("hostile", hostile)};
  Hints hints("InterPodAffinity", o), before("InterPodAffinity", o, default_config(35));
  CHECK(hints.pod(Kind::AssignedPodAdd, 1));
  CHECK_FALSE(hints.pod(Kind::AssignedPodAdd, 2));
  CHECK(hints.pod(Kind::AssignedPodDelete, 2));
  CHECK_FALSE(hints.pod(Kind::AssignedPodDelete, 1));
  CHECK(hints.pod(Kind::AssignedPodDelete, 3));
  CHECK_FALSE(before.pod(Kind::AssignedPodDelete, 3));  // since 1.36 only
}

TEST_CASE("InterPodAffinity: the hint does not know the labels of namespaces") {
  PodSpec spec = make_pod({});
  PodAffinityTerm term = near("zone", "db");
  term.namespace_selector = LabelSelector{{{"team", SelectorOperator::In, {"x"}}}};
  spec.pod_affinity.required = {term};
  Objects o;
  o.nodes = {make_node("a", small())};
  o.namespaces.resize(1);
  o.namespaces[0].meta.name = "ml";
  o.namespaces[0].meta.labels = {{"team", "x"}};
  o.workloads = {app("web", spec), app("db", make_pod({}), "ml")};
  CHECK_FALSE(Hints("InterPodAffinity", o).pod(Kind::AssignedPodAdd, 1));
  o.workloads[0].pods.spec.pod_affinity.required[0].namespaces = {"ml"};
  CHECK(Hints("InterPodAffinity", o).pod(Kind::AssignedPodAdd, 1));
}

TEST_CASE("InterPodAffinity: nodes that join or change the domain of a term") {
  PodSpec wants = make_pod({}), shuns = make_pod({});
  wants.pod_affinity.required = {near("zone", "db")};
  shuns.pod_anti_affinity.required = {near("zone", "db")};
  std::vector<Node> nodes{make_node("z1", small(), {{"zone", "z1"}}), make_node("none", small()),
                          make_node("z2", small(), {{"zone", "z2"}})};
  Hints affinity("InterPodAffinity", make_objects(nodes, {wants})),
      anti("InterPodAffinity", make_objects(nodes, {shuns})),
      neither("InterPodAffinity", make_objects(nodes, {make_pod({})}));
  CHECK(affinity.added(0));
  CHECK_FALSE(affinity.added(1));
  CHECK(anti.added(1));
  CHECK_FALSE(neither.added(0));
  CHECK(affinity.node(Kind::NodeUpdateLabel, 0, 2));
  CHECK(affinity.node(Kind::NodeUpdateLabel, 1, 0));
  CHECK_FALSE(affinity.node(Kind::NodeUpdateLabel, 0, 1));
  CHECK(anti.node(Kind::NodeUpdateLabel, 0, 2));
  CHECK(anti.node(Kind::NodeUpdateLabel, 0, 1));
  CHECK_FALSE(anti.node(Kind::NodeUpdateLabel, 1, 0));
  CHECK_FALSE(anti.node(Kind::NodeUpdateLabel, 0, 0));
}

TEST_CASE("DefaultPreemption leaves it to the plugin that rejected the pod") {
  Hints hints("DefaultPreemption", make_objects({make_node("a", small())}, {make_pod({})}));
  CHECK_FALSE(hints.pod(Kind::AssignedPodDelete, 0));
}

}  // namespace
}  // namespace kisim

#include "kube/cluster_autoscaler.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

namespace kisim::test {
namespace {

using Expanding = ClusterAutoscalerModel::Expander;
constexpr NodeId kNode0{0u}, kNode1{1u};

double seconds(Time t) { return static_cast<double>(t.ns) / 1e9; }

class Recorder : public EventSink {
 public:
  void record(KubeEvent event) override { events.push_back(std::move(event)); }
  // "10 ConfigMap kube-system/cluster-autoscaler-status: message" of every event with the reason.
  std::vector<std::string> all(const std::string& reason) const {
    std::vector<std::string> out;
    for (const KubeEvent& e : events)
      if (e.reason == reason && e.component == "cluster-autoscaler")
        out.push_back(fmt::format("{} {} {}: {}", seconds(e.at), e.kind,
                                  e.namespace_.empty() ? e.name : e.namespace_ + "/" + e.name, e.message));
    return out;
  }
  std::vector<double> times(const std::string& reason) const {
    std::vector<double> out;
    for (const KubeEvent& e : events)
      if (e.reason == reason && e.component == "cluster-autoscaler") out.push_back(seconds(e.at));
    return out;
  }

  std::vector<KubeEvent> events;
};

struct AutoscaledSetup : KubeSetup {
  AutoscaledSetup() {
    kube.cluster_autoscaler.emplace();
    kube.cluster_autoscaler->expanders = {Expanding::LeastWaste};
    kube.cluster_autoscaler->scale_down_enabled = false;
  }
  ClusterAutoscalerModel& autoscaler() { return *kube.cluster_autoscaler; }

  struct Size {
    int32_t min = 0, max = 0, initial = 0;
  };
  // Nodes of 64 GB; `change` sees each before it is added.
  NodeGroup& add_group(const std::string& name, Size size, int64_t milli_cpu = 8000,
                       const std::function<void(Node&)>& change = {}) {
    NodeGroup group;
    group.name = name;
    group.min = size.min;
    group.max = size.max;
    group.initial = size.initial;
    group.provision = Distribution::constant(30);
    for (int32_t i = 0; i < size.max; ++i) {
      Node node;
      node.meta.name = name + "-" + std::to_string(i);
      node.meta.labels = {{"kubernetes.io/hostname", node.meta.name}};
      node.allocatable = {{"cpu", milli_cpu}, {"memory", 64 * kGigabyte}, {"pods", 110}};
      if (change) change(node);
      node.capacity = node.allocatable;
      builder.add_node(node, i >= size.initial);
      group.nodes.push_back(NodeId(nodes++));
    }
    autoscaler().groups.push_back(std::move(group));
    return autoscaler().groups.back();
  }
  // Pods with annotations, anywhere.
  template <class Object>
  WorkloadId add_pods(WorkloadModel::Kind kind, const std::string& namespace_, const std::string& name, Object object,
                      const PodSpec& spec, Labels annotations = {}) {
    object.meta.namespace_ = namespace_;
    object.meta.name = name;
    TemplateId pods =
        builder.add_template(namespace_, {{{"app", name}}, std::move(annotations), spec, {}}, nullptr, "v1");
    builder.add_workload({kind, namespace_, name, pods, 1, {}});
    KubeWorkload workload;
    workload.spec = add_spec(object, pods);
    return kube.workloads.push_back(workload);
  }
};

struct AutoscaledRun : KubeRun {
  explicit AutoscaledRun(const AutoscaledSetup& setup) : KubeRun(setup) { kube().set_event_sink(&recorder); }
  bool present(NodeId node) { return cluster().state.node_present[node.value] != 0; }
  size_t present() {
    const std::vector<uint8_t>& nodes = cluster().state.node_present;
    return static_cast<size_t>(std::count(nodes.begin(), nodes.end(), 1));
  }
  const ClusterAutoscalerState::Node& node(NodeId id) { return state().cluster_autoscaler.nodes[id]; }
  size_t bound() {
    size_t count = 0;
    for (const PodState& pod : cluster().state.pods) count += pod.node.valid() && is_active(pod.phase);
    return count;
  }
  Recorder recorder;
};

using Texts = std::vector<std::string>;
using Times = std::vector<double>;

// --- scaling up

TEST_CASE("a pod that fits nowhere gets a node at the scan after it is two seconds old", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_node("small", 1000);
  setup.add_group("pool", {0, 5, 0});
  setup.add("web", 1, setup.pod(4000));
  AutoscaledRun run(setup);
  run.run_until(at(39.9));
  CHECK(run.present() == 1);
  run.run_until(at(40));
  CHECK(run.present(kNode1));
  CHECK(run.pod(0).node == kNode1);
  CHECK(run.pod(0).scheduled == at(40));
  CHECK(run.recorder.all("TriggeredScaleUp") ==
        Texts{"10 Pod default/web-v1-" + run.cluster().pod_name(PodId(0u)).substr(7) +
              ": pod triggered scale-up: [{pool 0->1 (max: 5)}]"});
  CHECK(run.recorder.all("ScaledUpGroup") ==
        Texts{"10 ConfigMap kube-system/cluster-autoscaler-status: Scale-up: setting group pool size to 1 instead of 0 "
              "(max: 5)",
              "10 ConfigMap kube-system/cluster-autoscaler-status: Scale-up: group pool size set to 1 instead of 0 "
              "(max: 5)"});
}

TEST_CASE("a cluster without a node grows from nothing", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 1, 0});
  setup.add("web", 1, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).node == kNode0);
}

TEST_CASE("for pods that ask for GPUs it waits half a minute", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 1, 0}, 8000, [](Node& node) {
    node.allocatable.insert(node.allocatable.begin() + 2, {"nvidia.com/gpu", 8});
  });
  PodSpec spec = setup.pod();
  spec.containers[0].requests.push_back({"nvidia.com/gpu", 1});
  setup.add("llm", 1, spec);
  AutoscaledRun run(setup);
  run.run_until(at(100));
  CHECK(run.recorder.times("TriggeredScaleUp") == Times{30});
}

TEST_CASE("young pods wait for new_pod_scale_up_delay", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.autoscaler().new_pod_scale_up_delay = 60_s;
  setup.add_group("pool", {0, 1, 0});
  setup.add("web", 1, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(100));
  CHECK(run.recorder.times("TriggeredScaleUp") == Times{70});  // older than 60 s, not as old
}

TEST_CASE("pods behind gates and expendable ones buy nothing", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 1, 0});
  PodSpec gated = setup.pod(), expendable = setup.pod();
  gated.scheduling_gates = {"example.com/wait"};
  expendable.priority = -11;
  setup.add("gated", 1, gated);
  setup.add("expendable", 1, expendable);
  AutoscaledRun run(setup);
  run.run_until(at(100));
  CHECK(run.present() == 0);
  CHECK(run.recorder.all("NotTriggerScaleUp").empty());
}

TEST_CASE("a pod that preemption makes room for buys nothing", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_node("a", 4000);
  setup.add_group("pool", {0, 1, 0});
  PodSpec low = setup.pod(3000), high = setup.pod(3000);
  low.termination_grace_period = 120_s;
  high.priority = 10;
  setup.add("low", 1, low);
  WorkloadId w = setup.add("high", 0, high);
  AutoscaledRun run(setup);
  run.run_until(at(5));
  run.kube().scale(w, 1, "test");
  run.run_until(at(39));
  // The victim goes on for two minutes; its replacement is who needs the node.
  REQUIRE(run.recorder.all("TriggeredScaleUp").size() == 1);
  CHECK(run.recorder.all("TriggeredScaleUp")[0].find("low-v1-") != std::string::npos);
}

TEST_CASE("nodes are counted by packing, with room for daemon pods", "[cluster-autoscaler]") {
  auto nodes_for = [](bool daemons) {
    AutoscaledSetup setup;
    setup.add_group("pool", {0, 20, 0});
    setup.add("web", 10, setup.pod(3000));
    if (daemons) setup.add_object("agent", DaemonSet{}, setup.pod(3000));
    AutoscaledRun run(setup);
    run.run_until(at(100));
    CHECK(run.recorder.all("ScaledUpGroup").size() == 2);  // one decision
    return run.present();
  };
  CHECK(nodes_for(false) == 5);  // two of three cores on eight
  CHECK(nodes_for(true) == 10);
}

TEST_CASE("bigger pods are packed first, and smaller ones beside them", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 20, 0});
  setup.add("small", 2, setup.pod(2000));
  setup.add("big", 2, setup.pod(6000));
  AutoscaledRun run(setup);
  run.run_until(at(100));
  CHECK(run.present() == 2);
  CHECK(run.bound() == 4);
}

TEST_CASE("nodes on their way count as room", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 5, 0}).provision = Distribution::constant(300);
  WorkloadId web = setup.add("web", 1, setup.pod(3000));
  AutoscaledRun run(setup);
  run.run_until(at(20));
  run.kube().scale(web, 2, "test");
  run.run_until(at(100));
  CHECK(run.recorder.times("ScaledUpGroup") == Times{10, 10});
  run.kube().scale(web, 3, "test");  // 9 of 8 cores
  run.run_until(at(700));
  CHECK(run.recorder.times("ScaledUpGroup") == Times{10, 10, 110, 110});
  CHECK(run.present() == 2);
  CHECK(run.bound() == 3);
}

TEST_CASE("spread over hosts, each pod gets its own node", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 5, 0});
  PodSpec spec = setup.pod();
  TopologySpreadConstraint spread;
  spread.topology_key = "kubernetes.io/hostname";
  spread.label_selector = LabelSelector{{{"app", SelectorOperator::In, {"web"}}}};
  spec.topology_spread_constraints = {spread};
  spec.pod_anti_affinity.required = {
      {LabelSelector{{{"app", SelectorOperator::In, {"web"}}}}, {}, {}, "kubernetes.io/hostname"}};
  setup.add("web", 3, spec);
  AutoscaledRun run(setup);
  run.run_until(at(100));
  CHECK(run.present() == 3);
  CHECK(run.bound() == 3);
}

TEST_CASE("a pod that no group helps is told why, once in five minutes", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("full", {0, 1, 1}, 1000);
  setup.add_group("small", {0, 2, 0}, 2000);
  setup.add_group("tainted", {0, 2, 0}, 64000, [](Node& node) { node.taints = {{"dedicated", "ml"}}; });
  setup.add("web", 1, setup.pod(4000));
  AutoscaledRun run(setup);
  run.run_until(at(3600));
  const std::string text = run.recorder.all("NotTriggerScaleUp").front();
  CHECK(text.substr(text.find(": ") + 2) ==
        "pod didn't trigger scale-up: 1 Insufficient cpu, 1 max node group size reached, 1 node(s) had untolerated "
        "taint(s)");
  CHECK(run.recorder.times("NotTriggerScaleUp") ==
        Times{10, 310, 610, 910, 1210, 1510, 1810, 2110, 2410, 2710, 3010, 3310});
  const auto& groups = run.state().cluster_autoscaler.groups;
  CHECK(groups[0].reason == NoScaleUp::MaxSize);
  CHECK(groups[1].reason == NoScaleUp::NoPodFits);
  CHECK(groups[1].rejected_by.size() == 1);
}

TEST_CASE("the size of the cluster has a limit", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.autoscaler().max_nodes_total = 3;
  setup.add_node("small", 500);
  setup.add_group("pool", {0, 5, 0}, 1000);
  setup.add("web", 4, setup.pod(1000));
  AutoscaledRun run(setup);
  run.run_until(at(200));
  CHECK(run.present() == 3);
  CHECK(run.bound() == 2);
  CHECK(run.recorder.all("MaxNodesTotalReached").front() ==
        "40 ConfigMap kube-system/cluster-autoscaler-status: Max total nodes in cluster reached: 3");
  CHECK(run.recorder.all("NotTriggerScaleUp").size() == 2);
  CHECK(run.recorder.all("NotTriggerScaleUp")[0].ends_with("scale-up: max total nodes in cluster reached"));
}

TEST_CASE("nodes that do not come are given up and their group rests, longer each time", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.add_group("pool", {0, 2, 0}).failure = 1;
  setup.add("web", 1, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(6000));
  CHECK(run.present() == 0);
  // Given up at 920 s; 5, 10, 20 min of rest, each beginning when the failure is noticed.
  CHECK(run.recorder.times("TriggeredScaleUp") == Times{10, 1230, 2750, 4870});
  CHECK(run.recorder.times("ScaleUpTimedOut") == Times{920, 2140, 3660, 5780});
  CHECK(run.recorder.all("ScaleUpTimedOut")[0] ==
        "920 ConfigMap kube-system/cluster-autoscaler-status: Nodes added to group pool failed to register within "
        "15m10s");
}

TEST_CASE("while a group rests, another one helps", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.autoscaler().expanders = {Expanding::Priority};
  setup.add_group("first", {0, 2, 0}).failure = 1;
  setup.autoscaler().groups.back().priority = 1;
  setup.add_group("second", {0, 2, 0});
  setup.add("web", 1, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(1000));
  CHECK(run.recorder.times("TriggeredScaleUp") == Times{10, 920});
  CHECK(run.pod(0).node == NodeId(2u));
}

TEST_CASE("a node that takes too long is not waited for", "[cluster-autoscaler]") {
  AutoscaledSetup setup;
  setup.autoscaler().max_node_provision_time = 60_s;
  setup.add_group("pool", {0, 2, 0}).provision = Distribution::constant(100);
  setup.add("web", 1, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(200));
  CHECK(run.recorder.times("ScaleUpTimedOut") == Times{80});
  CHECK(run.present() == 0);
}

TEST_CASE("how long a node takes depends on its name alone", "[cluster-autoscaler]") {
  auto joined = [](bool others) {
    AutoscaledSetup setup;
    setup.kube.seed = 7;
    setup.autoscaler().expanders = {Expanding::Priority};
    if (others) setup.add_group("other", {0, 3, 0});
    NodeGroup& pool = setup.add_group("pool", {0, 1, 0});
    pool.provision = Distribution::uniform(10, 500);
    pool.priority = 1;
    NodeId node = pool.nodes[0];
    setup.add("web", 1, setup.pod());
    AutoscaledRun run(setup);
    run.run_until(at(600));
    REQUIRE(run.present(node));
    return run.node(node).joined;
  };
  CHECK(joined(false) == joined(true));
}

// --- scaling down

struct ShrinkingSetup : AutoscaledSetup {
  ShrinkingSetup() { autoscaler().scale_down_enabled = true; }
};

TEST_CASE("an empty node goes after its unneeded time, down to the least size", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {1, 3, 2});
  AutoscaledRun run(setup);
  run.run_until(at(610));
  CHECK(run.cluster().state.node_conditions[0].any_of(kNodeDeletionCandidate));
  CHECK(run.node(kNode0).reason == Unremovable::NotUnneededLongEnough);
  run.run_until(at(620));  // longer than ten minutes
  CHECK(run.cluster().state.node_conditions[0].any_of(kNodeToBeDeleted));
  run.run_until(at(624.9));
  CHECK(run.present() == 2);
  run.run_until(at(625));
  CHECK_FALSE(run.present(kNode0));
  run.run_until(at(3600));
  CHECK(run.present() == 1);
  CHECK(run.node(kNode1).reason == Unremovable::NodeGroupMinSizeReached);
  CHECK_FALSE(run.cluster().state.node_conditions[1].any_of(kNodeDeletionCandidate));
  CHECK(run.recorder.all("ScaleDownEmpty") ==
        Texts{"620 ConfigMap kube-system/cluster-autoscaler-status: Scale-down: removing empty node \"pool-0\"",
              "625 ConfigMap kube-system/cluster-autoscaler-status: Scale-down: empty node pool-0 removed"});
  CHECK(run.recorder.all("ScaleDown") == Texts{"620 Node default/pool-0: marked the node as toBeDeleted/unschedulable",
                                               "625 Node default/pool-0: nodes removed by cluster autoscaler"});
}

TEST_CASE("empty nodes go ten at a time", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 12, 12});
  AutoscaledRun run(setup);
  run.run_until(at(625));
  CHECK(run.present() == 2);
  run.run_until(at(635));
  CHECK(run.present() == 0);
}

TEST_CASE("nothing goes within the delay after a scale-up", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.autoscaler().unneeded_time = 60_s;
  setup.autoscaler().delay_after_add = 300_s;
  setup.add_group("idle", {0, 1, 1}, 1000);
  setup.add_group("pool", {0, 1, 0});
  setup.add("web", 1, setup.pod(6000));
  AutoscaledRun run(setup);
  run.run_until(at(309));
  CHECK(run.present(kNode0));
  run.run_until(at(315));
  CHECK_FALSE(run.present(kNode0));
}

// Two nodes of eight cores with a pod of three each; the kubelets take 30 s to end one.
struct TwoHalfEmpty : ShrinkingSetup {
  explicit TwoHalfEmpty(int64_t milli_cpu = 3000) {
    add_group("pool", {0, 2, 2});
    web = add("web", 2, pod(milli_cpu));
  }
  WorkloadId web;
};

TEST_CASE("a node whose pods fit elsewhere is drained", "[cluster-autoscaler]") {
  TwoHalfEmpty setup;
  AutoscaledRun run(setup);
  run.run_until(at(619));
  REQUIRE(run.cluster().state.node_pods[0].size() == 1);
  PodId victim = run.cluster().state.node_pods[0][0];
  CHECK(run.node(kNode0).unneeded);
  CHECK(run.node(kNode1).reason == Unremovable::NoPlaceToMovePods);
  CHECK(run.node(kNode1).utilization == 0.375);
  run.run_until(at(625));
  CHECK(run.cluster().state.pods[victim].phase == PodPhase::Terminating);
  CHECK(run.statistics().evicted == 1);
  run.run_until(at(654.9));
  CHECK(run.present(kNode0));
  run.run_until(at(655));  // grace period over; looked for every five seconds
  CHECK_FALSE(run.present(kNode0));
  CHECK(run.cluster().state.node_pods[1].size() == 2);
  std::string name = run.cluster().pod_name(victim);
  CHECK(run.recorder.all("ScaleDown") ==
        Texts{"620 Node default/pool-0: marked the node as toBeDeleted/unschedulable",
              "620 ConfigMap kube-system/cluster-autoscaler-status: Scale-down: removing node pool-0, utilization: "
              "{0.375 0 0 0 cpu 0.375}, pods to reschedule: " +
                  name,
              "625 Pod default/" + name + ": deleting pod for node scale down",
              "655 Node default/pool-0: nodes removed by cluster autoscaler",
              "655 ConfigMap kube-system/cluster-autoscaler-status: Scale-down: node pool-0 removed with drain"});
}

TEST_CASE("utilization above the threshold keeps a node", "[cluster-autoscaler]") {
  TwoHalfEmpty at_threshold(4000), above(4001);
  AutoscaledRun run(at_threshold), other(above);
  run.run_until(at(700));
  other.run_until(at(700));
  CHECK(run.present() == 1);
  CHECK(other.present() == 2);
  CHECK(other.node(kNode0).reason == Unremovable::NotUnderutilized);
}

TEST_CASE("on nodes with GPUs only these count", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 1, 1}, 8000, [](Node& node) {
    node.allocatable.insert(node.allocatable.begin() + 2, {"nvidia.com/gpu", 4});
  });
  PodSpec spec = setup.pod(1000);
  spec.containers[0].requests.push_back({"nvidia.com/gpu", 3});
  setup.add("llm", 1, spec);
  AutoscaledRun run(setup);
  run.run_until(at(20));
  CHECK(run.node(kNode0).utilization == 0.75);
  CHECK(run.node(kNode0).reason == Unremovable::NotUnderutilized);
}

TEST_CASE("pods of DaemonSets count as used and go with their node", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 1, 1});
  setup.add_object("agent", DaemonSet{}, setup.pod(2000));
  AutoscaledRun run(setup);
  run.run_until(at(20));
  CHECK(run.node(kNode0).utilization == 0.25);
  run.run_until(at(625));
  CHECK(run.present() == 0);
  CHECK(run.recorder.all("ScaleDownEmpty").size() == 2);
}

// One node of a group with one pod, and a bigger one beside it that nobody scales, cordoned until the pod is bound.
struct OnePod : ShrinkingSetup {
  OnePod() {
    add_group("pool", {0, 1, 1});
    NodeId other = add_node("other", 1000);
    Node bigger;
    bigger.meta.name = "other";
    bigger.allocatable = {{"cpu", 64000}, {"memory", 64 * kGigabyte}, {"pods", 110}};
    Action grow;
    grow.kind = Action::Kind::ApplyNode;
    grow.at = at(5);
    grow.node = other;
    grow.version = builder.add_node(bigger, true);
    kube.actions.push_back(grow);
  }
  PodSpec pod_of(int64_t milli_cpu = 2000) { return pod(milli_cpu); }
};

constexpr const char* kSafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict";

BlockingPod blocking(const OnePod& setup, double until = 700) {
  AutoscaledRun run(setup);
  run.run_until(at(30));
  CHECK(run.pod(0).node == kNode0);
  run.run_until(at(until));
  if (!run.present(kNode0)) return BlockingPod::None;
  CHECK(run.node(kNode0).reason == Unremovable::BlockedByPod);
  return run.node(kNode0).blocking;
}

TEST_CASE("pods that keep their node", "[cluster-autoscaler]") {
  using Kind = WorkloadModel::Kind;
  OnePod owned, bare, safe, unsafe, system, covered;
  owned.add("web", 1, owned.pod_of());
  CHECK(blocking(owned) == BlockingPod::None);
  bare.add_pods(Kind::Pod, "default", "web", Pod{}, bare.pod_of());
  CHECK(blocking(bare) == BlockingPod::NotReplicated);
  safe.add_pods(Kind::Pod, "default", "web", Pod{}, safe.pod_of(), {{kSafeToEvict, "true"}});
  CHECK(blocking(safe) == BlockingPod::None);
  unsafe.add_pods(Kind::Deployment, "default", "web", Deployment{}, unsafe.pod_of(), {{kSafeToEvict, "false"}});
  CHECK(blocking(unsafe) == BlockingPod::NotSafeToEvictAnnotation);
  system.add_pods(Kind::Deployment, "kube-system", "dns", Deployment{}, system.pod_of());
  CHECK(blocking(system) == BlockingPod::UnmovableKubeSystemPod);
  CHECK(blocking(system, 4300) == BlockingPod::None);  // it is old enough after an hour
  system.autoscaler().skip_nodes_with_system_pods = false;
  CHECK(blocking(system) == BlockingPod::None);
  covered.add("web", 1, covered.pod_of());
  PodDisruptionBudget budget;
  budget.meta.name = "web";
  budget.selector = LabelSelector{{{"app", SelectorOperator::In, {"web"}}}};
  budget.min_available = IntOrPercent{1, false};
  covered.builder.add_budget(budget);
  CHECK(blocking(covered) == BlockingPod::NotEnoughPdb);
}

TEST_CASE("pods with data on their node keep it", "[cluster-autoscaler]") {
  using Source = LocalVolume::Source;
  constexpr const char* kSafe = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
  auto with = [](std::vector<LocalVolume> volumes, Labels annotations = {}) {
    OnePod setup;
    PodSpec spec = setup.pod_of();
    spec.local_volumes = std::move(volumes);
    setup.add_pods(WorkloadModel::Kind::Deployment, "default", "web", Deployment{}, spec, std::move(annotations));
    return setup;
  };
  CHECK(blocking(with({{Source::EmptyDir, "cache", false}})) == BlockingPod::LocalStorageRequested);
  CHECK(blocking(with({{Source::HostPath, "models", false}})) == BlockingPod::LocalStorageRequested);
  CHECK(blocking(with({{Source::EmptyDir, "shm", true}})) == BlockingPod::None);
  std::vector<LocalVolume> two{{Source::EmptyDir, "cache", false}, {Source::HostPath, "models", false}};
  CHECK(blocking(with(two, {{kSafe, "cache"}})) == BlockingPod::LocalStorageRequested);
  CHECK(blocking(with(two, {{kSafe, "cache,models"}})) == BlockingPod::None);
  CHECK(blocking(with(two, {{kSafeToEvict, "true"}})) == BlockingPod::None);
  OnePod ignored = with(two);
  ignored.autoscaler().skip_nodes_with_local_storage = false;
  CHECK(blocking(ignored) == BlockingPod::None);
}

TEST_CASE("a pod that is to complete delays its node", "[cluster-autoscaler]") {
  OnePod setup;
  PodSpec once = setup.pod_of();
  once.restart_policy = RestartPolicy::Never;
  WorkloadId job =
      setup.add_pods(WorkloadModel::Kind::Job, "default", "batch", Job{}, once, {{kSafeToEvict, "on-completion"}});
  setup.kube.workloads[job].behaviour.run = Distribution::constant(1000);
  AutoscaledRun run(setup);
  run.run_until(at(990));
  CHECK(run.present(kNode0));
  CHECK(run.node(kNode0).reason == Unremovable::BlockedByOnCompletionPod);
  run.run_until(at(1020));
  CHECK_FALSE(run.present(kNode0));
  CHECK(run.statistics().evicted == 0);
}

TEST_CASE("an annotation keeps a node", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 1, 1}, 8000, [](Node& node) {
    node.meta.annotations = {{"cluster-autoscaler.kubernetes.io/scale-down-disabled", "true"}};
  });
  AutoscaledRun run(setup);
  run.run_until(at(2000));
  CHECK(run.present() == 1);
  CHECK(run.node(kNode0).reason == Unremovable::ScaleDownDisabledAnnotation);
}

// Two pods of one budget that lets one go; their replacements take a while to be ready.
AutoscaledSetup budgeted(double container_start) {
  OnePod setup;
  Deployment web;
  web.replicas = 2;
  WorkloadId id = setup.add_pods(WorkloadModel::Kind::Deployment, "default", "web", web, setup.pod_of(2000));
  setup.kube.workloads[id].startup.container = Distribution::constant(container_start);
  PodDisruptionBudget budget;
  budget.meta.name = "web";
  budget.selector = LabelSelector{{{"app", SelectorOperator::In, {"web"}}}};
  budget.max_unavailable = IntOrPercent{1, false};
  setup.builder.add_budget(budget);
  return setup;
}

TEST_CASE("an eviction that the budget refuses is tried again", "[cluster-autoscaler]") {
  AutoscaledRun run(budgeted(15));
  double tainted = 0;
  for (double t = 600; tainted == 0 && t < 1000; t += 10) {
    run.run_until(at(t));
    if (run.cluster().state.node_conditions[0].any_of(kNodeToBeDeleted)) tainted = t;
  }
  REQUIRE(tainted > 0);
  run.run_until(at(tainted + 5));
  CHECK(run.statistics().evicted == 1);
  run.run_until(at(tainted + 24));
  CHECK(run.statistics().evicted == 1);
  // The replacement is ready 15 s after the first eviction; attempts come every ten.
  run.run_until(at(tainted + 25));
  CHECK(run.statistics().evicted == 2);
  run.run_until(at(tainted + 55));
  CHECK_FALSE(run.present(kNode0));
}

TEST_CASE("a drain that takes too long is given up", "[cluster-autoscaler]") {
  AutoscaledRun run(budgeted(200));
  run.run_until(at(2000));
  REQUIRE(run.recorder.times("ScaleDownFailed").size() >= 2);
  double tainted = run.recorder.times("ScaleDown")[0], failed = run.recorder.times("ScaleDownFailed")[0];
  CHECK(failed == tainted + 5 + 120);
  const Texts told = run.recorder.all("ScaleDownFailed");
  CHECK(told[0].ends_with(": failed to delete pod for ScaleDown"));
  CHECK(told[1].find(
            "Node default/pool-0: failed to drain and delete node: Failed to drain node /pool-0, due to following "
            "errors: [failed to evict pod default/web-v1-") != std::string::npos);
  CHECK(told[1].ends_with(
      "within allowed timeout (last error: Cannot evict pod as it would violate the pod's disruption budget.)]"));
}

TEST_CASE("after a failed drain the node takes pods again", "[cluster-autoscaler]") {
  AutoscaledRun run(budgeted(200));
  while (run.recorder.times("ScaleDownFailed").empty() && run.engine().now() < at(2000))
    run.run_until(run.engine().now() + 1_s);
  REQUIRE_FALSE(run.recorder.times("ScaleDownFailed").empty());
  CHECK_FALSE(run.cluster().state.node_conditions[0].any_of(kNodeToBeDeleted | kNodeCordoned));
  CHECK(run.state().cluster_autoscaler.deletions.empty());
}

TEST_CASE("a node that is not ready goes after its own time", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 1, 1});
  setup.lose(kNode0, 10, 100'000_s);
  AutoscaledRun run(setup);
  run.run_until(at(1219));
  CHECK(run.present(kNode0));
  CHECK(run.node(kNode0).reason == Unremovable::NotUnreadyLongEnough);
  run.run_until(at(1225));
  CHECK_FALSE(run.present(kNode0));
}

TEST_CASE("with too many nodes down it stands still", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 5, 5});
  for (size_t n = 0; n < 4; ++n) setup.lose(NodeId(n), 10, 100'000_s);
  AutoscaledRun run(setup);
  run.run_until(at(2000));
  CHECK(run.present() == 5);
  REQUIRE_FALSE(run.recorder.all("ClusterUnhealthy").empty());
  CHECK(run.recorder.all("ClusterUnhealthy")[0].ends_with("cluster-autoscaler-status: Cluster is unhealthy"));
}

TEST_CASE("a node that left comes back when it is needed again", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.autoscaler().delay_after_add = {};
  setup.add_group("pool", {0, 1, 1});
  WorkloadId web = setup.add("web", 0, setup.pod());
  AutoscaledRun run(setup);
  run.run_until(at(700));
  REQUIRE(run.present() == 0);
  run.kube().scale(web, 1, "test");
  run.run_until(at(760));
  CHECK(run.present(kNode0));
  CHECK(run.bound() == 1);
}

// --- the loop

TEST_CASE("where nothing can change, nothing is looked at", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.add_group("pool", {0, 2, 1});
  setup.add("web", 1, setup.pod(6000));
  AutoscaledRun run(setup);
  run.run_until(at(100'000));
  CHECK(run.state().cluster_autoscaler.last_scan == at(10));
  CHECK(run.node(kNode0).reason == Unremovable::NotUnderutilized);
}

TEST_CASE("a copy goes on as the original does", "[cluster-autoscaler]") {
  ShrinkingSetup setup;
  setup.autoscaler().expanders = {Expanding::Random};
  for (const char* name : {"a", "b", "c"}) setup.add_group(name, {0, 4, 0}).provision = Distribution::uniform(20, 200);
  WorkloadId web = setup.add("web", 6, setup.pod(3000));
  AutoscaledRun run(setup);
  run.run_until(at(35));
  KubeRun copy(run);
  for (KubeRun* r : {static_cast<KubeRun*>(&run), &copy}) {
    r->run_until(at(300));
    r->kube().scale(web, 1, "test");
    r->run_until(at(3000));
  }
  CHECK(run.engine().signature() == copy.engine().signature());
  CHECK(run.cluster().state.node_present == copy.cluster().state.node_present);
}

// --- expanders

struct ExpanderTable {
  ExpanderTable() {
    auto add = [&](const std::string& name, int64_t milli_cpu, int64_t gigabytes, double price, int32_t priority) {
      Node node;
      node.meta.name = name;
      node.capacity = node.allocatable = {{"cpu", milli_cpu}, {"memory", gigabytes * kGigabyte}, {"pods", 110}};
      NodeGroup group;
      group.name = name;
      group.nodes = {builder.add_node(node)};
      group.price = price;
      group.priority = priority;
      model.groups.push_back(std::move(group));
    };
    add("small", 2000, 8, 1, 0);
    add("large", 8000, 32, 3, 5);
    add("dear", 8000, 32, 9, 5);
    PodSpec spec;
    spec.containers = {container(1500)};
    spec.containers[0].requests.push_back({"memory", 6 * kGigabyte});
    pod = builder.add_template("default", {{}, {}, spec, {}}, nullptr, "v1");
    cluster = std::move(builder).build();
  }
  // For so many pods: what each group would take.
  std::vector<ExpansionOption> options(std::vector<std::pair<int32_t, size_t>> nodes_and_pods) const {
    std::vector<ExpansionOption> out;
    for (size_t g = 0; g < nodes_and_pods.size(); ++g)
      out.push_back({g, nodes_and_pods[g].first, std::vector<TemplateId>(nodes_and_pods[g].second, pod)});
    return out;
  }
  size_t best(std::vector<Expanding> chain, const std::vector<ExpansionOption>& options, uint64_t seed = 1) {
    model.expanders = std::move(chain);
    Stream stream(seed, 0, Purpose::ClusterAutoscaling);
    return Expander(model, cluster, 10).best_option(options, stream);
  }

  ClusterBuilder builder{std::vector<GpuModel>{}};
  ClusterModel cluster;
  ClusterAutoscalerModel model;
  TemplateId pod;
};

TEST_CASE("expanders choose as they are named", "[cluster-autoscaler]") {
  ExpanderTable table;
  // Five pods: one on each small node, all on one large one.
  std::vector<ExpansionOption> all = table.options({{5, 5}, {1, 5}, {1, 5}});
  std::vector<ExpansionOption> two = table.options({{2, 2}, {1, 2}});
  CHECK(table.best({Expanding::LeastWaste}, two) == 0);
  CHECK(table.best({Expanding::LeastWaste}, table.options({{5, 5}, {1, 5}})) == 1);
  CHECK(table.best({Expanding::LeastNodes}, two) == 1);
  CHECK(table.best({Expanding::MostPods}, table.options({{2, 2}, {1, 5}})) == 1);
  CHECK(table.best({Expanding::Price}, table.options({{5, 5}, {1, 5}})) == 1);
  CHECK(table.best({Expanding::Price}, table.options({{1, 1}, {1, 1}})) == 0);
  CHECK(table.best({Expanding::Priority, Expanding::Price}, all) == 1);
  CHECK(table.best({Expanding::LeastNodes, Expanding::MostPods, Expanding::Price}, all) == 1);
}

TEST_CASE("what a chain leaves is drawn from", "[cluster-autoscaler]") {
  ExpanderTable table;
  std::vector<ExpansionOption> all = table.options({{5, 5}, {1, 5}, {1, 5}});
  std::vector<int> chosen(3, 0), random(3, 0);
  for (uint64_t seed = 0; seed < 300; ++seed) {
    ++chosen[table.best({Expanding::LeastNodes}, all, seed)];
    ++random[table.best({Expanding::Random}, all, seed)];
  }
  CHECK(chosen[0] == 0);
  CHECK(chosen[1] > 100);
  CHECK(chosen[2] > 100);
  CHECK(*std::min_element(random.begin(), random.end()) > 60);
}

}  // namespace
}  // namespace kisim::test

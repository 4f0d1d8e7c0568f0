#pragma once
// A cluster of a few nodes with a scheduler, driven by hand.

#include "kube/scheduler.hpp"

#include <string>
#include <utility>
#include <vector>

namespace kisim::test {

inline constexpr int64_t kMiB = 1ll << 20;

inline Node make_node(const std::string& name, ResourceList allocatable, Labels labels = {}) {
  Node n;
  n.meta.name = name;
  n.meta.labels = std::move(labels);
  allocatable.push_back({"pods", 110});
  n.capacity = n.allocatable = std::move(allocatable);
  return n;
}

// One container with these requests.
inline PodSpec make_pod(ResourceList requests, int32_t priority = 0) {
  PodSpec spec;
  spec.containers.push_back({"server", "server:1", std::move(requests), {}, {}});
  spec.priority = priority;
  return spec;
}

inline SchedulerConfig default_config(int kubernetes_minor = 36) {
  SchedulerConfig config;
  config.kubernetes_minor = kubernetes_minor;
  config.gates = FeatureGates(kubernetes_minor);
  return config;
}

// What a fixture is made of. Workload i stamps out pods of workloads[i].
struct Objects {
  struct Workload {
    PodTemplate pods;
    std::string namespace_ = "default";
    std::optional<LabelSelector> owner;  // selector of the controller
  };
  std::vector<Node> nodes;
  std::vector<Workload> workloads;
  std::vector<Namespace> namespaces;
  std::vector<Service> services;
  std::vector<PodDisruptionBudget> budgets;
};

inline Objects make_objects(std::vector<Node> nodes, const std::vector<PodSpec>& specs) {
  Objects out;
  out.nodes = std::move(nodes);
  for (const PodSpec& spec : specs) out.workloads.push_back({{{}, {}, spec}, "default", {}});
  return out;
}

inline ClusterModel make_model(const Objects& objects) {
  ClusterBuilder builder({});
  for (const Node& node : objects.nodes) builder.add_node(node);
  for (const Namespace& object : objects.namespaces) builder.add_namespace(object);
  for (const Service& object : objects.services) builder.add_service(object);
  for (size_t i = 0; i < objects.workloads.size(); ++i) {
    const Objects::Workload& from = objects.workloads[i];
    WorkloadModel workload;
    workload.kind = WorkloadModel::Kind::ReplicaSet;
    workload.namespace_ = from.namespace_;
    workload.name = "w" + std::to_string(i);
    workload.pod_template = builder.add_template(from.namespace_, from.pods, from.owner ? &*from.owner : nullptr);
    builder.add_workload(std::move(workload));
  }
  for (const PodDisruptionBudget& budget : objects.budgets) builder.add_budget(budget);
  return std::move(builder).build();
}

class SchedulerFixture {
 public:
  SchedulerFixture(const std::vector<Node>& nodes, const std::vector<PodSpec>& specs,
                   const SchedulerConfig& config = default_config())
      : SchedulerFixture(make_objects(nodes, specs), config) {}
  explicit SchedulerFixture(const Objects& objects, const SchedulerConfig& config = default_config())
      : model(make_model(objects)),
        cluster(model, cluster_state),
        scheduler_model(compile_scheduler(model, config)),
        scheduler(scheduler_model, state, cluster, engine),
        cache(model, scheduler_model.counters, state.snapshot) {
    cluster.start();
    scheduler.start();
  }
  SchedulerFixture(const SchedulerFixture&) = delete;

  // Known to the scheduler, but not in its queue.
  PodId create(size_t workload) {
    PodId pod =
        cluster.create_pod(WorkloadId(workload), model.workloads[WorkloadId(workload)].pod_template, engine.now());
    cache.know_pod(pod, cluster_state.pods[pod].pod_template, cluster.pod_entity(pod));
    return pod;
  }
  PodId add(size_t workload) {
    PodId pod = create(workload);
    scheduler.pod_added(pod);
    return pod;
  }
  // Already running on the node.
  PodId place(size_t workload, size_t node) {
    PodId pod = create(workload);
    scheduler.assign(pod, NodeId(node));
    return pod;
  }
  void remove(PodId pod) {
    cluster.remove(pod, engine.now());
    scheduler.pod_removed(pod);
  }
  void set_ready(size_t node, bool ready) {
    cluster_state.node_conditions[node].set(kNodeNotReady, !ready);
    scheduler.node_changed(NodeId(node));
  }
  // Handles every event up to `seconds` and moves the clock there.
  void run_to(double seconds) {
    Time until = Time{} + Duration::seconds(seconds);
    for (Event event; engine.pop(until, event);) scheduler.on_event(event);
    engine.advance_to(until);
  }
  std::string node_of(PodId pod) const {
    NodeId node = cluster_state.pods[pod].node;
    return node.valid() ? model.nodes[node].object.meta.name : "";
  }
  QueuedPod::Place place_of(PodId pod) const {
    return pod.value < state.queue.pods.size() ? state.queue.pods[pod].place : QueuedPod::Place::None;
  }
  uint64_t decisions(const std::string& reason) const {
    for (size_t r = 0; r < scheduler_model.reasons.size(); ++r)
      if (scheduler_model.reasons[r] == reason) return state.decisions[r];
    return 0;
  }
  size_t plugin(const std::string& name) const {
    const auto& plugins = scheduler_model.profiles.front().plugins;
    for (size_t p = 0; p < plugins.size(); ++p)
      if (plugins[p].name == name) return p;
    throw std::invalid_argument("no plugin " + name);
  }

  ClusterModel model;
  ClusterState cluster_state;
  Cluster cluster;
  Engine engine;
  SchedulerModel scheduler_model;
  SchedulerState state;
  Scheduler scheduler;
  SchedulerCache cache;  // the scheduler's, to be driven by hand
};

// One cycle over a fixture that changes nothing: what each plugin says about each node.
class CycleProbe {
 public:
  CycleProbe(SchedulerFixture& fixture, PodId pod, uint32_t start = 0)
      : fixture_(fixture),
        cycle(fixture.scheduler_model, fixture.model, fixture.cache, fixture.state.memory),
        code(cycle.run(pod, start)) {}

 private:
  SchedulerFixture& fixture_;

 public:
  SchedulingCycle cycle;
  StatusCode code;

  // The weighted scores of a plugin for the feasible nodes, in visiting order.
  std::vector<int64_t> scores(const std::string& plugin) const {
    auto found = cycle.scores(fixture_.plugin(plugin));
    return {found.begin(), found.end()};
  }
  std::vector<int64_t> totals() const { return {cycle.totals().begin(), cycle.totals().end()}; }
  std::vector<std::string> feasible() const {
    std::vector<std::string> names;
    for (NodeId n : cycle.feasible()) names.push_back(fixture_.model.nodes[n].object.meta.name);
    return names;
  }
  // "Plugin Code" of the first plugin that rejected the node; empty if none did.
  std::string verdict(size_t node) const {
    const NodeVerdict& v = cycle.verdict(NodeId(node));
    if (v.code == StatusCode::Success) return "";
    const char* name = v.code == StatusCode::Unschedulable ? " Unschedulable" : " UnschedulableAndUnresolvable";
    return (v.narrowed ? "PreFilterResult" : fixture_.scheduler_model.profiles.front().plugins[v.plugin].name) + name;
  }
};

}  // namespace kisim::test

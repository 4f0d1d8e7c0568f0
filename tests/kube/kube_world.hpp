#pragma once
// A small cluster with its control plane and batch servers, for tests of sim/kube.

#include "core/hash.hpp"
#include "kube/kube.hpp"

#include <memory>
#include <string>
#include <vector>

namespace kisim::test {

constexpr int64_t kGigabyte = 1'000'000'000;

inline Time at(double seconds) { return Time{} + Duration::seconds(seconds); }

struct FirstEndpoint : Router {
  uint32_t pick(const Endpoints&, RouterMemory&, Stream&) const override { return 0; }
};

inline Container container(int64_t milli_cpu) {
  Container c;
  c.name = c.image = "server";
  c.requests = {{"cpu", milli_cpu}};
  return c;
}

// The constant half: fill in, then hand to KubeRun.
struct KubeSetup {
  ClusterBuilder builder{std::vector<GpuModel>{}};
  size_t nodes = 0;
  ServingModel serving;
  KubeModel kube;

  NodeId add_node(const std::string& name, int64_t milli_cpu = 8000, std::vector<ContainerImage> images = {}) {
    Node node;
    node.meta.name = name;
    node.allocatable = {{"cpu", milli_cpu}, {"memory", 64 * kGigabyte}, {"pods", 110}};
    node.images = std::move(images);
    node.meta.labels = {{"kubernetes.io/hostname", name}};
    builder.add_node(node);
    return NodeId(nodes++);
  }

  NodeId add_gpu_node(const std::string& name, int64_t count, Labels labels = {}) {
    Node node;
    node.meta.name = name;
    node.meta.labels = std::move(labels);
    node.allocatable = {{"cpu", 8000}, {"memory", 64 * kGigabyte}, {"nvidia.com/gpu", count}, {"pods", 110}};
    builder.add_node(node);
    return NodeId(nodes++);
  }

  PodSpec pod(int64_t milli_cpu = 1000) const {
    PodSpec spec;
    spec.containers = {container(milli_cpu)};
    return spec;
  }

  PodSpec gpu_pod(const std::string& resource = "nvidia.com/gpu") const {
    PodSpec spec = pod();
    spec.containers[0].requests.push_back({resource, 1});
    return spec;
  }

  // A batch server of one request at a time that takes `seconds`, behind a Service of its own.
  WorkloadId add_server(const std::string& name, int32_t replicas, const PodSpec& spec, double seconds = 1) {
    ServingModelModel server;
    server.name = name;
    server.batch.models[0].laws[0].base = Distribution::constant(seconds);
    ServiceModel service{"default", name, std::make_shared<FirstEndpoint>(), hash_text("Service/" + name)};
    ClientModel client;
    client.name = name;
    client.service = serving.services.push_back(service);
    serving.clients.push_back(client);
    WorkloadId id = add(name, replicas, spec, serving.models.push_back(server));
    kube.workloads[id].service = client.service;
    return id;
  }

  // A Deployment.
  WorkloadId add(const std::string& name, int32_t replicas, const PodSpec& spec, ServingModelId model = {}) {
    Deployment object;
    object.replicas = replicas;
    return add_object(name, object, spec, model);
  }
  // Any kind of workload. Its pods are labelled app=<name>.
  template <class Object>
  WorkloadId add_object(const std::string& name, Object object, const PodSpec& spec, ServingModelId model = {}) {
    object.meta.name = name;
    using Kind = WorkloadModel::Kind;
    constexpr Kind kKind = std::is_same_v<Object, Deployment>    ? Kind::Deployment
                           : std::is_same_v<Object, ReplicaSet>  ? Kind::ReplicaSet
                           : std::is_same_v<Object, StatefulSet> ? Kind::StatefulSet
                           : std::is_same_v<Object, DaemonSet>   ? Kind::DaemonSet
                           : std::is_same_v<Object, Job>         ? Kind::Job
                                                                 : Kind::Pod;
    PodTemplate pods{{{"app", name}}, {}, spec, {}};
    if constexpr (std::is_same_v<Object, DaemonSet>)
      for (Toleration& t : daemon_tolerations()) pods.spec.tolerations.push_back(std::move(t));
    TemplateId pod_template = builder.add_template("default", pods, nullptr, "v1");
    builder.add_workload({kKind, "default", name, pod_template, 1, model});
    KubeWorkload workload;
    workload.spec = add_spec(object, pod_template);
    return kube.workloads.push_back(workload);
  }
  template <class Object>
  SpecId add_spec(const Object& object, TemplateId pod_template) {
    std::optional<int32_t> replicas;
    if constexpr (requires { object.replicas; }) replicas = object.replicas;
    return kube.specs.push_back({object, pod_template, replicas});
  }
  // Another revision of a workload's pods, and its spec with them.
  template <class Object>
  SpecId revise(WorkloadId id, Object object, const PodSpec& spec, const std::string& name,
                const std::string& hash = "v2") {
    object.meta.name = name;
    TemplateId pod_template = builder.add_template("default", {{{"app", name}}, {}, spec, {}}, nullptr, hash);
    builder.set_workload(pod_template, id);
    return add_spec(object, pod_template);
  }
  // What scales the workload; the first call adds it.
  AutoscalerBinding& autoscaler(WorkloadId id) {
    for (AutoscalerBinding& known : kube.autoscalers)
      if (known.workload == id) return known;
    AutoscalerBinding& added = kube.autoscalers[kube.autoscalers.push_back({})];
    added.workload = id;
    return added;
  }
  void apply(double seconds, WorkloadId id, SpecId spec) {
    Action action;
    action.at = at(seconds);
    action.workload = id;
    action.spec = spec;
    kube.actions.push_back(action);
  }
  void lose(NodeId node, double seconds, Duration for_) {
    Fault fault;
    fault.nodes = {node};
    fault.at = Distribution::constant(seconds);
    fault.for_ = Distribution::constant(for_.to_seconds());
    fault.entity = kube.faults.size();
    kube.faults.push_back(fault);
  }
};

// Everything that changes, as the World keeps it.
struct KubeRunState {
  Engine engine;
  ClusterState cluster;
  ServingState serving;
  KubeState kube;
};

class KubeRun {
 public:
  explicit KubeRun(KubeSetup setup) : models_(compile(std::move(setup))) {
    make_rooms();
    cluster().start();
    serving().start();
    kube().start();
  }
  // A copy that continues on its own.
  KubeRun(const KubeRun& other) : models_(other.models_), state_(std::make_unique<KubeRunState>(*other.state_)) {
    make_rooms();
  }

  void run_until(Time end) {
    Event event;
    while (state_->engine.pop(end, event)) {
      if (event_room(event.kind) == Room::Kube) {
        kube().on_event(event);
        kube_events += event_code(event.kind) < Kube::kSchedulerCodes;
      } else {
        serving().on_event(event);
      }
    }
    state_->engine.advance_to(end);
  }
  void submit(uint32_t source = 0) { serving().submit({.source = source, .ordinal = submitted_++}); }

  Engine& engine() { return state_->engine; }
  Cluster& cluster() { return rooms_->cluster; }
  KubeState& state() { return state_->kube; }
  size_t pods_in(PodPhase phase) {
    const auto& pods = state_->cluster.pods;
    size_t count = 0;
    for (size_t i = 0; i < pods.size(); ++i) count += pods[PodId(i)].phase == phase;
    return count;
  }
  Serving& serving() { return rooms_->serving; }
  Kube& kube() { return rooms_->kube; }
  KubeStatistics& statistics() { return state_->kube.statistics; }
  PodState& pod(uint32_t i) { return state_->cluster.pods[PodId(i)]; }
  ClientState& client(uint32_t i = 0) { return state_->serving.clients[i]; }
  uint64_t decided(const std::string& reason) {
    auto counts = kube().decisions();
    return counts.count(reason) ? counts[reason] : 0;
  }

  uint64_t kube_events = 0;  // without the scheduler's

 private:
  struct Models {
    ClusterModel cluster;
    ServingModel serving;
    KubeModel kube;
  };
  struct Rooms {
    Rooms(const Models& m, KubeRunState& s)
        : cluster(m.cluster, s.cluster),
          serving(m.serving, s.serving, cluster, s.engine),
          kube(m.kube, s.kube, cluster, serving, s.engine) {}
    Cluster cluster;
    Serving serving;
    Kube kube;
  };

  static std::shared_ptr<const Models> compile(KubeSetup setup) {
    auto models = std::make_shared<Models>();
    models->cluster = std::move(setup.builder).build();
    models->serving = std::move(setup.serving);
    models->kube = std::move(setup.kube);
    models->kube.scheduler = compile_scheduler(models->cluster, SchedulerConfig{});
    return models;
  }
  void make_rooms() { rooms_ = std::make_unique<Rooms>(*models_, *state_); }

  std::shared_ptr<const Models> models_;
  std::unique_ptr<KubeRunState> state_ = std::make_unique<KubeRunState>();
  std::unique_ptr<Rooms> rooms_;
  uint64_t submitted_ = 0;
};

}  // namespace kisim::test

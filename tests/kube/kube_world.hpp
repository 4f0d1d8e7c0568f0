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
    builder.add_node(node);
    return NodeId(nodes++);
  }

  PodSpec pod(int64_t milli_cpu = 1000) const {
    PodSpec spec;
    spec.containers = {container(milli_cpu)};
    return spec;
  }

  // A batch server of one request at a time that takes `seconds`, behind a Service of its own.
  WorkloadId add_server(const std::string& name, int32_t replicas, const PodSpec& spec, double seconds = 1) {
    ServingModelModel server;
    server.name = name;
    server.batch.base = Distribution::constant(seconds);
    server.batch.per_item = Distribution::constant(0);
    ServiceModel service{"default", name, std::make_shared<FirstEndpoint>(), hash_text("Service/" + name)};
    ClientModel client;
    client.name = name;
    client.service = serving.services.push_back(service);
    serving.clients.push_back(client);
    WorkloadId id = add(name, replicas, spec, serving.models.push_back(server));
    kube.workloads[id].service = client.service;
    return id;
  }

  WorkloadId add(const std::string& name, int32_t replicas, const PodSpec& spec, ServingModelId model = {},
                 WorkloadModel::Kind kind = WorkloadModel::Kind::Deployment) {
    TemplateId pod_template = builder.add_template("default", {{}, {}, spec});
    builder.add_workload({kind, "default", name, pod_template, replicas, model});
    KubeWorkload workload;
    workload.startup.image = spec.containers[0].image;
    return kube.workloads.push_back(workload);
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

#include "serving/serving_rig.hpp"

#include "core/hash.hpp"

#include <algorithm>
#include <string>

namespace kisim {

namespace {

class OnlyEndpoint final : public Router {
 public:
  uint32_t pick(const Endpoints&, RouterMemory&, Stream&) const override { return 0; }
};

ServingModel serving_of(const ServingRigModel& rig) {
  ServingModel m;
  m.seed = rig.seed;
  m.warmup_end = rig.warmup_end;
  m.models.push_back(rig.server);
  ServiceModel service{"default", rig.server.name, rig.router, hash_text("Service/default/" + rig.server.name)};
  if (!service.router) service.router = std::make_shared<OnlyEndpoint>();
  ServiceId id = m.services.push_back(std::move(service));
  m.clients = rig.clients;
  for (ClientModel& client : m.clients) client.service = id;
  m.interference[static_cast<size_t>(GpuSharing::Fraction)] = rig.interference;
  return m;
}

}  // namespace

// A node per GPU. A pod asks for a whole one or for thousandths, where there are several replicas or shares.
ClusterModel ServingRig::cluster_of(const ServingRigModel& rig) const {
  ClusterBuilder builder({});
  Node node;
  node.allocatable = {{"cpu", 1'000'000}, {"memory", 1ll << 50}, {"nvidia.com/gpu", 1}, {"pods", 1'000'000}};
  node.capacity = node.allocatable;
  for (int32_t n = 0; n * per_node_ < rig.replicas; ++n) {
    node.meta.name = "node-" + std::to_string(n);
    builder.add_node(node);
  }
  PodTemplate pods;
  Container container;
  container.name = "server";
  if (rig.gpu_milli == 0) container.requests = {{"nvidia.com/gpu", 1}};
  pods.spec.containers = {container};
  if (rig.gpu_milli > 0)
    pods.annotations = {{"alibabacloud.com/gpu-count", "1"},
                        {"alibabacloud.com/gpu-milli", std::to_string(rig.gpu_milli)}};
  WorkloadModel workload;
  workload.namespace_ = "default";
  workload.name = rig.server.name;
  workload.pod_template = builder.add_template("default", pods);
  workload.replicas = rig.replicas;
  workload.serving = ServingModelId(0u);
  builder.add_workload(workload);
  return std::move(builder).build();
}

ServingRig::ServingRig(ServingRigModel model)
    : per_node_(model.gpu_milli > 0 ? 1000 / model.gpu_milli : 1),
      serving_model_(serving_of(model)),
      traffic_model_(std::move(model.traffic)),
      cluster_model_(cluster_of(model)),
      cluster_(cluster_model_, cluster_state_),
      serving_(serving_model_, serving_state_, cluster_, engine_),
      traffic_(traffic_model_, traffic_state_, engine_) {
  cluster_.start();
  serving_.start();
  for (int32_t r = 0; r < model.replicas; ++r) {
    pods_.push_back(place(r));
    replicas_.push_back(add_replica());
  }
  traffic_.start();
}

PodId ServingRig::place(int32_t replica) {
  WorkloadId workload(0u);
  PodId pod = cluster_.create_pod(workload, cluster_model_.workloads[workload].pod_template, engine_.now());
  uint16_t device = 0;
  cluster_.bind(pod, NodeId(static_cast<size_t>(replica / per_node_)), engine_.now(), {&device, 1});
  return pod;
}

ReplicaId ServingRig::add_replica() {
  return serving_.add_replica(ServingModelId(0u), ServiceId(0u), pods_[replicas_.size()]);
}

bool ServingRig::step(Time until) {
  Event event;
  if (!engine_.pop(until, event)) return false;
  if (event_room(event.kind) == Room::Serving) {
    serving_.on_event(event);
  } else if (auto arrival = traffic_.on_event(event)) {
    serving_.submit(*arrival);
  }
  for (const Completion& c : serving_state_.completions) traffic_.completed(c);
  serving_state_.completions.clear();
  return true;
}

namespace {

// The latencies of requests after the first `warmup`.
class Latencies final : public RequestSink {
 public:
  explicit Latencies(const ClosedLoop& loop) : loop_(loop) { seconds.reserve(loop.completions); }
  void record(const RequestRecord& r) override {
    if (++seen_ <= loop_.warmup || done()) return;
    seconds.push_back(r.e2e_s);
  }
  bool done() const { return seconds.size() == loop_.completions; }
  bool warm() const { return seen_ >= loop_.warmup; }

  std::vector<double> seconds;

 private:
  const ClosedLoop& loop_;
  uint64_t seen_ = 0;
};

}  // namespace

ClosedLoopResult simulate_closed_loop(const BatchServerModel& server, const ClosedLoop& loop) {
  ServingRigModel rig;
  rig.server.name = "server";
  rig.server.batch = server;
  rig.server.batch.seed = rig.seed = rig.traffic.seed = loop.seed;
  ClientModel client;
  client.name = "clients";
  client.entity = hash_text("Traffic/clients");
  client.closed_loop = true;
  client.process = true;
  TaskModel& task = client.tasks.front();
  task.samples = loop.samples;
  task.send = loop.host_in;
  task.receive = loop.host_out;
  task.send_turns = task.receive_turns = 1;
  rig.clients = {client};
  SourceModel source;
  source.name = client.name;
  source.entity = client.entity;
  source.pattern = SourceModel::Pattern::Users;
  source.users = loop.clients;
  rig.traffic.sources = {source};

  ServingRig world(std::move(rig));
  Latencies latencies(loop);
  world.serving().sink = &latencies;
  Time begin;
  while (!latencies.done()) {
    bool warm = latencies.warm();
    if (!world.step(Time::max())) break;
    if (!warm) begin = world.engine().now();
  }
  ClosedLoopResult result;
  std::vector<double>& all = latencies.seconds;
  double span = (world.engine().now() - begin).to_seconds();
  if (all.empty() || !(span > 0)) return result;
  result.samples_per_s = static_cast<double>(all.size()) * loop.samples / span;
  for (double s : all) result.mean_s += s / static_cast<double>(all.size());
  size_t rank = std::max<size_t>(1, static_cast<size_t>(std::ceil(0.95 * static_cast<double>(all.size())))) - 1;
  std::nth_element(all.begin(), all.begin() + static_cast<ptrdiff_t>(rank), all.end());
  result.p95_s = all[rank];
  return result;
}

}  // namespace kisim

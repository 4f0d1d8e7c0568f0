#include "calibration/batch_rig.hpp"

#include "core/hash.hpp"

#include <utility>

namespace kisim {

namespace {

class OnlyReplica : public Router {
 public:
  uint32_t pick(const Endpoints&, RouterMemory&, Stream&) const override { return 0; }
};

class Answers : public RequestSink {
 public:
  std::vector<AnsweredRequest> all;
  void record(const RequestRecord& record) override {
    if (record.outcome == Outcome::Completed) all.push_back({record.arrival_s + record.e2e_s, record.e2e_s});
  }
};

ClusterModel one_pod() {
  ClusterBuilder builder({});
  Node node;
  node.meta.name = "bench";
  node.allocatable = {{"pods", 1}};
  builder.add_node(node);
  WorkloadModel workload;
  workload.pod_template = builder.add_template("default", {});
  builder.set_workload(workload.pod_template, builder.add_workload(workload));
  return std::move(builder).build();
}

ServingModel serving_model(BatchRig& rig) {
  ServingModel out;
  out.seed = rig.seed;
  rig.server.seed = rig.seed;
  ServingModelModel server;
  server.batch = std::move(rig.server);
  ServiceModel service;
  service.router = std::make_shared<OnlyReplica>();
  out.models.push_back(std::move(server));
  out.services.push_back(std::move(service));
  rig.client.service = ServiceId(0);
  rig.client.closed_loop = true;
  out.clients.push_back(std::move(rig.client));
  return out;
}

}  // namespace

std::vector<AnsweredRequest> run_rig(BatchRig rig, Time until, size_t answers) {
  rig.client.entity = rig.source.entity = hash_text("Traffic/bench");
  const ServingModel serving_model_ = serving_model(rig);
  const TrafficModel traffic_model{{std::move(rig.source)}, rig.seed};
  const ClusterModel cluster_model = one_pod();

  ClusterState cluster_state;
  ServingState serving_state;
  TrafficState traffic_state;
  Engine engine;
  Cluster cluster(cluster_model, cluster_state);
  Serving serving(serving_model_, serving_state, cluster, engine);
  Traffic traffic(traffic_model, traffic_state, engine);
  Answers sink;
  serving.sink = &sink;

  cluster.start();
  serving.start();
  const PodId pod = cluster.create_pod(WorkloadId(0), TemplateId(0), Time{});
  cluster.bind(pod, NodeId(0), Time{});
  serving.add_replica(ServingModelId(0), ServiceId(0), pod);
  traffic.start();

  for (Event event; sink.all.size() < answers && engine.pop(until, event);) {
    if (event_room(event.kind) == Room::Serving)
      serving.on_event(event);
    else if (std::optional<Arrival> arrival = traffic.on_event(event))
      serving.submit(*arrival);
    for (const Completion& c : serving_state.completions) traffic.completed(c.source, c.user);
    serving_state.completions.clear();
  }
  return std::move(sink.all);
}

ClosedLoopFigures simulate_closed_loop(const ClosedLoopServer& server, int32_t clients, size_t requests) {
  BatchRig rig;
  BatchModel& model = rig.server.models[0];
  model.max_batch_size = server.max_batch_size;
  model.instances = server.instances;
  model.prefetched = server.prefetched;
  model.laws[0].table = server.table;
  model.laws[0].factor = Distribution::uniform(0.97, 1.03);
  rig.server.overlap = server.overlap;

  TaskModel& task = rig.client.tasks[0];
  task.samples = server.samples;
  task.send = task.receive = Distribution::uniform(0.25 * server.host, 0.75 * server.host);
  task.send_turns = task.receive_turns = 1;
  rig.client.process = true;
  rig.source.pattern = SourceModel::Pattern::Users;
  rig.source.users = clients;

  const size_t warmup = requests / 4;
  const std::vector<AnsweredRequest> answers = run_rig(std::move(rig), Time::max(), warmup + requests);
  std::vector<double> latencies;
  for (size_t i = warmup; i < answers.size(); ++i) latencies.push_back(answers[i].latency);
  const double seconds = answers.back().answered - answers[warmup - 1].answered;
  return {static_cast<double>(latencies.size() * static_cast<size_t>(server.samples)) / seconds, mean(latencies),
          quantile(latencies, 0.95)};
}

}  // namespace kisim

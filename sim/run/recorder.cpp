#include "run/recorder.hpp"

#include "run/world.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace kisim {

namespace {

int64_t to_ns(double seconds) { return static_cast<int64_t>(std::nearbyint(seconds * 1e9)); }

using SeriesLabels = std::vector<std::pair<std::string, std::string>>;

}  // namespace

void Recorder::record(const RequestRecord& r) {
  if (r.source >= intervals_.size()) intervals_.resize(r.source + 1);
  Interval& interval = intervals_[r.source];
  if (r.outcome == Outcome::Completed) {
    ++interval.completed;
    interval.e2e.add(to_ns(r.e2e_s));
    if (!std::isnan(r.ttft_s)) interval.ttft.add(to_ns(r.ttft_s));
    if (!std::isnan(r.tpot_s)) interval.tpot.add(to_ns(r.tpot_s));
  }
  if (mode_ == Record::All && rows_) rows_->record(r);
  if (mode_ != Record::Sample || r.entity > threshold_) return;
  requests.push_back(r);
  if (requests.size() <= kSampleRows) return;
  // Too many: keep the half with the smaller hashes. Which they are does not depend on the order of arrival.
  threshold_ /= 2;
  std::erase_if(requests, [&](const RequestRecord& kept) { return kept.entity > threshold_; });
}

void Recorder::point(const std::string& metric, const std::string& unit, const SeriesLabels& labels, Time at,
                     double value) {
  std::string key = metric;
  for (const auto& [name, text] : labels) key += '\n' + name + '=' + text;
  auto [it, added] = index_.try_emplace(key, series.size());
  if (added) series.push_back({metric, unit, labels, {}, {}});
  series[it->second].add(at, value);
}

void Recorder::sample(const World& world) {
  const Model& model = world.model();
  const State& state = world.state();
  Time now = world.now();
  double interval_s = (now - last_sample_).to_seconds();
  if (interval_s <= 0) return;
  last_sample_ = now;
  sample_traffic(world, interval_s);

  // serving, by service
  for (size_t i = 0; i < model.serving.services.size(); ++i) {
    ServiceId service{i};
    uint32_t waiting = state.serving.services[service].held.size, running = 0, replicas = 0;
    double kv = 0;
    uint64_t queries = 0, hits = 0;
    bool llm = false;
    auto add = [&](ReplicaId id) {
      ReplicaGauges g = world.replica_gauges(id);
      waiting += g.waiting;
      running += g.running;
      kv += g.kv_usage;
      queries += g.prefix_queries;
      hits += g.prefix_hits + g.tier_hits;
      llm |= model.serving.models[state.serving.replicas[id].model].llm;
      ++replicas;
    };
    for (ReplicaId id : state.serving.services[service].serving.endpoints) add(id);
    for (ReplicaId id : state.serving.services[service].prefill.endpoints) add(id);
    SeriesLabels labels{{"service", model.serving.services[service].name}};
    point("kisim_requests_waiting", "1", labels, now, waiting);
    point("kisim_requests_running", "1", labels, now, running);
    if (llm) point("kisim_kv_cache_usage", "1", labels, now, replicas > 0 ? kv / replicas : 0.0);
    if (llm)
      point("kisim_prefix_cache_hit_rate", "1", labels, now,
            queries > 0 ? static_cast<double>(hits) / static_cast<double>(queries) : 0.0);
  }

  // pods, by workload
  for (size_t i = 0; i < model.cluster.workloads.size(); ++i) {
    const WorkloadModel& workload = model.cluster.workloads[WorkloadId(i)];
    int ready = 0, starting = 0, pending = 0, terminating = 0;
    for (PodId id : state.cluster.workload_pods[i]) {
      switch (state.cluster.pods[id].phase) {
        case PodPhase::Ready:
          ++ready;
          break;
        case PodPhase::Pending:
          ++pending;
          break;
        case PodPhase::Terminating:
          ++terminating;
          break;
        case PodPhase::Succeeded:
        case PodPhase::Failed:
        case PodPhase::Gone:
          break;
        default:
          ++starting;
          break;
      }
    }
    std::string name = workload.full_name();
    point("kisim_replicas", "1", {{"workload", name}}, now, std::max(0, state.cluster.replicas[i]));
    point("kisim_replicas_ready", "1", {{"workload", name}}, now, ready);
    point("kisim_pods", "1", {{"phase", "starting"}, {"workload", name}}, now, starting);
    point("kisim_pods", "1", {{"phase", "pending"}, {"workload", name}}, now, pending);
    point("kisim_pods", "1", {{"phase", "terminating"}, {"workload", name}}, now, terminating);
  }

  // nodes
  int64_t present = state.kube.statistics.nodes.value(), nodes_ready = 0;
  for (size_t i = 0; i < state.cluster.node_present.size(); ++i)
    nodes_ready += state.cluster.node_present[i] && world.cluster().node_ready(NodeId(i));
  point("kisim_nodes", "1", {}, now, static_cast<double>(present));
  point("kisim_nodes_ready", "1", {}, now, static_cast<double>(nodes_ready));

  // what kube-state-metrics and the controllers export; series of single nodes, GPUs and pods only where all is wanted
  auto keep = [&](std::string_view metric, MetricLabels labels, double value) {
    if (mode_ != Record::All && metric.starts_with("kube_node")) return;
    SeriesLabels kept;
    for (const auto& [name, text] : labels)
      if (!text.empty()) kept.emplace_back(name, text);
    point(std::string(metric), "1", kept, now, value);
  };
  world.cluster_metrics().for_each_cluster_metric(now, keep);
  if (mode_ == Record::All) {
    world.cluster_metrics().for_each_pod_metric(now, keep);
    dcgm_.for_each_metric(world.cluster(), world.serving(), now, keep);
  }

  // GPUs
  if (!state.cluster.gpus.empty()) {
    int64_t allocated = 0;
    double busy = 0;
    busy_before_.resize(state.cluster.gpus.size());
    for (size_t i = 0; i < state.cluster.gpus.size(); ++i) {
      const GpuState& gpu = state.cluster.gpus[GpuId(i)];
      allocated += gpu.allocated.value();
      double integral = static_cast<double>(gpu.busy.integral(now) / (kWholeGpu / 1000)) * 1e-12;
      // The end of warm-up sets the integral back.
      busy += integral - (integral >= busy_before_[i] ? busy_before_[i] : 0.0);
      busy_before_[i] = integral;
    }
    point("kisim_gpu_allocated", "1", {}, now, static_cast<double>(allocated) / kWholeGpu);
    point("kisim_gpu_busy", "1", {}, now, busy / interval_s);
    if (world.energy_known()) {
      double energy = 0;
      for (size_t i = 0; i < state.cluster.gpus.size(); ++i)
        energy += static_cast<double>(world.cluster().energy(GpuId(i), now)) * 1e-12;
      point("kisim_gpu_power_watts", "W", {}, now, (energy - energy_before_) / interval_s);
      energy_before_ = energy;
    }
    if (model.accounts.priced) point("kisim_cost", "1", {}, now, world.accounts().cost);
    if (model.accounts.carbon_intensity) point("kisim_carbon_kg", "kg", {}, now, world.accounts().carbon_g * 1e-3);
  }
}

void Recorder::sample_traffic(const World& world, double interval_s) {
  const auto& clients = world.state().serving.clients;
  Time now = world.now();
  intervals_.resize(clients.size());
  arrived_before_.resize(clients.size());
  for (size_t i = 0; i < clients.size(); ++i) {
    const std::string& source = world.model().serving.clients[i].name;
    Interval& interval = intervals_[i];
    point("kisim_requests_arrived_per_second", "1/s", {{"source", source}}, now,
          static_cast<double>(clients[i].arrived - arrived_before_[i]) / interval_s);
    point("kisim_requests_completed_per_second", "1/s", {{"source", source}}, now,
          static_cast<double>(interval.completed) / interval_s);
    arrived_before_[i] = clients[i].arrived;
    auto quantiles = [&](const char* metric, const Histogram& h) {
      if (h.count() == 0) return;  // nothing completed: a gap, not a zero
      for (const char* q : {"0.5", "0.95", "0.99"})
        point(metric, "s", {{"quantile", q}, {"source", source}}, now,
              static_cast<double>(h.quantile(std::stod(q))) * 1e-9);
    };
    quantiles("kisim_e2e_seconds", interval.e2e);
    quantiles("kisim_ttft_seconds", interval.ttft);
    quantiles("kisim_tpot_seconds", interval.tpot);
    interval.completed = 0;
    interval.e2e.reset();
    interval.ttft.reset();
    interval.tpot.reset();
  }
}

void Recorder::finish(const World& world) {
  const Model& model = world.model();
  std::sort(series.begin(), series.end(), [](const Series& a, const Series& b) {
    return std::tie(a.metric, a.labels) < std::tie(b.metric, b.labels);
  });
  std::sort(requests.begin(), requests.end(), [](const RequestRecord& a, const RequestRecord& b) {
    return std::tie(a.arrival_s, a.source, a.ordinal) < std::tie(b.arrival_s, b.source, b.ordinal);
  });
  for (const ClientModel& client : model.serving.clients) sources.push_back(client.name);
  for (const Scaling& s : world.state().kube.statistics.scalings)
    scalings.push_back({s.at.to_seconds(), model.cluster.workloads[s.workload].full_name(), s.from, s.to, s.reason});

  constexpr double kNever = std::numeric_limits<double>::quiet_NaN();
  const auto& all = world.state().cluster.pods;
  for (size_t i = 0; i < all.size(); ++i) {
    const PodState& pod = all[PodId(i)];
    PodRecord r;
    r.name = world.pod_name(PodId(i));
    r.workload = model.cluster.workloads[pod.workload].full_name();
    r.node = pod.node.valid() ? model.cluster.nodes[pod.node].object.meta.name : "";
    r.phase = to_string(pod.phase);
    r.created = pod.created.to_seconds();
    r.scheduled = pod.node.valid() ? pod.scheduled.to_seconds() : kNever;
    r.started = pod.started != Time::max() ? pod.started.to_seconds() : kNever;
    r.ready = pod.first_ready != Time::max() ? pod.first_ready.to_seconds() : kNever;
    r.deleted = pod.phase == PodPhase::Gone ? pod.deleted.to_seconds() : kNever;
    pods.push_back(std::move(r));
  }
  finish_gpus(world);
  finish_starts(world);
}

void Recorder::finish_starts(const World& world) {
  for (const PodStart& start : world.state().kube.statistics.starts) {
    StartRecord r;
    r.pod = world.pod_name(start.pod);
    r.workload = world.model().cluster.workloads[world.state().cluster.pods[start.pod].workload].full_name();
    r.weights_from = to_string(start.weights_from);
    r.restarts = start.restarts;
    r.began = start.began[0].to_seconds();
    for (size_t p = 0; p < kStartPhases; ++p) r.seconds[p] = start.lasted(static_cast<StartPhase>(p)).to_seconds();
    starts.push_back(std::move(r));
  }
}

void Recorder::finish_gpus(const World& world) {
  const ClusterState& cluster = world.state().cluster;
  auto hours = [](__int128 integral) { return static_cast<double>(integral) / kGpuHour; };
  for (size_t i = 0; i < cluster.gpus.size(); ++i) {
    const GpuState& gpu = cluster.gpus[GpuId(i)];
    const NodeModel& node = world.model().cluster.nodes[gpu.node];
    GpuRecord r;
    r.node = node.object.meta.name;
    r.model = node.gpu_model.valid() ? world.model().cluster.gpu_models[node.gpu_model].name : "";
    r.index = static_cast<uint32_t>(i) - cluster.first_gpu[gpu.node.value];
    r.hours_allocated = hours(gpu.allocated.integral(world.now()));
    r.hours_busy = hours(gpu.busy.integral(world.now()));
    r.energy_kwh = world.cluster().power_law_of(GpuId(i))
                       ? static_cast<double>(gpu.power.integral(world.now())) / kKilowattHour
                       : std::numeric_limits<double>::quiet_NaN();
    gpus.push_back(std::move(r));
  }
}

}  // namespace kisim

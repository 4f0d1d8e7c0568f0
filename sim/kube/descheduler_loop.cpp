#include "kube/descheduler_loop.hpp"

#include "kube/control_plane.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "sigs.k8s.io/descheduler";
constexpr Duration kCollectPeriod = 5_s;
constexpr double kPastWeight = 0.9;  // of the exponentially weighted average

// The API keeps times in whole seconds.
Time api_time(Time t) { return {t.ns - t.ns % 1'000'000'000}; }

int64_t averaged(int64_t before, int64_t milli) {
  if (before == DeschedulerMetrics::kUnknown) return milli;
  double average = kPastWeight * static_cast<double>(before) + (1 - kPastWeight) * static_cast<double>(milli);
  return static_cast<int64_t>(std::floor(average));
}

}  // namespace

DeschedulerLoop::DeschedulerLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const Kubelet& kubelet,
                                 ApiServer& api, Engine& engine, Events events)
    : model_(model), state_(state), cluster_(cluster), kubelet_(kubelet), api_(api), engine_(engine), events_(events) {
  if (!model_.descheduler) return;
  descheduler_.emplace(*model_.descheduler->policy);
  for (const DeschedulerProfile& profile : descheduler_->policy().profiles)
    for (const std::vector<std::string>* names : {&profile.deschedule, &profile.balance})
      strategies_.insert(strategies_.end(), names->begin(), names->end());
}

void DeschedulerLoop::start() {
  if (!model_.descheduler) return;
  Time first = std::max(engine_.now(), model_.descheduler->at);
  if (collects()) engine_.schedule(first, Priority::Control, events_.collect, 0);
  engine_.schedule(first, Priority::Control, events_.cycle, 0);
}

// A metrics server that has nothing to say of any pod is none.
bool DeschedulerLoop::collects() const {
  if (!descheduler_->policy().kubernetes_metrics) return false;
  for (size_t w = 0; w < model_.workloads.size(); ++w)
    if (kubelet_.usage().has_usage(WorkloadId(w))) return true;
  return false;
}

void DeschedulerLoop::on_collect() {
  engine_.schedule(engine_.now() + kCollectPeriod, Priority::Control, events_.collect, 0);
  std::vector<int64_t>& usage = state_.descheduler_usage;
  usage.resize(cluster_.state.node_present.size() * 2, DeschedulerMetrics::kUnknown);
  for (size_t n = 0; n < cluster_.state.node_present.size(); ++n) {
    // Of a node that does not answer, what it had stays.
    if (!cluster_.state.node_present[n] || !state_.nodes[NodeId(n)].alive()) continue;
    int64_t milli_cpu = 0, memory = 0;
    for (PodId pod : cluster_.state.node_pods[n]) {
      milli_cpu += kubelet_.usage().cpu_milli(pod);
      memory += kubelet_.usage().memory_bytes(pod);
    }
    usage[2 * n] = averaged(usage[2 * n], milli_cpu);
    usage[2 * n + 1] = averaged(usage[2 * n + 1], memory * 1000);
  }
}

void DeschedulerLoop::on_cycle() {
  if (model_.descheduler->interval.ns > 0)
    engine_.schedule(engine_.now() + model_.descheduler->interval, Priority::Control, events_.cycle, 0);
  DeschedulerSnapshot seen = snapshot();
  DeschedulerView view(cluster_.model, seen);
  EvictPod evict_pod;
  if (!model_.descheduler->dry_run) evict_pod = [this](const DeschedulerEviction& wanted) { return evict(wanted); };
  DeschedulerReport report = descheduler_->run(view, evict_pod);

  DecisionCounts& decisions = state_.statistics.decisions;
  if (report.skipped) decisions.add("DeschedulingSkipped", "fewer than two nodes are ready and selected");
  for (const DeschedulerEviction& e : report.evictions)
    decisions.add(model_.descheduler->dry_run ? "DeschedulingDryRun" : "Descheduling",
                  fmt::format("{} {}", e.strategy, to_string(e.result)));
  for (const DeschedulerStrategy& s : report.strategies) {
    if (!s.error.empty()) decisions.add("DeschedulingFailed", fmt::format("{}: {}", s.strategy, s.error));
    for (const auto& [reason, count] : s.kept) decisions.add("DeschedulingKept", reason, static_cast<uint64_t>(count));
  }
}

std::optional<std::string> DeschedulerLoop::evict(const DeschedulerEviction& wanted) {
  Time at = state_.descheduler.reserve(model_.latencies.descheduler, engine_.now());
  if (at == engine_.now()) return evict_now(wanted.pod, wanted.strategy, api_.node_name(wanted.node));
  // The cycle goes on as if it had succeeded; what the API says comes later.
  auto strategy = std::find(strategies_.begin(), strategies_.end(), wanted.strategy) - strategies_.begin();
  engine_.schedule(at, Priority::Control, events_.evict, wanted.pod.value, static_cast<uint64_t>(strategy));
  return std::nullopt;
}

void DeschedulerLoop::on_evict(PodId pod, uint64_t strategy) {
  NodeId node = cluster_.state.pods[pod].node;
  if (node.valid()) evict_now(pod, strategies_[strategy], api_.node_name(node));
}

std::optional<std::string> DeschedulerLoop::evict_now(PodId pod, const std::string& strategy, const std::string& node) {
  std::optional<Duration> grace;
  if (std::optional<int64_t> seconds = descheduler_->policy().grace_period_seconds) grace = 1_s * *seconds;
  Eviction result = api_.evict(pod, "descheduler", grace);
  // A pod that is being deleted already may be asked for again.
  if (result == Eviction::Gone) return std::nullopt;
  if (result != Eviction::Evicted) return to_string(result);
  api_.note(pod, KubeEvent::Type::Normal, strategy, kComponent,
            [&] { return fmt::format("pod eviction from {} node by sigs.k8s.io/descheduler", node); });
  return std::nullopt;
}

// --- what its informers show

DeschedulerTemplate DeschedulerLoop::facts(TemplateId id) const {
  DeschedulerTemplate out = descheduler_template(cluster_.model.templates[id]);
  WorkloadId workload = cluster_.model.templates[id].workload;
  const WorkloadModel& w = cluster_.model.workloads[workload];
  if (w.kind == WorkloadModel::Kind::Pod) return out;
  std::string kind = w.kind == WorkloadModel::Kind::Deployment ? "ReplicaSet" : to_string(w.kind);
  std::string name = cluster_.model.owner_name(id);
  out.owners.push_back({kind, name, fmt::format("{}/{}/{}", kind, w.namespace_, name)});
  return out;
}

DeschedulerPod DeschedulerLoop::look(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  DeschedulerPod out;
  out.pod = id;
  out.pod_template = pod.pod_template;
  out.node = pod.node;
  out.phase = api_phase(pod);
  out.terminating = pod.phase == PodPhase::Terminating;
  out.created = api_time(pod.created);
  if (pod.node.valid()) out.start_time = api_time(pod.scheduled);
  out.restarts = static_cast<int32_t>(pod.restarts);
  out.reason = pod.reason;
  std::string_view waiting = kubelet_.waiting_reason(id);
  if (waiting.empty() && (pod.phase == PodPhase::Pulling || pod.phase == PodPhase::Starting))
    waiting = "ContainerCreating";
  if (!waiting.empty())
    out.containers.push_back({DeschedulerContainer::Kind::Container, std::string(waiting), std::nullopt});
  return out;
}

// What the metrics server says of pods as they are now, and the collector of nodes.
DeschedulerMetrics DeschedulerLoop::metrics(const IdVector<ViewPodId, DeschedulerPod>& pods) const {
  DeschedulerMetrics out;
  if (state_.descheduler_usage.empty()) return out;
  size_t columns = cluster_.model.resource_count();
  auto fill = [&](std::vector<int64_t>& usage, size_t row, int64_t milli_cpu, int64_t memory) {
    usage[row * columns + kCpu.value] = milli_cpu;
    usage[row * columns + kMemory.value] = memory;
  };
  size_t nodes = cluster_.state.node_present.size();
  out.node_usage.assign(nodes * columns, DeschedulerMetrics::kUnknown);
  out.pod_usage.assign(pods.size() * columns, DeschedulerMetrics::kUnknown);
  for (size_t n = 0; n < nodes; ++n) {
    int64_t milli_cpu = state_.descheduler_usage[2 * n], milli_bytes = state_.descheduler_usage[2 * n + 1];
    if (milli_cpu != DeschedulerMetrics::kUnknown) fill(out.node_usage, n, milli_cpu, (milli_bytes + 999) / 1000);
  }
  const PodUsage& usage = kubelet_.usage();
  for (size_t p = 0; p < pods.size(); ++p)
    if (PodId pod = pods[ViewPodId(p)].pod; usage.is_running(pod))
      fill(out.pod_usage, p, usage.cpu_milli(pod), usage.memory_bytes(pod));
  return out;
}

DeschedulerSnapshot DeschedulerLoop::snapshot() const {
  const ClusterState& cluster = cluster_.state;
  DeschedulerSnapshot out;
  out.now = engine_.now();
  for (size_t t = 0; t < cluster_.model.templates.size(); ++t) out.templates.push_back(facts(TemplateId(t)));
  for (size_t n = 0; n < cluster.node_present.size(); ++n) {
    if (!cluster.node_present[n]) {
      out.nodes.push_back({});
      continue;
    }
    DeschedulerNode node = descheduler_node(cluster_.model, cluster.node_version[n], cluster.node_conditions[n]);
    std::span<const int64_t> allocatable = cluster_.allocatable(NodeId(n));
    node.allocatable.assign(allocatable.begin(), allocatable.end());
    out.nodes.push_back(std::move(node));
  }
  for (const std::vector<PodId>& pods : cluster.workload_pods)
    for (PodId id : pods) out.pods.push_back(look(id));
  out.metrics = metrics(out.pods);
  return out;
}

}  // namespace kisim

#include "kube/descheduler_loop.hpp"

#include "kube/control_plane.hpp"

namespace kisim {

namespace {

constexpr std::string_view kComponent = "sigs.k8s.io/descheduler";

// The API keeps times in whole seconds.
Time api_time(Time t) { return {t.ns - t.ns % 1'000'000'000}; }

}  // namespace

DeschedulerLoop::DeschedulerLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const Kubelet& kubelet,
                                 ApiServer& api, Engine& engine, Events events)
    : model_(model), state_(state), cluster_(cluster), kubelet_(kubelet), api_(api), engine_(engine), events_(events) {
  if (model_.descheduler) descheduler_.emplace(*model_.descheduler->policy);
}

void DeschedulerLoop::start() {
  if (model_.descheduler)
    engine_.schedule(std::max(engine_.now(), model_.descheduler->at), Priority::Control, events_.cycle, 0);
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
  engine_.schedule(at, Priority::Control, events_.evict, wanted.pod.value);
  return std::nullopt;
}

void DeschedulerLoop::on_evict(PodId pod) {
  NodeId node = cluster_.state.pods[pod].node;
  if (node.valid()) evict_now(pod, "Descheduled", api_.node_name(node));
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
  return out;
}

}  // namespace kisim

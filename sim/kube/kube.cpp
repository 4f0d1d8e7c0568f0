#include "kube/kube.hpp"

namespace kisim {

namespace {

constexpr uint16_t kind(Kube::Code code) { return event_kind(Room::Kube, code); }

}  // namespace

Kube::Kube(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Engine& engine)
    : model(model),
      state(state),
      cluster_(cluster),
      engine_(engine),
      scheduler_(model.scheduler, state.scheduler, cluster, engine),
      kubelet_(model, state, cluster, serving, scheduler_, engine, kind(Code::KubeletStep), kind(Code::ReplicaDrained)),
      controllers_(model, state, cluster, kubelet_, scheduler_, engine),
      nodes_(model, state, cluster, kubelet_, controllers_, scheduler_, engine,
             {kind(Code::NodeStop), kind(Code::NodeStart), kind(Code::NodeNotReady), kind(Code::Evict)}),
      metrics_(model, state, cluster, serving, engine, kind(Code::Scrape)),
      hpa_(model, state, cluster, metrics_, controllers_, engine, kind(Code::HpaSync)) {}

void Kube::start() {
  scheduler_.start();
  kubelet_.start();
  nodes_.start();
  controllers_.start();
  metrics_.start();
  hpa_.start();
  take_scheduled();
}

void Kube::on_event(const Event& event) {
  dispatch(event);
  take_scheduled();
}

void Kube::dispatch(const Event& event) {
  if (event_code(event.kind) >= kSchedulerCodes) return scheduler_.on_event(event);
  switch (static_cast<Code>(event_code(event.kind))) {
    case Code::KubeletStep:
      return kubelet_.on_timer(PodId(event.target));
    case Code::ReplicaDrained:
      return kubelet_.on_drained(PodId(event.target));
    case Code::NodeStop:
      return nodes_.stop_node(event.target);
    case Code::NodeStart:
      return nodes_.start_node(event.target);
    case Code::NodeNotReady:
      return nodes_.not_ready(NodeId(event.target));
    case Code::Evict:
      return nodes_.evict(PodId(event.target));
    case Code::Scrape:
      return metrics_.scrape(WorkloadId(event.target));
    case Code::HpaSync:
      return hpa_.sync(WorkloadId(event.target));
  }
}

// The scheduler leaves in its state what it has bound, for the kubelets, and whom it wants evicted.
void Kube::take_scheduled() {
  SchedulerState& scheduled = state.scheduler;
  while (!scheduled.bound.empty() || !scheduled.preemptions.empty() || !scheduled.overcommitted.empty()) {
    for (size_t i = 0; i < scheduled.bound.size(); ++i) {
      ++state.statistics.scheduled;
      state.statistics.decisions.add("Scheduled");
      state.statistics.pending.add(engine_.now(), -1);
      kubelet_.bound(scheduled.bound[i]);
    }
    scheduled.bound.clear();
    for (const auto& [pod, node] : std::exchange(scheduled.overcommitted, {})) {
      state.statistics.decisions.add("FailedAdmission", kubelet_.refusal(pod, node));
      kubelet_.kill(pod);
    }
    std::vector<SchedulerState::Preemption> preemptions = std::move(scheduled.preemptions);
    scheduled.preemptions.clear();
    for (const SchedulerState::Preemption& p : preemptions) preempt(p.victim);
  }
}

void Kube::preempt(PodId victim) {
  // Two pods may have asked for the same one.
  PodPhase phase = cluster_.state.pods[victim].phase;
  if (phase == PodPhase::Terminating || phase == PodPhase::Gone) return;
  ++state.statistics.preempted;
  state.statistics.decisions.add("Preempted");
  WorkloadId workload = cluster_.state.pods[victim].workload;
  kubelet_.terminate(victim, true);
  controllers_.reconcile(workload);
}

std::map<std::string, uint64_t> Kube::decisions() const {
  std::map<std::string, uint64_t> counts;
  for (const DecisionCounts::Entry& e : state.statistics.decisions.entries()) counts[e.text()] += e.count;
  const std::vector<uint64_t>& failed = state.scheduler.decisions;
  for (size_t r = 0; r < failed.size(); ++r)
    if (failed[r] > 0) counts["FailedScheduling: " + scheduler_.reasons()[r]] += failed[r];
  return counts;
}

void Kube::reset_statistics() {
  Time now = engine_.now();
  state.statistics.pending.reset(now);
  for (KubeStatistics::Workload& w : state.statistics.workloads) {
    w.ready.reset(now);
    w.scale_ups = w.scale_downs = 0;
  }
}

void Kube::scale(WorkloadId workload, int32_t replicas, std::string reason) {
  controllers_.scale(workload, replicas, std::move(reason));
  take_scheduled();
}

}  // namespace kisim

#include "kube/kube.hpp"

#include <algorithm>

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
      api_(model, state, cluster, scheduler_, engine, {kind(Code::Changed), kind(Code::WorkloadSync)}),
      kubelet_(
          model, state, cluster, serving, api_, engine,
          {kind(Code::KubeletStep), kind(Code::ReplicaDrained), kind(Code::ImagePulled), kind(Code::PressureLook)}),
      controllers_(model, state, cluster, api_, engine),
      nodes_(model, state, cluster, kubelet_, api_, engine,
             {kind(Code::NodeNotice), kind(Code::ZoneTurn), kind(Code::TaintEviction)}),
      faults_(model, state, cluster, kubelet_, nodes_, api_, scheduler_, engine,
              {kind(Code::FaultBegin), kind(Code::FaultEnd)}),
      mig_(model, state, cluster, nodes_, api_, engine, kind(Code::MigStep)),
      actions_(model, state, cluster, controllers_, nodes_, mig_, api_, engine, {kind(Code::Act), kind(Code::Drain)}),
      metrics_(model, state, cluster, serving, engine, {kind(Code::Scrape), kind(Code::UsageSample)}),
      hpa_(model, state, cluster, metrics_, api_, controllers_, engine, kind(Code::HpaSync)),
      agents_(model, state, cluster, serving, metrics_, controllers_, engine,
              {kind(Code::AgentScrape), kind(Code::AgentDecision)}),
      cluster_autoscaler_(model, state, cluster, scheduler_, api_, engine,
                          {kind(Code::AutoscalerScan), kind(Code::NodeJoined), kind(Code::NodeDeletion)}),
      descheduler_(model, state, cluster, kubelet_, api_, engine,
                   {kind(Code::Descheduling), kind(Code::DeschedulerCollect), kind(Code::Deschedule)}),
      mig_loop_(model, state, cluster, mig_, engine, kind(Code::MigLook)) {}

void Kube::start() {
  scheduler_.start();
  api_.start();
  kubelet_.start();
  nodes_.start();
  controllers_.start();
  faults_.start();
  mig_.start();
  actions_.start();
  metrics_.start();
  hpa_.start();
  agents_.start();
  cluster_autoscaler_.start();
  descheduler_.start();
  mig_loop_.start();
  settle();
}

void Kube::on_event(const Event& event) {
  dispatch(event);
  settle();
}

void Kube::dispatch(const Event& event) {
  if (event_code(event.kind) >= kSchedulerCodes) return scheduler_.on_event(event);
  switch (static_cast<Code>(event_code(event.kind))) {
    case Code::Changed:
      return deliver({static_cast<Change::Kind>(event.payload), PodId(event.target), {}});
    case Code::WorkloadSync:
      return controllers_.sync(WorkloadId(event.target));
    case Code::KubeletStep:
      return kubelet_.on_step(PodId(event.target), event.payload);
    case Code::ReplicaDrained:
      return kubelet_.on_drained(PodId(event.target));
    case Code::ImagePulled:
      return kubelet_.on_pulled(NodeId(event.target));
    case Code::PressureLook:
      return kubelet_.on_look(NodeId(event.target));
    case Code::NodeNotice:
      return nodes_.on_notice(NodeId(event.target));
    case Code::ZoneTurn:
      return nodes_.on_turn(event.target);
    case Code::TaintEviction:
      return nodes_.on_evict(PodId(event.target));
    case Code::FaultBegin:
      return faults_.on_begin(event.target);
    case Code::FaultEnd:
      return faults_.on_end(event.target);
    case Code::Act:
      return actions_.on_act(event.target);
    case Code::Drain:
      return actions_.on_drain(event.target);
    case Code::Scrape:
      return metrics_.scrape(WorkloadId(event.target));
    case Code::UsageSample:
      return metrics_.sample_usage(WorkloadId(event.target));
    case Code::HpaSync:
      return hpa_.sync(AutoscalerId(event.target));
    case Code::AutoscalerScan:
      return cluster_autoscaler_.scan();
    case Code::NodeJoined:
      return cluster_autoscaler_.joined(NodeId(event.target));
    case Code::NodeDeletion:
      return cluster_autoscaler_.deletion(NodeId(event.target));
    case Code::Descheduling:
      return descheduler_.on_cycle();
    case Code::DeschedulerCollect:
      return descheduler_.on_collect();
    case Code::Deschedule:
      return descheduler_.on_evict(PodId(event.target), event.payload);
    case Code::MigStep:
      return mig_.on_step(event.target);
    case Code::MigLook:
      return mig_loop_.on_look();
    case Code::AgentScrape:
      return agents_.scrape(AgentId(event.target));
    case Code::AgentDecision:
      return agents_.decide(AgentId(event.target));
  }
}

// Whatever follows from an event at the same instant, until nobody has anything left to say.
void Kube::settle() {
  const SchedulerState& s = state.scheduler;
  while (!state.changes.empty() || !s.bound.empty() || !s.preemptions.empty() || !s.overcommitted.empty() ||
         !s.failed.empty()) {
    for (size_t i = 0; i < state.changes.size(); ++i) deliver(Change(state.changes[i]));
    state.changes.clear();
    take_scheduled();
  }
  if (std::exchange(state.cluster_autoscaler.changed, false)) cluster_autoscaler_.wake();
}

void Kube::deliver(Change change) {
  if (change.kind == Change::Kind::NodeAdded) {
    kubelet_.node_joined(change.node);
    return nodes_.node_joined(change.node);
  }
  if (change.kind == Change::Kind::NodeRemoved) {
    if (!cluster_.state.node_present[change.node.value]) return;
    nodes_.node_left(change.node);
    mig_.node_left(change.node);
    kubelet_.node_stopped(change.node);
    kubelet_.pods_not_ready(change.node);
    return api_.forget_node(change.node);
  }
  const PodState& pod = cluster_.state.pods[change.pod];
  switch (change.kind) {
    case Change::Kind::PodAdded: {
      if (pod.phase != PodPhase::Pending) return;
      const std::string& node = api_.template_of(change.pod).spec.node_name;
      bool daemon = pod.pinned.valid();
      return node.empty() || daemon ? scheduler_.pod_added(change.pod) : assign(change.pod, node);
    }
    case Change::Kind::PodBound:
      if (pod.phase != PodPhase::Binding) return;
      kubelet_.bound(change.pod);
      if (!pod.node.valid()) return;
      return nodes_.pod_bound(change.pod);
    case Change::Kind::PodDeleted:
      return pod.phase == PodPhase::Terminating ? kubelet_.deleted(change.pod) : void();
    case Change::Kind::NodeAdded:
    case Change::Kind::NodeRemoved:
      return;
  }
}

// A pod with spec.nodeName is not the scheduler's: the kubelet of that node takes it or fails it. A pod on a node that
// does not exist stays Pending.
void Kube::assign(PodId pod, const std::string& name) {
  const auto& nodes = cluster_.model.nodes;
  auto named = std::find_if(nodes.begin(), nodes.end(), [&](const NodeModel& n) { return n.object.meta.name == name; });
  NodeId node(static_cast<size_t>(named - nodes.begin()));
  if (named == nodes.end() || !cluster_.state.node_present[node.value])
    return state.statistics.decisions.add("FailedAdmission", "no node is named " + name);
  if (std::string refusal = kubelet_.refusal(pod, node); !refusal.empty())
    return refuse(pod, refusal, kubelet_.refusal_message(pod, node));
  scheduler_.assign(pod, node);
  api_.bound(pod, false);
}

void Kube::refuse(PodId pod, const std::string& reason, const std::string& message) {
  api_.pod_event(pod, KubeEvent::Type::Warning, reason, "kubelet", [&] { return message; });
  api_.finish(pod, false, reason);
}

// The scheduler leaves in its state what it has bound, for the kubelets, and whom it wants evicted.
void Kube::take_scheduled() {
  SchedulerState& scheduled = state.scheduler;
  for (size_t i = 0; i < scheduled.bound.size(); ++i) api_.bound(scheduled.bound[i], true);
  scheduled.bound.clear();
  for (const auto& [pod, node] : std::exchange(scheduled.overcommitted, {})) {
    std::string refusal = kubelet_.refusal(pod, node);
    bool known = !refusal.empty();
    refuse(pod, known ? refusal : "UnexpectedAdmissionError",
           known ? kubelet_.refusal_message(pod, node) : "no device is left for the pod");
  }
  for (const SchedulerState::Preemption& p : std::exchange(scheduled.preemptions, {}))
    api_.preempt(p.victim, p.preemptor);
  if (scheduled.failed.empty()) return;
  for (const auto& [pod, preemption] : scheduled.failed)
    api_.note(pod, KubeEvent::Type::Warning, "FailedScheduling", "default-scheduler",
              [&, &p = pod, &text = preemption] { return scheduler_.failure_message(p) + text; });
  scheduled.failed.clear();
  state.cluster_autoscaler.changed = true;
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
  state.statistics.nodes.reset(now);
  for (KubeStatistics::Workload& w : state.statistics.workloads) {
    w.ready.reset(now);
    w.scale_ups = w.scale_downs = 0;
  }
}

void Kube::scale(WorkloadId workload, int32_t replicas, std::string reason) {
  controllers_.scale(workload, replicas, std::move(reason));
  settle();
}

void Kube::act(AgentId agent, std::span<const float> action) {
  agents_.act(agent, action);
  settle();
}

}  // namespace kisim

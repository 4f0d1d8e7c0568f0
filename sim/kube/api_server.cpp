#include "kube/api_server.hpp"

#include "cluster/resource_quota.hpp"
#include "kube/disruption.hpp"

#include <algorithm>
#include <utility>

namespace kisim {

namespace {

constexpr Duration kFirstRetry{5'000'000};                         // workqueue.DefaultTypedControllerRateLimiter
constexpr Duration kLongestRetry{1'000'000'000'000};               //
constexpr Duration kFirstJobRetry = 1_s, kLongestJobRetry = 60_s;  // DefaultJobApiBackOff, MaxJobApiBackOff

// The controller of its owner has a turn; an owner that is gone has none.
void wake_owner(ApiServer& api, const PodState& pod) {
  if (pod.owner == PodOwner::Present) api.enqueue(pod.workload);
}

}  // namespace

const char* to_string(Eviction result) {
  switch (result) {
    case Eviction::Evicted:
      return "Evicted";
    case Eviction::TooManyRequests:
      return "Cannot evict pod as it would violate the pod's disruption budget.";
    case Eviction::TwoBudgets:
      return "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    case Eviction::Gone:
      return "pod not found";
  }
  return "?";
}

void ApiServer::start() {
  state_.quotas.clear();
  for (const QuotaModel& quota : model_.quotas)
    state_.quotas.push_back({std::vector<int64_t>(quota.object.hard.size())});
  const std::vector<uint8_t>& nodes = cluster_.state.node_present;
  state_.statistics.nodes.set(engine_.now(), std::count(nodes.begin(), nodes.end(), 1));
}

// --- pods

std::optional<PodId> ApiServer::create_pod(const NewPod& wanted, std::string& refusal) {
  const PodTemplateModel& t = cluster_.model.templates[wanted.pod_template];
  Refusal refused = t.refusal;
  if (refused.empty()) refused.why = over_quota(wanted.pod_template);
  if (!refused.empty()) {
    // Validation and the plugins that only validate see the generated name.
    refusal = refused.message(cluster_.next_pod_name(wanted.workload, wanted.pod_template, wanted.index));
    return std::nullopt;
  }
  charge(wanted.pod_template, 1);
  PodId id = cluster_.create_pod(wanted.workload, wanted.pod_template, engine_.now());
  PodState& pod = cluster_.state.pods[id];
  pod.index = wanted.index;
  pod.pinned = wanted.pinned;
  state_.statistics.pending.add(engine_.now(), 1);
  tell({Change::Kind::PodAdded, id, {}});
  return id;
}

void ApiServer::delete_pod(PodId id, std::optional<Duration> grace) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Terminating || pod.phase == PodPhase::Gone) return;
  pod.grace = grace.value_or(template_of(id).spec.termination_grace_period);
  pod.deleted = engine_.now();
  if (!pod.node.valid() || is_terminal(pod.phase)) return remove_pod(id);
  leave_phase(id);
  cluster_.set_phase(id, PodPhase::Terminating);
  scheduler_.pod_terminating(id, pod.disrupted);
  tell({Change::Kind::PodDeleted, id, {}});
  wake_owner(*this, pod);
}

Eviction ApiServer::evict(PodId id, std::string_view by, std::optional<Duration> grace) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Terminating || pod.phase == PodPhase::Gone) return Eviction::Gone;
  // A pod that does not run yet, or no more, is deleted without asking.
  if (is_running(pod.phase)) {
    const PodDisruptionBudgetModel* covering = nullptr;
    for (const PodDisruptionBudgetModel& budget : cluster_.model.budgets) {
      if (!budget.covers[pod.pod_template.value]) continue;
      if (covering) return Eviction::TwoBudgets;
      covering = &budget;
    }
    if (covering) {
      BudgetStatus status = budget_status(cluster_, *covering);
      bool ready = pod.phase == PodPhase::Ready;
      using UnhealthyPods = PodDisruptionBudget::UnhealthyPods;
      bool free = !ready && (covering->object.unhealthy_pod_eviction_policy == UnhealthyPods::AlwaysAllow ||
                             (status.healthy >= status.desired && status.desired > 0));
      if (!free && status.allowed <= 0) return Eviction::TooManyRequests;
    }
  }
  pod.disrupted = true;
  ++state_.statistics.evicted;
  state_.statistics.decisions.add("Evicted", by);
  delete_pod(id, grace);
  return Eviction::Evicted;
}

void ApiServer::preempt(PodId id, PodId preemptor) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Terminating || pod.phase == PodPhase::Gone) return;  // two may have asked for it
  pod.disrupted = true;
  ++state_.statistics.preempted;
  pod_event(id, KubeEvent::Type::Normal, "Preempted", "default-scheduler", [&] {
    // A victim that is being bound is on its node for the scheduler only.
    NodeId node = state_.scheduler.snapshot.pod_records[id].node;
    return fmt::format("Preempted by pod {} on node {}", cluster_.pod_name(preemptor),
                       node.valid() ? node_name(node) : "unknown");
  });
  delete_pod(id);
}

void ApiServer::bound(PodId id, bool by_scheduler) {
  const PodState& pod = cluster_.state.pods[id];
  leave_phase(id);
  cluster_.set_phase(id, PodPhase::Binding);
  tell({Change::Kind::PodBound, id, {}});
  if (!by_scheduler) return;
  ++state_.statistics.scheduled;
  state_.statistics.decisions.add("Scheduled");
  note(id, KubeEvent::Type::Normal, "Scheduled", "default-scheduler", [&] {
    return fmt::format("Successfully assigned {}/{} to {}", namespace_of(id), cluster_.pod_name(id),
                       node_name(pod.node));
  });
}

Duration ApiServer::grace_period(PodId pod) const { return cluster_.state.pods[pod].grace; }

// --- what kubelets report

// Gauges that count the present phase, and when the pod left it.
void ApiServer::leave_phase(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Ready) {
    pod.unready = engine_.now();
    state_.statistics.workloads[pod.workload].ready.add(engine_.now(), -1);
  }
  if (pod.phase == PodPhase::Pending) state_.statistics.pending.add(engine_.now(), -1);
}

void ApiServer::set_phase(PodId id, PodPhase phase) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == phase) return;
  bool was_ready = pod.phase == PodPhase::Ready;
  leave_phase(id);
  cluster_.set_phase(id, phase);
  if (phase == PodPhase::Loading && pod.started == Time::max()) pod.started = engine_.now();
  if (phase == PodPhase::Ready) {
    pod.ready = engine_.now();
    pod.first_ready = std::min(pod.first_ready, pod.ready);
    state_.statistics.workloads[pod.workload].ready.add(engine_.now(), 1);
  }
  if (was_ready || phase == PodPhase::Ready) wake_owner(*this, pod);
}

void ApiServer::finish(PodId id, bool succeeded, std::string reason) {
  PodState& pod = cluster_.state.pods[id];
  if (is_terminal(pod.phase)) return;
  if (pod.phase == PodPhase::Terminating) return remove_pod(id);
  engine_.cancel(pod.timer);
  leave_phase(id);
  bool bound = pod.node.valid();
  if (bound) cluster_.release(id, engine_.now());
  cluster_.set_phase(id, succeeded ? PodPhase::Succeeded : PodPhase::Failed);
  pod.reason = std::move(reason);
  pod.deleted = engine_.now();
  charge(pod.pod_template, -1);
  scheduler_.pod_removed(id);
  state_.cluster_autoscaler.changed = true;
  // A controller that saw its pods fail at once would replace them without end; those of Jobs and DaemonSets wait by
  // themselves.
  using Kind = WorkloadModel::Kind;
  Kind kind = cluster_.model.workloads[pod.workload].kind;
  if (succeeded || kind == Kind::Job || kind == Kind::DaemonSet) return wake_owner(*this, pod);
  if (pod.owner == PodOwner::Present)
    enqueue_rate_limited(pod.workload, state_.workloads[pod.workload].backoff_of(pod.pod_template));
}

void ApiServer::restarted(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  ++pod.restarts;
  ++state_.statistics.restarts;
  wake_owner(*this, pod);
}

void ApiServer::remove_pod(PodId id) {
  PodState& pod = cluster_.state.pods[id];
  if (pod.phase == PodPhase::Gone) return;
  engine_.cancel(pod.timer);
  leave_phase(id);
  bool ended = pod.phase == PodPhase::Succeeded || pod.phase == PodPhase::Failed;
  if (!ended) charge(pod.pod_template, -1);
  if (cluster_.model.workloads[pod.workload].kind == WorkloadModel::Kind::Job) keep_for_job(id);
  cluster_.remove(id, engine_.now());
  if (!ended) scheduler_.pod_removed(id);
  state_.cluster_autoscaler.changed = true;
  wake_owner(*this, pod);
}

// A Job counts its pods before they go, by way of their finalizers (batch.kubernetes.io/job-tracking).
void ApiServer::keep_for_job(PodId id) {
  const PodState& pod = cluster_.state.pods[id];
  WorkloadControl& control = state_.workloads[pod.workload];
  if (std::erase(control.job.surplus, id) > 0 || pod.owner != PodOwner::Present) return;
  // A pod that is being deleted has failed at once, unless replacements wait for its end.
  const Job& object = std::get<Job>(model_.specs[control.spec].object);
  bool ends_now = pod.phase == PodPhase::Terminating && object.pod_replacement == Job::Replacement::Failed;
  Time end = is_active(pod.phase) || ends_now ? engine_.now() : pod.deleted;
  control.job.gone.push_back({pod.index, pod.phase == PodPhase::Succeeded, end});
}

// --- quotas

std::string ApiServer::over_quota(TemplateId id) const {
  for (size_t q = 0; q < model_.quotas.size(); ++q) {
    const QuotaModel& quota = model_.quotas[q];
    const std::vector<int64_t>& charges = quota.charges[id];
    ResourceList usage, used;
    for (size_t i = 0; i < charges.size(); ++i) {
      const std::string& name = quota.object.hard[i].first;
      usage.emplace_back(name, charges[i]);
      used.emplace_back(name, state_.quotas[q].used[i]);
    }
    if (std::string text = exceeded(quota.object, usage, used); !text.empty()) return text;
  }
  return {};
}

void ApiServer::charge(TemplateId id, int64_t sign) {
  for (size_t q = 0; q < model_.quotas.size(); ++q) {
    const std::vector<int64_t>& amounts = model_.quotas[q].charges[id];
    for (size_t i = 0; i < amounts.size(); ++i) state_.quotas[q].used[i] += sign * amounts[i];
  }
}

// --- nodes

void ApiServer::set_condition(NodeId node, uint16_t condition, bool on) {
  if (!cluster_.state.node_present[node.value]) return;
  NodeConditions& conditions = cluster_.state.node_conditions[node.value];
  NodeConditions before = conditions;
  conditions.set(condition, on);
  if (conditions == before) return;
  scheduler_.node_changed(node);
  node_changed();
}

void ApiServer::cordon(NodeId node, bool on) {
  if (has_condition(node, kNodeCordoned) == on) return;
  set_condition(node, kNodeCordoned, on);
  std::string_view reason = on ? "NodeNotSchedulable" : "NodeSchedulable";
  node_event(node, KubeEvent::Type::Normal, reason, "kubelet",
             [&] { return fmt::format("Node {} status is now: {}", node_name(node), reason); });
}

void ApiServer::add_node(NodeId node) {
  cluster_.add_node(node, engine_.now());
  state_.statistics.nodes.add(engine_.now(), 1);
  scheduler_.node_added(node);
  state_.changes.push_back({Change::Kind::NodeAdded, {}, node});
  node_changed();
}

void ApiServer::update_node(NodeId node, NodeId version) {
  cluster_.set_node_version(node, version);
  scheduler_.node_updated(node);
  node_changed();
}

void ApiServer::remove_node(NodeId node) { state_.changes.push_back({Change::Kind::NodeRemoved, {}, node}); }

void ApiServer::forget_node(NodeId node) {
  std::vector<PodId> pods = cluster_.state.node_pods[node.value];
  for (const std::vector<PodId>& list : cluster_.state.workload_pods)
    for (PodId pod : list)
      if (is_terminal(cluster_.state.pods[pod].phase) && cluster_.state.pods[pod].node == node) pods.push_back(pod);
  for (PodId pod : pods) remove_pod(pod);
  cluster_.remove_node(node, engine_.now());
  state_.statistics.nodes.add(engine_.now(), -1);
  scheduler_.node_removed(node);
  node_changed();
}

// A node is another: those that look at nodes look again.
void ApiServer::node_changed() {
  state_.cluster_autoscaler.changed = true;
  for (size_t w = 0; w < cluster_.model.workloads.size(); ++w)
    if (cluster_.model.workloads[WorkloadId(w)].kind == WorkloadModel::Kind::DaemonSet) enqueue(WorkloadId(w));
}

// --- who is told

void ApiServer::tell(Change change) {
  if (model_.latencies.watch.ns == 0) return state_.changes.push_back(change);
  engine_.schedule(engine_.now() + model_.latencies.watch, Priority::Control, events_.changed, change.pod.value,
                   static_cast<uint64_t>(change.kind));
}

// An event gives a turn at once, whatever its errors.
void ApiServer::enqueue(WorkloadId workload) {
  if (workload.value >= state_.workloads.size()) return;
  WorkloadControl& control = state_.workloads[workload];
  control.backoff.until = {};
  for (ReplicaSetState& set : control.replica_sets) set.backoff.until = {};
  schedule_sync(workload, engine_.now() + model_.latencies.watch);
}

void ApiServer::enqueue_after(WorkloadId workload, Duration delay) { schedule_sync(workload, engine_.now() + delay); }

void ApiServer::enqueue_rate_limited(WorkloadId workload, Backoff& backoff) {
  int32_t failures = backoff.failures++;
  bool job = cluster_.model.workloads[workload].kind == WorkloadModel::Kind::Job;
  Duration first = job ? kFirstJobRetry : kFirstRetry, longest = job ? kLongestJobRetry : kLongestRetry;
  Duration delay = failures < 18 ? std::min(Duration{first.ns << failures}, longest) : longest;
  backoff.until = engine_.now() + delay;
  enqueue_after(workload, delay);
}

// A turn that comes later is given up for an earlier one: each turn asks anew for the next.
void ApiServer::schedule_sync(WorkloadId workload, Time at) {
  if (workload.value >= state_.workloads.size()) return;
  WorkloadControl& control = state_.workloads[workload];
  if (!control.controlled || (control.sync && control.sync_at <= at)) return;
  engine_.cancel(control.sync);
  control.sync = engine_.schedule(at, Priority::Control, events_.sync, workload.value);
  control.sync_at = at;
}

}  // namespace kisim

#include "kube/hpa_loop.hpp"

#include "core/hash.hpp"
#include "kube/autoscaler_status.hpp"
#include "kube/resource_request.hpp"

#include <algorithm>

namespace kisim {

namespace {

bool per_pod(const MetricSpec& spec) {
  return spec.source != MetricSpec::Source::Object && spec.source != MetricSpec::Source::External;
}
bool of_utilization(const MetricSpec& spec) { return spec.target.type == MetricTarget::Type::Utilization; }

const HorizontalPodAutoscaler* object_of(const AutoscalerBinding& binding) {
  return binding.object ? &*binding.object : nullptr;
}

ScalingAction action_of(int32_t from, int32_t to) {
  if (to > from) return ScalingAction::ScaleUp;
  return to < from ? ScalingAction::ScaleDown : ScalingAction::None;
}

// setCondition: the time is that of the last change of the status.
void set(AutoscalerCondition& condition, const ScalingCondition& value, Time now) {
  if (value.reason.empty()) return;
  if (!condition.known || condition.value.status != value.status) condition.since = now;
  condition.known = true;
  condition.value = value;
}

}  // namespace

HpaLoop::HpaLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const MetricsPipeline& metrics,
                 ApiServer& api, Controllers& controllers, Engine& engine, uint16_t sync)
    : model_(model),
      state_(state),
      cluster_(cluster),
      metrics_(metrics),
      api_(api),
      controllers_(controllers),
      engine_(engine),
      sync_(sync) {
  required_.resize(model_.workloads.size());
  size_t most = 0;
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    WorkloadId id(w);
    if (!binding(id).policy) continue;
    Required& required = required_[id];
    required.specs = binding(id).policy->required_metrics(object_of(binding(id)));
    for (const MetricSpec& spec : required.specs) required.queries.push_back(metrics_.query(id, spec));
    most = std::max(most, required.specs.size());
  }
  samples_.resize(most);
  requests_.resize(most);
}

void HpaLoop::start() {
  state_.autoscalers.resize(model_.workloads.size());
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    WorkloadId id(w);
    if (!binding(id).policy) continue;
    AutoscalerState& autoscaler = state_.autoscalers[id];
    autoscaler.memory = PolicyMemoryBox(binding(id).policy->make_memory());
    autoscaler.stream =
        Stream(model_.seed, hash_text("Workload/" + cluster_.model.workloads[id].full_name()), Purpose::Policy);
    schedule_next(id);
  }
}

// A record says itself when its controller looked.
void HpaLoop::schedule_next(WorkloadId workload) {
  Time at = engine_.now() + kHpaSyncPeriod;
  if (const RecordedTarget* recorded = binding(workload).recorded.get()) {
    size_t next = state_.autoscalers[workload].syncs;
    if (next == recorded->syncs.size()) return;
    at = recorded->syncs[next].at;
  }
  engine_.schedule(at, Priority::Control, sync_, workload.value);
}

bool HpaLoop::has_scale(WorkloadId workload) const {
  return state_.workloads[workload].exists && cluster_.state.replicas[workload.value] != ClusterState::kNoScale;
}

void HpaLoop::sync(WorkloadId workload) {
  AutoscalerState& autoscaler = state_.autoscalers[workload];
  ++autoscaler.syncs;
  autoscaler.synced = engine_.now();
  autoscaler.decision.clear();
  schedule_next(workload);
  if (has_scale(workload)) return decide(workload);

  autoscaler.decision.error = true;
  autoscaler.decision.able_to_scale = {.status = false, .reason = "FailedGetScale"};
  set(autoscaler.able_to_scale, autoscaler.decision.able_to_scale, engine_.now());
  count(workload, 0, 0);
  tell(workload, KubeEvent::Type::Warning, "FailedGetScale",
       [&] { return scale_error(cluster_.model.workloads[workload]); });
}

void HpaLoop::decide(WorkloadId workload) {
  seen_.now = engine_.now();
  seen_.kubernetes_minor = model_.minor;
  seen_.replicas = cluster_.state.replicas[workload.value];
  seen_.min_replicas = binding(workload).min_replicas;
  seen_.max_replicas = binding(workload).max_replicas;
  seen_.object = object_of(binding(workload));
  seen_.ambiguous = !binding(workload).rivals.empty();
  seen_.required = required_[workload].specs;
  observed_.assign(seen_.required.size(), {});
  if (binding(workload).recorded)
    observe_record(workload);
  else
    observe_cluster(workload);
  AutoscalerState& autoscaler = state_.autoscalers[workload];
  binding(workload).policy->decide(seen_, *autoscaler.memory, autoscaler.stream, autoscaler.decision);
  apply(workload);
}

void HpaLoop::observe_record(WorkloadId workload) {
  const RecordedSync& sync = binding(workload).recorded->syncs[state_.autoscalers[workload].syncs - 1];
  seen_.status_replicas = sync.status_replicas;
  seen_.pods = sync.pods;
  for (size_t m = 0; m < observed_.size() && m < sync.metrics.size(); ++m) observed_[m] = sync.metrics[m].view();
  seen_.metrics = observed_;
}

void HpaLoop::observe_cluster(WorkloadId workload) {
  pods_.clear();
  seen_.status_replicas = 0;
  for (PodId id : cluster_.state.workload_pods[workload.value]) {
    pods_.push_back(observe(id));
    seen_.status_replicas += is_active(cluster_.state.pods[id].phase);
  }
  seen_.pods = pods_;
  observe_metrics(workload);
  seen_.metrics = observed_;
}

ObservedPod HpaLoop::observe(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  using Phase = ObservedPod::Phase;
  ObservedPod seen;
  seen.deleting = pod.phase == PodPhase::Terminating;
  bool started = is_running(pod.phase) || (seen.deleting && pod.started != Time::max());
  if (started) seen.phase = Phase::Running;
  if (pod.phase == PodPhase::Succeeded) seen.phase = Phase::Succeeded;
  if (pod.phase == PodPhase::Failed) seen.phase = Phase::Failed;
  // Before the kubelet has seen the pod, its status says nothing.
  if (!pod.node.valid() || pod.phase <= PodPhase::Binding) return seen;
  seen.start = pod.scheduled;
  bool was_ready = pod.ready != Time::max();
  bool ready = pod.phase == PodPhase::Ready || (seen.deleting && was_ready);
  seen.ready = ready ? ObservedPod::Ready::True : ObservedPod::Ready::False;
  bool ceased = !ready && pod.unready != Time::max();
  seen.ready_transition = ceased ? pod.unready : was_ready ? pod.ready : pod.scheduled;
  return seen;
}

void HpaLoop::observe_metrics(WorkloadId workload) {
  const Required& required = required_[workload];
  const std::vector<PodId>& pods = cluster_.state.workload_pods[workload.value];
  totals_.assign(required.specs.size(), 0);
  for (size_t m = 0; m < required.specs.size(); ++m) {
    const MetricSpec& spec = required.specs[m];
    ObservedMetric& seen = observed_[m];
    if (!per_pod(spec)) {
      seen.answer = metrics_.of_workload(workload, required.queries[m], totals_[m]);
      seen.values_milli = {&totals_[m], 1};
      continue;
    }
    seen.answer = metrics_.of_pods(workload, required.queries[m], pods, samples_[m]);
    seen.samples = samples_[m];
    if (!of_utilization(spec)) continue;
    observe_requests(workload, spec, requests_[m]);
    seen.request_milli = requests_[m];
  }
}

// Pods mostly have the template of the one before them.
void HpaLoop::observe_requests(WorkloadId workload, const MetricSpec& spec, std::vector<int64_t>& out) const {
  out.clear();
  TemplateId known;
  int64_t request = 0;
  for (PodId id : cluster_.state.workload_pods[workload.value]) {
    TemplateId pod_template = cluster_.state.pods[id].pod_template;
    if (pod_template != known) request = request_milli(cluster_.model.templates[pod_template], spec);
    known = pod_template;
    out.push_back(request);
  }
}

void HpaLoop::apply(WorkloadId workload) {
  const Decision& decision = state_.autoscalers[workload].decision;
  int32_t current = seen_.replicas;
  int32_t desired = decision.desired;
  if (desired != current) {
    desired = std::clamp(desired, seen_.min_replicas, seen_.max_replicas);
    if (desired != decision.desired)
      state_.statistics.decisions.add(desired < decision.desired ? "TooManyReplicas" : "TooFewReplicas");
  }
  name_pods(workload);
  count(workload, current, desired);
  keep_status(workload, current, desired);
  if (decision.error) tell_failures(workload);
  if (desired != current) scale(workload, desired);
}

// Indices of the observation mean nothing later.
void HpaLoop::name_pods(WorkloadId workload) {
  Decision& decision = state_.autoscalers[workload].decision;
  const std::vector<PodId>& pods = cluster_.state.workload_pods[workload.value];
  bool recorded = binding(workload).recorded != nullptr;
  auto name = [&](MetricFailure failure, uint32_t& pod) {
    if (failure != MetricFailure::None) pod = recorded || pod >= pods.size() ? PodId::kNone : pods[pod].value;
  };
  for (MetricStatus& status : decision.metrics) name(status.failure, status.pod);
  name(decision.scaling_active.failure, decision.scaling_active.pod);
}

void HpaLoop::scale(WorkloadId workload, int32_t replicas) {
  AutoscalerState& autoscaler = state_.autoscalers[workload];
  autoscaler.last_scale = engine_.now();
  const std::string& reason = autoscaler.decision.reason;
  state_.statistics.decisions.add("SuccessfulRescale", reason);
  tell(workload, KubeEvent::Type::Normal, "SuccessfulRescale",
       [&] { return fmt::format("New size: {}; reason: {}", replicas, reason); });
  controllers_.scale(workload, replicas, reason);
}

void HpaLoop::keep_status(WorkloadId workload, int32_t replicas, int32_t desired) {
  AutoscalerState& autoscaler = state_.autoscalers[workload];
  const Decision& decision = autoscaler.decision;
  Time now = engine_.now();
  set(autoscaler.able_to_scale, decision.able_to_scale, now);
  set(autoscaler.scaling_active, decision.scaling_active, now);
  set(autoscaler.scaling_limited, decision.scaling_limited, now);
  if (decision.scaled_to_zero)
    set(autoscaler.scaled_to_zero,
        {.status = *decision.scaled_to_zero, .reason = *decision.scaled_to_zero ? "ScaledToZero" : "NotScaledToZero"},
        now);
  else
    autoscaler.scaled_to_zero = {};
  autoscaler.current_replicas = replicas;
  // Where nothing could be computed, what was wanted before stands.
  if (!decision.error || decision.steps.taken) autoscaler.desired_replicas = desired;
}

// Conditions under the names of autoscaling/v2; SucceededRescale is told by the rescale itself.
void HpaLoop::count(WorkloadId workload, int32_t replicas, int32_t desired) {
  AutoscalerState& autoscaler = state_.autoscalers[workload];
  const Decision& decision = autoscaler.decision;
  auto action = static_cast<size_t>(action_of(replicas, desired));
  ++autoscaler.reconciliations[action][decision.error];
  for (size_t m = 0; m < decision.metrics.size(); ++m) {
    const MetricStatus& status = decision.metrics[m];
    bool failed = status.failure != MetricFailure::None;
    auto of_metric = failed ? size_t{0} : static_cast<size_t>(action_of(autoscaler.current_replicas, status.replicas));
    auto source = static_cast<size_t>(required_[workload].specs[m].source);
    ++autoscaler.computations[source][of_metric][failed];
  }
  DecisionCounts& decisions = state_.statistics.decisions;
  std::string_view able = decision.able_to_scale.reason;
  bool told = able.empty() || able == "SucceededGetScale" || able == "SucceededRescale" || able == "ReadyForNewScale";
  if (!told) decisions.add(able);
  if (!decision.scaling_active.status) decisions.add(decision.scaling_active.reason);
  if (!decision.scaling_limited.reason.empty()) decisions.add(decision.scaling_limited.reason);
}

template <class Message>
void HpaLoop::tell(WorkloadId workload, KubeEvent::Type type, std::string_view reason, Message&& message) {
  const HorizontalPodAutoscaler* object = object_of(binding(workload));
  if (!api_.sink || !object) return;
  api_.sink->record({type, engine_.now(), std::string(reason), "HorizontalPodAutoscaler", object->meta.namespace_,
                     object->meta.name, message(), "horizontal-pod-autoscaler"});
}

// One event for every metric that failed, and one more where nothing could be computed for it.
void HpaLoop::tell_failures(WorkloadId workload) {
  if (!api_.sink || !binding(workload).object) return;
  const Decision& decision = state_.autoscalers[workload].decision;
  constexpr auto kWarning = KubeEvent::Type::Warning;
  std::string error;
  size_t invalid = 0;
  for (size_t m = 0; m < decision.metrics.size(); ++m) {
    const MetricStatus& status = decision.metrics[m];
    if (status.failure == MetricFailure::None) continue;
    const MetricSpec& spec = required_[workload].specs[m];
    FailurePlace place = failure_place(model_, cluster_, workload, spec, status.failure, PodId(size_t{status.pod}));
    tell(workload, kWarning, failure_reason(spec.source), [&] { return failure_text(spec, status.failure, place); });
    if (invalid++ == 0) error = metric_error(spec, status.failure, place);
  }
  if (decision.steps.taken) return;
  if (decision.scaling_active.reason == "AmbiguousSelector") {
    error = condition_message(model_, state_, cluster_, workload, decision.scaling_active);
    tell(workload, kWarning, "AmbiguousSelector", [&] { return error; });
  } else {
    error = fmt::format("invalid metrics ({} invalid out of {}), first error is: {}", invalid, decision.metrics.size(),
                        error);
  }
  tell(workload, kWarning, "FailedComputeMetricsReplicas", [&] { return error; });
}

}  // namespace kisim

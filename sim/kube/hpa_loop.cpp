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

bool looked_at_metrics(const Decision& decision) {
  return !decision.scaling_active.reason.empty() && decision.scaling_active.reason != "ScalingDisabled";
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
  required_.resize(model_.autoscalers.size());
  size_t most = 0;
  for (size_t a = 0; a < model_.autoscalers.size(); ++a) {
    AutoscalerId id(a);
    Required& required = required_[id];
    required.specs = binding(id).policy->required_metrics(object_of(binding(id)));
    if (!binding(id).workload.valid()) continue;
    for (const MetricSpec& spec : required.specs)
      required.queries.push_back(metrics_.query(binding(id).workload, spec));
    most = std::max(most, required.specs.size());
  }
  samples_.resize(most);
  requests_.resize(most);
}

void HpaLoop::start() {
  state_.autoscalers.resize(model_.autoscalers.size());
  for (size_t a = 0; a < model_.autoscalers.size(); ++a) {
    AutoscalerId id(a);
    AutoscalerState& autoscaler = state_.autoscalers[id];
    autoscaler.memory = PolicyMemoryBox(binding(id).policy->make_memory());
    autoscaler.stream = Stream(model_.seed, hash_text(address_of(id)), Purpose::Policy);
    schedule_next(id);
  }
}

std::string HpaLoop::address_of(AutoscalerId id) const {
  if (const HorizontalPodAutoscaler* object = object_of(binding(id)))
    return "HorizontalPodAutoscaler/" + object->meta.full_name();
  return "Workload/" + cluster_.model.workloads[binding(id).workload].full_name();
}

// A record says itself when its controller looked.
void HpaLoop::schedule_next(AutoscalerId id) {
  Time at = engine_.now() + kHpaSyncPeriod;
  if (const RecordedTarget* recorded = binding(id).recorded.get()) {
    size_t next = state_.autoscalers[id].syncs;
    if (next == recorded->syncs.size()) return;
    at = recorded->syncs[next].at;
  }
  engine_.schedule(at, Priority::Control, sync_, id.value);
}

bool HpaLoop::has_scale(AutoscalerId id) const {
  WorkloadId workload = binding(id).workload;
  return workload.valid() && state_.workloads[workload].exists &&
         cluster_.state.replicas[workload.value] != ClusterState::kNoScale;
}

void HpaLoop::sync(AutoscalerId id) {
  AutoscalerState& autoscaler = state_.autoscalers[id];
  ++autoscaler.syncs;
  autoscaler.synced = engine_.now();
  autoscaler.decision.clear();
  schedule_next(id);
  if (has_scale(id)) return decide(id);

  autoscaler.decision.error = true;
  autoscaler.decision.able_to_scale = {.status = false, .reason = "FailedGetScale"};
  set(autoscaler.able_to_scale, autoscaler.decision.able_to_scale, engine_.now());
  count(id, 0, 0);
  tell(id, KubeEvent::Type::Warning, "FailedGetScale", [&] { return scale_error(binding(id), cluster_.model); });
}

void HpaLoop::decide(AutoscalerId id) {
  seen_.now = engine_.now();
  seen_.kubernetes_minor = model_.minor;
  seen_.replicas = cluster_.state.replicas[binding(id).workload.value];
  seen_.min_replicas = binding(id).min_replicas;
  seen_.max_replicas = binding(id).max_replicas;
  seen_.object = object_of(binding(id));
  seen_.ambiguous = selecting_autoscalers(model_, state_, cluster_, id).size() > 1;
  seen_.required = required_[id].specs;
  observed_.assign(seen_.required.size(), {});
  if (binding(id).recorded)
    observe_record(id);
  else
    observe_cluster(id);
  AutoscalerState& autoscaler = state_.autoscalers[id];
  binding(id).policy->decide(seen_, *autoscaler.memory, autoscaler.stream, autoscaler.decision);
  autoscaler.selects |= looked_at_metrics(autoscaler.decision);
  apply(id);
}

void HpaLoop::observe_record(AutoscalerId id) {
  const RecordedSync& sync = binding(id).recorded->syncs[state_.autoscalers[id].syncs - 1];
  seen_.status_replicas = sync.status_replicas;
  seen_.pods = sync.pods;
  for (size_t m = 0; m < observed_.size() && m < sync.metrics.size(); ++m) observed_[m] = sync.metrics[m].view();
  seen_.metrics = observed_;
}

void HpaLoop::observe_cluster(AutoscalerId id) {
  pods_.clear();
  seen_.status_replicas = 0;
  for (PodId pod : cluster_.state.workload_pods[binding(id).workload.value]) {
    pods_.push_back(observe(pod));
    seen_.status_replicas += is_active(cluster_.state.pods[pod].phase);
  }
  seen_.pods = pods_;
  observe_metrics(id);
  seen_.metrics = observed_;
}

ObservedPod HpaLoop::observe(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  ObservedPod seen;
  seen.deleting = pod.phase == PodPhase::Terminating;
  seen.phase = api_phase(pod);
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

void HpaLoop::observe_metrics(AutoscalerId id) {
  const Required& required = required_[id];
  const std::vector<PodId>& pods = cluster_.state.workload_pods[binding(id).workload.value];
  totals_.assign(required.specs.size(), 0);
  for (size_t m = 0; m < required.specs.size(); ++m) {
    const MetricSpec& spec = required.specs[m];
    ObservedMetric& seen = observed_[m];
    if (!per_pod(spec)) {
      seen.answer = metrics_.of_workload(binding(id).workload, required.queries[m], totals_[m]);
      seen.values_milli = {&totals_[m], 1};
      continue;
    }
    seen.answer = metrics_.of_pods(binding(id).workload, required.queries[m], pods, samples_[m]);
    seen.samples = samples_[m];
    if (!of_utilization(spec)) continue;
    observe_requests(id, spec, requests_[m]);
    seen.request_milli = requests_[m];
  }
}

// Pods mostly have the template of the one before them.
void HpaLoop::observe_requests(AutoscalerId id, const MetricSpec& spec, std::vector<int64_t>& out) const {
  out.clear();
  TemplateId known;
  int64_t request = 0;
  for (PodId pod : cluster_.state.workload_pods[binding(id).workload.value]) {
    TemplateId pod_template = cluster_.state.pods[pod].pod_template;
    if (pod_template != known) request = request_milli(cluster_.model.templates[pod_template], spec);
    known = pod_template;
    out.push_back(request);
  }
}

void HpaLoop::apply(AutoscalerId id) {
  const Decision& decision = state_.autoscalers[id].decision;
  int32_t current = seen_.replicas;
  int32_t desired = decision.desired;
  if (desired != current) {
    desired = std::clamp(desired, seen_.min_replicas, seen_.max_replicas);
    if (desired != decision.desired)
      state_.statistics.decisions.add(desired < decision.desired ? "TooManyReplicas" : "TooFewReplicas");
  }
  if (binding(id).agent.valid() && !state_.agents[binding(id).agent].distrusted) desired = current;
  desired = shielded(id, current, desired);
  name_pods(id);
  count(id, current, desired);
  keep_status(id, current, desired);
  if (decision.error) tell_failures(id);
  if (desired != current) scale(id, desired);
}

// In an agent's place the HPA is within the agent's shield: the others of its workloads stay as they are.
int32_t HpaLoop::shielded(AutoscalerId id, int32_t current, int32_t desired) {
  const ShieldModel& shield = binding(id).shield;
  const WorkloadId workload = binding(id).workload;
  if (!workload.valid() || desired == current) return desired;
  ShieldReason step, sum;
  int32_t out = limit_change(shield, current, desired, engine_.now(), state_.workloads[workload].rescaled, step);
  if (!step.empty()) state_.statistics.decisions.add(step);
  int32_t others = 0;
  if (binding(id).agent.valid())
    for (const AgentModel::Target& target : model_.agents[binding(id).agent].targets)
      if (target.workload != workload) others += std::max(0, cluster_.state.replicas[target.workload.value]);
  const int32_t floor[] = {others, std::max(current, seen_.min_replicas)};
  int32_t wanted[] = {others, out};
  limit_sum(shield, floor, wanted, sum);
  if (!sum.empty()) state_.statistics.decisions.add(sum);
  return wanted[1];
}

// Indices of the observation mean nothing later.
void HpaLoop::name_pods(AutoscalerId id) {
  Decision& decision = state_.autoscalers[id].decision;
  const std::vector<PodId>& pods = cluster_.state.workload_pods[binding(id).workload.value];
  bool recorded = binding(id).recorded != nullptr;
  auto name = [&](MetricFailure failure, uint32_t& pod) {
    if (failure != MetricFailure::None) pod = recorded || pod >= pods.size() ? PodId::kNone : pods[pod].value;
  };
  for (MetricStatus& status : decision.metrics) name(status.failure, status.pod);
  name(decision.scaling_active.failure, decision.scaling_active.pod);
}

void HpaLoop::scale(AutoscalerId id, int32_t replicas) {
  AutoscalerState& autoscaler = state_.autoscalers[id];
  autoscaler.last_scale = engine_.now();
  const std::string& reason = autoscaler.decision.reason;
  state_.statistics.decisions.add("SuccessfulRescale", reason);
  tell(id, KubeEvent::Type::Normal, "SuccessfulRescale",
       [&] { return fmt::format("New size: {}; reason: {}", replicas, reason); });
  controllers_.scale(binding(id).workload, replicas, reason);
}

void HpaLoop::keep_status(AutoscalerId id, int32_t replicas, int32_t desired) {
  AutoscalerState& autoscaler = state_.autoscalers[id];
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
void HpaLoop::count(AutoscalerId id, int32_t replicas, int32_t desired) {
  AutoscalerState& autoscaler = state_.autoscalers[id];
  const Decision& decision = autoscaler.decision;
  auto action = static_cast<size_t>(action_of(replicas, desired));
  ++autoscaler.reconciliations[action][decision.error];
  for (size_t m = 0; m < decision.metrics.size(); ++m) {
    const MetricStatus& status = decision.metrics[m];
    bool failed = status.failure != MetricFailure::None;
    auto of_metric = failed ? size_t{0} : static_cast<size_t>(action_of(autoscaler.current_replicas, status.replicas));
    auto source = static_cast<size_t>(required_[id].specs[m].source);
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
void HpaLoop::tell(AutoscalerId id, KubeEvent::Type type, std::string_view reason, Message&& message) {
  const HorizontalPodAutoscaler* object = object_of(binding(id));
  if (!api_.sink || !object) return;
  api_.sink->record({type, engine_.now(), std::string(reason), "HorizontalPodAutoscaler", object->meta.namespace_,
                     object->meta.name, message(), "horizontal-pod-autoscaler"});
}

// One event for every metric that failed, and one more where nothing could be computed for it.
void HpaLoop::tell_failures(AutoscalerId id) {
  if (!api_.sink || !binding(id).object) return;
  const Decision& decision = state_.autoscalers[id].decision;
  constexpr auto kWarning = KubeEvent::Type::Warning;
  std::string error;
  size_t invalid = 0;
  for (size_t m = 0; m < decision.metrics.size(); ++m) {
    const MetricStatus& status = decision.metrics[m];
    if (status.failure == MetricFailure::None) continue;
    const MetricSpec& spec = required_[id].specs[m];
    FailurePlace place = failure_place(binding(id), cluster_, spec, status.failure, PodId(size_t{status.pod}));
    tell(id, kWarning, failure_reason(spec.source), [&] { return failure_text(spec, status.failure, place); });
    if (invalid++ == 0) error = metric_error(spec, status.failure, place);
  }
  if (decision.steps.taken) return;
  if (decision.scaling_active.reason == "AmbiguousSelector") {
    error = condition_message(model_, state_, cluster_, id, decision.scaling_active);
    tell(id, kWarning, "AmbiguousSelector", [&] { return error; });
  } else {
    error = fmt::format("invalid metrics ({} invalid out of {}), first error is: {}", invalid, decision.metrics.size(),
                        error);
  }
  tell(id, kWarning, "FailedComputeMetricsReplicas", [&] { return error; });
}

}  // namespace kisim

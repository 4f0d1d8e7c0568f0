#include "kube/hpa_loop.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

bool per_pod(const MetricSpec& spec) { return spec.source == MetricSpec::Source::Pods; }
const HorizontalPodAutoscaler* object_of(const AutoscalerBinding& binding) {
  return binding.object ? &*binding.object : nullptr;
}

}  // namespace

HpaLoop::HpaLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const MetricsPipeline& metrics,
                 Controllers& controllers, Engine& engine, uint16_t sync)
    : model_(model),
      state_(state),
      cluster_(cluster),
      metrics_(metrics),
      controllers_(controllers),
      engine_(engine),
      sync_(sync) {
  required_.resize(model_.workloads.size());
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    const AutoscalerBinding& binding = model_.workloads[WorkloadId(w)].autoscaler;
    if (!binding.policy) continue;
    Required& required = required_[WorkloadId(w)];
    required.specs = binding.policy->required_metrics(object_of(binding));
    for (const MetricSpec& spec : required.specs)
      // Pods have no model of cpu and memory: the resource metrics API has nothing to say.
      required.indices.push_back(from_resource_api(spec) ? std::nullopt : metrics_.find(WorkloadId(w), spec.name));
  }
}

void HpaLoop::start() {
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    const AutoscalerBinding& binding = model_.workloads[WorkloadId(w)].autoscaler;
    if (!binding.policy) continue;
    WorkloadControl& control = state_.workloads[WorkloadId(w)];
    control.memory = PolicyMemoryBox(binding.policy->make_memory());
    control.stream = Stream(model_.seed, hash_text("Workload/" + cluster_.model.workloads[WorkloadId(w)].full_name()),
                            Purpose::Policy);
    engine_.schedule(engine_.now() + model_.hpa_sync_period, Priority::Control, sync_, static_cast<uint32_t>(w));
  }
}

void HpaLoop::sync(WorkloadId workload) {
  engine_.schedule(engine_.now() + model_.hpa_sync_period, Priority::Control, sync_, workload.value);
  observe_pods(workload);
  observe_metrics(workload);
  const AutoscalerBinding& binding = model_.workloads[workload].autoscaler;
  WorkloadControl& control = state_.workloads[workload];
  Observation seen;
  seen.now = engine_.now();
  seen.kubernetes_minor = model_.minor;
  seen.replicas = control.replicas;
  seen.status_replicas =
      static_cast<int32_t>(std::count_if(pods_.begin(), pods_.end(), [](const ObservedPod& p) { return !p.deleting; }));
  seen.min_replicas = binding.min_replicas;
  seen.max_replicas = binding.max_replicas;
  seen.object = object_of(binding);
  seen.pods = pods_;
  seen.required = required_[workload].specs;
  seen.metrics = observed_;
  apply(workload, binding.policy->decide(seen, *control.memory, control.stream));
}

void HpaLoop::observe_pods(WorkloadId workload) {
  pods_.clear();
  for (PodId id : cluster_.state.workload_pods[workload.value]) pods_.push_back(observe(id));
}

ObservedPod HpaLoop::observe(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  bool lost = pod.node.valid() && !state_.nodes[pod.node].alive() && pod.started != Time::max();
  ObservedPod seen;
  seen.phase = pod.phase >= PodPhase::Loading || lost ? ObservedPod::Phase::Running : ObservedPod::Phase::Pending;
  seen.deleting = pod.phase == PodPhase::Terminating;
  bool ready = pod.phase == PodPhase::Ready || pod.phase == PodPhase::Terminating;
  if (!pod.node.valid()) return seen;
  seen.start = pod.scheduled;
  seen.ready = ready ? ObservedPod::Ready::True : ObservedPod::Ready::False;
  seen.ready_transition = ready ? pod.ready : pod.scheduled;
  return seen;
}

void HpaLoop::observe_metrics(WorkloadId workload) {
  const Required& required = required_[workload];
  const std::vector<PodId>& pods = cluster_.state.workload_pods[workload.value];
  size_t metrics = required.specs.size();
  observed_.assign(metrics, {});
  totals_.assign(metrics, 0);
  if (samples_.size() < metrics) samples_.resize(metrics);
  for (size_t m = 0; m < metrics; ++m) {
    if (!required.indices[m]) continue;
    ObservedMetric& seen = observed_[m];
    if (per_pod(required.specs[m])) {
      samples_[m].clear();
      for (PodId pod : pods) samples_[m].push_back(metrics_.pod_sample(workload, *required.indices[m], pod));
      seen.available = true;
      seen.samples = samples_[m];
    } else if (std::optional<int64_t> total = metrics_.total_milli(workload, *required.indices[m])) {
      totals_[m] = *total;
      seen.available = true;
      seen.values_milli = {&totals_[m], 1};
    }
  }
}

void HpaLoop::apply(WorkloadId workload, Decision decision) {
  count(decision);
  int32_t current = state_.workloads[workload].replicas;
  if (decision.desired == current) return;
  const AutoscalerBinding& binding = model_.workloads[workload].autoscaler;
  int32_t replicas = std::clamp(decision.desired, binding.min_replicas, binding.max_replicas);
  if (replicas != decision.desired)
    state_.statistics.decisions.add(replicas < decision.desired ? "TooManyReplicas" : "TooFewReplicas");
  if (replicas == current) return;
  state_.statistics.decisions.add("SuccessfulRescale", decision.reason);
  controllers_.scale(workload, replicas, std::move(decision.reason));
}

// Conditions under the names of autoscaling/v2; SucceededRescale is told by the rescale itself.
void HpaLoop::count(const Decision& decision) {
  DecisionCounts& decisions = state_.statistics.decisions;
  std::string_view able = decision.able_to_scale.reason;
  if (able == "ScaleUpStabilized" || able == "ScaleDownStabilized") decisions.add(able);
  if (!decision.scaling_active.status) decisions.add(decision.scaling_active.reason);
  if (!decision.scaling_limited.reason.empty()) decisions.add(decision.scaling_limited.reason);
}

}  // namespace kisim

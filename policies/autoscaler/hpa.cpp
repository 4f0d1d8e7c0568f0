// The HorizontalPodAutoscaler controller of Kubernetes (pkg/controller/podautoscaler, v1.34 and v1.36).
//
// One decision: metrics -> proposed replicas (ReplicaCalculator), the largest proposal, stabilisation and rate limits
// (normalise), limits of the object. Quantities are int64 milli-units and ratios doubles, as in the controller.

#include "policy/autoscaler_text.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kisim {
namespace {

constexpr double kScaleUpLimitFactor = 2.0;  // without `behavior`
constexpr double kScaleUpLimitMinimum = 4.0;

struct HpaSettings {
  double tolerance = 0.1;
  Duration downscale_stabilization, cpu_initialization_period, initial_readiness_delay;
  bool scale_to_zero = false;                  // gate HPAScaleToZero
  std::optional<bool> configurable_tolerance;  // gate HPAConfigurableTolerance; none: by version
};

struct HpaMemory : CopyableMemory<HpaMemory> {
  struct Recommendation {
    int32_t replicas;
    Time at;
  };
  struct ScaleEvent {
    int32_t change;
    Time at;
  };
  std::vector<Recommendation> recommendations;
  std::vector<ScaleEvent> scale_up_events, scale_down_events;
  std::optional<bool> scaled_to_zero;
};

// Overwrites one entry that is no longer needed, or appends: the list stays as short as its window.
template <class T>
void store(std::vector<T>& list, std::optional<size_t> old, T item) {
  if (old)
    list[*old] = item;
  else
    list.push_back(item);
}

// A double to int32 as the controller's platform converts it: out of range is the smallest int32.
int32_t to_int32(double x) {
  if (!(x > -2147483649.0 && x < 2147483648.0)) return std::numeric_limits<int32_t>::min();
  return static_cast<int32_t>(x);
}

const ScalingRules& default_scale_up() {
  static const ScalingRules rules = default_scale_up_rules();
  return rules;
}
const ScalingRules& default_scale_down() {
  static const ScalingRules rules = default_scale_down_rules();
  return rules;
}

struct Behavior {
  const ScalingRules &up, &down;
  std::span<const ScalingPolicy> up_policies, down_policies;
  Duration up_window, down_window;
};

Behavior resolve_behavior(const HorizontalPodAutoscaler& object, Duration downscale_stabilization) {
  const ScalingRules& up = object.scale_up ? *object.scale_up : default_scale_up();
  const ScalingRules& down = object.scale_down ? *object.scale_down : default_scale_down();
  return {up,
          down,
          up.policies.empty() ? default_scale_up().policies : up.policies,
          down.policies.empty() ? default_scale_down().policies : down.policies,
          up.stabilization_window.value_or(0_s),
          down.stabilization_window.value_or(downscale_stabilization)};
}

// What one metric asks for at one moment (replica_calculator.go).
class ReplicaCalculator {
 public:
  ReplicaCalculator(const Observation& seen, const HpaSettings& settings, double tolerance_up, double tolerance_down)
      : seen_(seen), settings_(settings), tolerance_up_(tolerance_up), tolerance_down_(tolerance_down) {}

  MetricStatus evaluate(const MetricSpec& spec, const ObservedMetric& metric) const {
    MetricStatus status;
    if (metric.answer == ObservedMetric::Answer::Unavailable) return failed(status, MetricFailure::NoAnswer);
    if (metric.answer == ObservedMetric::Answer::None) return failed(status, MetricFailure::NoMetrics);
    bool whole = spec.source == MetricSpec::Source::Object || spec.source == MetricSpec::Source::External;
    return whole ? of_whole(spec, metric) : of_pods(spec, metric);
  }

 private:
  enum class Group : uint8_t { Ignored, Unready, Missing, Ready };

  // Everything that the pods of a metric add up to, by group.
  struct Sums {
    int64_t ready = 0, unready = 0, missing = 0, ignored = 0;
    int64_t usage = 0;  // of those ready, and of pods that no longer exist where they count
    int64_t ready_request = 0, unready_request = 0, missing_request = 0;
    int64_t missing_usage = 0;  // what those missing are taken to use on the way down
    std::optional<uint32_t> without_request;
  };

  static MetricStatus& failed(MetricStatus& status, MetricFailure failure) {
    status.failure = failure;
    return status;
  }

  bool within_tolerance(double ratio) const { return 1.0 - tolerance_down_ <= ratio && ratio <= 1.0 + tolerance_up_; }

  Group group(const ObservedPod& p, const std::optional<MetricSample>& sample, bool cpu) const {
    if (p.deleting || p.phase == ObservedPod::Phase::Failed) return Group::Ignored;
    if (p.phase == ObservedPod::Phase::Pending) return Group::Unready;
    if (!sample) return Group::Missing;
    return cpu && !cpu_sample_counts(p, *sample) ? Group::Unready : Group::Ready;
  }

  // A pod that starts burns CPU that says nothing of its load.
  bool cpu_sample_counts(const ObservedPod& pod, const MetricSample& sample) const {
    if (pod.ready == ObservedPod::Ready::None || !pod.start) return false;
    bool not_ready = pod.ready == ObservedPod::Ready::False;
    if (*pod.start + settings_.cpu_initialization_period > seen_.now)
      return !not_ready && sample.timestamp >= pod.ready_transition + sample.window;
    return !(not_ready && *pod.start + settings_.initial_readiness_delay > pod.ready_transition);
  }

  Sums add_up(const MetricSpec& spec, const ObservedMetric& metric) const {
    bool utilization = spec.target.type == MetricTarget::Type::Utilization;
    bool cpu = spec.source != MetricSpec::Source::Pods && spec.name == "cpu";
    int64_t fallback_percent = std::max(100, spec.target.utilization);
    Sums sums;
    for (size_t i = 0; i < seen_.pods.size(); ++i) {
      int64_t request = utilization ? known_request(metric.request_milli[i]) : 0;
      if (request < 0 && !sums.without_request) sums.without_request = static_cast<uint32_t>(i);
      switch (group(seen_.pods[i], metric.samples[i], cpu)) {
        case Group::Ignored:
          ++sums.ignored;
          break;
        case Group::Unready:
          ++sums.unready;
          sums.unready_request += request;
          break;
        case Group::Missing:
          ++sums.missing;
          sums.missing_request += request;
          sums.missing_usage += utilization ? request * fallback_percent / 100 : spec.target.milli_value;
          break;
        case Group::Ready:
          ++sums.ready;
          sums.ready_request += request;
          sums.usage += metric.samples[i]->milli;
          break;
      }
    }
    // Pods that no longer exist have no request, so that utilization knows nothing of them.
    for (const MetricSample& orphan : metric.orphans) sums.usage += utilization ? 0 : orphan.milli;
    return sums;
  }

  // Before 1.35 a container that the pod does not have requests nothing.
  int64_t known_request(int64_t request) const {
    return request == kNoContainer && seen_.kubernetes_minor < 35 ? 0 : request;
  }

  static MetricFailure request_failure(int64_t request) {
    if (request == kNoContainer) return MetricFailure::NoContainer;
    return request == kNoPodRequest ? MetricFailure::NoPodRequest : MetricFailure::NoRequest;
  }

  MetricStatus of_pods(const MetricSpec& spec, const ObservedMetric& metric) const {
    MetricStatus status;
    if (seen_.pods.empty()) return failed(status, MetricFailure::NoPods);
    bool utilization = spec.target.type == MetricTarget::Type::Utilization;
    Sums sums = add_up(spec, metric);
    status.ready = static_cast<int32_t>(sums.ready);
    status.unready = static_cast<int32_t>(sums.unready);
    status.missing = static_cast<int32_t>(sums.missing);
    status.ignored = static_cast<int32_t>(sums.ignored);
    auto orphans = static_cast<int64_t>(metric.orphans.size());
    if (sums.ready + orphans == 0) return failed(status, MetricFailure::NoneReceived);
    if (sums.without_request) {
      status.pod = *sums.without_request;
      return failed(status, request_failure(metric.request_milli[status.pod]));
    }
    if (utilization && sums.ready_request == 0) return failed(status, MetricFailure::NoneMatched);

    status.average_milli_value = sums.usage / (utilization ? sums.ready : sums.ready + orphans);
    double measured = 0;
    if (utilization) {
      status.average_utilization = static_cast<int32_t>(sums.usage * 100 / sums.ready_request);
      measured = static_cast<double>(*status.average_utilization) / static_cast<double>(spec.target.utilization);
    } else {
      measured = static_cast<double>(*status.average_milli_value) / static_cast<double>(spec.target.milli_value);
    }
    status.replicas = propose(spec, sums, orphans, measured);
    return status;
  }

  int32_t propose(const MetricSpec& spec, const Sums& sums, int64_t orphans, double measured) const {
    int32_t current = seen_.replicas;
    bool scale_up_with_unready = sums.unready > 0 && measured > 1.0;
    if (!scale_up_with_unready && sums.missing == 0) {
      if (within_tolerance(measured)) return current;
      return to_int32(std::ceil(measured * static_cast<double>(sums.ready)));
    }
    // Pods that did not report are taken to speak against the move: as busy on the way down, as idle on the way up.
    bool fill_missing = measured != 1.0;
    int64_t usage = sums.usage + (measured < 1.0 ? sums.missing_usage : 0);
    int64_t entries = sums.ready + orphans + (fill_missing ? sums.missing : 0);
    if (scale_up_with_unready) entries += sums.unready;
    double damped = 0;
    if (spec.target.type == MetricTarget::Type::Utilization) {
      int64_t request = sums.ready_request + (fill_missing ? sums.missing_request : 0);
      if (scale_up_with_unready) request += sums.unready_request;
      damped = static_cast<double>(static_cast<int32_t>(usage * 100 / request)) /
               static_cast<double>(spec.target.utilization);
    } else {
      damped = static_cast<double>(usage / entries) / static_cast<double>(spec.target.milli_value);
    }
    bool flipped = (measured < 1.0 && damped > 1.0) || (measured > 1.0 && damped < 1.0);
    if (within_tolerance(damped) || flipped) return current;
    int32_t proposal = to_int32(std::ceil(damped * static_cast<double>(entries)));
    bool contradicts = (damped < 1.0 && proposal > current) || (damped > 1.0 && proposal < current);
    return contradicts ? current : proposal;
  }

  MetricStatus of_whole(const MetricSpec& spec, const ObservedMetric& metric) const {
    MetricStatus status;
    int64_t sum = total(spec, metric);
    auto usage = static_cast<double>(sum), target = static_cast<double>(spec.target.milli_value);
    if (spec.target.type == MetricTarget::Type::AverageValue) {
      status.replicas =
          per_replica(usage, target, spec.source == MetricSpec::Source::External || seen_.kubernetes_minor > 34);
      status.average_milli_value = per_pod(sum);
      return status;
    }

    double ratio = usage / target;
    double wanted = std::ceil(ratio);
    if (seen_.replicas != 0 && within_tolerance(ratio)) {
      status.replicas = seen_.replicas;
      status.milli_value = sum;
      return status;
    }
    if (seen_.replicas != 0) {
      if (seen_.pods.empty()) return failed(status, MetricFailure::NoPods);
      auto ready = std::count_if(seen_.pods.begin(), seen_.pods.end(), [](const ObservedPod& p) {
        return p.phase == ObservedPod::Phase::Running && p.ready == ObservedPod::Ready::True;
      });
      wanted = std::ceil(ratio * static_cast<double>(ready));
    }
    status.replicas = seen_.kubernetes_minor > 34 ? cap(wanted) : to_int32(wanted);
    status.milli_value = sum;
    return status;
  }

  // Averages stop at the largest number; other sums do since 1.35 and wrap around before.
  int64_t total(const MetricSpec& spec, const ObservedMetric& metric) const {
    bool saturates = spec.target.type == MetricTarget::Type::AverageValue || seen_.kubernetes_minor > 34;
    uint64_t sum = 0;
    for (int64_t v : metric.values_milli) {
      sum += static_cast<uint64_t>(v);
      if (saturates && v > 0 && static_cast<int64_t>(sum) < 0) return std::numeric_limits<int64_t>::max();
    }
    return static_cast<int64_t>(sum);
  }

  std::optional<int64_t> per_pod(int64_t usage) const {
    if (seen_.status_replicas == 0) return std::nullopt;
    if (usage == std::numeric_limits<int64_t>::max()) return usage;
    return static_cast<int64_t>(std::ceil(static_cast<double>(usage) / static_cast<double>(seen_.status_replicas)));
  }

  int32_t per_replica(double usage, double target, bool capped) const {
    double ratio = usage / (target * static_cast<double>(seen_.status_replicas));
    if (within_tolerance(ratio)) return seen_.status_replicas;
    double wanted = std::ceil(usage / target);
    return capped ? cap(wanted) : to_int32(wanted);
  }

  static int32_t cap(double x) { return x >= 2147483647.0 ? std::numeric_limits<int32_t>::max() : to_int32(x); }

  const Observation& seen_;
  const HpaSettings& settings_;
  double tolerance_up_, tolerance_down_;
};

// One reconcile (horizontal.go).
class Reconciler {
 public:
  Reconciler(const Observation& seen, const HpaSettings& settings, HpaMemory& memory, Decision& decision)
      : seen_(seen), object_(*seen.object), settings_(settings), memory_(memory), decision_(decision) {}

  void run() {
    int32_t current = seen_.replicas;
    if (memory_.recommendations.empty()) memory_.recommendations.push_back({current, seen_.now});
    decision_.desired = current;
    decision_.able_to_scale = {.reason = "SucceededGetScale"};
    if (!keeps_scaled_to_zero()) memory_.scaled_to_zero.reset();
    bool woken = current == 0 && memory_.scaled_to_zero.value_or(false);
    if (current == 0 && !may_wake()) {
      decision_.scaling_active = {.status = false, .reason = "ScalingDisabled"};
    } else if (current > seen_.max_replicas) {
      clamp_to(seen_.max_replicas, "Current number of replicas above Spec.MaxReplicas");
    } else if (current < seen_.min_replicas && current != 0) {
      clamp_to(seen_.min_replicas, "Current number of replicas below Spec.MinReplicas");
    } else {
      follow_metrics();
      if (woken && decision_.steps.taken && decision_.desired < seen_.min_replicas) raise_to_min();
    }
    if (decision_.desired != current) rescaled();
    decision_.scaled_to_zero = memory_.scaled_to_zero;
  }

 private:
  bool keeps_scaled_to_zero() const { return settings_.scale_to_zero && seen_.kubernetes_minor >= 36; }

  bool has_metric_without_pods() const {
    return std::any_of(seen_.required.begin(), seen_.required.end(), [](const MetricSpec& m) {
      return m.source == MetricSpec::Source::Object || m.source == MetricSpec::Source::External;
    });
  }

  // Before 1.36 the controller does not ask who scaled to zero.
  bool may_wake() const {
    if (seen_.kubernetes_minor < 36) return seen_.min_replicas == 0;
    if (!memory_.scaled_to_zero.value_or(false)) return false;
    return seen_.min_replicas != 0 || has_metric_without_pods();
  }

  void clamp_to(int32_t replicas, const char* reason) {
    decision_.desired = replicas;
    decision_.reason = reason;
  }

  // minReplicas may have been raised while there were none.
  void raise_to_min() {
    decision_.desired = seen_.min_replicas;
    if (decision_.reason.empty()) decision_.reason = "Current number of replicas below Spec.MinReplicas";
  }

  void follow_metrics() {
    std::optional<int32_t> wanted = wanted_by_metrics();
    if (!wanted) return;
    ScalingSteps& steps = decision_.steps;
    steps.taken = true;
    steps.proposed = std::max(0, *wanted);
    decision_.desired = object_.has_behavior() ? normalise_with_behavior(steps.proposed) : normalise(steps.proposed);
    steps.desired = decision_.desired;
    if (decision_.desired == seen_.replicas) return;
    const MetricSpec& leader = seen_.required[static_cast<size_t>(steps.leader)];
    // The words follow what the metrics ask for, though a window or a limit may have turned it round.
    if (steps.proposed > seen_.replicas)
      decision_.reason = metric_text(leader) + " above target";
    else if (steps.proposed < seen_.replicas)
      decision_.reason = "All metrics below target";
  }

  // The largest proposal. Nothing where a metric is invalid and the others cannot speak for it.
  std::optional<int32_t> wanted_by_metrics() {
    if (seen_.ambiguous) {
      decision_.error = true;
      decision_.scaling_active = {.status = false, .reason = "AmbiguousSelector"};
      return std::nullopt;
    }
    auto [up, down] = tolerances();
    ReplicaCalculator calculator(seen_, settings_, up, down);
    int32_t best = 0;
    size_t invalid = 0, first_invalid = 0;
    for (size_t i = 0; i < seen_.required.size(); ++i) {
      const MetricStatus& status =
          decision_.metrics.emplace_back(calculator.evaluate(seen_.required[i], seen_.metrics[i]));
      if (status.failure != MetricFailure::None) {
        if (invalid++ == 0) first_invalid = i;
      } else if (best == 0 || status.replicas > best) {
        best = status.replicas;
        decision_.steps.leader = static_cast<int32_t>(i);
      }
    }
    decision_.error = invalid > 0;
    if (invalid == seen_.required.size() || (invalid > 0 && best < seen_.replicas)) {
      const MetricStatus& first = decision_.metrics[first_invalid];
      decision_.scaling_active = {.status = false,
                                  .reason = failure_reason(seen_.required[first_invalid].source),
                                  .detail = static_cast<int32_t>(first_invalid),
                                  .failure = first.failure,
                                  .pod = first.pod};
      return std::nullopt;
    }
    decision_.scaling_active = {.reason = "ValidMetricFound", .detail = decision_.steps.leader};
    return best;
  }

  std::pair<double, double> tolerances() const {
    double up = settings_.tolerance, down = settings_.tolerance;
    if (!settings_.configurable_tolerance.value_or(seen_.kubernetes_minor >= 35)) return {up, down};
    // Quantity.AsApproximateFloat64 of a canonical amount.
    if (object_.scale_up && object_.scale_up->tolerance_milli)
      up = static_cast<double>(*object_.scale_up->tolerance_milli) * 0.001;
    if (object_.scale_down && object_.scale_down->tolerance_milli)
      down = static_cast<double>(*object_.scale_down->tolerance_milli) * 0.001;
    return {up, down};
  }

  void within_range() { decision_.scaling_limited = {.status = false, .reason = "DesiredWithinRange"}; }
  void limited(std::string_view reason) { decision_.scaling_limited = {.reason = reason}; }

  void stabilized(int32_t raw, int32_t result, std::string_view held, Duration window, std::optional<Time> by) {
    decision_.steps.stabilized = result;
    decision_.steps.stabilization = result != raw ? held : "ReadyForNewScale";
    decision_.able_to_scale = {.reason = decision_.steps.stabilization};
    if (result == raw) return;
    decision_.steps.window = window;
    decision_.steps.recommended = by;
  }

  // Without `behavior`: a window on the way down, at most doubling on the way up.
  int32_t normalise(int32_t raw) {
    int32_t result = stabilise(raw);
    within_range();
    auto up_limit = to_int32(std::max(kScaleUpLimitFactor * seen_.replicas, kScaleUpLimitMinimum));
    int32_t highest = std::min(seen_.max_replicas, up_limit);
    if (result < seen_.min_replicas) return limited("TooFewReplicas"), seen_.min_replicas;
    if (result <= highest) return result;
    limited(seen_.max_replicas > up_limit ? "ScaleUpLimit" : "TooManyReplicas");
    return highest;
  }

  int32_t stabilise(int32_t raw) {
    Time cutoff = seen_.now - settings_.downscale_stabilization;
    int32_t highest = raw;
    std::optional<size_t> old;
    std::optional<Time> by;
    for (size_t i = 0; i < memory_.recommendations.size(); ++i) {
      const auto& r = memory_.recommendations[i];
      if (r.at < cutoff) {
        old = i;
      } else if (r.replicas > highest || (r.replicas == highest && by < r.at)) {
        highest = r.replicas;
        by = r.at;
      }
    }
    store(memory_.recommendations, old, {raw, seen_.now});
    stabilized(raw, highest, "ScaleDownStabilized", settings_.downscale_stabilization, by);
    return highest;
  }

  int32_t normalise_with_behavior(int32_t raw) {
    Behavior behavior = resolve_behavior(object_, settings_.downscale_stabilization);
    int32_t result = stabilise_both_ways(raw, behavior);
    within_range();
    if (result > seen_.replicas) return limit_up(result, behavior);
    if (result < seen_.replicas) return limit_down(result, behavior);
    return result;
  }

  int32_t stabilise_both_ways(int32_t raw, const Behavior& behavior) {
    Time up_cutoff = seen_.now - behavior.up_window, down_cutoff = seen_.now - behavior.down_window;
    int32_t up = raw, down = raw;
    std::optional<size_t> old;
    for (size_t i = 0; i < memory_.recommendations.size(); ++i) {
      const auto& r = memory_.recommendations[i];
      if (r.at > up_cutoff) up = std::min(up, r.replicas);
      if (r.at > down_cutoff) down = std::max(down, r.replicas);
      if (r.at < up_cutoff && r.at < down_cutoff) old = i;
    }
    int32_t result = std::min(std::max(seen_.replicas, up), down);
    bool upwards = raw >= seen_.replicas;
    Duration window = upwards ? behavior.up_window : behavior.down_window;
    std::optional<Time> by;
    if (result != raw) by = latest_recommendation(result, seen_.now - window);
    stabilized(raw, result, upwards ? "ScaleUpStabilized" : "ScaleDownStabilized", window, by);
    store(memory_.recommendations, old, {raw, seen_.now});
    return result;
  }

  // Nothing if the present number holds it, and no recommendation.
  std::optional<Time> latest_recommendation(int32_t replicas, Time cutoff) const {
    std::optional<Time> latest;
    for (const auto& r : memory_.recommendations)
      if (r.replicas == replicas && r.at > cutoff && (!latest || *latest < r.at)) latest = r.at;
    return latest;
  }

  int32_t limit_up(int32_t wanted, const Behavior& behavior) {
    int32_t rate = std::max(seen_.replicas, rate_limit(behavior.up, behavior.up_policies, +1));
    int32_t highest = std::min(seen_.max_replicas, rate);
    if (wanted <= highest) return wanted;
    limited(seen_.max_replicas > rate ? "ScaleUpLimit" : "TooManyReplicas");
    if (seen_.max_replicas > rate) tell_policy(behavior.up, behavior.up_policies, +1);
    return highest;
  }

  int32_t limit_down(int32_t wanted, const Behavior& behavior) {
    int32_t rate = std::min(seen_.replicas, rate_limit(behavior.down, behavior.down_policies, -1));
    int32_t lowest = std::max(seen_.min_replicas, rate);
    if (wanted >= lowest) return wanted;
    limited(seen_.min_replicas < rate ? "ScaleDownLimit" : "TooFewReplicas");
    if (seen_.min_replicas < rate) tell_policy(behavior.down, behavior.down_policies, -1);
    return lowest;
  }

  // Select Max means the largest change, which on the way down is the smallest number.
  static bool wants_largest(const ScalingRules& rules, int direction) {
    return (rules.select == ScalingRules::Select::Max) == (direction > 0);
  }

  // Replicas at the start of the policy's period.
  int64_t period_start(const ScalingPolicy& policy) const {
    return seen_.replicas - change_within(memory_.scale_up_events, policy.period) +
           change_within(memory_.scale_down_events, policy.period);
  }

  // How far the policies let the replicas go from where each one's period began.
  int32_t rate_limit(const ScalingRules& rules, std::span<const ScalingPolicy> policies, int direction) const {
    if (rules.select == ScalingRules::Select::Disabled) return seen_.replicas;
    bool largest = wants_largest(rules, direction);
    int32_t limit = largest ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max();
    for (const ScalingPolicy& policy : policies) {
      int32_t target = policy_target(policy, period_start(policy), direction);
      limit = largest ? std::max(limit, target) : std::min(limit, target);
    }
    return limit;
  }

  // Which of the policies set the limit: the first of those that agree.
  void tell_policy(const ScalingRules& rules, std::span<const ScalingPolicy> policies, int direction) {
    if (rules.select == ScalingRules::Select::Disabled) return;
    int32_t limit = rate_limit(rules, policies, direction);
    for (const ScalingPolicy& policy : policies) {
      int64_t start = period_start(policy);
      if (policy_target(policy, start, direction) != limit) continue;
      decision_.steps.policy = policy;
      decision_.steps.base = clamp_int32(start);
      return;
    }
  }

  static int32_t policy_target(const ScalingPolicy& policy, int64_t start, int direction) {
    if (policy.type == ScalingPolicy::Type::Pods) return clamp_int32(start + direction * int64_t{policy.value});
    double share = static_cast<double>(policy.value) / 100;
    if (direction > 0) return to_int32(std::ceil(static_cast<double>(start) * (1 + share)));
    return to_int32(static_cast<double>(start) * (1 - share));
  }

  static int32_t clamp_int32(int64_t value) {
    using Limits = std::numeric_limits<int32_t>;
    return static_cast<int32_t>(std::clamp<int64_t>(value, Limits::min(), Limits::max()));
  }

  int64_t change_within(const std::vector<HpaMemory::ScaleEvent>& events, Duration period) const {
    int64_t change = 0;
    for (const auto& e : events)
      if (e.at > seen_.now - period) change += e.change;
    return change;
  }

  void rescaled() {
    decision_.able_to_scale = {.reason = "SucceededRescale", .detail = decision_.desired};
    if (keeps_scaled_to_zero())
      memory_.scaled_to_zero =
          seen_.replicas > 0 && decision_.desired == 0 && seen_.min_replicas == 0 && has_metric_without_pods();
    if (!object_.has_behavior()) return;
    Behavior behavior = resolve_behavior(object_, settings_.downscale_stabilization);
    int32_t change = decision_.desired - seen_.replicas;
    if (change > 0)
      store_event(memory_.scale_up_events, behavior.up_policies, change);
    else
      store_event(memory_.scale_down_events, behavior.down_policies, -change);
  }

  // The list ages by the longest period of its own direction only: the other direction's longer policies forget.
  void store_event(std::vector<HpaMemory::ScaleEvent>& events, std::span<const ScalingPolicy> policies,
                   int32_t change) {
    Duration longest;
    for (const ScalingPolicy& policy : policies) longest = std::max(longest, policy.period);
    std::optional<size_t> old;
    for (size_t i = 0; i < events.size(); ++i)
      if (events[i].at < seen_.now - longest) old = i;
    store(events, old, {change, seen_.now});
  }

  const Observation& seen_;
  const HorizontalPodAutoscaler& object_;
  const HpaSettings& settings_;
  HpaMemory& memory_;
  Decision& decision_;
};

class HpaAutoscaler : public Autoscaler {
 public:
  explicit HpaAutoscaler(const HpaSettings& settings) : settings_(settings) {}

  std::optional<std::string> complaint(const HorizontalPodAutoscaler* object) const override {
    if (!object) return "policy 'hpa' needs a HorizontalPodAutoscaler that names the workload, found none";
    if (object->metrics.empty()) return "found a HorizontalPodAutoscaler without metrics";
    return std::nullopt;
  }
  std::span<const MetricSpec> required_metrics(const HorizontalPodAutoscaler* object) const override {
    return object->metrics;
  }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<HpaMemory>(); }

  void decide(const Observation& seen, PolicyMemory& memory, Stream&, Decision& decision) const override {
    Reconciler(seen, settings_, static_cast<HpaMemory&>(memory), decision).run();
  }

 private:
  HpaSettings settings_;
};

[[noreturn]] void refuse_gates(const std::string& found) {
  throw InputError(Diagnostic{Severity::Error,
                              {},
                              "featureGates",
                              fmt::format("found '{}', allowed: HPAScaleToZero=true|false, "
                                          "HPAConfigurableTolerance=true|false, separated by commas",
                                          found)});
}

void read_feature_gates(const std::string& text, HpaSettings& settings) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    std::string gate = text.substr(begin, end - begin);
    begin = end + 1;
    size_t equals = gate.find('=');
    if (equals == std::string::npos) refuse_gates(gate);
    std::string name = gate.substr(0, equals), value = gate.substr(equals + 1);
    if (value != "true" && value != "false") refuse_gates(gate);
    if (name == "HPAScaleToZero")
      settings.scale_to_zero = value == "true";
    else if (name == "HPAConfigurableTolerance")
      settings.configurable_tolerance = value == "true";
    else
      refuse_gates(gate);
  }
}

std::unique_ptr<const Autoscaler> make_hpa(const Params& params) {
  HpaSettings settings;
  settings.tolerance = params.number("tolerance");
  settings.downscale_stabilization = params.duration("downscaleStabilization");
  settings.cpu_initialization_period = params.duration("cpuInitializationPeriod");
  settings.initial_readiness_delay = params.duration("initialReadinessDelay");
  read_feature_gates(params.text("featureGates"), settings);
  return std::make_unique<HpaAutoscaler>(settings);
}

// Defaults are those of kube-controller-manager's --horizontal-pod-autoscaler-* flags.
KISIM_POLICY(Autoscaler, "hpa", "the HorizontalPodAutoscaler controller of Kubernetes",
             {{.name = "tolerance",
               .type = ParamSpec::Type::Number,
               .default_text = "0.1",
               .doc = "smallest relative deviation from the target that scales",
               .min = 0,
               .max = 1},
              {.name = "downscaleStabilization",
               .type = ParamSpec::Type::Duration,
               .default_text = "5m",
               .doc = "window whose highest recommendation a scale-down respects",
               .min = 0,
               .max = 86400},
              {.name = "cpuInitializationPeriod",
               .type = ParamSpec::Type::Duration,
               .default_text = "5m",
               .doc = "time after a pod's start in which CPU samples need a whole ready window",
               .min = 0,
               .max = 86400},
              {.name = "initialReadinessDelay",
               .type = ParamSpec::Type::Duration,
               .default_text = "30s",
               .doc = "time after a pod's start in which unready means never ready yet",
               .min = 0,
               .max = 86400},
              {.name = "featureGates",
               .type = ParamSpec::Type::Text,
               .default_text = "",
               .doc = "gates that differ from the version's defaults, of HPAScaleToZero and HPAConfigurableTolerance: "
                      "NAME=true,…"}},
             make_hpa);

}  // namespace
}  // namespace kisim

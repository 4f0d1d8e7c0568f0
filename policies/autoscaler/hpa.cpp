// The HorizontalPodAutoscaler controller of Kubernetes (pkg/controller/podautoscaler, v1.34 and v1.36).
//
// One decision: metrics -> proposed replicas (ReplicaCalculator), the largest proposal, stabilisation and rate limits
// (normalise), limits of the object. Quantities are int64 milli-units and ratios doubles, as in the controller.

#include "policy/autoscaler.hpp"
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

// `behavior` as the API server defaults it.
const ScalingRules& default_scale_up() {
  static const ScalingRules rules{
      .stabilization_window = 0_s,
      .policies = {{ScalingPolicy::Type::Pods, 4, 15_s}, {ScalingPolicy::Type::Percent, 100, 15_s}}};
  return rules;
}
const ScalingRules& default_scale_down() {
  static const ScalingRules rules{.policies = {{ScalingPolicy::Type::Percent, 100, 15_s}}};
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

// Proposed replicas for one metric at one moment (replica_calculator.go).
class ReplicaCalculator {
 public:
  ReplicaCalculator(const Observation& seen, const HpaSettings& settings, double tolerance_up, double tolerance_down)
      : seen_(seen), settings_(settings), tolerance_up_(tolerance_up), tolerance_down_(tolerance_down) {}

  // Nothing if the metric cannot be had or makes no sense.
  std::optional<int32_t> propose(const MetricSpec& spec, const ObservedMetric& metric) const {
    if (!metric.available) return std::nullopt;
    switch (spec.source) {
      case MetricSpec::Source::Resource:
      case MetricSpec::Source::ContainerResource:
      case MetricSpec::Source::Pods:
        return per_pod(spec, metric);
      case MetricSpec::Source::Object:
      case MetricSpec::Source::External:
        return whole(spec, metric);
    }
    return std::nullopt;
  }

 private:
  enum class Group : uint8_t { Ignored, Unready, Missing, Ready };

  // What a pod without a usable sample counts as.
  struct Fill {
    bool missing = false, unready = false;
    int64_t fallback_percent = -1;  // of the request; negative: missing_milli instead
    int64_t missing_milli = 0;
  };
  struct Ratio {
    double value;
    int64_t entries;
  };

  bool within_tolerance(double ratio) const { return 1.0 - tolerance_down_ <= ratio && ratio <= 1.0 + tolerance_up_; }

  Group group(size_t pod, const ObservedMetric& metric, bool cpu) const {
    const ObservedPod& p = seen_.pods[pod];
    if (p.deleting || p.phase == ObservedPod::Phase::Failed) return Group::Ignored;
    if (p.phase == ObservedPod::Phase::Pending) return Group::Unready;
    if (!metric.samples[pod]) return Group::Missing;
    return cpu && !cpu_sample_counts(p, *metric.samples[pod]) ? Group::Unready : Group::Ready;
  }

  // A pod that starts burns CPU that says nothing of its load.
  bool cpu_sample_counts(const ObservedPod& pod, const MetricSample& sample) const {
    if (pod.ready == ObservedPod::Ready::None || !pod.start) return false;
    bool not_ready = pod.ready == ObservedPod::Ready::False;
    if (*pod.start + settings_.cpu_initialization_period > seen_.now)
      return !not_ready && sample.timestamp >= pod.ready_transition + sample.window;
    return !(not_ready && *pod.start + settings_.initial_readiness_delay > pod.ready_transition);
  }

  std::optional<Ratio> ratio(const MetricSpec& spec, const ObservedMetric& metric, bool cpu, const Fill& fill) const {
    bool utilization = spec.target.type == MetricTarget::Type::Utilization;
    int64_t usage = 0, request = 0, entries = 0;
    for (const MetricSample& orphan : metric.orphans) {
      if (!utilization) usage += orphan.milli;
      ++entries;
    }
    for (size_t i = 0; i < seen_.pods.size(); ++i) {
      int64_t value = 0;
      switch (group(i, metric, cpu)) {
        case Group::Ignored:
          continue;
        case Group::Unready:
          if (!fill.unready) continue;
          break;
        case Group::Missing:
          if (!fill.missing) continue;
          value =
              fill.fallback_percent >= 0 ? metric.request_milli[i] * fill.fallback_percent / 100 : fill.missing_milli;
          break;
        case Group::Ready:
          value = metric.samples[i]->milli;
          break;
      }
      usage += value;
      if (utilization) request += metric.request_milli[i];
      ++entries;
    }
    if (!utilization) {
      int64_t average = usage / entries;
      return Ratio{static_cast<double>(average) / static_cast<double>(spec.target.milli_value), entries};
    }
    if (request == 0) return std::nullopt;
    auto percent = static_cast<int32_t>(usage * 100 / request);
    return Ratio{static_cast<double>(percent) / static_cast<double>(spec.target.utilization), entries};
  }

  std::optional<int32_t> per_pod(const MetricSpec& spec, const ObservedMetric& metric) const {
    bool utilization = spec.target.type == MetricTarget::Type::Utilization;
    bool cpu = spec.source != MetricSpec::Source::Pods && spec.name == "cpu";
    if (seen_.pods.empty()) return std::nullopt;

    int64_t ready = 0, unready = 0, missing = 0;
    for (size_t i = 0; i < seen_.pods.size(); ++i) {
      if (utilization && metric.request_milli[i] < 0) return std::nullopt;
      Group g = group(i, metric, cpu);
      ready += g == Group::Ready;
      unready += g == Group::Unready;
      missing += g == Group::Missing;
    }
    if (ready == 0 && metric.orphans.empty()) return std::nullopt;

    int32_t current = seen_.replicas;
    std::optional<Ratio> measured = ratio(spec, metric, cpu, {});
    if (!measured) return std::nullopt;
    bool scale_up_with_unready = unready > 0 && measured->value > 1.0;
    if (!scale_up_with_unready && missing == 0) {
      if (within_tolerance(measured->value)) return current;
      return to_int32(std::ceil(measured->value * static_cast<double>(ready)));
    }

    std::optional<Ratio> damped = ratio(spec, metric, cpu, fill_for(spec, measured->value, scale_up_with_unready));
    if (!damped) return std::nullopt;
    bool flipped = (measured->value < 1.0 && damped->value > 1.0) || (measured->value > 1.0 && damped->value < 1.0);
    if (within_tolerance(damped->value) || flipped) return current;
    int32_t proposal = to_int32(std::ceil(damped->value * static_cast<double>(damped->entries)));
    bool contradicts = (damped->value < 1.0 && proposal > current) || (damped->value > 1.0 && proposal < current);
    return contradicts ? current : proposal;
  }

  // Pods that did not report are taken to speak against the move: as busy on the way down, as idle on the way up.
  static Fill fill_for(const MetricSpec& spec, double measured, bool scale_up_with_unready) {
    Fill fill;
    fill.unready = scale_up_with_unready;
    fill.missing = measured != 1.0;
    if (measured >= 1.0) return fill;
    if (spec.target.type == MetricTarget::Type::Utilization)
      fill.fallback_percent = std::max(100, spec.target.utilization);
    else
      fill.missing_milli = spec.target.milli_value;
    return fill;
  }

  std::optional<int32_t> whole(const MetricSpec& spec, const ObservedMetric& metric) const {
    int64_t sum = 0;
    for (int64_t v : metric.values_milli) sum += v;
    auto usage = static_cast<double>(sum), target = static_cast<double>(spec.target.milli_value);
    if (spec.target.type == MetricTarget::Type::AverageValue)
      return per_replica(usage, target, spec.source == MetricSpec::Source::External || seen_.kubernetes_minor > 34);

    double ratio = usage / target;
    double wanted = std::ceil(ratio);
    if (seen_.replicas != 0) {
      if (within_tolerance(ratio)) return seen_.replicas;
      if (seen_.pods.empty()) return std::nullopt;
      auto ready = std::count_if(seen_.pods.begin(), seen_.pods.end(), [](const ObservedPod& p) {
        return p.phase == ObservedPod::Phase::Running && p.ready == ObservedPod::Ready::True;
      });
      wanted = std::ceil(ratio * static_cast<double>(ready));
    }
    return seen_.kubernetes_minor > 34 ? cap(wanted) : to_int32(wanted);
  }

  std::optional<int32_t> per_replica(double usage, double target, bool capped) const {
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

std::string_view failure_reason(MetricSpec::Source source) {
  switch (source) {
    case MetricSpec::Source::Resource:
      return "FailedGetResourceMetric";
    case MetricSpec::Source::ContainerResource:
      return "FailedGetContainerResourceMetric";
    case MetricSpec::Source::Pods:
      return "FailedGetPodsMetric";
    case MetricSpec::Source::Object:
      return "FailedGetObjectMetric";
    case MetricSpec::Source::External:
      return "FailedGetExternalMetric";
  }
  return "InvalidMetricSourceType";
}

std::string metric_text(const MetricSpec& spec) {
  bool utilization = spec.target.type == MetricTarget::Type::Utilization;
  switch (spec.source) {
    case MetricSpec::Source::Resource:
      return spec.name + (utilization ? " resource utilization (percentage of request)" : " resource");
    case MetricSpec::Source::ContainerResource:
      return spec.name +
             (utilization ? " container resource utilization (percentage of request)" : " container resource");
    case MetricSpec::Source::Pods:
      return "pods metric " + spec.name;
    case MetricSpec::Source::Object:
      return "object metric " + spec.name;
    case MetricSpec::Source::External:
      return "external metric " + spec.name;
  }
  return spec.name;
}

// One reconcile (horizontal.go).
class Reconciler {
 public:
  Reconciler(const Observation& seen, const HpaSettings& settings, HpaMemory& memory)
      : seen_(seen), object_(*seen.object), settings_(settings), memory_(memory) {}

  Decision run() {
    int32_t current = seen_.replicas;
    if (memory_.recommendations.empty()) memory_.recommendations.push_back({current, seen_.now});
    decision_.desired = current;
    decision_.able_to_scale = {true, "SucceededGetScale"};
    if (current == 0 && !may_wake()) {
      decision_.scaling_active = {false, "ScalingDisabled"};
    } else if (current > seen_.max_replicas) {
      clamp_to(seen_.max_replicas, "Current number of replicas above Spec.MaxReplicas");
    } else if (current < seen_.min_replicas && current != 0) {
      clamp_to(seen_.min_replicas, "Current number of replicas below Spec.MinReplicas");
    } else {
      follow_metrics();
    }
    if (decision_.desired != current) rescaled();
    decision_.scaled_to_zero = memory_.scaled_to_zero;
    return std::move(decision_);
  }

 private:
  // Before 1.36 the controller does not ask who scaled to zero.
  bool may_wake() const {
    if (seen_.kubernetes_minor < 36) return seen_.min_replicas == 0;
    return settings_.scale_to_zero && memory_.scaled_to_zero.value_or(false);
  }

  void clamp_to(int32_t replicas, const char* reason) {
    decision_.desired = replicas;
    decision_.reason = reason;
  }

  void follow_metrics() {
    const MetricSpec* leader = nullptr;
    std::optional<int32_t> wanted = wanted_by_metrics(leader);
    if (!wanted) return;
    int32_t raw = std::max(0, *wanted);
    std::string reason = raw > seen_.replicas ? metric_text(*leader) + " above target" : "All metrics below target";
    decision_.desired = object_.has_behavior() ? normalise_with_behavior(raw) : normalise(raw);
    if (decision_.desired != seen_.replicas) decision_.reason = std::move(reason);
  }

  // The largest proposal. Nothing where a metric is invalid and the others cannot speak for it.
  std::optional<int32_t> wanted_by_metrics(const MetricSpec*& leader) {
    auto [up, down] = tolerances();
    ReplicaCalculator calculator(seen_, settings_, up, down);
    int32_t best = 0;
    size_t invalid = 0;
    std::string_view first_failure;
    for (size_t i = 0; i < seen_.required.size(); ++i) {
      std::optional<int32_t> proposal = calculator.propose(seen_.required[i], seen_.metrics[i]);
      if (!proposal) {
        if (invalid++ == 0) first_failure = failure_reason(seen_.required[i].source);
      } else if (best == 0 || *proposal > best) {
        best = *proposal;
        leader = &seen_.required[i];
      }
    }
    decision_.error = invalid > 0;
    if (invalid == seen_.required.size() || (invalid > 0 && best < seen_.replicas)) {
      decision_.scaling_active = {false, first_failure};
      return std::nullopt;
    }
    decision_.scaling_active = {true, "ValidMetricFound"};
    return best;
  }

  std::pair<double, double> tolerances() const {
    double up = settings_.tolerance, down = settings_.tolerance;
    if (!settings_.configurable_tolerance.value_or(seen_.kubernetes_minor >= 35)) return {up, down};
    if (object_.scale_up && object_.scale_up->tolerance_milli)
      up = static_cast<double>(*object_.scale_up->tolerance_milli) / 1000.0;
    if (object_.scale_down && object_.scale_down->tolerance_milli)
      down = static_cast<double>(*object_.scale_down->tolerance_milli) / 1000.0;
    return {up, down};
  }

  void limited(std::string_view reason) { decision_.scaling_limited = {true, reason}; }

  // Without `behavior`: a window on the way down, at most doubling on the way up.
  int32_t normalise(int32_t raw) {
    int32_t stabilised = stabilise(raw);
    decision_.able_to_scale = {true, stabilised != raw ? "ScaleDownStabilized" : "ReadyForNewScale"};
    decision_.scaling_limited = {false, "DesiredWithinRange"};
    auto up_limit = to_int32(std::max(kScaleUpLimitFactor * seen_.replicas, kScaleUpLimitMinimum));
    int32_t highest = std::min(seen_.max_replicas, up_limit);
    if (stabilised < seen_.min_replicas) return limited("TooFewReplicas"), seen_.min_replicas;
    if (stabilised <= highest) return stabilised;
    limited(seen_.max_replicas > up_limit ? "ScaleUpLimit" : "TooManyReplicas");
    return highest;
  }

  int32_t stabilise(int32_t raw) {
    Time cutoff = seen_.now - settings_.downscale_stabilization;
    int32_t highest = raw;
    std::optional<size_t> old;
    for (size_t i = 0; i < memory_.recommendations.size(); ++i) {
      const auto& r = memory_.recommendations[i];
      if (r.at < cutoff)
        old = i;
      else
        highest = std::max(highest, r.replicas);
    }
    store(memory_.recommendations, old, {raw, seen_.now});
    return highest;
  }

  int32_t normalise_with_behavior(int32_t raw) {
    Behavior behavior = resolve_behavior(object_, settings_.downscale_stabilization);
    int32_t stabilised = stabilise_both_ways(raw, behavior);
    std::string_view held = raw >= seen_.replicas ? "ScaleUpStabilized" : "ScaleDownStabilized";
    decision_.able_to_scale = {true, stabilised != raw ? held : "ReadyForNewScale"};
    decision_.scaling_limited = {false, "DesiredWithinRange"};
    if (stabilised > seen_.replicas) return limit_up(stabilised, behavior);
    if (stabilised < seen_.replicas) return limit_down(stabilised, behavior);
    return stabilised;
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
    store(memory_.recommendations, old, {raw, seen_.now});
    return std::min(std::max(seen_.replicas, up), down);
  }

  int32_t limit_up(int32_t wanted, const Behavior& behavior) {
    int32_t rate = std::max(seen_.replicas, rate_limit(behavior.up, behavior.up_policies, +1));
    int32_t highest = std::min(seen_.max_replicas, rate);
    if (wanted <= highest) return wanted;
    limited(seen_.max_replicas > rate ? "ScaleUpLimit" : "TooManyReplicas");
    return highest;
  }

  int32_t limit_down(int32_t wanted, const Behavior& behavior) {
    int32_t rate = std::min(seen_.replicas, rate_limit(behavior.down, behavior.down_policies, -1));
    int32_t lowest = std::max(seen_.min_replicas, rate);
    if (wanted >= lowest) return wanted;
    limited(seen_.min_replicas < rate ? "ScaleDownLimit" : "TooFewReplicas");
    return lowest;
  }

  // How far the policies let the replicas go from where each one's period began. Select Max means the largest change,
  // which on the way down is the smallest number.
  int32_t rate_limit(const ScalingRules& rules, std::span<const ScalingPolicy> policies, int direction) const {
    if (rules.select == ScalingRules::Select::Disabled) return seen_.replicas;
    bool largest = (rules.select == ScalingRules::Select::Max) == (direction > 0);
    int32_t limit = largest ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max();
    for (const ScalingPolicy& policy : policies) {
      int64_t start = seen_.replicas - change_within(memory_.scale_up_events, policy.period) +
                      change_within(memory_.scale_down_events, policy.period);
      int32_t target = policy_target(policy, start, direction);
      limit = largest ? std::max(limit, target) : std::min(limit, target);
    }
    return limit;
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
    decision_.able_to_scale = {true, "SucceededRescale"};
    if (settings_.scale_to_zero && seen_.kubernetes_minor >= 36) memory_.scaled_to_zero = decision_.desired == 0;
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
  Decision decision_;
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

  Decision decide(const Observation& seen, PolicyMemory& memory, Stream&) const override {
    return Reconciler(seen, settings_, static_cast<HpaMemory&>(memory)).run();
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
KISIM_POLICY(
    Autoscaler, "hpa", "the HorizontalPodAutoscaler controller of Kubernetes",
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
      .doc = "gates that differ from the version's defaults: HPAScaleToZero=true,HPAConfigurableTolerance=true"}},
    make_hpa);

}  // namespace
}  // namespace kisim

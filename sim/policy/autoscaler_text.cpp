#include "policy/autoscaler_text.hpp"

#include "core/error.hpp"

#include <utility>

namespace kisim {

namespace {

using Source = MetricSpec::Source;

bool of_resource(Source source) { return source == Source::Resource || source == Source::ContainerResource; }
bool of_utilization(const MetricSpec& spec) { return spec.target.type == MetricTarget::Type::Utilization; }
bool of_value(const MetricSpec& spec) { return spec.target.type == MetricTarget::Type::Value; }

const char* operator_text(SelectorOperator op) {
  switch (op) {
    case SelectorOperator::In:
      return "In";
    case SelectorOperator::NotIn:
      return "NotIn";
    case SelectorOperator::Exists:
      return "Exists";
    case SelectorOperator::DoesNotExist:
      return "DoesNotExist";
    case SelectorOperator::Gt:
      return "Gt";
    case SelectorOperator::Lt:
      return "Lt";
  }
  return "?";
}

// What the clients of the metrics APIs add to an error of theirs.
std::string api_text(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place) {
  if (!place.api_error.empty()) return std::string(place.api_error);
  bool none = failure == MetricFailure::NoMetrics;
  constexpr const char* kUnable = "the server is currently unable to handle the request";
  switch (spec.source) {
    case Source::Resource:
    case Source::ContainerResource:
      if (none) return "no metrics returned from resource metrics API";
      return fmt::format("unable to fetch metrics from resource metrics API: {} (get pods.metrics.k8s.io)", kUnable);
    case Source::Pods:
    case Source::Object: {
      constexpr const char* kClient = "unable to fetch metrics from custom metrics API: ";
      const char* objects = spec.source == Source::Pods ? "pods" : "objects";
      if (none) return fmt::format("{}the server could not find the metric {} for {}", kClient, spec.name, objects);
      return fmt::format("{}{} (get {}.custom.metrics.k8s.io)", kClient, kUnable, objects);
    }
    case Source::External:
      if (none) return "no metrics returned from external metrics API";
      return fmt::format("unable to fetch metrics from external metrics API: {} (get {}.external.metrics.k8s.io)",
                         kUnable, spec.name);
  }
  return {};
}

// The error of the call that fetches the metric.
std::string fetch_text(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place) {
  std::string api = api_text(spec, failure, place);
  switch (spec.source) {
    case Source::Resource:
    case Source::ContainerResource:
      return fmt::format("unable to get metrics for resource {}: {}", spec.name, api);
    case Source::Pods:
    case Source::Object:
      return fmt::format("unable to get metric {}: {}", spec.name, api);
    case Source::External:
      return fmt::format("unable to get external metric {}/{}/{}: {}", place.namespace_, spec.name,
                         go_text(spec.selector), api);
  }
  return {};
}

// The error of the replica calculator.
std::string calculator_text(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place) {
  constexpr const char* kNoPods = "no pods returned by selector while calculating replica count";
  switch (failure) {
    case MetricFailure::None:
    case MetricFailure::AmbiguousPods:
      return {};
    case MetricFailure::NoAnswer:
    case MetricFailure::NoMetrics:
      return fetch_text(spec, failure, place);
    case MetricFailure::NoPods:
      return of_value(spec) ? fmt::format("unable to calculate ready pods: {}", kNoPods) : kNoPods;
    case MetricFailure::NoneReceived:
      return "did not receive metrics for targeted pods (pods might be unready)";
    case MetricFailure::NoRequest:
      return fmt::format("missing request for {} in container {} of Pod {}", spec.name, place.container, place.pod);
    case MetricFailure::NoPodRequest:
      return fmt::format("missing pod-level request for {} in Pod {}", spec.name, place.pod);
    case MetricFailure::NoContainer:
      return fmt::format("container {} not found in Pod {}", spec.container, place.pod);
    case MetricFailure::NoneMatched:
      return "no metrics returned matched known pods";
  }
  return {};
}

bool is_failure_to_get_metric(std::string_view reason) {
  return reason.starts_with("FailedGet") && reason.ends_with("Metric");
}

struct ReasonText {
  std::string_view reason, text;
};
// Texts that say the same whenever they are said.
constexpr ReasonText kTexts[] = {
    {"SucceededGetScale", "the HPA controller was able to get the target's current scale"},
    {"ReadyForNewScale", "recommended size matches current size"},
    {"ScaleUpStabilized",
     "recent recommendations were lower than current one, applying the lowest recent recommendation"},
    {"ScaleDownStabilized",
     "recent recommendations were higher than current one, applying the highest recent recommendation"},
    {"ScalingDisabled", "scaling is disabled since the replica count of the target is zero"},
    {"DesiredWithinRange", "the desired count is within the acceptable range"},
    {"ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"},
    {"ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"},
    {"TooManyReplicas", "the desired replica count is more than the maximum replica count"},
    {"TooFewReplicas", "the desired replica count is less than the minimum replica count"},
    {"ScaledToZero", "the HPA controller scaled the workload to zero"},
    {"NotScaledToZero", "the HPA controller did not scale the workload to zero"},
};

}  // namespace

std::string go_text(const LabelSelector& selector) {
  if (selector.requirements.empty()) return "nil";
  // Labels that must be equal were matchLabels, most likely; the border does not keep the difference.
  std::string labels, expressions;
  for (const SelectorRequirement& r : selector.requirements) {
    if (r.op == SelectorOperator::In && r.values.size() == 1) {
      labels += fmt::format("{}: {},", r.key, r.values[0]);
      continue;
    }
    std::string values;
    for (const std::string& v : r.values) values += (values.empty() ? "" : " ") + v;
    expressions +=
        fmt::format("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},", r.key, operator_text(r.op), values);
  }
  return fmt::format(
      "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
      labels, expressions);
}

std::string metric_text(const MetricSpec& spec) {
  switch (spec.source) {
    case Source::Resource:
      return spec.name + (of_utilization(spec) ? " resource utilization (percentage of request)" : " resource");
    case Source::ContainerResource:
      return spec.name +
             (of_utilization(spec) ? " container resource utilization (percentage of request)" : " resource");
    case Source::Pods:
      return "pods metric " + spec.name;
    case Source::Object:
      // The controller calls an average over an object's metric external.
      if (of_value(spec)) return fmt::format("{} metric {}", spec.described_kind, spec.name);
      [[fallthrough]];
    case Source::External:
      return fmt::format("external metric {}({})", spec.name, go_text(spec.selector));
  }
  return spec.name;
}

std::string_view failure_reason(Source source) {
  switch (source) {
    case Source::Resource:
      return "FailedGetResourceMetric";
    case Source::ContainerResource:
      return "FailedGetContainerResourceMetric";
    case Source::Pods:
      return "FailedGetPodsMetric";
    case Source::Object:
      return "FailedGetObjectMetric";
    case Source::External:
      return "FailedGetExternalMetric";
  }
  return "InvalidMetricSourceType";
}

std::string failure_text(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place) {
  std::string text = calculator_text(spec, failure, place);
  if (!of_resource(spec.source)) return text;
  return fmt::format("failed to get {} {}: {}", spec.name, of_utilization(spec) ? "utilization" : "usage", text);
}

std::string metric_error(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place) {
  std::string text = failure_text(spec, failure, place);
  switch (spec.source) {
    case Source::Resource:
      return fmt::format("failed to get {} resource metric value: {}", spec.name, text);
    case Source::ContainerResource:
      return fmt::format("failed to get {} container metric value: {}", spec.container, text);
    case Source::Pods:
      return "failed to get pods metric value: " + text;
    case Source::Object:
      if (of_value(spec)) return "failed to get object metric value: " + text;
      return fmt::format("failed to get object metric value: failed to get {} object metric: {}", spec.name, text);
    case Source::External:
      if (of_value(spec))
        return fmt::format("failed to get {0} external metric value: failed to get external metric {0}: {1}", spec.name,
                           text);
      return fmt::format("failed to get {0} external metric value: failed to get {0} external metric: {1}", spec.name,
                         text);
  }
  return text;
}

std::string condition_text(const ScalingCondition& condition, const ConditionPlace& place) {
  for (const ReasonText& known : kTexts)
    if (known.reason == condition.reason) return std::string(known.text);
  if (condition.reason == "SucceededRescale")
    return fmt::format("the HPA controller was able to update the target scale to {}", condition.detail);
  if (condition.reason == "FailedGetScale")
    return "the HPA controller was unable to get the target's current scale: " + place.scale_error;
  if (condition.reason == "AmbiguousSelector")
    return fmt::format("pods by selector {} are controlled by multiple HPAs: [{}]", place.selector, place.autoscalers);
  if (!place.object) return {};
  const MetricSpec& spec = place.object->metrics[static_cast<size_t>(condition.detail)];
  if (condition.reason == "ValidMetricFound")
    return "the HPA was able to successfully calculate a replica count from " + metric_text(spec);
  if (is_failure_to_get_metric(condition.reason))
    return "the HPA was unable to compute the replica count: " + failure_text(spec, condition.failure, place.failure);
  return {};
}

}  // namespace kisim

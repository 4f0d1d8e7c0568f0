#pragma once
// What the HorizontalPodAutoscaler controller writes into conditions and events (pkg/controller/podautoscaler,
// horizontal.go, replica_calculator.go and metrics/client.go). Formed on demand: decisions carry codes only.

#include "policy/autoscaler.hpp"

#include <string>
#include <string_view>

namespace kisim {

// A selector as Go prints the API's struct; "nil" where there is none.
std::string go_text(const LabelSelector& selector);

// "cpu resource utilization (percentage of request)", "pods metric queue": how the controller names a metric.
std::string metric_text(const MetricSpec& spec);

// "FailedGetResourceMetric": the reason of a condition and of an event.
std::string_view failure_reason(MetricSpec::Source source);

// Where a metric failed, as far as its failure has a place.
struct FailurePlace {
  std::string_view namespace_;      // of the object
  std::string pod, container;       // NoRequest, NoPodRequest, NoContainer
  std::string_view api_error = {};  // NoAnswer: what the client said; empty: that the server cannot be reached
};

// What the event FailedGet… says, and the condition after its preamble.
std::string failure_text(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place);
// The same as the error of the whole metric.
std::string metric_error(const MetricSpec& spec, MetricFailure failure, const FailurePlace& place);

// What stands in a condition whose text names more than its reason.
struct ConditionPlace {
  const HorizontalPodAutoscaler* object = nullptr;
  std::string scale_error;            // FailedGetScale
  std::string selector, autoscalers;  // AmbiguousSelector: "app=web", "ml/a ml/b"
  FailurePlace failure;               // FailedGet…
};
// The message of a condition with that reason.
std::string condition_text(const ScalingCondition& condition, const ConditionPlace& place);

}  // namespace kisim

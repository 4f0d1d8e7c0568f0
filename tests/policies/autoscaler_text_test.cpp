// What the HPA controller writes, word for word.

#include "policy/autoscaler_text.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using Source = MetricSpec::Source;
using Type = MetricTarget::Type;

MetricSpec metric(Source source, const std::string& name, Type type) {
  MetricSpec spec{.source = source, .name = name};
  spec.target.type = type;
  return spec;
}

TEST_CASE("metrics are named as in events and conditions", "[hpa]") {
  CHECK(metric_text(metric(Source::Resource, "cpu", Type::Utilization)) ==
        "cpu resource utilization (percentage of request)");
  CHECK(metric_text(metric(Source::Resource, "memory", Type::AverageValue)) == "memory resource");
  CHECK(metric_text(metric(Source::ContainerResource, "cpu", Type::Utilization)) ==
        "cpu container resource utilization (percentage of request)");
  CHECK(metric_text(metric(Source::Pods, "queue", Type::AverageValue)) == "pods metric queue");
  CHECK(metric_text(metric(Source::External, "queue", Type::Value)) == "external metric queue(nil)");
}

TEST_CASE("selectors are printed as Go prints them", "[hpa]") {
  CHECK(go_text({}) == "nil");
  LabelSelector selector{{{"queue", SelectorOperator::In, {"chat"}}, {"zone", SelectorOperator::NotIn, {"a", "b"}}}};
  CHECK(go_text(selector) ==
        "&LabelSelector{MatchLabels:map[string]string{queue: chat,},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:zone,Operator:NotIn,Values:[a b],},},}");
}

TEST_CASE("failures say what was asked for and where it failed", "[hpa]") {
  FailurePlace place{.namespace_ = "ml", .pod = "web-1", .container = "server"};
  MetricSpec cpu = metric(Source::Resource, "cpu", Type::Utilization);
  CHECK(failure_text(cpu, MetricFailure::NoRequest, place) ==
        "failed to get cpu utilization: missing request for cpu in container server of Pod web-1");
  CHECK(failure_text(cpu, MetricFailure::NoMetrics, place) ==
        "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource "
        "metrics API");
  CHECK(metric_error(metric(Source::External, "queue", Type::AverageValue), MetricFailure::NoMetrics, place) ==
        "failed to get queue external metric value: failed to get queue external metric: unable to get external metric "
        "ml/queue/nil: no metrics returned from external metrics API");
  CHECK(failure_text(metric(Source::Pods, "queue", Type::AverageValue), MetricFailure::NoAnswer, place) ==
        "unable to get metric queue: unable to fetch metrics from custom metrics API: the server is currently unable "
        "to handle the request (get pods.custom.metrics.k8s.io)");
}

TEST_CASE("conditions say what the controller says", "[hpa]") {
  HorizontalPodAutoscaler object{.metrics = {metric(Source::Resource, "cpu", Type::Utilization)}};
  ConditionPlace place{.object = &object,
                       .scale_error = "deployments.apps \"web\" not found",
                       .selector = "app=web",
                       .autoscalers = "ml/a ml/b"};
  auto text = [&](ScalingCondition condition) { return condition_text(condition, place); };
  CHECK(text({.reason = "SucceededRescale", .detail = 5}) ==
        "the HPA controller was able to update the target scale to 5");
  CHECK(text({.reason = "ValidMetricFound"}) ==
        "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of "
        "request)");
  CHECK(text({.status = false, .reason = "FailedGetResourceMetric", .failure = MetricFailure::NoneReceived}) ==
        "the HPA was unable to compute the replica count: failed to get cpu utilization: did not receive metrics for "
        "targeted pods (pods might be unready)");
  CHECK(text({.status = false, .reason = "FailedGetScale"}) ==
        "the HPA controller was unable to get the target's current scale: deployments.apps \"web\" not found");
  CHECK(text({.status = false, .reason = "AmbiguousSelector"}) ==
        "pods by selector app=web are controlled by multiple HPAs: [ml/a ml/b]");
  CHECK(text({.reason = "ScaleUpLimit"}) ==
        "the desired replica count is increasing faster than the maximum scale rate");
}

}  // namespace
}  // namespace kisim

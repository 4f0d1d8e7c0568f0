// HorizontalPodAutoscaler, autoscaling/v2 and v1, with the defaults of the API server.

#include "io/kube_names.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr NameRule kSubdomain{is_dns1123_subdomain, "a lowercase RFC 1123 subdomain"};
constexpr int32_t kDefaultCpuUtilization = 80;
constexpr Duration kDefaultPeriod{15'000'000'000};

MetricSpec cpu_utilization(int32_t per_cent, const SourceMark& mark) {
  MetricSpec out;
  out.name = "cpu";
  out.target.type = MetricTarget::Type::Utilization;
  out.target.utilization = per_cent;
  out.mark = mark;
  return out;
}

void read_milli(ObjectReader& target, std::string_view key, int64_t& out) {
  std::optional<Quantity> quantity = target.quantity(key);
  if (!target.find(key))
    target.error(key, "missing: required by the target's type");
  else if (quantity && *quantity <= Quantity())
    target.error(key, "must be positive");
  else if (quantity)
    out = quantity->milli_value();
}

void read_target(ObjectReader target, MetricSpec::Source source, MetricTarget& out) {
  using Type = MetricTarget::Type;
  if (!target.choice("type", {"Utilization", "AverageValue", "Value"}, out.type)) return;
  bool of_resource = source == MetricSpec::Source::Resource || source == MetricSpec::Source::ContainerResource;
  bool fits = out.type == Type::AverageValue || (out.type == Type::Utilization && of_resource) ||
              (out.type == Type::Value && !of_resource && source != MetricSpec::Source::Pods);
  if (!fits) {
    const char* allowed = of_resource                          ? "Utilization, AverageValue"
                          : source == MetricSpec::Source::Pods ? "AverageValue"
                                                               : "Value, AverageValue";
    target.error("type", found_allowed(*target.find("type"), allowed));
    return;
  }
  if (out.type == Type::Utilization) {
    if (!target.find("averageUtilization"))
      target.error("averageUtilization", "missing: required by the target's type");
    target.integer("averageUtilization", 1, INT32_MAX, out.utilization);
  } else {
    read_milli(target, out.type == Type::Value ? "value" : "averageValue", out.milli_value);
  }
  target.finish();
}

void read_metric_identifier(ObjectReader metric, MetricSpec& out) {
  out.name = metric.text("name");
  if (out.name.empty()) metric.required("name");
  out.selector = read_label_selector(metric.object("selector"));
  metric.finish();
}

MetricSpec read_metric(ObjectReader& object) {
  MetricSpec out;
  out.mark = object.mark();
  if (!object.choice("type", {"Resource", "ContainerResource", "Pods", "Object", "External"}, out.source)) return out;
  constexpr std::string_view kFields[] = {"resource", "containerResource", "pods", "object", "external"};
  std::string_view field = kFields[static_cast<size_t>(out.source)];
  ObjectReader source = object.object(field);
  object.finish();
  if (!source.exists()) {
    object.required(field);
    return out;
  }
  if (out.source == MetricSpec::Source::Resource || out.source == MetricSpec::Source::ContainerResource) {
    out.name = source.text("name");
    if (out.name.empty()) source.required("name");
  } else {
    read_metric_identifier(source.object("metric"), out);
  }
  if (out.source == MetricSpec::Source::ContainerResource) {
    out.container = source.text("container");
    if (out.container.empty()) source.required("container");
  }
  if (out.source == MetricSpec::Source::Object) source.unmodelled("describedObject");
  read_target(source.object("target"), out.source, out.target);
  source.finish();
  return out;
}

ScalingPolicy read_policy(ObjectReader& object) {
  ScalingPolicy out;
  object.choice("type", {"Pods", "Percent"}, out.type);
  if (!object.find("value")) object.required("value");
  object.integer("value", 1, INT32_MAX, out.value);
  if (!object.find("periodSeconds")) object.required("periodSeconds");
  object.seconds("periodSeconds", 1, 1800, out.period);
  object.finish();
  return out;
}

// Fields that are absent keep what `defaults` says, as in the API server's defaulting of `behavior`.
ScalingRules read_rules(ObjectReader rules, ScalingRules defaults) {
  ScalingRules out = std::move(defaults);
  if (rules.find("stabilizationWindowSeconds")) {
    Duration window;
    rules.seconds("stabilizationWindowSeconds", 0, 3600, window);
    out.stabilization_window = window;
  }
  rules.choice("selectPolicy", {"Max", "Min", "Disabled"}, out.select, true);
  if (rules.find("policies")) {
    out.policies.clear();
    for (ObjectReader& policy : rules.objects("policies")) out.policies.push_back(read_policy(policy));
    if (out.policies.empty()) rules.error("policies", "must specify at least one Policy");
  }
  if (std::optional<Quantity> tolerance = rules.quantity("tolerance")) {
    if (*tolerance < Quantity()) rules.error("tolerance", "must be greater than or equal to 0");
    out.tolerance_milli = tolerance->milli_value();
  }
  rules.finish();
  return out;
}

void read_behavior(ObjectReader behavior, HorizontalPodAutoscaler& out) {
  using Type = ScalingPolicy::Type;
  ScalingRules up, down;
  up.stabilization_window = Duration{0};
  up.policies = {{Type::Pods, 4, kDefaultPeriod}, {Type::Percent, 100, kDefaultPeriod}};
  down.policies = {{Type::Percent, 100, kDefaultPeriod}};
  out.scale_up = read_rules(behavior.object("scaleUp"), up);
  out.scale_down = read_rules(behavior.object("scaleDown"), down);
  behavior.finish();
}

// The part of the spec that v1 and v2 share.
HorizontalPodAutoscaler read_common(ObjectReader& object, ObjectReader& spec) {
  HorizontalPodAutoscaler out;
  out.meta = read_metadata(object, kSubdomain);
  ObjectReader ref = spec.object("scaleTargetRef");
  out.target_kind = ref.text("kind");
  out.target_name = ref.text("name");
  if (out.target_kind.empty()) ref.required("kind");
  if (out.target_name.empty()) ref.required("name");
  ref.harmless({"apiVersion"});
  ref.finish();

  // 0 asks for the feature gate HPAScaleToZero and a metric that exists without pods.
  spec.integer("minReplicas", 0, INT32_MAX, out.min_replicas);
  if (!spec.find("maxReplicas")) spec.required("maxReplicas");
  out.max_replicas = std::max(out.min_replicas, 1);
  std::optional<int64_t> max = spec.integer("maxReplicas", 1, INT32_MAX);
  if (max && *max < out.min_replicas)
    spec.error("maxReplicas",
               fmt::format("found {}: must be greater than or equal to `minReplicas` of {}", *max, out.min_replicas));
  else if (max)
    out.max_replicas = static_cast<int32_t>(*max);
  object.harmless({"status"});
  return out;
}

void check_scale_to_zero(ObjectReader& spec, const HorizontalPodAutoscaler& hpa) {
  bool without_pods = std::any_of(hpa.metrics.begin(), hpa.metrics.end(), [](const MetricSpec& m) {
    return m.source == MetricSpec::Source::Object || m.source == MetricSpec::Source::External;
  });
  if (hpa.min_replicas == 0 && !without_pods)
    spec.error("minReplicas", "found 0, allowed: at least 1, or 0 with at least one Object or External metric");
}

}  // namespace

void read_hpa_v2(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  HorizontalPodAutoscaler hpa = read_common(object, spec);
  for (ObjectReader& metric : spec.objects("metrics")) hpa.metrics.push_back(read_metric(metric));
  if (hpa.metrics.empty()) hpa.metrics.push_back(cpu_utilization(kDefaultCpuUtilization, spec.mark()));
  check_scale_to_zero(spec, hpa);
  ObjectReader behavior = spec.object("behavior");
  if (behavior.exists()) read_behavior(behavior, hpa);
  spec.finish();
  object.finish();
  out.hpas.push_back(std::move(hpa));
}

void read_hpa_v1(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  HorizontalPodAutoscaler hpa = read_common(object, spec);
  int32_t utilization = kDefaultCpuUtilization;
  spec.integer("targetCPUUtilizationPercentage", 1, INT32_MAX, utilization);
  hpa.metrics.push_back(cpu_utilization(utilization, spec.mark()));
  check_scale_to_zero(spec, hpa);
  spec.finish();
  object.finish();
  out.hpas.push_back(std::move(hpa));
}

}  // namespace kisim

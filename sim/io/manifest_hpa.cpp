// HorizontalPodAutoscaler, autoscaling/v2 and v1, with the defaults of the API server.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr int32_t kDefaultCpuUtilization = 80;

MetricSpec cpu_utilization(int32_t per_cent, const SourceMark& mark) {
  MetricSpec out;
  out.name = "cpu";
  out.target.type = MetricTarget::Type::Utilization;
  out.target.utilization = per_cent;
  out.mark = mark;
  return out;
}

using Source = MetricSpec::Source;
using Type = MetricTarget::Type;

bool is_of_resource(Source source) { return source == Source::Resource || source == Source::ContainerResource; }

// What the API server says of a target without any value that its source could use.
const char* missing_target(Source source) {
  switch (source) {
    case Source::Pods:
      return "must specify a positive target averageValue";
    case Source::Object:
      return "must set either a target value or averageValue";
    case Source::External:
      return "must set either a target value for metric or a per-pod target";
    default:
      return "must set either a target raw value or a target utilization";
  }
}

bool fits(Type type, Source source) {
  if (type == Type::AverageValue) return true;
  if (type == Type::Utilization) return is_of_resource(source);
  return source == Source::Object || source == Source::External;
}

void read_milli(ObjectReader& target, std::string_view key, int64_t& out) {
  std::optional<Quantity> quantity = target.quantity(key);
  if (quantity && *quantity <= Quantity())
    target.invalid(key, "must be positive");
  else if (quantity)
    out = quantity->milli_value();
}

bool read_target_type(ObjectReader& target, Type& out) {
  std::string name = target.text("type");
  if (name.empty()) target.required("type", "must specify a metric target type");
  if (name == "Utilization") return out = Type::Utilization, true;
  if (name == "AverageValue") return out = Type::AverageValue, true;
  if (name == "Value") return out = Type::Value, true;
  if (!name.empty()) target.invalid("type", "must be either Utilization, Value, or AverageValue");
  return false;
}

void read_target(ObjectReader target, Source source, MetricTarget& out) {
  if (!read_target_type(target, out.type)) return;
  const char* field = out.type == Type::Utilization    ? "averageUtilization"
                      : out.type == Type::AverageValue ? "averageValue"
                                                       : "value";
  if (!fits(out.type, source) || !target.find(field)) {
    const char* needed = is_of_resource(source) ? "averageUtilization" : "averageValue";
    return target.required(fits(out.type, source) ? field : needed, missing_target(source));
  }
  if (out.type == Type::Utilization)
    target.integer(field, 1, INT32_MAX, out.utilization, "must be greater than 0");
  else
    read_milli(target, field, out.milli_value);
  target.finish();
}

void read_metric_identifier(ObjectReader metric, MetricSpec& out) {
  out.name = metric.text("name");
  if (out.name.empty()) metric.required("name", "must specify a metric name");
  out.selector = read_label_selector(metric.object("selector"));
  metric.finish();
}

MetricSpec read_metric(ObjectReader& object) {
  MetricSpec out;
  out.mark = object.mark();
  const Value* type = object.find("type");
  if (!type) object.required("type", "must specify a metric source type");
  if (!object.choice("type", {"Resource", "ContainerResource", "Pods", "Object", "External"}, out.source,
                     {Absent::Allowed, true}))
    return out;
  constexpr std::string_view kFields[] = {"resource", "containerResource", "pods", "object", "external"};
  std::string_view field = kFields[static_cast<size_t>(out.source)];
  ObjectReader source = object.object(field);
  object.finish();
  if (!source.exists()) {
    object.required(field, "must populate information for the given metric source");
    return out;
  }
  if (is_of_resource(out.source)) {
    out.name = source.text("name");
    if (out.name.empty()) source.required("name", "must specify a resource name");
  } else {
    read_metric_identifier(source.object("metric"), out);
  }
  if (out.source == Source::ContainerResource) {
    out.container = source.text("container");
    if (out.container.empty()) source.required("container", "must specify a container");
  }
  if (out.source == Source::Object) {
    ObjectReader described = source.object("describedObject");
    out.described_kind = described.text("kind");
    out.described_name = described.text("name");
    described.harmless({"apiVersion"});
    described.finish();
  }
  read_target(source.object("target"), out.source, out.target);
  source.finish();
  return out;
}

ScalingPolicy read_policy(ObjectReader& object) {
  ScalingPolicy out;
  constexpr const char* kPositive = "must be greater than zero";
  object.choice("type", {"Pods", "Percent"}, out.type, {Absent::Unsupported, true});
  if (!object.find("value")) object.error("value", invalid_value("0", kPositive));
  object.integer("value", 1, INT32_MAX, out.value, kPositive);
  std::optional<int64_t> period = object.integer("periodSeconds", INT64_MIN, 1800);
  if (!object.find("periodSeconds")) object.error("periodSeconds", invalid_value("0", kPositive));
  if (period && *period <= 0) object.invalid("periodSeconds", kPositive);
  if (period && *period > 0) out.period = Duration{*period * 1'000'000'000};
  object.finish();
  return out;
}

// Fields that are absent keep what `defaults` says, as in the API server's defaulting of `behavior`.
ScalingRules read_rules(ObjectReader rules, ScalingRules defaults) {
  ScalingRules out = std::move(defaults);
  std::optional<int64_t> window = rules.integer("stabilizationWindowSeconds", INT64_MIN, 3600);
  if (window && *window < 0) rules.invalid("stabilizationWindowSeconds", "must be greater than or equal to zero");
  if (window && *window >= 0) out.stabilization_window = Duration{*window * 1'000'000'000};
  rules.choice("selectPolicy", {"Max", "Min", "Disabled"}, out.select, {Absent::Allowed, true});
  if (rules.find("policies")) {
    out.policies.clear();
    for (ObjectReader& policy : rules.objects("policies")) out.policies.push_back(read_policy(policy));
    if (out.policies.empty()) rules.required("policies", "must specify at least one Policy");
  }
  if (std::optional<Quantity> tolerance = rules.quantity("tolerance")) {
    if (*tolerance < Quantity()) rules.invalid("tolerance", "must be greater than or equal to 0");
    out.tolerance_milli = tolerance->milli_value();
  }
  rules.finish();
  return out;
}

void read_behavior(ObjectReader behavior, HorizontalPodAutoscaler& out) {
  out.scale_up = read_rules(behavior.object("scaleUp"), default_scale_up_rules());
  out.scale_down = read_rules(behavior.object("scaleDown"), default_scale_down_rules());
  behavior.finish();
}

// The part of the spec that v1 and v2 share.
HorizontalPodAutoscaler read_common(ObjectReader& object, ObjectReader& spec) {
  HorizontalPodAutoscaler out;
  out.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader ref = spec.object("scaleTargetRef");
  out.target_kind = ref.text("kind");
  out.target_name = ref.text("name");
  if (out.target_kind.empty()) ref.required("kind");
  if (out.target_name.empty()) ref.required("name");
  const std::string version = ref.text("apiVersion");
  out.target_group = version.substr(0, version.find('/') == version.npos ? 0 : version.find('/'));
  ref.finish();

  // 0 asks for the feature gate HPAScaleToZero and a metric that exists without pods.
  spec.integer("minReplicas", 0, INT32_MAX, out.min_replicas);
  std::optional<int64_t> max = spec.integer("maxReplicas", INT32_MIN, INT32_MAX);
  if (!spec.find("maxReplicas") || max == 0)
    spec.required("maxReplicas", "must be set and greater than 0");
  else if (max && *max < 0)
    spec.invalid("maxReplicas", "must be greater than or equal to 1");
  if (max && *max < out.min_replicas) spec.invalid("maxReplicas", "must be greater than or equal to `minReplicas`");
  out.max_replicas = std::max({static_cast<int32_t>(max.value_or(1)), out.min_replicas, 1});
  object.harmless({"status"});
  return out;
}

void check_scale_to_zero(ObjectReader& spec, const HorizontalPodAutoscaler& hpa) {
  bool without_pods = std::any_of(hpa.metrics.begin(), hpa.metrics.end(), [](const MetricSpec& m) {
    return m.source == Source::Object || m.source == Source::External;
  });
  if (hpa.min_replicas == 0 && !without_pods)
    spec.forbidden("metrics",
                   "must specify at least one Object or External metric to support scaling to zero replicas");
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
  spec.integer("targetCPUUtilizationPercentage", 1, INT32_MAX, utilization, "must be greater than 0");
  hpa.metrics.push_back(cpu_utilization(utilization, spec.mark()));
  check_scale_to_zero(spec, hpa);
  spec.finish();
  object.finish();
  out.hpas.push_back(std::move(hpa));
}

}  // namespace kisim

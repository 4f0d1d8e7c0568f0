#include "conformance/hpa_record.hpp"
#include "kube/resource_request.hpp"
#include "policy/autoscaler_text.hpp"

#include <cmath>

namespace kisim {

namespace conformance {

namespace {

Json object_of(const Json& metric) {
  return {{"apiVersion", "autoscaling/v2"},
          {"kind", "HorizontalPodAutoscaler"},
          {"metadata", {{"name", "h"}, {"namespace", "ns"}}},
          {"spec",
           {{"scaleTargetRef", {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", "d"}}},
            {"maxReplicas", 1 << 30},
            {"metrics", {metric}}}}};
}

// "2026-01-01T16:33:39Z" since 1970.
Time parse_time(const std::string& text) {
  std::tm tm{};
  if (!strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &tm))
    throw InputError(Diagnostic{Severity::Error, {}, "now", "found '" + text + "', allowed: an RFC 3339 time in UTC"});
  return Time{} + 1_s * timegm(&tm);
}

ObservedPod read_pod(const Json& object) {
  ObservedPod pod;
  const Json& status = at(object, "status");
  pod.phase = pod_phase(text(status, "phase"));
  pod.deleting = at(object, "metadata").contains("deletionTimestamp");
  if (status.contains("startTime")) pod.start = parse_time(text(status, "startTime"));
  for (const Json& condition : at(status, "conditions")) {
    if (text(condition, "type") != "Ready") continue;
    pod.ready = pod_ready(text(condition, "status"));
    if (condition.contains("lastTransitionTime"))
      pod.ready_transition = parse_time(text(condition, "lastTransitionTime"));
  }
  return pod;
}

// One evaluation of one metric.
class Calculation {
 public:
  explicit Calculation(const Json& record)
      : record_(record), object_(read_hpa(object_of(at(record, "metric")), text(record, "id"))) {
    // Tolerances of their own directions are the only way to have two.
    ScalingRules up, down;
    up.tolerance_milli = std::llround(at(at(record, "tolerance"), "scaleUp").get<double>() * 1000);
    down.tolerance_milli = std::llround(at(at(record, "tolerance"), "scaleDown").get<double>() * 1000);
    object_.scale_up = up;
    object_.scale_down = down;
    std::vector<Json> pods;
    for (const Json& pod : at(record, "pods")) {
      names_.push_back(text(at(pod, "metadata"), "name"));
      pods_.push_back(read_pod(pod));
      pods.push_back(pod);
    }
    templates_ = read_pod_templates(pods, text(record, "id"));
    read_metric();
  }

  void compare(Differences& differences) {
    std::shared_ptr<const Autoscaler> hpa =
        make_hpa({{"cpuInitializationPeriod", at(record_, "cpuInitializationPeriodSeconds").dump() + "s"},
                  {"initialReadinessDelay", at(record_, "initialReadinessDelaySeconds").dump() + "s"},
                  {"featureGates", "HPAConfigurableTolerance=true"}});
    ObservedMetric metric = metric_.view();
    Observation seen;
    seen.now = parse_time(text(record_, "now"));
    seen.kubernetes_minor = hpa_minor(record_);
    seen.replicas = at(record_, "specReplicas");
    seen.status_replicas = at(record_, "statusReplicas");
    seen.min_replicas = 0;
    seen.max_replicas = object_.max_replicas;
    seen.object = &object_;
    seen.pods = pods_;
    seen.required = object_.metrics;
    seen.metrics = {&metric, 1};
    Stream stream;
    Decision decision;
    hpa->decide(seen, *hpa->make_memory(), stream, decision);
    const Json& out = at(record_, "out");
    const MetricStatus& status = decision.metrics.at(0);
    bool failed = status.failure != MetricFailure::None;
    if (at(out, "replicas").is_null() || failed) {
      differences.compare("replicas", at(out, "replicas").dump(), failed ? "null" : std::to_string(status.replicas));
      differences.compare("reason", text(out, "reason"), std::string(decision.scaling_active.reason));
      if (failed) compare_error(text(out, "error"), status, differences);
      return;
    }
    differences.compare("replicas", at(out, "replicas").get<int64_t>(), int64_t{status.replicas});
    differences.compare("status", shown_status(out), shown(status));
  }

 private:
  void read_metric() {
    const MetricSpec& spec = object_.metrics[0];
    metric_.answer =
        at(record_, "metricError") == true ? ObservedMetric::Answer::Unavailable : ObservedMetric::Answer::Values;
    metric_.samples.resize(pods_.size());
    for (const PodTemplateModel& t : templates_) metric_.request_milli.push_back(request_milli(t, spec));
    for (const auto& [name, value] : at(record_, "podMetrics").items()) {
      MetricSample sample{value.at("milliValue").get<int64_t>(), parse_time(text(value, "timestamp")),
                          1_s * value.at("windowSeconds").get<int64_t>()};
      auto pod = std::find(names_.begin(), names_.end(), name);
      if (pod == names_.end())
        metric_.orphans.push_back(sample);
      else
        metric_.samples[static_cast<size_t>(pod - names_.begin())] = sample;
    }
    if (record_.contains("objectMilliValue")) metric_.values_milli = {record_["objectMilliValue"].get<int64_t>()};
    if (record_.contains("externalMilliValues"))
      metric_.values_milli = record_["externalMilliValues"].get<std::vector<int64_t>>();
  }

  // The records leave out which pod lacks a request. The object of an Object metric is not modelled.
  void compare_error(std::string expected, const MetricStatus& status, Differences& differences) const {
    const MetricSpec& spec = object_.metrics[0];
    FailurePlace place{.namespace_ = "ns", .pod = {}, .container = {}, .api_error = "metrics API unavailable"};
    std::string found = metric_error(spec, status.failure, place);
    if (status.failure == MetricFailure::NoRequest) found.resize(std::min(found.size(), found.find(" in container")));
    if (status.failure == MetricFailure::NoPodRequest) found.resize(std::min(found.size(), found.find(" in Pod")));
    constexpr std::string_view kObject = "Service on ns s/";
    if (size_t at = expected.find(kObject); at != expected.npos) expected.erase(at, kObject.size());
    differences.compare("error", expected, found);
  }

  const Json& record_;
  HorizontalPodAutoscaler object_;
  std::vector<std::string> names_;
  std::vector<ObservedPod> pods_;
  IdVector<TemplateId, PodTemplateModel> templates_;
  RecordedMetric metric_;
};

// `behaviorDefaulted` of a record, or what a user wrote; null: none.
HorizontalPodAutoscaler with_behavior(const Json& record, const Json& behavior) {
  Json object = object_of(
      {{"type", "External"},
       {"external", {{"metric", {{"name", "m"}}}, {"target", {{"type", "AverageValue"}, {"averageValue", "1"}}}}}});
  object["spec"]["minReplicas"] = at(record, "minReplicas");
  object["spec"]["maxReplicas"] = at(record, "maxReplicas");
  if (!behavior.is_null()) object["spec"]["behavior"] = behavior;
  return read_hpa(object, text(record, "id"));
}

}  // namespace

size_t compare_hpa_calc(const Json& record, std::vector<std::string>& differences) {
  Differences found;
  found.at(text(record, "id"));
  Calculation(record).compare(found);
  differences = found.texts();
  return 1;
}

// As a user writes it; defaulting it is part of what is compared.
size_t compare_hpa_behavior(const Json& record, std::vector<std::string>& differences) {
  Differences found;
  HorizontalPodAutoscaler object = with_behavior(record, at(record, "behavior"));
  std::shared_ptr<const Autoscaler> hpa =
      make_hpa({{"downscaleStabilization", at(record, "downscaleStabilizationSeconds").dump() + "s"}});
  std::unique_ptr<PolicyMemory> memory = hpa->make_memory();
  Stream stream;
  Decision decision;
  size_t steps = 0;
  for (const Json& step : at(record, "steps")) {
    found.at(fmt::format("{} t={}", text(record, "id"), at(step, "t").dump()));
    ++steps;
    // A metric that asks for `desired` and nothing else.
    int64_t value = at(step, "desired").get<int64_t>() * 1000;
    ObservedMetric metric{.answer = ObservedMetric::Answer::Values, .values_milli = {&value, 1}};
    Observation seen;
    seen.now = Time{} + 1_s * at(step, "t").get<int64_t>();
    seen.kubernetes_minor = hpa_minor(record);
    seen.replicas = at(step, "current");
    seen.status_replicas = at(step, "desired");
    seen.min_replicas = object.min_replicas;
    seen.max_replicas = object.max_replicas;
    seen.object = &object;
    seen.required = object.metrics;
    seen.metrics = {&metric, 1};
    decision.clear();
    hpa->decide(seen, *memory, stream, decision);
    found.compare("replicas", at(step, "replicas").get<int64_t>(), int64_t{decision.desired});
    found.compare("scalingLimited", at(step, "scalingLimited").dump(), Json(decision.scaling_limited.status).dump());
    found.compare("scalingLimitedReason", text(step, "scalingLimitedReason"),
                  std::string(decision.scaling_limited.reason));
    // The record has what normalisation said, before the rescale says that it succeeded.
    found.compare("ableToScaleReason", text(step, "ableToScaleReason"), std::string(decision.steps.stabilization));
    if (!found.none()) break;
  }
  differences = found.texts();
  return steps;
}

}  // namespace conformance

using namespace conformance;

namespace {

const char* set_of(const Json& record) {
  if (record.contains("hpa")) return "sequence";
  if (record.contains("behaviorDefaulted")) return "behavior";
  return record.contains("type") ? "calc" : nullptr;
}

[[noreturn]] void refuse(const std::string& file, const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, {file, 0, 0}, field, message});
}

size_t compare(const std::string& set, const Json& record, std::vector<std::string>& differences) {
  if (set == "calc") return compare_hpa_calc(record, differences);
  if (set == "behavior") return compare_hpa_behavior(record, differences);
  return compare_hpa_sequence(record, differences);
}

}  // namespace

ConformanceReport check_hpa(const std::vector<std::string>& files, const ConformanceOptions& options) {
  ConformanceReport report;
  for (const std::string& file : files)
    for_each_record(file, [&](const Json& record) {
      const char* name = set_of(record);
      if (!name) refuse(file, text(record, "id"), "found a record of no set, allowed: calc, behavior, sequence");
      SetAgreement& set = report.sets[name];
      ++set.records;
      std::vector<std::string> differences;
      try {
        set.steps += compare(name, record, differences);
      } catch (const Json::exception& e) {
        refuse(file, text(record, "id"), e.what());
      }
      if (differences.empty()) ++set.agreed;
      for (const std::string& difference : differences)
        if (report.disagreements.size() < options.disagreements)
          report.disagreements.push_back(fmt::format("{} (1.{}) {}", name, hpa_minor(record), difference));
    });
  return report;
}

}  // namespace kisim

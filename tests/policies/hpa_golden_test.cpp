// The hpa policy against records of the real controller, read in place; see the README beside them for the rules of
// comparison. Skipped where they are absent.

#include "core/quantity.hpp"
#include "policy/autoscaler.hpp"
#include "policy/registry.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <ctime>
#include <map>

namespace kisim {
namespace {

using Json = nlohmann::json;

std::vector<Json> read_records(const std::string& name) {
  std::string path = shared_file("goldens/hpa/" + name + ".jsonl.gz");
  std::vector<Json> records;
  if (path.empty()) return records;
  FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
  REQUIRE(pipe);
  std::string line;
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    records.push_back(Json::parse(line));
    line.clear();
  }
  pclose(pipe);
  return records;
}

int64_t milli(const Json& quantity) {
  if (quantity.is_number_integer()) return quantity.get<int64_t>() * 1000;
  return Quantity::parse(quantity.get<std::string>()).value().milli_value();
}

// "2026-01-01T16:33:39Z" since 1970.
Time parse_time(const std::string& text) {
  std::tm tm{};
  REQUIRE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &tm));
  return Time{} + 1_s * timegm(&tm);
}

ObservedPod::Phase parse_phase(const std::string& phase) {
  if (phase == "Pending") return ObservedPod::Phase::Pending;
  if (phase == "Running") return ObservedPod::Phase::Running;
  if (phase == "Succeeded") return ObservedPod::Phase::Succeeded;
  if (phase == "Failed") return ObservedPod::Phase::Failed;
  return ObservedPod::Phase::Unknown;
}

ObservedPod::Ready parse_ready(const std::string& status) {
  if (status == "True") return ObservedPod::Ready::True;
  return status == "False" ? ObservedPod::Ready::False : ObservedPod::Ready::Unknown;
}

MetricTarget parse_target(const Json& target) {
  if (target["type"] == "Utilization")
    return {MetricTarget::Type::Utilization, 0, target["averageUtilization"].get<int32_t>()};
  if (target["type"] == "Value") return {MetricTarget::Type::Value, milli(target["value"]), 0};
  return {MetricTarget::Type::AverageValue, milli(target["averageValue"]), 0};
}

MetricSpec parse_metric(const Json& json) {
  MetricSpec spec;
  std::string type = json["type"];
  const std::map<std::string, std::pair<MetricSpec::Source, const char*>> sources{
      {"Resource", {MetricSpec::Source::Resource, "resource"}},
      {"ContainerResource", {MetricSpec::Source::ContainerResource, "containerResource"}},
      {"Pods", {MetricSpec::Source::Pods, "pods"}},
      {"Object", {MetricSpec::Source::Object, "object"}},
      {"External", {MetricSpec::Source::External, "external"}}};
  const auto& [source, field] = sources.at(type);
  const Json& body = json[field];
  spec.source = source;
  spec.name = body.contains("name") ? body["name"] : body["metric"]["name"];
  if (body.contains("container")) spec.container = body["container"];
  spec.target = parse_target(body["target"]);
  return spec;
}

std::optional<ScalingRules> parse_rules(const Json& behavior, const char* direction) {
  if (!behavior.is_object() || !behavior.contains(direction)) return std::nullopt;
  const Json& json = behavior[direction];
  ScalingRules rules;
  if (json.contains("stabilizationWindowSeconds"))
    rules.stabilization_window = 1_s * json["stabilizationWindowSeconds"].get<int64_t>();
  std::string select = json.value("selectPolicy", "Max");
  if (select == "Min") rules.select = ScalingRules::Select::Min;
  if (select == "Disabled") rules.select = ScalingRules::Select::Disabled;
  if (json.contains("policies"))
    for (const Json& p : json["policies"])
      rules.policies.push_back({p["type"] == "Pods" ? ScalingPolicy::Type::Pods : ScalingPolicy::Type::Percent,
                                p["value"].get<int32_t>(), 1_s * p["periodSeconds"].get<int64_t>()});
  if (json.contains("tolerance")) rules.tolerance_milli = milli(json["tolerance"]);
  return rules;
}

std::shared_ptr<const Autoscaler> make_hpa(double tolerance, double stabilization, double cpu_init, double readiness,
                                           const std::string& gates) {
  Params params;
  params.set("tolerance", tolerance);
  params.set("downscaleStabilization", stabilization);
  params.set("cpuInitializationPeriod", cpu_init);
  params.set("initialReadinessDelay", readiness);
  params.set("featureGates", gates);
  return Registry<Autoscaler>::instance().find("hpa")->make(params);
}

// Requests of one pod for a metric in milli-units, negative where one is missing: the container named, else what the
// pod aggregates to if it sets any itself, else the sum over containers and sidecars.
int64_t request_milli(const Json& spec, const MetricSpec& metric) {
  auto of = [&](const Json& holder) -> int64_t {
    if (!holder.contains("resources") || !holder["resources"].contains("requests")) return -1;
    const Json& requests = holder["resources"]["requests"];
    return requests.contains(metric.name) ? milli(requests[metric.name]) : -1;
  };
  auto containers = [&](bool named) {
    int64_t sum = 0;
    auto add = [&](const Json& c) {
      if (named && c["name"] != metric.container) return;
      int64_t request = of(c);
      sum = sum < 0 || request < 0 ? -1 : sum + request;
    };
    for (const Json& c : spec["containers"]) add(c);
    if (spec.contains("initContainers"))
      for (const Json& c : spec["initContainers"])
        if (c.value("restartPolicy", "") == "Always") add(c);
    return sum;
  };
  if (metric.source == MetricSpec::Source::ContainerResource) return containers(true);
  if (!spec.contains("resources") || !spec["resources"].contains("requests")) return containers(false);
  if (of(spec) >= 0) return of(spec);
  int64_t aggregate = std::max<int64_t>(0, containers(false));
  if (spec.contains("initContainers"))
    for (const Json& c : spec["initContainers"]) aggregate = std::max(aggregate, of(c));
  return aggregate;
}

// One metric as the pipeline would show it; owns what the spans point to.
struct MetricData {
  std::vector<std::optional<MetricSample>> samples;
  std::vector<int64_t> requests, values;
  std::vector<MetricSample> orphans;

  ObservedMetric view(bool available) const { return {available, samples, requests, orphans, values}; }
};

TEST_CASE("the replica calculation agrees with the controller's records", "[hpa][golden]") {
  std::string differences;
  for (const Json& r : read_records("calc")) {
    MetricSpec metric = parse_metric(r["metric"]);
    HorizontalPodAutoscaler object;
    object.metrics = {metric};
    // Nothing between the proposal and the result.
    object.scale_up =
        ScalingRules{.stabilization_window = 0_s, .policies = {{ScalingPolicy::Type::Pods, 1 << 30, 1_s}}};
    object.scale_down = ScalingRules{.stabilization_window = 0_s};
    object.scale_up->tolerance_milli = std::llround(r["tolerance"]["scaleUp"].get<double>() * 1000);
    object.scale_down->tolerance_milli = std::llround(r["tolerance"]["scaleDown"].get<double>() * 1000);

    std::vector<ObservedPod> pods;
    std::map<std::string, size_t> index;
    MetricData data;
    for (const Json& p : r["pods"]) {
      ObservedPod pod;
      const Json& status = p["status"];
      pod.phase = parse_phase(status["phase"]);
      pod.deleting = p["metadata"].contains("deletionTimestamp");
      if (status.contains("startTime")) pod.start = parse_time(status["startTime"]);
      if (status.contains("conditions"))
        for (const Json& c : status["conditions"]) {
          if (c["type"] != "Ready") continue;
          pod.ready = parse_ready(c["status"]);
          if (c.contains("lastTransitionTime")) pod.ready_transition = parse_time(c["lastTransitionTime"]);
        }
      index[p["metadata"]["name"]] = pods.size();
      pods.push_back(pod);
      data.requests.push_back(request_milli(p["spec"], metric));
    }
    data.samples.resize(pods.size());
    if (r.contains("podMetrics"))
      for (const auto& [name, m] : r["podMetrics"].items()) {
        MetricSample sample{m["milliValue"].get<int64_t>(), parse_time(m["timestamp"]),
                            1_s * m["windowSeconds"].get<int64_t>()};
        if (index.count(name))
          data.samples[index[name]] = sample;
        else
          data.orphans.push_back(sample);
      }
    if (r.contains("objectMilliValue")) data.values = {r["objectMilliValue"].get<int64_t>()};
    if (r.contains("externalMilliValues")) data.values = r["externalMilliValues"].get<std::vector<int64_t>>();
    ObservedMetric observed = data.view(!r.value("metricError", false));

    auto hpa = make_hpa(0.1, 0, r["cpuInitializationPeriodSeconds"], r["initialReadinessDelaySeconds"],
                        "HPAConfigurableTolerance=true");
    Observation seen;
    seen.now = parse_time(r["now"]);
    seen.kubernetes_minor = 34;
    seen.replicas = r["specReplicas"];
    seen.status_replicas = r["statusReplicas"];
    seen.min_replicas = 0;
    seen.max_replicas = 1 << 30;
    seen.object = &object;
    seen.pods = pods;
    seen.required = object.metrics;
    seen.metrics = {&observed, 1};
    auto memory = hpa->make_memory();
    Stream stream;
    Decision d = hpa->decide(seen, *memory, stream);

    const Json& out = r["out"];
    bool failed = !d.scaling_active.status;
    bool same = out["replicas"].is_null() ? failed && d.scaling_active.reason == out["reason"].get<std::string>()
                                          : !failed && d.desired == out["replicas"].get<int32_t>();
    if (!same)
      differences += fmt::format("{}: got {} {}, expected {}\n", r["id"].get<std::string>(), d.desired,
                                 d.scaling_active.reason, out.dump());
  }
  CHECK(differences == "");
}

TEST_CASE("stabilisation and rate limits agree with the controller's records", "[hpa][golden]") {
  std::string differences;
  for (const Json& r : read_records("behavior")) {
    MetricSpec metric;
    metric.source = MetricSpec::Source::External;
    metric.target = {MetricTarget::Type::AverageValue, 1000, 0};
    HorizontalPodAutoscaler object;
    object.metrics = {metric};
    object.scale_up = parse_rules(r["behaviorDefaulted"], "scaleUp");
    object.scale_down = parse_rules(r["behaviorDefaulted"], "scaleDown");
    auto hpa = make_hpa(0.1, r["downscaleStabilizationSeconds"], 300, 30, "");
    auto memory = hpa->make_memory();
    Stream stream;
    for (const Json& step : r["steps"]) {
      int32_t desired = step["desired"];
      int64_t value = desired * 1000ll;
      ObservedMetric observed{.available = true, .values_milli = {&value, 1}};
      Observation seen;
      seen.now = Time{} + 1_s * step["t"].get<int64_t>();
      seen.kubernetes_minor = 34;
      seen.replicas = step["current"];
      seen.status_replicas = desired;
      seen.min_replicas = r["minReplicas"];
      seen.max_replicas = r["maxReplicas"];
      seen.object = &object;
      seen.required = object.metrics;
      seen.metrics = {&observed, 1};
      Decision d = hpa->decide(seen, *memory, stream);
      // The record shows what normalisation said, the condition what the rescale made of it.
      bool able = d.desired != seen.replicas || d.able_to_scale.reason == step["ableToScaleReason"].get<std::string>();
      bool limited = d.scaling_limited.status == step["scalingLimited"].get<bool>() &&
                     d.scaling_limited.reason == step["scalingLimitedReason"].get<std::string>();
      if (able && limited && d.desired == step["replicas"].get<int32_t>()) continue;
      differences +=
          fmt::format("{} t={}: got {} {} {}, expected {}\n", r["id"].get<std::string>(), step["t"].get<int64_t>(),
                      d.desired, d.able_to_scale.reason, d.scaling_limited.reason, step.dump());
      break;
    }
  }
  CHECK(differences == "");
}

// The first step of each sequence that disagrees.
std::string sequence_differences(const std::string& file, int minor) {
  std::string differences;
  for (const Json& r : read_records(file)) {
    const Json& spec = r["hpaDefaulted"]["spec"];
    HorizontalPodAutoscaler object;
    for (const Json& m : spec["metrics"]) object.metrics.push_back(parse_metric(m));
    if (spec.contains("behavior")) {
      object.scale_up = parse_rules(spec["behavior"], "scaleUp");
      object.scale_down = parse_rules(spec["behavior"], "scaleDown");
    }
    std::string gates;
    for (const auto& [name, on] : r["featureGates"].items())
      gates += (gates.empty() ? "" : ",") + name + (on.get<bool>() ? "=true" : "=false");
    const Json& c = r["controller"];
    auto hpa = make_hpa(c["tolerance"], c["downscaleStabilizationSeconds"], c["cpuInitializationPeriodSeconds"],
                        c["initialReadinessDelaySeconds"], gates);
    auto memory = hpa->make_memory();
    Stream stream;
    Json pod_spec{{"containers", r["podTemplateContainers"]}};
    std::map<std::string, std::pair<bool, std::string>> conditions;
    for (const Json& step : r["steps"]) {
      std::vector<ObservedPod> pods;
      std::map<std::string, size_t> index;
      for (const Json& p : step["pods"]) {
        ObservedPod pod;
        pod.phase = parse_phase(p["phase"]);
        pod.deleting = p.value("deleting", false);
        if (p.contains("start")) pod.start = Time{} + 1_s * p["start"].get<int64_t>();
        if (p.contains("ready")) pod.ready = parse_ready(p["ready"]);
        if (p.contains("readyTransition")) pod.ready_transition = Time{} + 1_s * p["readyTransition"].get<int64_t>();
        index[p["name"]] = pods.size();
        pods.push_back(pod);
      }
      std::vector<MetricData> data(object.metrics.size());
      std::vector<ObservedMetric> observed;
      for (size_t m = 0; m < data.size(); ++m) {
        const Json& json = step["metrics"][m];
        data[m].samples.resize(pods.size());
        data[m].requests.assign(pods.size(), request_milli(pod_spec, object.metrics[m]));
        if (json.contains("pods"))
          for (const auto& [name, v] : json["pods"].items()) {
            MetricSample sample{v[0].get<int64_t>(), Time{} + 1_s * v[1].get<int64_t>(), 1_s * v[2].get<int64_t>()};
            if (index.count(name))
              data[m].samples[index[name]] = sample;
            else
              data[m].orphans.push_back(sample);
          }
        if (json.contains("objectMilliValue")) data[m].values = {json["objectMilliValue"].get<int64_t>()};
        if (json.contains("externalMilliValues"))
          data[m].values = json["externalMilliValues"].get<std::vector<int64_t>>();
        observed.push_back(data[m].view(!json.value("error", false)));
      }
      Observation seen;
      seen.now = Time{} + 1_s * step["t"].get<int64_t>();
      seen.kubernetes_minor = minor;
      seen.replicas = step["specReplicas"];
      seen.status_replicas = step["statusReplicas"];
      seen.min_replicas = spec.value("minReplicas", 1);
      seen.max_replicas = spec["maxReplicas"];
      seen.object = &object;
      seen.pods = pods;
      seen.required = object.metrics;
      seen.metrics = observed;
      Decision d = hpa->decide(seen, *memory, stream);
      auto touch = [&](const char* type, const ScalingCondition& condition) {
        if (!condition.reason.empty()) conditions[type] = {condition.status, std::string(condition.reason)};
      };
      touch("AbleToScale", d.able_to_scale);
      touch("ScalingActive", d.scaling_active);
      touch("ScalingLimited", d.scaling_limited);
      const Json& expect = step["expect"];
      bool fits = d.desired == expect["replicas"].get<int32_t>() && d.error == expect.value("error", false) &&
                  (d.desired != seen.replicas) == expect.value("rescaled", false);
      for (const Json& condition : expect["conditions"]) {
        std::string type = condition["type"];
        bool status = condition["status"] == "True";
        if (type == "ScaledToZero")
          fits = fits && d.scaled_to_zero == status;
        else
          fits = fits && conditions[type] == std::pair{status, condition["reason"].get<std::string>()};
      }
      if (fits) continue;
      differences += fmt::format("{} t={}: got {} {}, expected {}\n", r["id"].get<std::string>(),
                                 step["t"].get<int64_t>(), d.desired, Json(conditions).dump(), expect.dump());
      break;
    }
  }
  return differences;
}

TEST_CASE("whole reconciles agree with the controller's records, v1.34", "[hpa][golden]") {
  CHECK(sequence_differences("sequence", 34) == "");
}

TEST_CASE("whole reconciles agree with the controller's records, v1.36", "[hpa][golden]") {
  CHECK(sequence_differences("sequence-1.36", 36) == "");
}

}  // namespace
}  // namespace kisim

// Set sequence: the whole reconcile every 15 s, step by step and as a run.

#include "conformance/hpa_record.hpp"
#include "kube/resource_request.hpp"
#include "run/world.hpp"

#include <algorithm>

namespace kisim::conformance {

namespace {

Time at_seconds(const Json& seconds) { return Time{} + 1_s * seconds.get<int64_t>(); }

// What a sync left behind.
struct Outcome {
  int64_t replicas = 0;
  bool rescaled = false, error = false;
  std::vector<std::string> conditions;  // "AbleToScale=True ReadyForNewScale", sorted
  std::vector<std::string> metrics;
};

void add_condition(Outcome& outcome, const char* type, bool status, std::string_view reason) {
  if (!reason.empty()) outcome.conditions.push_back(fmt::format("{}={} {}", type, status ? "True" : "False", reason));
}

void compare(const Json& expect, const Outcome& found, Differences& differences) {
  differences.compare("replicas", at(expect, "replicas").get<int64_t>(), found.replicas);
  differences.compare("rescaled", Json(at(expect, "rescaled") == true).dump(), Json(found.rescaled).dump());
  differences.compare("error", Json(at(expect, "error") == true).dump(), Json(found.error).dump());
  std::vector<std::string> conditions, metrics;
  for (const Json& c : at(expect, "conditions"))
    conditions.push_back(text(c, "type") + "=" + text(c, "status") + " " + text(c, "reason"));
  differences.compare("conditions", conditions, found.conditions);
  if (!expect.contains("currentMetrics")) return;
  for (const Json& status : at(expect, "currentMetrics")) metrics.push_back(shown_status(status));
  differences.compare("currentMetrics", metrics, found.metrics);
}

class Sequence {
 public:
  explicit Sequence(const Json& record)
      : record_(record),
        id_(text(record, "id")),
        minor_(hpa_minor(record)),
        object_(read_hpa(at(record, "hpaDefaulted"), id_)),
        params_(hpa_params(record)) {
    Json pod{{"spec", {{"containers", at(record, "podTemplateContainers")}}}};
    pods_ = read_pod_templates({pod}, id_);
    for (const Json& step : at(record, "steps")) target_.syncs.push_back(read(step));
  }

  size_t size() const { return target_.syncs.size(); }

  void replay(Differences& differences) const;
  void run(Differences& differences) const;

 private:
  const Json& step(size_t i) const { return at(record_, "steps")[i]; }
  int32_t replicas(size_t i) const { return at(step(i), "specReplicas"); }
  std::string place(const char* how, size_t i) const {
    return fmt::format("{} {} t={}", id_, how, at(step(i), "t").dump());
  }
  RecordedSync read(const Json& step) const;
  RecordedMetric read(const Json& metric, size_t index, const std::vector<std::string>& names) const;
  std::shared_ptr<const Model> model() const;

  const Json& record_;
  std::string id_;
  int32_t minor_;
  HorizontalPodAutoscaler object_;
  std::map<std::string, std::string> params_;
  IdVector<TemplateId, PodTemplateModel> pods_;
  RecordedTarget target_;
};

RecordedSync Sequence::read(const Json& step) const {
  RecordedSync sync;
  sync.at = at_seconds(at(step, "t"));
  sync.status_replicas = at(step, "statusReplicas");
  std::vector<std::string> names;
  for (const Json& p : at(step, "pods")) {
    ObservedPod& pod = sync.pods.emplace_back();
    pod.phase = pod_phase(text(p, "phase"));
    pod.deleting = at(p, "deleting") == true;
    if (p.contains("start")) pod.start = at_seconds(p["start"]);
    if (p.contains("ready")) pod.ready = pod_ready(text(p, "ready"));
    if (p.contains("readyTransition")) pod.ready_transition = at_seconds(p["readyTransition"]);
    names.push_back(text(p, "name"));
  }
  const Json& metrics = at(step, "metrics");
  for (size_t m = 0; m < metrics.size(); ++m) sync.metrics.push_back(read(metrics[m], m, names));
  return sync;
}

RecordedMetric Sequence::read(const Json& metric, size_t index, const std::vector<std::string>& names) const {
  RecordedMetric out;
  out.answer = at(metric, "error") == true ? ObservedMetric::Answer::Unavailable : ObservedMetric::Answer::Values;
  out.samples.resize(names.size());
  out.request_milli.assign(names.size(), request_milli(pods_[TemplateId(0u)], object_.metrics[index]));
  for (const auto& [name, value] : at(metric, "pods").items()) {
    MetricSample sample{value[0].get<int64_t>(), at_seconds(value[1]), 1_s * value[2].get<int64_t>()};
    auto pod = std::find(names.begin(), names.end(), name);
    if (pod == names.end())
      out.orphans.push_back(sample);
    else
      out.samples[static_cast<size_t>(pod - names.begin())] = sample;
  }
  if (metric.contains("objectMilliValue")) out.values_milli = {metric["objectMilliValue"].get<int64_t>()};
  if (metric.contains("externalMilliValues"))
    out.values_milli = metric["externalMilliValues"].get<std::vector<int64_t>>();
  return out;
}

// The policy alone, shown one step after another.
void Sequence::replay(Differences& differences) const {
  std::shared_ptr<const Autoscaler> hpa = make_hpa(params_);
  std::unique_ptr<PolicyMemory> memory = hpa->make_memory();
  Stream stream;
  Decision decision;
  ScalingCondition able, active, limited;
  auto keep = [](ScalingCondition& kept, const ScalingCondition& now) {
    if (!now.reason.empty()) kept = now;
  };
  for (size_t i = 0; i < size() && differences.none(); ++i) {
    const RecordedSync& sync = target_.syncs[i];
    std::vector<ObservedMetric> metrics;
    for (const RecordedMetric& m : sync.metrics) metrics.push_back(m.view());
    Observation seen;
    seen.now = sync.at;
    seen.kubernetes_minor = minor_;
    seen.replicas = replicas(i);
    seen.status_replicas = sync.status_replicas;
    seen.min_replicas = object_.min_replicas;
    seen.max_replicas = object_.max_replicas;
    seen.object = &object_;
    seen.pods = sync.pods;
    seen.required = object_.metrics;
    seen.metrics = metrics;
    decision.clear();
    hpa->decide(seen, *memory, stream, decision);
    keep(able, decision.able_to_scale);
    keep(active, decision.scaling_active);
    keep(limited, decision.scaling_limited);
    Outcome outcome{
        .replicas = decision.desired, .rescaled = decision.desired != seen.replicas, .error = decision.error};
    add_condition(outcome, "AbleToScale", able.status, able.reason);
    if (decision.scaled_to_zero)
      add_condition(outcome, "ScaledToZero", *decision.scaled_to_zero,
                    *decision.scaled_to_zero ? "ScaledToZero" : "NotScaledToZero");
    add_condition(outcome, "ScalingActive", active.status, active.reason);
    add_condition(outcome, "ScalingLimited", limited.status, limited.reason);
    for (const MetricStatus& status : decision.metrics) outcome.metrics.push_back(shown(status));
    differences.at(place("step by step", i));
    compare(at(step(i), "expect"), outcome, differences);
  }
}

// A cluster with the record's Deployment, its object as written, and what users did by hand between the syncs.
std::shared_ptr<const Model> Sequence::model() const {
  Scenario scenario;
  scenario.name = id_;
  scenario.duration = target_.syncs.back().at + 15_s - Time{};
  scenario.kubernetes_version = fmt::format("1.{}", minor_);
  Node node;
  node.meta.name = "node";
  node.allocatable = {{"cpu", int64_t{1} << 40}, {"memory", int64_t{1} << 50}, {"pods", 100'000}};
  node.capacity = node.allocatable;
  scenario.manifests.nodes = {node};
  Deployment deployment;
  deployment.meta.namespace_ = "ns";
  deployment.meta.name = object_.target_name;
  deployment.replicas = replicas(0);
  deployment.selector.requirements = {{"app", SelectorOperator::In, {"a"}}};
  deployment.pod_template.labels = {{"app", "a"}};
  deployment.pod_template.spec = pods_[TemplateId(0u)].spec;
  scenario.manifests.deployments = {deployment};
  scenario.manifests.hpas = {read_hpa(at(record_, "hpa"), id_)};
  scenario.autoscalers["ns/" + object_.target_name] = {"hpa", params_, {}};

  auto model = std::make_shared<Model>(*compile(scenario));
  WorkloadId workload(0u);
  model->kube.autoscalers[AutoscalerId(0u)].recorded = std::make_shared<RecordedTarget>(target_);
  for (size_t i = 1; i < size(); ++i) {
    if (replicas(i) == at(at(step(i - 1), "expect"), "replicas").get<int32_t>()) continue;
    Action scale;
    scale.kind = Action::Kind::Scale;
    scale.at = target_.syncs[i].at - 1_ns;
    scale.workload = workload;
    scale.replicas = replicas(i);
    model->kube.actions.push_back(scale);
  }
  return model;
}

void Sequence::run(Differences& differences) const {
  World world(model());
  for (size_t i = 0; i < size() && differences.none(); ++i) {
    Time now = target_.syncs[i].at;
    world.run_until(now);
    const AutoscalerState& state = world.state().kube.autoscalers[AutoscalerId(0u)];
    Outcome outcome{.replicas = world.state().cluster.replicas[0],
                    .rescaled = state.last_scale == now,
                    .error = state.decision.error};
    auto tell = [&](const char* type, const AutoscalerCondition& c) {
      if (c.known) add_condition(outcome, type, c.value.status, c.value.reason);
    };
    tell("AbleToScale", state.able_to_scale);
    tell("ScaledToZero", state.scaled_to_zero);
    tell("ScalingActive", state.scaling_active);
    tell("ScalingLimited", state.scaling_limited);
    for (const MetricStatus& status : state.decision.metrics) outcome.metrics.push_back(shown(status));
    differences.at(place("whole run", i));
    compare(at(step(i), "expect"), outcome, differences);
  }
}

}  // namespace

size_t compare_hpa_sequence(const Json& record, std::vector<std::string>& differences) {
  Sequence sequence(record);
  Differences found;
  sequence.replay(found);
  if (found.none()) sequence.run(found);
  differences = found.texts();
  return sequence.size();
}

}  // namespace kisim::conformance

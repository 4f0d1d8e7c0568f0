#include "run/explain_hpa.hpp"

#include "kube/autoscaler_status.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace kisim {

namespace {

bool is_named(const std::string& full, const std::string& name) {
  return full == name || full.substr(full.find('/') + 1) == name;
}

// Objects come before workloads: both often have the same name.
AutoscalerId find_autoscaler(const Model& model, const std::string& name) {
  std::vector<std::string> known;
  AutoscalerId of_workload;
  for (size_t a = 0; a < model.kube.autoscalers.size(); ++a) {
    const AutoscalerBinding& binding = model.kube.autoscalers[AutoscalerId(a)];
    std::string workload = binding.workload.valid() ? model.cluster.workloads[binding.workload].full_name() : "";
    if (binding.object && is_named(binding.object->meta.full_name(), name)) return AutoscalerId(a);
    if (!of_workload.valid() && is_named(workload, name)) of_workload = AutoscalerId(a);
    known.push_back(binding.object ? binding.object->meta.full_name() : workload);
  }
  if (of_workload.valid()) return of_workload;
  throw InputError(Diagnostic{Severity::Error,
                              {},
                              "hpa",
                              fmt::format("no autoscaler is named '{}', found: {}", name,
                                          known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")))});
}

class Teller {
 public:
  Teller(const World& world, AutoscalerId autoscaler)
      : model_(world.model()),
        state_(world.state()),
        cluster_(world.cluster()),
        id_(autoscaler),
        binding_(model_.kube.autoscalers[autoscaler]),
        autoscaler_(state_.kube.autoscalers[autoscaler]) {}

  HpaExplanation tell(Time at) const {
    HpaExplanation out;
    if (binding_.object) out.autoscaler = binding_.object->meta.full_name();
    out.workload = target_text(binding_, model_.cluster);
    out.at = at;
    if (autoscaler_.synced != Time::max()) out.synced = autoscaler_.synced;
    out.last_scale = autoscaler_.last_scale;
    if (binding_.workload.valid()) out.replicas = std::max(0, state_.cluster.replicas[binding_.workload.value]);
    out.current = autoscaler_.current_replicas;
    out.desired = autoscaler_.desired_replicas;
    out.min_replicas = binding_.min_replicas;
    out.max_replicas = binding_.max_replicas;
    out.steps = autoscaler_.decision.steps;
    out.error = autoscaler_.decision.error;
    out.reason = autoscaler_.decision.reason;
    conditions(out);
    metrics(out);
    scalings(out);
    return out;
  }

 private:
  void conditions(HpaExplanation& out) const {
    auto tell = [&](const char* type, const AutoscalerCondition& c) {
      if (!c.known) return;
      out.conditions.push_back({type, c.value.status, std::string(c.value.reason),
                                condition_message(model_.kube, state_.kube, cluster_, id_, c.value), c.since});
    };
    tell("AbleToScale", autoscaler_.able_to_scale);
    tell("ScalingActive", autoscaler_.scaling_active);
    tell("ScalingLimited", autoscaler_.scaling_limited);
    tell("ScaledToZero", autoscaler_.scaled_to_zero);
  }

  void metrics(HpaExplanation& out) const {
    const HorizontalPodAutoscaler* object = binding_.object ? &*binding_.object : nullptr;
    std::span<const MetricSpec> specs = binding_.policy->required_metrics(object);
    const std::vector<MetricStatus>& statuses = autoscaler_.decision.metrics;
    for (size_t m = 0; m < specs.size() && m < statuses.size(); ++m) {
      const MetricStatus& status = statuses[m];
      MetricExplanation& metric =
          out.metrics.emplace_back(MetricExplanation{specs[m], metric_text(specs[m]), status, {}});
      if (status.failure == MetricFailure::None) continue;
      FailurePlace place = failure_place(binding_, cluster_, specs[m], status.failure, PodId(size_t{status.pod}));
      metric.failure = failure_text(specs[m], status.failure, place);
    }
  }

  void scalings(HpaExplanation& out) const {
    for (const Scaling& s : state_.kube.statistics.scalings)
      if (s.workload == binding_.workload) out.scalings.push_back({s.at, s.from, s.to, s.reason});
  }

  const Model& model_;
  const State& state_;
  const Cluster& cluster_;
  AutoscalerId id_;
  const AutoscalerBinding& binding_;
  const AutoscalerState& autoscaler_;
};

}  // namespace

HpaExplanation explain_hpa(std::shared_ptr<const Model> model, const std::string& name, Time at) {
  AutoscalerId autoscaler = find_autoscaler(*model, name);
  World world(std::move(model));
  world.run_until(at);
  return Teller(world, autoscaler).tell(world.now());
}

}  // namespace kisim

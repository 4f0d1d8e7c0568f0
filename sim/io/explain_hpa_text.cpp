#include "io/explain_hpa_text.hpp"

#include "io/humanize.hpp"
#include "io/value.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kScalingsTold = 10;

std::string clock(Time t) { return human_clock(t.to_seconds()); }

// A quantity in milli-units as the API writes it: "250m", "12", "64Mi".
std::string quantity(const MetricSpec& spec, int64_t milli) {
  if (milli % 1000 != 0) return fmt::format("{}m", milli);
  int64_t amount = milli / 1000;
  bool bytes = spec.name == "memory" &&
               (spec.source == MetricSpec::Source::Resource || spec.source == MetricSpec::Source::ContainerResource);
  constexpr const char* kSuffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
  size_t power = 0;
  for (; bytes && amount != 0 && amount % 1024 == 0 && power + 1 < std::size(kSuffixes); ++power) amount /= 1024;
  return fmt::format("{}{}", amount, kSuffixes[power]);
}

std::string target_text(const MetricSpec& spec) {
  switch (spec.target.type) {
    case MetricTarget::Type::Utilization:
      return fmt::format("{} %", spec.target.utilization);
    case MetricTarget::Type::AverageValue:
      return quantity(spec, spec.target.milli_value) + " per pod";
    case MetricTarget::Type::Value:
      return quantity(spec, spec.target.milli_value);
  }
  return "?";
}

std::string value_text(const MetricExplanation& m) {
  if (m.status.average_utilization)
    return fmt::format("{} % ({})", *m.status.average_utilization, quantity(m.spec, *m.status.average_milli_value));
  if (m.status.average_milli_value) return quantity(m.spec, *m.status.average_milli_value) + " per pod";
  if (m.status.milli_value) return quantity(m.spec, *m.status.milli_value);
  return "unknown";
}

// "5 ready, 2 unready"; the groups that the controller sorts pods into.
std::string pods_text(const MetricStatus& status) {
  std::string out;
  auto add = [&](int32_t count, const char* group) {
    if (count > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, group);
  };
  add(status.ready, "ready");
  add(status.unready, "unready");
  add(status.missing, "missing");
  add(status.ignored, "ignored");
  return out.empty() ? "-" : out;
}

std::string policy_text(const ScalingSteps& steps) {
  bool up = steps.stabilized > steps.desired;
  const ScalingPolicy& policy = *steps.policy;
  const char* unit = policy.type == ScalingPolicy::Type::Pods ? (policy.value == 1 ? " pod" : " pods") : " %";
  return fmt::format("{} policy {}{}/{:.0f} s, from {} at its start", up ? "scaleUp" : "scaleDown", policy.value, unit,
                     policy.period.to_seconds(), steps.base);
}

const ConditionExplanation* find_condition(const HpaExplanation& e, std::string_view type) {
  for (const ConditionExplanation& c : e.conditions)
    if (c.type == type) return &c;
  return nullptr;
}

// What became of what the metrics ask for, in one sentence.
std::string verdict(const HpaExplanation& e) {
  const ScalingSteps& s = e.steps;
  if (!e.synced) return "It has not synced yet.";
  if (!s.taken && !e.reason.empty()) return fmt::format("{}: it scaled to {} without metrics.", e.reason, e.desired);
  if (!s.taken) {
    const ConditionExplanation* able = find_condition(e, "AbleToScale");
    const ConditionExplanation* active = find_condition(e, "ScalingActive");
    const ConditionExplanation* why = able && !able->status ? able : active && !active->status ? active : nullptr;
    return why ? fmt::format("It did not scale: {}.", why->message) : "It looked at no metric.";
  }
  std::string out = fmt::format("{} asks for {}", e.metrics[static_cast<size_t>(s.leader)].name, s.proposed);
  if (s.stabilized != s.proposed) {
    out += fmt::format("; stabilised by the {:.0f} s window to {}", s.window.to_seconds(), s.stabilized);
    out += s.recommended ? fmt::format(" (recommendation of {})", clock(*s.recommended)) : " (the present number)";
  }
  const ConditionExplanation* limited = find_condition(e, "ScalingLimited");
  if (s.desired != s.stabilized && s.policy)
    out += fmt::format("; limited to {} by {}", s.desired, policy_text(s));
  else if (s.desired != s.stabilized)
    out += fmt::format("; limited to {}: {}", s.desired, limited ? limited->message : "");
  return out + ".";
}

std::string scalings_text(const HpaExplanation& e, bool wide, const TextStyle& style) {
  const size_t earlier = wide || e.scalings.size() <= kScalingsTold ? 0 : e.scalings.size() - kScalingsTold;
  TextTable table({{"SCALED", true}, {"FROM", true}, {"TO", true}, {"REASON"}});
  for (size_t i = earlier; i < e.scalings.size(); ++i) {
    const ScalingExplanation& s = e.scalings[i];
    table.row({clock(s.at), std::to_string(s.from), std::to_string(s.to), s.reason});
  }
  return table.text(style) + (earlier > 0 ? fmt::format("… and {} earlier; -o wide lists them\n", earlier) : "");
}

std::string table(const HpaExplanation& e, bool wide, const TextStyle& style) {
  std::string out = bold(fmt::format("HorizontalPodAutoscaler {} of {} at {}",
                                     e.autoscaler.empty() ? "(none)" : e.autoscaler, e.workload, clock(e.at)),
                         style) +
                    '\n';
  std::string status = fmt::format("{} replicas, {} to {} allowed", e.replicas, e.min_replicas, e.max_replicas);
  if (e.synced)
    status += fmt::format("; at its last sync, {}, it saw {} and wanted {}", clock(*e.synced), e.current, e.desired);
  status += e.last_scale ? fmt::format("; it last scaled at {}.", clock(*e.last_scale)) : "; it has not scaled yet.";
  for (const std::string& line : wrap_text(status, style.width)) out += line + '\n';

  if (!e.metrics.empty()) {
    TextTable metrics({{"CURRENT", true}, {"TARGET", true}, {"REPLICAS", true}, {"PODS"}, {"METRIC"}});
    for (const MetricExplanation& m : e.metrics)
      metrics.row({value_text(m), target_text(m.spec), m.failure.empty() ? std::to_string(m.status.replicas) : "none",
                   pods_text(m.status), m.name});
    out += '\n' + metrics.text(style);
    for (const MetricExplanation& m : e.metrics)
      if (!m.failure.empty())
        for (const std::string& line : wrap_text(m.name + ": " + m.failure, style.width)) out += line + '\n';
  }
  out += '\n';
  for (const std::string& line : wrap_text(verdict(e), style.width)) out += line + '\n';

  if (!e.conditions.empty()) {
    TextTable conditions({{"CONDITION"}, {"STATUS"}, {"REASON"}, {"SINCE", true}, {"MESSAGE"}});
    for (const ConditionExplanation& c : e.conditions)
      conditions.row({c.type, c.status ? "True" : "False", c.reason, clock(c.since), c.message});
    out += '\n' + conditions.text(style);
  }
  if (!e.scalings.empty()) out += '\n' + scalings_text(e, wide, style);
  return out;
}

Json seconds(const std::optional<Time>& t) { return t ? Json(t->to_seconds()) : Json(); }

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json metric_json(const MetricExplanation& m) {
  constexpr const char* kSources[] = {"Resource", "ContainerResource", "Pods", "Object", "External"};
  constexpr const char* kTargets[] = {"Utilization", "AverageValue", "Value"};
  bool utilization = m.spec.target.type == MetricTarget::Type::Utilization;
  bool valid = m.failure.empty();
  Json target{{"type", kTargets[static_cast<size_t>(m.spec.target.type)]}};
  target[utilization ? "averageUtilization" : "milliValue"] =
      utilization ? Json(m.spec.target.utilization) : Json(m.spec.target.milli_value);
  return {{"metric", m.name},
          {"type", kSources[static_cast<size_t>(m.spec.source)]},
          {"target", std::move(target)},
          {"averageUtilization", or_null(m.status.average_utilization)},
          {"averageMilliValue", or_null(m.status.average_milli_value)},
          {"milliValue", or_null(m.status.milli_value)},
          {"replicas", valid ? Json(m.status.replicas) : Json()},
          {"failure", valid ? Json() : Json(m.failure)},
          {"pods",
           {{"ready", m.status.ready},
            {"unready", m.status.unready},
            {"missing", m.status.missing},
            {"ignored", m.status.ignored}}}};
}

Json steps_json(const ScalingSteps& s) {
  if (!s.taken) return Json();
  bool held = s.stabilized != s.proposed;
  Json policy;
  if (s.policy)
    policy = {{"type", s.policy->type == ScalingPolicy::Type::Pods ? "Pods" : "Percent"},
              {"value", s.policy->value},
              {"period_s", s.policy->period.to_seconds()},
              {"replicas_at_start", s.base}};
  return {{"leader", s.leader},
          {"proposed", s.proposed},
          {"stabilized", s.stabilized},
          {"window_s", held ? Json(s.window.to_seconds()) : Json()},
          {"recommendation_s", seconds(s.recommended)},
          {"desired", s.desired},
          {"policy", std::move(policy)}};
}

Json document(const HpaExplanation& e) {
  Json out{{"autoscaler", e.autoscaler.empty() ? Json() : Json(e.autoscaler)},
           {"workload", e.workload},
           {"at_s", e.at.to_seconds()},
           {"synced_s", seconds(e.synced)},
           {"last_scale_s", seconds(e.last_scale)},
           {"replicas", e.replicas},
           {"current_replicas", e.current},
           {"desired_replicas", e.desired},
           {"min_replicas", e.min_replicas},
           {"max_replicas", e.max_replicas},
           {"error", e.error},
           {"reason", e.reason.empty() ? Json() : Json(e.reason)},
           {"verdict", verdict(e)},
           {"steps", steps_json(e.steps)}};
  out["metrics"] = Json::array();
  for (const MetricExplanation& m : e.metrics) out["metrics"].push_back(metric_json(m));
  out["conditions"] = Json::array();
  for (const ConditionExplanation& c : e.conditions)
    out["conditions"].push_back({{"type", c.type},
                                 {"status", c.status ? "True" : "False"},
                                 {"reason", c.reason},
                                 {"message", c.message},
                                 {"last_transition_s", c.since.to_seconds()}});
  out["scalings"] = Json::array();
  for (const ScalingExplanation& s : e.scalings)
    out["scalings"].push_back({{"at_s", s.at.to_seconds()}, {"from", s.from}, {"to", s.to}, {"reason", s.reason}});
  return out;
}

}  // namespace

std::string hpa_explanation_text(const HpaExplanation& explanation, bool wide, const TextStyle& style) {
  return table(explanation, wide, style);
}

std::string hpa_explanation_json(const HpaExplanation& explanation) { return document(explanation).dump(2) + '\n'; }

std::string hpa_explanation_yaml(const HpaExplanation& explanation) {
  return to_yaml(parse_yaml(document(explanation).dump(), "explanation").at(0));
}

}  // namespace kisim

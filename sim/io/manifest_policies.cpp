// Priority classes and pod disruption budgets.

#include "io/manifest_kinds.hpp"

#include <charconv>

namespace kisim {

namespace {

constexpr int32_t kHighestUserPriority = 1'000'000'000;

// What is wrong with a class whose name begins with "system-"; nothing if it is one of Kubernetes' own.
std::string check_system_class(const PriorityClass& priority) {
  for (const SystemPriority& known : kSystemPriorities) {
    if (priority.meta.name != known.name) continue;
    if (priority.value != known.value)
      return fmt::format("value of {} PriorityClass must be {}", known.name, known.value);
    return priority.global_default ? fmt::format("globalDefault of {} PriorityClass must be false", known.name) : "";
  }
  return fmt::format("{} is not a known system priority class", priority.meta.name);
}

void check_priority_class(ObjectReader& object, const PriorityClass& priority) {
  if (!priority.meta.name.starts_with("system-")) {
    if (priority.value > kHighestUserPriority)
      object.forbidden("value",
                       fmt::format("maximum allowed value of a user defined priority is {}", kHighestUserPriority));
    return;
  }
  if (std::string problem = check_system_class(priority); !problem.empty())
    object.object("metadata")
        .forbidden("name",
                   "priority class names with 'system-' prefix are reserved for system use only. error: " + problem);
}

// The digits before '%'; as many as int32 holds.
int32_t percentage(const std::string& text) {
  int32_t number = INT32_MAX;
  std::from_chars(text.data(), text.data() + text.size() - 1, number);
  return number;
}

std::optional<IntOrPercent> read_int_or_percent(ObjectReader& spec, std::string_view key) {
  const Value* value = spec.find(key);
  if (!value) return std::nullopt;
  IntOrPercent out;
  if (!is_text(*value)) {
    spec.integer(key, 0, INT32_MAX, out.value);
    return out;
  }
  if (NameProblems problems = check_percent(value->text); !problems.empty()) {
    spec.invalid(key, problems[0]);
    return std::nullopt;
  }
  out = {percentage(value->text), true};
  if (out.value > 100) spec.invalid(key, "must not be greater than 100%");
  return out;
}

void read_disruptions(ObjectReader status, PodDisruptionBudget& out) {
  if (std::optional<int64_t> allowed = status.integer("disruptionsAllowed", 0, INT32_MAX))
    out.disruptions_allowed = static_cast<int32_t>(*allowed);
  for (const auto& [name, when] : status.texts_by_key("disruptedPods")) out.disrupted_pods.push_back(name);
}

}  // namespace

void read_priority_class(ObjectReader& object, Manifests& out) {
  PriorityClass priority;
  priority.meta = read_metadata(object, check_dns1123_subdomain);
  if (!object.find("value")) object.required("value");
  object.integer("value", INT32_MIN, INT32_MAX, priority.value);
  priority.global_default = object.flag("globalDefault");
  PreemptionPolicy policy = PreemptionPolicy::PreemptLowerPriority;
  object.choice("preemptionPolicy", {"PreemptLowerPriority", "Never"}, policy, kOptional);
  priority.preemption_policy = policy;
  object.harmless({"description"});
  check_priority_class(object, priority);
  object.finish();
  out.priority_classes.push_back(std::move(priority));
}

void read_pod_disruption_budget(ObjectReader& object, Manifests& out) {
  PodDisruptionBudget budget;
  budget.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader spec = object.object("spec");
  budget.selector = read_optional_selector(spec, "selector");
  budget.min_available = read_int_or_percent(spec, "minAvailable");
  budget.max_unavailable = read_int_or_percent(spec, "maxUnavailable");
  if (spec.find("minAvailable") && spec.find("maxUnavailable"))
    object.invalid("spec", "minAvailable and maxUnavailable cannot be both set");
  int policy = 0;
  if (spec.choice("unhealthyPodEvictionPolicy", {"IfHealthyBudget", "AlwaysAllow"}, policy, {Absent::Allowed, true}) &&
      policy == 1)
    spec.unmodelled("unhealthyPodEvictionPolicy");
  spec.finish();
  read_disruptions(object.object("status"), budget);
  object.finish();
  out.pod_disruption_budgets.push_back(std::move(budget));
}

}  // namespace kisim

// Priority classes and pod disruption budgets.

#include "io/manifest_kinds.hpp"

#include <algorithm>
#include <charconv>
#include <set>

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

void read_disruptions(ObjectReader status, PodDisruptionBudget& out) {
  if (std::optional<int64_t> allowed = status.integer("disruptionsAllowed", 0, INT32_MAX))
    out.disruptions_allowed = static_cast<int32_t>(*allowed);
  for (const auto& [name, when] : status.texts_by_key("disruptedPods")) out.disrupted_pods.push_back(name);
}

// The pods that a budget covers, as the disruption controller counts them (pkg/controller/disruption,
// getExpectedPodCount): at most as many as their workloads and HorizontalPodAutoscalers allow.
class CoveredPods {
 public:
  explicit CoveredPods(const PodDisruptionBudget& budget) : budget_(budget) {}

  void add(const Manifests& cluster, const Manifests& manifests) {
    for (const Manifests* from : {&manifests, &cluster})
      for (const HorizontalPodAutoscaler& hpa : from->hpas) hpas_.push_back(&hpa);
    for (const Manifests* from : {&manifests, &cluster}) {
      add_scaled("Deployment", from->deployments);
      add_scaled("ReplicaSet", from->replica_sets);
      add_scaled("StatefulSet", from->stateful_sets);
      add_others("DaemonSet", from->daemon_sets);
      add_others("Job", from->jobs);
      for (const Pod& pod : from->pods) pods_ += is_new("Pod", pod.meta, pod.meta.labels) ? 1 : 0;
    }
  }

  // Why no pod may ever go; empty if one may.
  std::string never() const {
    if (budget_.max_unavailable) return budget_.max_unavailable->value == 0 && any() ? "maxUnavailable is 0" : "";
    if (!budget_.min_available || !counted_ || !any()) return {};
    const IntOrPercent& least = *budget_.min_available;
    // Pods without a workload have no scale to take a share of.
    const int64_t most = least.percent ? scaled_ : scaled_ + pods_;
    const int64_t desired = least.percent ? (most * least.value + 99) / 100 : least.value;
    if (desired < most || most == 0) return {};
    return fmt::format("minAvailable is {}{}, and there are at most {} such pods", least.value,
                       least.percent ? "%" : "", most);
  }

 private:
  bool any() const { return scaled_ + pods_ > 0 || !counted_; }

  // Covered, and not a new state of what is counted already.
  bool is_new(const char* kind, const ObjectMeta& meta, const Labels& labels) {
    return meta.namespace_ == budget_.meta.namespace_ && budget_.selector->matches(labels) &&
           seen_.insert(fmt::format("{}/{}", kind, meta.full_name())).second;
  }

  template <class Workload>
  void add_scaled(const char* kind, const std::vector<Workload>& workloads) {
    for (const Workload& w : workloads)
      if (is_new(kind, w.meta, w.pod_template.labels)) scaled_ += std::max(w.replicas, highest(kind, w.meta));
  }

  int32_t highest(const char* kind, const ObjectMeta& target) const {
    int32_t most = 0;
    for (const HorizontalPodAutoscaler* hpa : hpas_)
      if (hpa->target_kind == kind && hpa->target_name == target.name && hpa->meta.namespace_ == target.namespace_)
        most = std::max(most, hpa->max_replicas);
    return most;
  }

  // How many pods these have depends on the run.
  template <class Workload>
  void add_others(const char* kind, const std::vector<Workload>& workloads) {
    for (const Workload& w : workloads)
      if (is_new(kind, w.meta, w.pod_template.labels)) counted_ = false;
  }

  const PodDisruptionBudget& budget_;
  std::vector<const HorizontalPodAutoscaler*> hpas_;
  std::set<std::string> seen_;
  int64_t scaled_ = 0, pods_ = 0;
  bool counted_ = true;
};

}  // namespace

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
  return IntOrPercent{percentage(value->text), true};
}

void check_at_most_all(ObjectReader& spec, std::string_view key, const std::optional<IntOrPercent>& amount) {
  if (amount && amount->percent && amount->value > 100) spec.invalid(key, "must not be greater than 100%");
}

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
  check_at_most_all(spec, "minAvailable", budget.min_available);
  check_at_most_all(spec, "maxUnavailable", budget.max_unavailable);
  if (spec.find("minAvailable") && spec.find("maxUnavailable"))
    object.invalid("spec", "minAvailable and maxUnavailable cannot be both set");
  spec.choice("unhealthyPodEvictionPolicy", {"IfHealthyBudget", "AlwaysAllow"}, budget.unhealthy_pod_eviction_policy,
              {Absent::Allowed, true});
  spec.finish();
  read_disruptions(object.object("status"), budget);
  object.finish();
  out.pod_disruption_budgets.push_back(std::move(budget));
}

void check_budgets(Diagnostics& diagnostics, const Manifests& cluster, const Manifests& manifests) {
  for (const PodDisruptionBudget& budget : manifests.pod_disruption_budgets) {
    if (!budget.selector) continue;
    CoveredPods pods(budget);
    pods.add(cluster, manifests);
    if (std::string why = pods.never(); !why.empty())
      diagnostics.warn(budget.meta.mark, budget.max_unavailable ? "spec.maxUnavailable" : "spec.minAvailable",
                       "no voluntary eviction of a ready pod will ever pass: " + why);
  }
}

}  // namespace kisim

#include "kube/eviction_manager.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "kubelet";
constexpr int64_t kThreshold = 100ll << 20;   // evictionHard memory.available
constexpr Duration kInterval = 10_s;          // evictionMonitoringPeriod
constexpr Duration kTransition = 300_s;       // evictionPressureTransitionPeriod
constexpr int32_t kCritical = 2'000'000'000;  // scheduling.SystemCriticalPriority

// resource.Quantity in BinarySI: the largest unit that leaves a whole number.
std::string quantity(int64_t bytes) {
  static constexpr const char* kUnits[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
  size_t unit = 0;
  for (; bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return fmt::format("{}{}", bytes, kUnits[unit]);
}

Time next_look(Time now) { return Time{(now.ns / kInterval.ns + 1) * kInterval.ns}; }

// The first look at or after `t`.
Time look_from(Time t) { return Time{(t.ns + kInterval.ns - 1) / kInterval.ns * kInterval.ns}; }

}  // namespace

int64_t EvictionManager::available(NodeId node) const {
  int64_t left = cluster_.allocatable(node)[kMemory.value];
  for (PodId pod : cluster_.state.node_pods[node.value]) left -= usage_.memory_bytes(pod);
  return left;
}

bool EvictionManager::short_of_memory(NodeId node) const {
  return cluster_.allocatable(node)[kMemory.value] > 0 && available(node) < kThreshold;
}

bool EvictionManager::over_limit(PodId pod) const {
  const PodState& p = cluster_.state.pods[pod];
  std::optional<int64_t> limit = usage_.memory_limit(p.pod_template);
  return limit && usage_.has_memory(p.workload) && usage_.memory_bytes(pod) > *limit;
}

std::vector<PodId> EvictionManager::over_limits(NodeId node) const {
  std::vector<PodId> out;
  for (PodId pod : cluster_.state.node_pods[node.value])
    if (over_limit(pod)) out.push_back(pod);
  return out;
}

bool EvictionManager::may_show_something(NodeId node) const {
  int64_t left = cluster_.allocatable(node)[kMemory.value];
  bool has_memory = left > 0;
  for (PodId pod : cluster_.state.node_pods[node.value]) {
    const PodState& p = cluster_.state.pods[pod];
    if (!usage_.has_memory(p.workload) || !usage_.is_running(pod)) continue;
    std::optional<int64_t> most = usage_.most_memory(pod), limit = usage_.memory_limit(p.pod_template);
    if (limit && (!most || *most > *limit)) return true;
    if (!most && has_memory) return true;
    left -= std::min(most.value_or(0), left + 1);  // below zero is enough
  }
  return has_memory && left < kThreshold;
}

void EvictionManager::watch(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  if (!kubelet.alive()) return;
  Time at = Time::max();
  if (may_show_something(node))
    at = next_look(engine_.now());
  else if (api_.has_condition(node, kNodeMemoryPressure))
    at = std::max(next_look(engine_.now()), look_from(kubelet.pressure_observed + kTransition));
  if (at == Time::max()) return engine_.cancel(kubelet.housekeeping);
  if (kubelet.housekeeping && kubelet.look_at <= at) return;
  engine_.cancel(kubelet.housekeeping);
  kubelet.housekeeping = engine_.schedule(at, Priority::Control, look_, node.value);
  kubelet.look_at = at;
}

void EvictionManager::stop(NodeId node) { engine_.cancel(state_.nodes[node].housekeeping); }

std::optional<PodId> EvictionManager::synchronize(NodeId node) {
  KubeletState& kubelet = state_.nodes[node];
  Time now = engine_.now();
  bool under = api_.has_condition(node, kNodeMemoryPressure);
  auto report = [&](bool on, std::string_view reason) {
    api_.set_condition(node, kNodeMemoryPressure, on);
    api_.node_event(node, KubeEvent::Type::Normal, reason, kComponent,
                    [&] { return fmt::format("Node {} status is now: {}", api_.node_name(node), reason); });
  };
  if (!short_of_memory(node)) {
    if (under && now - kubelet.pressure_observed >= kTransition) report(false, "NodeHasSufficientMemory");
    return std::nullopt;
  }
  kubelet.pressure_observed = now;
  if (!under) report(true, "NodeHasInsufficientMemory");
  api_.node_event(node, KubeEvent::Type::Warning, "EvictionThresholdMet", kComponent,
                  [] { return std::string("Attempting to reclaim memory"); });
  return victim(node);
}

// pkg/kubelet/eviction/helpers.go, rankMemoryPressure.
std::optional<PodId> EvictionManager::victim(NodeId node) const {
  struct Candidate {
    PodId pod;
    int32_t priority = 0;
    int64_t above_request = 0;
    bool goes_before(const Candidate& other) const {
      bool exceeds = above_request > 0, other_exceeds = other.above_request > 0;
      if (exceeds != other_exceeds) return exceeds;
      if (priority != other.priority) return priority < other.priority;
      return above_request > other.above_request;
    }
  };
  std::optional<Candidate> first;
  for (PodId pod : cluster_.state.node_pods[node.value]) {
    const PodTemplateModel& t = api_.template_of(pod);
    if (!is_active(cluster_.state.pods[pod].phase) || t.spec.priority >= kCritical) continue;
    Candidate c{pod, t.spec.priority, usage_.memory_bytes(pod) - t.request[kMemory.value]};
    if (!first || c.goes_before(*first)) first = c;
  }
  return first ? std::optional(first->pod) : std::nullopt;
}

// The usage of a pod is that of its first container.
std::string EvictionManager::message(PodId pod) const {
  std::string out = fmt::format("The node was low on resource: memory. Threshold quantity: {}, available: {}. ",
                                quantity(kThreshold), quantity(available(cluster_.state.pods[pod].node)));
  const Container& container = api_.template_of(pod).spec.containers.front();
  int64_t used = usage_.memory_bytes(pod), request = 0;
  for (const auto& [name, amount] : container.requests)
    if (name == "memory") request = amount;
  if (used > request)
    out += fmt::format("Container {} was using {}, request is {}, has larger consumption of memory. ", container.name,
                       quantity(used), quantity(request));
  return out;
}

}  // namespace kisim

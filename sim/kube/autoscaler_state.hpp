#pragma once
// What an autoscaler remembers, and the status of its HorizontalPodAutoscaler.

#include "core/random.hpp"
#include "policy/autoscaler.hpp"
#include "policy/memory.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace kisim {

// A condition of the object's status. Its message is formed on demand (policy/autoscaler_text.hpp).
struct AutoscalerCondition {
  bool known = false;  // false: the object does not have it yet
  ScalingCondition value;
  Time since;  // lastTransitionTime: of the status
};

// Label `action` of the controller's own metrics.
enum class ScalingAction : uint8_t { None, ScaleUp, ScaleDown };

struct AutoscalerState {
  PolicyMemoryBox memory;
  Stream stream;

  // The last sync. Pods that failed a metric are PodIds here, no longer indices of an observation.
  Decision decision;
  Time synced = Time::max();  // max(): never
  uint32_t syncs = 0;
  bool selects = false;  // its controller knows the selector of its target: from its first look at metrics on

  // status
  int32_t current_replicas = 0, desired_replicas = 0;
  std::optional<Time> last_scale;
  AutoscalerCondition able_to_scale, scaling_active, scaling_limited, scaled_to_zero;

  // horizontal_pod_autoscaler_controller_reconciliations_total, by action, then without and with error.
  std::array<std::array<uint64_t, 2>, 3> reconciliations{};
  // …_metric_computation_total, by MetricSpec::Source, action and error.
  std::array<std::array<std::array<uint64_t, 2>, 3>, 5> computations{};
};

}  // namespace kisim

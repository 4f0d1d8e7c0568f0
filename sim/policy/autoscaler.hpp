#pragma once
// Role: how many replicas a workload should have. Called once per sync period of the HPA loop.
//
// The agent sees what the control plane sees: pods as the API server shows them and metrics as the metrics pipeline
// publishes them, with their age. It never sees the serving state itself.

#include "cluster/objects.hpp"
#include "core/random.hpp"
#include "core/time.hpp"
#include "policy/memory.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kisim {

// A pod as the API server shows it.
struct ObservedPod {
  enum class Phase : uint8_t { Pending, Running, Succeeded, Failed, Unknown } phase = Phase::Pending;
  enum class Ready : uint8_t { None, False, True, Unknown } ready = Ready::None;  // the Ready condition; None: absent
  bool deleting = false;
  std::optional<Time> start;  // status.startTime
  Time ready_transition;      // lastTransitionTime of the Ready condition
};

// One value of a metric. `timestamp` is the end of the `window` that it covers.
struct MetricSample {
  int64_t milli = 0;
  Time timestamp;
  Duration window;
};

// What the metrics pipeline answers for one required metric.
struct ObservedMetric {
  bool available = false;  // false: the metrics API failed, or nobody exports the metric
  // Resource, ContainerResource and Pods: by index of Observation::pods.
  std::span<const std::optional<MetricSample>> samples;
  // Requests of the resource in milli-units, by index of Observation::pods; negative: a container sets none.
  std::span<const int64_t> request_milli;
  // Samples of pods that no longer exist.
  std::span<const MetricSample> orphans;
  // Object: one value. External: one per series.
  std::span<const int64_t> values_milli;
};

struct Observation {
  Time now;
  int32_t kubernetes_minor = 36;  // of 1.x; controllers change between versions
  int32_t replicas = 0;           // spec.replicas
  int32_t status_replicas = 0;    // status.replicas: pods that exist
  int32_t min_replicas = 1, max_replicas = 1;
  const HorizontalPodAutoscaler* object = nullptr;  // the object that names the workload, if any
  std::span<const ObservedPod> pods;
  std::span<const MetricSpec> required;     // as required_metrics() returned them
  std::span<const ObservedMetric> metrics;  // by index of `required`
};

// A condition of autoscaling/v2. The reason views text that outlives the call; empty: not touched.
struct ScalingCondition {
  bool status = true;
  std::string_view reason;
};

struct Decision {
  int32_t desired = 0;
  std::string reason;  // why desired differs from the present; empty where it does not
  bool error = false;  // the sync returned an error; scaling may still have happened
  ScalingCondition able_to_scale, scaling_active, scaling_limited;
  std::optional<bool> scaled_to_zero;  // condition ScaledToZero, where the controller keeps it
};

// Policies are const and shared by all workloads and threads.
class Autoscaler {
 public:
  virtual ~Autoscaler() = default;
  // Why this policy cannot run a workload with this object (nullptr: none), or nothing.
  virtual std::optional<std::string> complaint(const HorizontalPodAutoscaler* object) const;
  // The metrics that decide() wants to see. The span lives as long as policy and object.
  virtual std::span<const MetricSpec> required_metrics(const HorizontalPodAutoscaler* object) const;
  // A fresh memory, for one workload; never null.
  virtual std::unique_ptr<PolicyMemory> make_memory() const = 0;
  virtual Decision decide(const Observation& observation, PolicyMemory& memory, Stream& stream) const = 0;
};

inline std::optional<std::string> Autoscaler::complaint(const HorizontalPodAutoscaler*) const { return std::nullopt; }
inline std::span<const MetricSpec> Autoscaler::required_metrics(const HorizontalPodAutoscaler*) const { return {}; }

}  // namespace kisim

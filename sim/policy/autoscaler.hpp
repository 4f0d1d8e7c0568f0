#pragma once
// Role: how many replicas a workload should have. Called once per sync period of the HPA loop.
//
// The agent sees what the control plane sees: pods as the API server shows them and metrics as the metrics APIs answer,
// with their age. It never sees the serving state itself.

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
#include <vector>

namespace kisim {

// A pod as the API server shows it.
struct ObservedPod {
  using Phase = ApiPhase;
  Phase phase = Phase::Pending;
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

// A pod's request for a resource that cannot be told.
inline constexpr int64_t kNoRequest = -1;     // a container that counts sets none
inline constexpr int64_t kNoPodRequest = -2;  // the pod has requests of its own, none of them for the resource
inline constexpr int64_t kNoContainer = -3;   // the pod has no container of that name

// What the metrics APIs answer for one required metric.
struct ObservedMetric {
  // Values; that there are none; or no answer at all.
  enum class Answer : uint8_t { Values, None, Unavailable } answer = Answer::None;
  // Resource, ContainerResource and Pods: by index of Observation::pods.
  std::span<const std::optional<MetricSample>> samples;
  // Requests of the resource in milli-units, by index of Observation::pods, or one of the constants above.
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
  bool ambiguous = false;                           // its pods are selected by more than one such object
  std::span<const ObservedPod> pods;
  std::span<const MetricSpec> required;     // as required_metrics() returned them
  std::span<const ObservedMetric> metrics;  // by index of `required`
};

// Why no replica count follows from a metric (replica_calculator.go, metrics/utilization.go).
enum class MetricFailure : uint8_t {
  None,
  NoAnswer,       // of the metrics API
  NoMetrics,      // the API answers without any value
  NoPods,         // none matches the selector
  NoneReceived,   // no metric of a pod that counts
  NoRequest,      // of a container
  NoPodRequest,   // of the pod as a whole
  NoContainer,    // of that name
  NoneMatched,    // the pods with metrics request nothing
  AmbiguousPods,  // more than one object selects them
};

// status.currentMetrics of one metric, and what it asks for.
struct MetricStatus {
  MetricFailure failure = MetricFailure::None;
  uint32_t pod = 0;                                          // index of the pod that failed it
  int32_t replicas = 0;                                      // proposed; without failure
  std::optional<int32_t> average_utilization;                // per cent of the request
  std::optional<int64_t> average_milli_value, milli_value;   // at most one of them
  int32_t ready = 0, unready = 0, missing = 0, ignored = 0;  // pods, of Resource, ContainerResource and Pods metrics
  bool operator==(const MetricStatus&) const = default;
};

// A condition of autoscaling/v2. The reason views text that outlives the call; empty: not touched.
struct ScalingCondition {
  bool status = true;
  std::string_view reason;
  int32_t detail = 0;  // SucceededRescale: the new size; ValidMetricFound, FailedGet…: index of the metric
  MetricFailure failure = MetricFailure::None;  // FailedGet…
  uint32_t pod = 0;                             // that failed it, as MetricStatus::pod
};

// How what the metrics ask for became what is asked of the workload.
struct ScalingSteps {
  bool taken = false;    // false: limits of the object alone decided, or nobody could
  int32_t proposed = 0;  // by the metrics: the largest
  int32_t leader = 0;    // index of the metric that asks for it
  // "ScaleDownStabilized" and so on: what AbleToScale says unless a rescale succeeds.
  std::string_view stabilization;
  int32_t stabilized = 0;               // after the stabilization windows
  Duration window;                      // the one that held it
  std::optional<Time> recommended;      // of the recommendation that held it
  int32_t desired = 0;                  // after policies and limits
  std::optional<ScalingPolicy> policy;  // that limited it
  int32_t base = 0;                     // what the policy's change counts from: replicas at the start of its period
};

struct Decision {
  int32_t desired = 0;
  std::string reason;  // why desired differs from the present; empty where it does not
  bool error = false;  // the sync returned an error; scaling may still have happened
  ScalingCondition able_to_scale, scaling_active, scaling_limited;
  std::optional<bool> scaled_to_zero;  // condition ScaledToZero, where the controller keeps it
  std::vector<MetricStatus> metrics;   // by index of Observation::required; empty: not looked at
  ScalingSteps steps;

  // As new, but what it allocated stays allocated.
  void clear() {
    std::string text = std::move(reason);
    std::vector<MetricStatus> statuses = std::move(metrics);
    text.clear();
    statuses.clear();
    *this = {};
    reason = std::move(text);
    metrics = std::move(statuses);
  }
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
  // Precondition: `decision` is cleared.
  virtual void decide(const Observation& observation, PolicyMemory& memory, Stream& stream,
                      Decision& decision) const = 0;
};

inline std::optional<std::string> Autoscaler::complaint(const HorizontalPodAutoscaler*) const { return std::nullopt; }
inline std::span<const MetricSpec> Autoscaler::required_metrics(const HorizontalPodAutoscaler*) const { return {}; }

}  // namespace kisim

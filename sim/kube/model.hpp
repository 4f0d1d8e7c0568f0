#pragma once
// The constant part of the control plane.

#include "cluster/cluster.hpp"
#include "core/distribution.hpp"
#include "kube/scheduler.hpp"
#include "policy/autoscaler.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// A hundred years, the longest run: what is to happen later never happens, and sums of two stay on the clock.
inline constexpr Duration kForever = 1_s * 3'155'760'000;

// The cold start of a workload's pods, drawn per pod. Sizes in bytes, rates in bytes/s, times in seconds.
struct PodStartup {
  std::string image;  // its name in a node's image cache
  Distribution image_bytes = Distribution::constant(0), image_bandwidth = Distribution::constant(1);
  Distribution weights_bytes = Distribution::constant(0), weights_bandwidth = Distribution::constant(1);
  Distribution container = Distribution::constant(0);  // sandbox and container start
  Distribution engine = Distribution::constant(0);     // after the weights: compile, graph capture, warm-up
};

// Who scales a workload. Without a policy its replicas stay as the manifest says.
struct AutoscalerBinding {
  std::shared_ptr<const Autoscaler> policy;
  std::optional<HorizontalPodAutoscaler> object;
  int32_t min_replicas = 1, max_replicas = std::numeric_limits<int32_t>::max();
};

struct KubeWorkload {
  ServiceId service;  // that its pods become endpoints of; invalid: none
  PodStartup startup;
  AutoscalerBinding autoscaler;
};

struct MetricsSettings {
  Duration scrape_interval{15'000'000'000};
  std::optional<Duration> offset;   // of a workload's scrapes; none: random within the interval, per workload
  Duration delay;                   // from scrape to visibility
  Duration window{30'000'000'000};  // over which rates are taken
};

// A node that stops at `at` and returns after `for_` (0: never), with its disk but without its processes.
struct NodeLoss {
  NodeId node;
  Time at;
  Duration for_;
};

// kube-controller-manager --node-monitor-grace-period: from the last heartbeat to NotReady.
inline constexpr Duration kNodeMonitorGracePeriod = 40_s;
// Admission plugin DefaultTolerationSeconds: how long a pod stays bound to an unreachable node.
inline constexpr Duration kDefaultUnreachableToleration = 300_s;
// kube-controller-manager --horizontal-pod-autoscaler-sync-period.
inline constexpr Duration kHpaSyncPeriod = 15_s;

struct KubeModel {
  int32_t minor = 36;  // of Kubernetes 1.x
  uint64_t seed = 0;
  SchedulerModel scheduler;
  IdVector<WorkloadId, KubeWorkload> workloads;  // as in ClusterModel
  MetricsSettings metrics;
  std::vector<NodeLoss> faults;
  Duration kubelet_latency;  // from binding to the kubelet's first step
  Duration hpa_sync_period = kHpaSyncPeriod;
  Duration node_monitor_grace_period = kNodeMonitorGracePeriod;
  Duration unreachable_toleration = kDefaultUnreachableToleration;
};

}  // namespace kisim

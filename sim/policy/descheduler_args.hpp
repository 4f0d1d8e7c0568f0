#pragma once
// The arguments of the descheduler's own plugins, as pluginConfig of a DeschedulerPolicy (descheduler/v1alpha2) holds
// them, with the descheduler's defaults (pkg/framework/plugins/*/{types,defaults}.go).

#include "cluster/objects.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

// A selector that may be left out; empty: everything.
struct SelectorArgument : LabelSelector {
  bool operator==(const SelectorArgument& other) const;
};

// At most one of the two says something; neither: every namespace.
struct NamespacesArgument {
  std::vector<std::string> include, exclude;

  bool admits(const std::string& name) const;
  bool operator==(const NamespacesArgument&) const = default;
};

// The pods that a plugin looks at.
struct PodSelection {
  NamespacesArgument namespaces;
  SelectorArgument label_selector;

  bool operator==(const PodSelection&) const = default;
};

// Per cent of what a node has, 0 … 100; sorted by name.
using ResourceThresholds = std::vector<std::pair<std::string, double>>;

// Where LowNodeUtilization reads how much is used, if not from the requests.
struct MetricsUtilization {
  enum class Source : uint8_t { KubernetesMetrics, Prometheus } source = Source::KubernetesMetrics;
  std::string query;  // of Prometheus: one sample per node, 0 … 1, labelled `instance`

  bool operator==(const MetricsUtilization&) const = default;
};

struct LowNodeUtilizationArgs {
  bool use_deviation_thresholds = false;             // thresholds are distances from the mean of all nodes
  ResourceThresholds thresholds, target_thresholds;  // of the same resources
  int64_t number_of_nodes = 0;                       // acts if more nodes than this are underutilized
  std::optional<MetricsUtilization> metrics_utilization;
  std::vector<std::string> exclude_namespaces;  // evictableNamespaces.exclude
  std::optional<uint64_t> node_limit;           // evictionLimits.node

  bool operator==(const LowNodeUtilizationArgs&) const = default;
};

struct HighNodeUtilizationArgs {
  ResourceThresholds thresholds;
  int64_t number_of_nodes = 0;
  bool only_thresholding_resources = false;     // evictionModes: [OnlyThresholdingResources]
  std::vector<std::string> exclude_namespaces;  // evictableNamespaces.exclude

  bool operator==(const HighNodeUtilizationArgs&) const = default;
};

struct RemoveDuplicatesArgs {
  NamespacesArgument namespaces;
  std::vector<std::string> exclude_owner_kinds;

  bool operator==(const RemoveDuplicatesArgs&) const = default;
};

enum class NodeAffinityType : uint8_t {
  RequiredDuringSchedulingIgnoredDuringExecution,
  PreferredDuringSchedulingIgnoredDuringExecution
};
struct RemovePodsViolatingNodeAffinityArgs {
  PodSelection pods;
  std::vector<NodeAffinityType> node_affinity_type;  // in this order

  bool operator==(const RemovePodsViolatingNodeAffinityArgs&) const = default;
};

struct RemovePodsViolatingTopologySpreadConstraintArgs {
  PodSelection pods;
  std::vector<TopologySpreadConstraint::Unsatisfiable> constraints{
      TopologySpreadConstraint::Unsatisfiable::DoNotSchedule};
  bool topology_balance_node_fit = true;

  bool operator==(const RemovePodsViolatingTopologySpreadConstraintArgs&) const = default;
};

struct RemovePodsViolatingInterPodAntiAffinityArgs {
  PodSelection pods;

  bool operator==(const RemovePodsViolatingInterPodAntiAffinityArgs&) const = default;
};

// Taints are named by key or as key=value; at most one of the two lists is there.
struct RemovePodsViolatingNodeTaintsArgs {
  PodSelection pods;
  bool include_prefer_no_schedule = false;
  std::vector<std::string> excluded_taints;
  std::optional<std::vector<std::string>> included_taints;  // none: all

  bool operator==(const RemovePodsViolatingNodeTaintsArgs&) const = default;
};

struct RemovePodsHavingTooManyRestartsArgs {
  PodSelection pods;
  int32_t pod_restart_threshold = 0;  // at least 1
  bool including_init_containers = false;
  std::vector<std::string> states;  // Running, CrashLoopBackOff; empty: any

  bool operator==(const RemovePodsHavingTooManyRestartsArgs&) const = default;
};

struct RemoveFailedPodsArgs {
  PodSelection pods;
  std::vector<std::string> exclude_owner_kinds;
  uint64_t min_pod_lifetime_seconds = 3600;
  std::vector<std::string> reasons;  // of the pod or of a container; empty: any
  std::vector<int32_t> exit_codes;   // of a container; empty: any
  bool including_init_containers = false;

  bool operator==(const RemoveFailedPodsArgs&) const = default;
};

// At least one of maxPodLifeTimeSeconds, states, conditions and exitCodes is there; a pod must match all that are.
struct PodLifeTimeArgs {
  // At most one of the two says something; each names kinds of any owner.
  struct OwnerKinds {
    std::vector<std::string> include, exclude;

    bool operator==(const OwnerKinds&) const = default;
  };
  // What is empty or absent is not asked.
  struct Condition {
    std::string type, status, reason;
    std::optional<uint64_t> min_time_since_last_transition_seconds;

    bool operator==(const Condition&) const = default;
  };
  PodSelection pods;
  OwnerKinds owner_kinds;
  std::optional<uint64_t> max_pod_life_time_seconds;
  std::vector<std::string> states;
  std::vector<Condition> conditions;  // any of them
  std::vector<int32_t> exit_codes;
  bool including_init_containers = false, including_ephemeral_containers = false;

  bool operator==(const PodLifeTimeArgs&) const = default;
};

enum class PodProtection : uint8_t {
  PodsWithLocalStorage,
  SystemCriticalPods,
  FailedBarePods,
  DaemonSetPods,
  PodsWithPVC,
  PodsWithoutPDB,
  PodsWithResourceClaims
};

inline constexpr int32_t kSystemCriticalPriority = 2'000'000'000;

struct DefaultEvictorArgs {
  SelectorArgument node_selector;  // of the nodes that nodeFit looks at
  SelectorArgument label_selector, namespace_label_selector;
  // Pods from this priority on stay: priorityThreshold, its class resolved. Without it: system-critical ones.
  int32_t priority_threshold = kSystemCriticalPriority;
  bool node_fit = false;
  uint64_t min_replicas = 0;  // 0, 1: not asked
  std::optional<Duration> min_pod_age;
  enum class NoEvictionPolicy : uint8_t { Preferred, Mandatory } no_eviction_policy = NoEvictionPolicy::Preferred;
  // podProtections, or the older flags that say the same. In ascending order.
  std::vector<PodProtection> protections{PodProtection::PodsWithLocalStorage, PodProtection::SystemCriticalPods,
                                         PodProtection::FailedBarePods, PodProtection::DaemonSetPods};
  std::vector<std::string> protected_storage_classes;  // of PodsWithPVC; empty: all

  bool protects(PodProtection protection) const;
  bool operator==(const DefaultEvictorArgs&) const = default;
};

}  // namespace kisim

#pragma once
// The arguments of kube-scheduler's own plugins, as pluginConfig of a KubeSchedulerConfiguration (v1) holds them, with
// Kubernetes' defaults (pkg/scheduler/apis/config/v1/defaults.go).

#include "cluster/objects.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct ResourceWeight {
  std::string name;
  int64_t weight = 1;  // 1 … 100
};

struct NodeResourcesFitArgs {
  enum class Strategy : uint8_t { LeastAllocated, MostAllocated, RequestedToCapacityRatio };
  struct UtilizationShapePoint {
    int32_t utilization = 0;  // 0 … 100, strictly increasing along the shape
    int32_t score = 0;        // 0 … 10
  };
  std::vector<std::string> ignored_resources, ignored_resource_groups;  // extended resources only
  Strategy strategy = Strategy::LeastAllocated;
  std::vector<ResourceWeight> resources{{"cpu", 1}, {"memory", 1}};
  std::vector<UtilizationShapePoint> shape;  // of RequestedToCapacityRatio
};

struct NodeResourcesBalancedAllocationArgs {
  std::vector<ResourceWeight> resources{{"cpu", 1}, {"memory", 1}};  // weights are ignored
};

// addedAffinity: of all pods of the profile, beside their own.
struct NodeAffinityArgs {
  std::optional<std::vector<NodeSelectorTerm>> required;
  std::vector<PreferredSchedulingTerm> preferred;
};

struct PodTopologySpreadArgs {
  enum class Defaulting : uint8_t { System, List } defaulting = Defaulting::System;
  std::vector<TopologySpreadConstraint> default_constraints;  // of List; without labelSelector
};

struct InterPodAffinityArgs {
  int32_t hard_pod_affinity_weight = 1;  // 0 … 100
  bool ignore_preferred_terms_of_existing_pods = false;
};

struct DefaultPreemptionArgs {
  int32_t min_candidate_nodes_percentage = 10;  // 0 … 100
  int32_t min_candidate_nodes_absolute = 100;   // >= 0
};

// The pods that FGD expects to come (Weng et al., ATC'23): their shapes and how likely each is.
struct FgdArgs {
  struct TypicalPod {
    int64_t milli_cpu = 0;
    int32_t gpu_milli = 0, gpu_count = 0;   // as PodTemplateModel
    std::vector<std::string> gpu_products;  // any of these; empty: any
    double share = 0;                       // of the pods that come
  };
  std::vector<TypicalPod> typical_pods;  // empty: derived from the workloads of the cluster
};

}  // namespace kisim

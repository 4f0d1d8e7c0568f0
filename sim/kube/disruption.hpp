#pragma once
// The disruption controller: how many pods a PodDisruptionBudget lets go now.

#include "cluster/cluster.hpp"

namespace kisim {

// status of a PodDisruptionBudget (pkg/controller/disruption). Healthy are the pods that are Ready and not being
// deleted. `desired` of them must stay: minAvailable as a number as it is; maxUnavailable and percentages are taken of
// the replicas that the controllers of the covered pods ask for, rounded up. allowed = max(0, healthy - desired), and 0
// without expected pods.
struct BudgetStatus {
  int32_t expected = 0, healthy = 0, desired = 0, allowed = 0;
  bool failed = false;  // expected cannot be counted: some pod has no controller with a scale
};
BudgetStatus budget_status(const Cluster& cluster, const PodDisruptionBudgetModel& budget);

}  // namespace kisim

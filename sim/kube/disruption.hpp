#pragma once
// The disruption controller: how many pods a PodDisruptionBudget lets go now.

#include "cluster/cluster.hpp"

namespace kisim {

// status.disruptionsAllowed = max(0, healthy - desired), pkg/controller/disruption: `desired` is minAvailable, or the
// expected pods less maxUnavailable; percentages are of the expected pods and round up; expected are the replicas that
// the workloads of the covered pods ask for. Healthy pods are Ready and not being deleted. 0 without either field.
int32_t disruptions_allowed(const Cluster& cluster, const PodDisruptionBudgetModel& budget);

}  // namespace kisim

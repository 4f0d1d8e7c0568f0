#include "kube/disruption.hpp"

#include <algorithm>

namespace kisim {

namespace {

int64_t of(const IntOrPercent& amount, int64_t expected) {
  return amount.percent ? (expected * amount.value + 99) / 100 : amount.value;
}

}  // namespace

int32_t disruptions_allowed(const Cluster& cluster, const PodDisruptionBudgetModel& budget) {
  int64_t expected = 0, healthy = 0;
  for (size_t w = 0; w < cluster.model.workloads.size(); ++w) {
    const WorkloadModel& workload = cluster.model.workloads[WorkloadId(w)];
    if (!budget.covers[workload.pod_template.value]) continue;
    for (PodId pod : cluster.state.workload_pods[w]) {
      PodPhase phase = cluster.state.pods[pod].phase;
      expected += phase != PodPhase::Terminating;
      healthy += phase == PodPhase::Ready;
    }
  }
  const PodDisruptionBudget& object = budget.object;
  int64_t desired = expected;
  if (object.min_available) desired = of(*object.min_available, expected);
  if (object.max_unavailable) desired = std::max<int64_t>(0, expected - of(*object.max_unavailable, expected));
  return static_cast<int32_t>(std::max<int64_t>(0, healthy - desired));
}

}  // namespace kisim

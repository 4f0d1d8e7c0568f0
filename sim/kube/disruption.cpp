#include "kube/disruption.hpp"

#include <algorithm>
#include <vector>

namespace kisim {

namespace {

// The replicas that the controllers of the covered pods ask for; each controller counts once, a pod without one not.
// False: some controller is gone or has no scale.
bool count_expected(const Cluster& cluster, const PodDisruptionBudgetModel& budget, int32_t& expected) {
  std::vector<WorkloadId> counted;
  for (size_t t = 0; t < budget.covers.size(); ++t) {
    const PodCounts& pods = cluster.state.counts[TemplateId(t)];
    if (!budget.covers[t] || pods.all() == pods.unmanaged) continue;
    if (pods.abandoned > 0) return false;
    WorkloadId workload = cluster.model.templates[TemplateId(t)].workload;
    if (std::find(counted.begin(), counted.end(), workload) != counted.end()) continue;
    counted.push_back(workload);
    if (cluster.state.replicas[workload.value] == ClusterState::kNoScale) return false;
    expected += cluster.state.replicas[workload.value];
  }
  return true;
}

}  // namespace

BudgetStatus budget_status(const Cluster& cluster, const PodDisruptionBudgetModel& budget) {
  BudgetStatus s;
  int32_t covered = 0;
  for (size_t t = 0; t < budget.covers.size(); ++t) {
    if (!budget.covers[t]) continue;
    s.healthy += cluster.state.counts[TemplateId(t)].ready;
    covered += cluster.state.counts[TemplateId(t)].all();
  }
  const PodDisruptionBudget& object = budget.object;
  if (object.min_available && !object.min_available->percent && !object.max_unavailable) {
    s.expected = covered;
    s.desired = object.min_available->value;
  } else {
    if (!count_expected(cluster, budget, s.expected)) return {s.expected, s.healthy, 0, 0, true};
    s.desired = object.max_unavailable ? std::max(0, s.expected - object.max_unavailable->rounded_up(s.expected))
                : object.min_available ? object.min_available->rounded_up(s.expected)
                                       : s.expected;
  }
  s.allowed = s.expected > 0 ? std::max(0, s.healthy - s.desired) : 0;
  return s;
}

}  // namespace kisim

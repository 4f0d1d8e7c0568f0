#include "kube/disruption.hpp"

#include <algorithm>
#include <vector>

namespace kisim {

namespace {

int32_t share(const IntOrPercent& amount, int32_t expected) {
  return amount.percent ? static_cast<int32_t>((int64_t{expected} * amount.value + 99) / 100) : amount.value;
}

// The replicas that the controllers of the covered pods ask for; each controller counts once.
bool count_expected(const Cluster& cluster, const PodDisruptionBudgetModel& budget, int32_t& expected) {
  std::vector<WorkloadId> counted;
  for (size_t t = 0; t < budget.covers.size(); ++t) {
    const PodCounts& pods = cluster.state.counts[TemplateId(t)];
    if (!budget.covers[t] || pods.active + pods.terminating + pods.ended == 0) continue;
    WorkloadId workload = cluster.model.templates[TemplateId(t)].workload;
    if (cluster.model.workloads[workload].kind == WorkloadModel::Kind::Pod) continue;  // nobody's
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
    const PodCounts& pods = cluster.state.counts[TemplateId(t)];
    s.healthy += pods.ready;
    covered += pods.active + pods.terminating + pods.ended;
  }
  const PodDisruptionBudget& object = budget.object;
  if (object.min_available && !object.min_available->percent && !object.max_unavailable) {
    s.expected = covered;
    s.desired = object.min_available->value;
  } else {
    if (!count_expected(cluster, budget, s.expected)) return {s.expected, s.healthy, 0, 0, true};
    s.desired = object.max_unavailable ? std::max(0, s.expected - share(*object.max_unavailable, s.expected))
                : object.min_available ? share(*object.min_available, s.expected)
                                       : s.expected;
  }
  s.allowed = s.expected > 0 ? std::max(0, s.healthy - s.desired) : 0;
  return s;
}

}  // namespace kisim

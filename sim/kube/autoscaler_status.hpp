#pragma once
// What the status and the events of a HorizontalPodAutoscaler say, in the controller's words.

#include "kube/model.hpp"
#include "kube/state.hpp"
#include "policy/autoscaler_text.hpp"

#include <string>

namespace kisim {

// Why the target's scale cannot be read, as the API answers: it does not exist, or there is no such thing.
std::string scale_error(const WorkloadModel& workload);

// Where a metric of the workload's autoscaler failed.
FailurePlace failure_place(const KubeModel& model, const Cluster& cluster, WorkloadId workload, const MetricSpec& spec,
                           MetricFailure failure, PodId pod);

// The message of a condition of the workload's autoscaler.
std::string condition_message(const KubeModel& model, const KubeState& state, const Cluster& cluster,
                              WorkloadId workload, const ScalingCondition& condition);

}  // namespace kisim

#pragma once
// What the status and the events of a HorizontalPodAutoscaler say, in the controller's words.

#include "kube/model.hpp"
#include "kube/state.hpp"
#include "policy/autoscaler_text.hpp"

#include <string>
#include <vector>

namespace kisim {

// "Deployment ml/llama": what it scales, or is to scale.
std::string target_text(const AutoscalerBinding& binding, const ClusterModel& cluster);

// Why the target's scale cannot be read, as the API answers: it does not exist, or there is no such thing.
std::string scale_error(const AutoscalerBinding& binding, const ClusterModel& cluster);

// The objects that select pods of this one's target, it itself among them, by name: those whose selectors their
// controller knows. More than one: nobody computes anything for those pods (hpasControllingPodsUnderSelector).
std::vector<AutoscalerId> selecting_autoscalers(const KubeModel& model, const KubeState& state, const Cluster& cluster,
                                                AutoscalerId id);

// Where a metric failed.
FailurePlace failure_place(const AutoscalerBinding& binding, const Cluster& cluster, const MetricSpec& spec,
                           MetricFailure failure, PodId pod);

// The message of a condition.
std::string condition_message(const KubeModel& model, const KubeState& state, const Cluster& cluster, AutoscalerId id,
                              const ScalingCondition& condition);

}  // namespace kisim

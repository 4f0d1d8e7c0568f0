#pragma once
// What the HorizontalPodAutoscaler controller takes for a pod's request (pkg/controller/podautoscaler,
// replica_calculator.go, calculateRequests): other than the scheduler it gives up where a container sets none.

#include "cluster/cluster.hpp"
#include "policy/autoscaler.hpp"

#include <cstdint>
#include <string>

namespace kisim {

// The request of pods of the template for the resource of a Resource or ContainerResource metric, in milli-units, or
// one of kNoRequest, kNoPodRequest and kNoContainer: of the named container; else what the pod requests as a whole, if
// it sets any request of its own; else the sum over its containers and sidecars.
int64_t request_milli(const PodTemplateModel& pods, const MetricSpec& metric);

// The container whose missing request made request_milli() return kNoRequest.
std::string container_without_request(const PodTemplateModel& pods, const MetricSpec& metric);

}  // namespace kisim

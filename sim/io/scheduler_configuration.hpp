#pragma once
// Reads a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) as strictly as kube-scheduler does, and checks it
// as pkg/scheduler/apis/config/validation does.

#include "io/value.hpp"
#include "kube/scheduler_configuration.hpp"

namespace kisim {

// Complaints go to the diagnostics; what was wrong keeps its default.
KubeSchedulerConfiguration read_scheduler_configuration(const Value& document, Diagnostics& diagnostics);

}  // namespace kisim

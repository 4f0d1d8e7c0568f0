#pragma once
// Why a workload has the replicas that it has: the state of its autoscaler at one moment, worked out by replay, so that
// a run need not record it.

#include "run/world.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// One metric at the last sync.
struct MetricExplanation {
  MetricSpec spec;
  std::string name;     // as the controller calls it
  MetricStatus status;  // its pods are named in `failure`
  std::string failure;  // why no replicas follow from it; empty where they do
};

struct ConditionExplanation {
  std::string type;
  bool status = true;
  std::string reason, message;
  Time since;  // lastTransitionTime
};

struct ScalingExplanation {
  Time at;
  int32_t from = 0, to = 0;
  std::string reason;
};

struct HpaExplanation {
  std::string autoscaler;  // namespace/name of the object; empty: the policy has none
  std::string workload;    // "Deployment ns/name"
  Time at;
  std::optional<Time> synced, last_scale;
  int32_t replicas = 0;              // spec.replicas at `at`
  int32_t current = 0, desired = 0;  // status of the object
  int32_t min_replicas = 1, max_replicas = 1;
  std::vector<ConditionExplanation> conditions;
  std::vector<MetricExplanation> metrics;  // empty: the last sync did not look at any
  ScalingSteps steps;
  bool error = false;                        // of the last sync
  std::string reason;                        // of the rescale at the last sync; empty: there was none
  std::vector<ScalingExplanation> scalings;  // of spec.replicas, whoever did it, in order
};

// Replays the model to `at` and explains the autoscaler with that name: of the object, or of the workload that it
// scales, as "namespace/name" or the name alone. Throws InputError, with the names that there are, if there is none.
HpaExplanation explain_hpa(std::shared_ptr<const Model> model, const std::string& name, Time at);

}  // namespace kisim

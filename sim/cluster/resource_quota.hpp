#pragma once
// What pods use of ResourceQuotas, in the words of the API server (quota/v1/evaluator/core/pods.go and
// admission/plugin/resourcequota/controller.go).

#include "cluster/objects.hpp"

#include <string>

namespace kisim {

// Whether the pods of this spec count in the quota: it limits something of pods, and all of its scopes hold.
bool covers(const ResourceQuota& quota, const PodSpec& pod);

// What one pod uses, by the names of quotas: pods, count/pods, cpu and requests.cpu, limits.memory …; overhead counts.
// cpu in milli-CPU, everything else in units.
ResourceList quota_usage(const PodSpec& pod);

// What the containers do not say although the quota limits it: "must specify requests.cpu for: a,b; …". Empty if
// nothing is missing.
std::string unspecified(const ResourceQuota& quota, const PodSpec& pod);

// "exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4" where `used` and the pod's `usage` together
// are more than the quota's hard limits. Empty if they fit.
std::string exceeded(const ResourceQuota& quota, const ResourceList& usage, const ResourceList& used);

}  // namespace kisim

#pragma once
// Reads a DeschedulerPolicy, descheduler/v1alpha2 or the older v1alpha1 (up to descheduler 0.30), as the descheduler
// does: arguments of plugins strictly in v1alpha2, everything else with unknown fields told as warnings, which the
// descheduler ignores without a word.
//
// v1alpha1 is converted as its last release did (pkg/api/v1alpha1): each enabled strategy becomes a profile of its own,
// here in the order written (upstream's is random), with its plugin and a DefaultEvictor that carries the policy's
// flags and the strategy's nodeFit and priority threshold.

#include "io/value.hpp"
#include "policy/descheduler.hpp"

#include <vector>

namespace kisim {

// Complaints go to the diagnostics; the policy may be used if there are no errors. `classes` are the cluster's priority
// classes, which a threshold may name.
DeschedulerPolicy read_descheduler_policy(const Value& document, const std::vector<PriorityClass>& classes,
                                          Diagnostics& diagnostics);

}  // namespace kisim

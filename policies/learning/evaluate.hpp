#pragma once
// How well a policy does when it takes its likeliest actions.

#include "rl/actor.hpp"
#include "rl/vector_env.hpp"

namespace kisim::learning {

// Mean return of `episodes` episodes, numbers 0, 1, … of `seed`: equal for every policy that is compared.
double evaluate(const PolicyNetwork& policy, const VectorEnv::Factory& make, uint64_t seed, int64_t episodes);

}  // namespace kisim::learning

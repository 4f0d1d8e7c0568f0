#pragma once
// kubectl drain's evictions (pkg/drain): what a budget refuses is asked for again, an error of the API is not, as for
// two budgets over one pod (500), and fails the drain in the end.

#include "kube/api_server.hpp"

namespace kisim {

inline constexpr Duration kDrainRetry = 5_s;  // after a refusal

// Asks for the eviction of those that have not been evicted yet; they stay in drain.pods where a budget refuses.
void evict_all(ApiServer& api, DecisionCounts& decisions, DrainState& drain, std::string_view by,
               std::optional<Duration> grace);

}  // namespace kisim

#include "kube/drain.hpp"

namespace kisim {

void evict_all(ApiServer& api, DecisionCounts& decisions, DrainState& drain, std::string_view by,
               std::optional<Duration> grace) {
  std::erase_if(drain.pods, [&](PodId pod) {
    Eviction result = api.evict(pod, by, grace);
    bool refused = result == Eviction::TooManyRequests || result == Eviction::TwoBudgets;
    if (refused) decisions.add("EvictionRefused", to_string(result));
    drain.failed |= result == Eviction::TwoBudgets;
    return result != Eviction::TooManyRequests;
  });
}

}  // namespace kisim

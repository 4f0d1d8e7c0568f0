#pragma once
// In which order the pods of a node are evicted (pkg/descheduler/pod/pods.go, SortPodsBasedOnPriorityLowToHigh).

#include "policy/descheduler_view.hpp"

#include <algorithm>
#include <tuple>
#include <vector>

namespace kisim {

// By priority, none first; then BestEffort, Burstable, Guaranteed; then those that prefer to stay last. Upstream's
// comparison leaves the rest open: here it is the order that the pods come in.
inline void sort_by_priority(const DeschedulerView& view, std::vector<ViewPodId>& pods) {
  auto rank = [&](ViewPodId pod) {
    const DeschedulerTemplate& facts = view.facts(pod);
    int qos = static_cast<int>(QosClass::BestEffort) - static_cast<int>(facts.qos);
    return std::make_tuple(facts.priority, qos, facts.prefer_no_eviction);
  };
  std::stable_sort(pods.begin(), pods.end(), [&](ViewPodId a, ViewPodId b) { return rank(a) < rank(b); });
}

}  // namespace kisim

#pragma once
// What the plugins have in common: which pods they look at, and how they ask for evictions.

#include "policy/descheduler.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace kisim {

// By template: whether a plugin looks at its pods.
inline std::vector<uint8_t> selected_templates(const PodSelection& selection, const DeschedulerView& view) {
  std::vector<uint8_t> out;
  for (const PodTemplateModel& t : view.model().templates)
    out.push_back(selection.namespaces.admits(t.namespace_) && selection.label_selector.matches(t.labels));
  return out;
}

inline bool evictable(DeschedulerHandle& handle, ViewPodId pod) {
  return handle.filter(pod) && handle.pre_eviction_filter(pod);
}

template <class T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// Whole seconds since then, as time.Duration counts them; negative in the future.
inline int64_t seconds_since(Time then, Time now) { return (now - then).ns / 1'000'000'000; }

}  // namespace kisim

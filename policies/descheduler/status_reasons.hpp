#pragma once
// What the status of a pod says, as PodLifeTime, RemoveFailedPods and RemovePodsHavingTooManyRestarts ask for it.

#include "pod_selection.hpp"

namespace kisim {

inline bool looked_at(const DeschedulerContainer& container, bool init, bool ephemeral) {
  using Kind = DeschedulerContainer::Kind;
  return container.kind == Kind::Container || (init && container.kind == Kind::Init) ||
         (ephemeral && container.kind == Kind::Ephemeral);
}

// Whether any container waits for one of the reasons. An empty reason is none.
inline bool waits_for_any(const DeschedulerPod& pod, const std::vector<std::string>& reasons, bool init,
                          bool ephemeral) {
  return std::any_of(pod.containers.begin(), pod.containers.end(), [&](const DeschedulerContainer& c) {
    return looked_at(c, init, ephemeral) && !c.waiting.empty() && contains(reasons, c.waiting);
  });
}

inline bool terminated_for_any(const DeschedulerPod& pod, const std::vector<std::string>& reasons, bool init,
                               bool ephemeral) {
  return std::any_of(pod.containers.begin(), pod.containers.end(), [&](const DeschedulerContainer& c) {
    return looked_at(c, init, ephemeral) && c.terminated && !c.terminated->reason.empty() &&
           contains(reasons, c.terminated->reason);
  });
}

inline bool exited_with_any(const DeschedulerPod& pod, const std::vector<int32_t>& codes, bool init) {
  return std::any_of(pod.containers.begin(), pod.containers.end(), [&](const DeschedulerContainer& c) {
    return looked_at(c, init, false) && c.terminated && contains(codes, c.terminated->exit_code);
  });
}

}  // namespace kisim

#pragma once
// Taints that keep pods off a node, and what a pod tolerates (component-helpers/scheduling/corev1/helpers.go).

#include "cluster/node_conditions.hpp"
#include "cluster/tolerations.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace kisim {

inline bool keeps_pods_away(const Taint& taint) { return taint.effect != TaintEffect::PreferNoSchedule; }

inline bool same_taint(const Taint& a, const Taint& b) {
  return a.key == b.key && a.value == b.value && a.effect == b.effect;
}

// What a cordoned node counts as.
inline const Taint& unschedulable_taint() {
  static const Taint taint{"node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule};
  return taint;
}

// The conditions whose taints keep the pod away.
inline uint16_t refused_conditions(const PodSpec& spec) {
  uint16_t out = 0;
  for (int bit = 0; bit < kNodeConditionCount; ++bit)
    if (keeps_pods_away(condition_taint(bit)) && !tolerated(spec, condition_taint(bit)))
      out = static_cast<uint16_t>(out | 1u << bit);
  return out;
}

// nullptr if the pod tolerates every NoSchedule and NoExecute taint of the node.
inline const Taint* first_untolerated(const PodSpec& spec, const Node& node, NodeConditions conditions = {}) {
  for (const Taint& taint : node.taints)
    if (keeps_pods_away(taint) && !tolerated(spec, taint)) return &taint;
  if (conditions == NodeConditions{}) return nullptr;
  const Taint* first = nullptr;
  for_each_taint(conditions, [&](const Taint& taint) {
    if (!first && keeps_pods_away(taint) && !tolerated(spec, taint)) first = &taint;
  });
  return first;
}

// "dedicated=ml:NoSchedule", as kubectl taint writes it.
inline std::string taint_text(const Taint& taint) {
  const char* effect = taint.effect == TaintEffect::NoSchedule         ? "NoSchedule"
                       : taint.effect == TaintEffect::PreferNoSchedule ? "PreferNoSchedule"
                                                                       : "NoExecute";
  return taint.key + (taint.value.empty() ? "" : "=" + taint.value) + ":" + effect;
}

inline Toleration toleration_of(const Taint& taint) {
  return {taint.key, TolerationOperator::Equal, taint.value, taint.effect, {}};
}

}  // namespace kisim

#pragma once
// Taints that keep pods off a node, and what a pod tolerates (component-helpers/scheduling/corev1/helpers.go).

#include "cluster/objects.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace kisim {

inline bool keeps_pods_away(const Taint& taint) { return taint.effect != TaintEffect::PreferNoSchedule; }

inline bool same_taint(const Taint& a, const Taint& b) {
  return a.key == b.key && a.value == b.value && a.effect == b.effect;
}

inline bool tolerated(const PodSpec& spec, const Taint& taint) {
  return std::any_of(spec.tolerations.begin(), spec.tolerations.end(),
                     [&](const Toleration& t) { return t.tolerates(taint); });
}

// What the node lifecycle controller puts on a node that is not ready.
inline const Taint& not_ready_taint() {
  static const Taint taint{"node.kubernetes.io/not-ready", "", TaintEffect::NoSchedule};
  return taint;
}

// What a cordoned node counts as.
inline const Taint& unschedulable_taint() {
  static const Taint taint{"node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule};
  return taint;
}

// nullptr if the pod tolerates every NoSchedule and NoExecute taint of the node.
inline const Taint* first_untolerated(const PodSpec& spec, const Node& node, bool ready) {
  for (const Taint& taint : node.taints)
    if (keeps_pods_away(taint) && !tolerated(spec, taint)) return &taint;
  return ready || tolerated(spec, not_ready_taint()) ? nullptr : &not_ready_taint();
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

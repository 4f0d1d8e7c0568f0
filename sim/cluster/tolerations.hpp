#pragma once
// What a pod tolerates (component-helpers/scheduling/corev1/helpers.go).

#include "cluster/objects.hpp"

#include <algorithm>

namespace kisim {

inline bool tolerated(const PodSpec& spec, const Taint& taint) {
  return std::any_of(spec.tolerations.begin(), spec.tolerations.end(),
                     [&](const Toleration& t) { return t.tolerates(taint); });
}

}  // namespace kisim

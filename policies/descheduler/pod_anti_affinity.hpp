#pragma once
// Required anti-affinity between pods, as the descheduler reads it (pkg/utils/predicates.go).

#include "cluster/cluster.hpp"

#include <algorithm>
#include <string>

namespace kisim {

// Whether a pod's term is about pods of another template. A term without namespaces means the pod's own; its
// namespaceSelector is not looked at.
inline bool repels(const PodAffinityTerm& term, const std::string& own_namespace, const PodTemplateModel& other) {
  const std::vector<std::string>& named = term.namespaces;
  bool covered = named.empty() ? other.namespace_ == own_namespace
                               : std::find(named.begin(), named.end(), other.namespace_) != named.end();
  return covered && term.label_selector && other.matches(*term.label_selector);
}

}  // namespace kisim

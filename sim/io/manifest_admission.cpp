// What the API server adds to objects when they are admitted.

#include "io/manifest_kinds.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace kisim {

namespace {

std::string_view name_of(PreemptionPolicy policy) {
  return policy == PreemptionPolicy::Never ? "Never" : "PreemptLowerPriority";
}

// plugin/pkg/admission/priority
class Priorities {
 public:
  Priorities(const std::vector<PriorityClass>& classes, Diagnostics& diagnostics) : diagnostics_(diagnostics) {
    for (const SystemPriority& s : kSystemPriorities)
      classes_[s.name] = {s.name, s.value, PreemptionPolicy::PreemptLowerPriority};
    for (const PriorityClass& c : classes) {
      classes_[c.meta.name] = {c.meta.name, c.value, c.preemption_policy};
      if (c.global_default) add_default(c);
    }
  }

  // `path` is where the PodSpec stands in its object. A dump names the value beside a class that it may not hold.
  void resolve(const ObjectMeta& meta, const std::string& path, PodSpec& spec) const {
    const SourceMark& mark = spec.priority_class_name.empty() ? meta.mark : spec.priority_class_mark;
    auto found = classes_.find(spec.priority_class_name.empty() ? default_ : spec.priority_class_name);
    if (found == classes_.end()) {
      if (!spec.priority_class_name.empty() && spec.priority == 0)
        diagnostics_.error(mark, path + ".priorityClassName", unknown(spec.priority_class_name));
      return;
    }
    const Class& c = found->second;
    if (spec.priority != 0 && spec.priority_class_name.empty()) return;
    if (spec.priority != 0 && spec.priority != c.value)
      diagnostics_.error(mark, path + ".priority",
                         fmt::format("the integer value of priority ({}) must not be provided in pod spec; priority "
                                     "admission controller computed {} from the given PriorityClass name",
                                     spec.priority, c.value));
    if (spec.preemption_policy && c.preemption_policy && *spec.preemption_policy != *c.preemption_policy)
      diagnostics_.error(
          mark, path + ".preemptionPolicy",
          fmt::format("the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission "
                      "controller computed {} from the given PriorityClass name",
                      name_of(*spec.preemption_policy), name_of(*c.preemption_policy)));
    spec.priority = c.value;
    spec.priority_class_name = c.name;
    if (c.preemption_policy) spec.preemption_policy = c.preemption_policy;
  }

 private:
  struct Class {
    std::string name;
    int32_t value = 0;
    std::optional<PreemptionPolicy> preemption_policy;
  };

  void add_default(const PriorityClass& c) {
    if (default_.empty())
      default_ = c.meta.name;
    else
      diagnostics_.error(
          c.meta.mark, "globalDefault",
          fmt::format("PriorityClass {} is already marked as default. Only one default can exist", default_));
  }

  std::string unknown(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& [known, c] : classes_) names.push_back(known);
    std::string near = closest(name, names);
    return fmt::format("no PriorityClass with name {} was found, allowed: {}{}", name, fmt::join(names, ", "),
                       near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
  }

  Diagnostics& diagnostics_;
  std::map<std::string, Class> classes_;
  std::string default_;  // empty: none
};

// Every namespace has a label with its name, and the namespace of an object exists.
void complete_namespaces(Manifests& manifests) {
  std::set<std::string> known, used;
  for (const Namespace& n : manifests.namespaces) known.insert(n.meta.name);
  for (const Pod& pod : manifests.pods) used.insert(pod.meta.namespace_);
  for (const Deployment& d : manifests.deployments) used.insert(d.meta.namespace_);
  for (const ReplicaSet& r : manifests.replica_sets) used.insert(r.meta.namespace_);
  for (const std::string& name : used) {
    if (known.count(name) > 0) continue;
    manifests.namespaces.emplace_back();
    manifests.namespaces.back().meta.name = name;
  }
  const std::string key = "kubernetes.io/metadata.name";
  for (Namespace& n : manifests.namespaces) {
    if (find_label(n.meta.labels, key)) continue;
    n.meta.labels.emplace_back(key, n.meta.name);
    std::sort(n.meta.labels.begin(), n.meta.labels.end());
  }
}

}  // namespace

void admit(Diagnostics& diagnostics, Manifests& manifests) {
  const std::string in_template = "spec.template.spec";
  Priorities priorities(manifests.priority_classes, diagnostics);
  for (Pod& pod : manifests.pods) priorities.resolve(pod.meta, "spec", pod.spec);
  for (Deployment& d : manifests.deployments) priorities.resolve(d.meta, in_template, d.pod_template.spec);
  for (ReplicaSet& r : manifests.replica_sets) priorities.resolve(r.meta, in_template, r.pod_template.spec);
  complete_namespaces(manifests);
}

}  // namespace kisim

// What the API server adds to objects when they are admitted.

#include "cluster/resource_amounts.hpp"
#include "cluster/resource_quota.hpp"
#include "io/limit_ranger.hpp"
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
  Priorities(const std::vector<const PriorityClass*>& classes, Diagnostics& diagnostics) : diagnostics_(diagnostics) {
    for (const SystemPriority& s : kSystemPriorities)
      classes_[s.name] = {s.name, s.value, PreemptionPolicy::PreemptLowerPriority};
    for (const PriorityClass* c : classes) {
      classes_[c->meta.name] = {c->meta.name, c->value, c->preemption_policy};
      if (c->global_default) add_default(*c);
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

// What there is of a kind once `applied` has come to the cluster: objects of the same name are replaced.
template <class Object>
std::vector<const Object*> present(const std::vector<Object>& cluster, const std::vector<Object>& applied) {
  std::set<std::string> replaced;
  for (const Object& object : applied) replaced.insert(object.meta.full_name());
  std::vector<const Object*> out;
  for (const Object& object : cluster)
    if (!replaced.contains(object.meta.full_name())) out.push_back(&object);
  for (const Object& object : applied) out.push_back(&object);
  return out;
}

// Calls back with the name that pods get, the workload's metadata and its template.
template <class F>
void for_each_template(Manifests& manifests, F&& f) {
  for (Deployment& d : manifests.deployments) f(d.meta.name + "-", d.meta, d.pod_template);
  for (ReplicaSet& r : manifests.replica_sets) f(r.meta.name + "-", r.meta, r.pod_template);
  for (StatefulSet& s : manifests.stateful_sets)
    f(fmt::format("{}-{}", s.meta.name, s.first_ordinal), s.meta, s.pod_template);
  for (DaemonSet& d : manifests.daemon_sets) f(d.meta.name + "-", d.meta, d.pod_template);
  for (Job& j : manifests.jobs) f(j.meta.name + "-", j.meta, j.pod_template);
}

// A pod that has started was admitted before.
bool is_new(const Pod& pod) { return !pod.start_time; }

// What the namespace of a pod holds against it.
class NamespaceLimits {
 public:
  NamespaceLimits(const Manifests& cluster, const Manifests& manifests)
      : ranges_(present(cluster.limit_ranges, manifests.limit_ranges)),
        quotas_(present(cluster.resource_quotas, manifests.resource_quotas)) {}

  void set_defaults(const std::string& namespace_, PodSpec& spec) const {
    for (const LimitRange* range : ranges_)
      if (range->meta.namespace_ == namespace_) set_limit_defaults(*range, spec);
  }

  // Why such a pod is never created; empty if it may be. Validation comes before the plugins that only validate, and
  // quotas are the last of those.
  Refusal refusal(const std::string& namespace_, const PodSpec& spec) const {
    std::vector<const LimitRange*> ranges;
    for (const LimitRange* range : ranges_)
      if (range->meta.namespace_ == namespace_) ranges.push_back(range);
    if (!ranges.empty())
      if (std::string text = invalid_resources(spec); !text.empty()) return {text, true};
    for (const LimitRange* range : ranges)
      if (std::string text = limit_violations(*range, spec); !text.empty()) return {text};
    for (const ResourceQuota* quota : covering(namespace_, spec))
      if (std::string text = unspecified(*quota, spec); !text.empty())
        return {fmt::format("failed quota: {}: {}", quota->meta.name, text)};
    return {};
  }

  const std::vector<const LimitRange*>& ranges() const { return ranges_; }
  const std::vector<const ResourceQuota*>& quotas() const { return quotas_; }

  // Which quota is too small for a single such pod; empty if none is.
  std::string too_large(const std::string& namespace_, const PodSpec& spec) const {
    for (const ResourceQuota* quota : covering(namespace_, spec))
      if (std::string text = exceeded(*quota, quota_usage(spec), {}); !text.empty()) return text;
    return {};
  }

 private:
  std::vector<const ResourceQuota*> covering(const std::string& namespace_, const PodSpec& spec) const {
    std::vector<const ResourceQuota*> out;
    for (const ResourceQuota* quota : quotas_)
      if (quota->meta.namespace_ == namespace_ && covers(*quota, spec)) out.push_back(quota);
    return out;
  }

  std::vector<const LimitRange*> ranges_;
  std::vector<const ResourceQuota*> quotas_;
};

// Where the smallest pod that a LimitRange lets in is more than a quota of every pod grants, there will never be one.
void warn_of_narrow_quotas(Diagnostics& diagnostics, const std::vector<const ResourceQuota*>& quotas,
                           const std::vector<const LimitRange*>& ranges) {
  auto warn = [&](const ResourceQuota& quota, const LimitRange& range, const std::string& name, int64_t hard,
                  const std::string& resource, int64_t least) {
    diagnostics.warn(
        quota.meta.mark, "spec.hard[" + name + "]",
        fmt::format("found {}, and LimitRange {} wants at least {} {} of every pod: the quota lets none in",
                    amount_text(name, hard), range.meta.name, amount_text(resource, least), resource));
  };
  for (const ResourceQuota* quota : quotas)
    for (const LimitRange* range : ranges) {
      if (!quota->scopes.empty() || quota->meta.namespace_ != range->meta.namespace_) continue;
      for (const LimitRange::Item& item : range->limits)
        for (const auto& [resource, least] : item.min)
          for (const std::string& name : {resource, "requests." + resource})
            if (const int64_t* hard = find_amount(quota->hard, name); hard && *hard < least)
              warn(*quota, *range, name, *hard, resource, least);
    }
}

// A workload whose pods are refused stays, and says so; a pod by itself is never there.
class PodAdmission {
 public:
  PodAdmission(Diagnostics& diagnostics, const Manifests& cluster, Manifests& manifests)
      : diagnostics_(diagnostics), manifests_(manifests), limits_(cluster, manifests) {}

  void set_defaults() {
    for_each_template(manifests_, [&](const std::string&, const ObjectMeta& meta, PodTemplate& pods) {
      limits_.set_defaults(meta.namespace_, pods.spec);
    });
    for (Pod& pod : manifests_.pods)
      if (is_new(pod)) limits_.set_defaults(pod.meta.namespace_, pod.spec);
  }

  void validate() {
    warn_of_narrow_quotas(diagnostics_, limits_.quotas(), limits_.ranges());
    for_each_template(manifests_, [&](const std::string& name, const ObjectMeta& meta, PodTemplate& pods) {
      pods.refusal = limits_.refusal(meta.namespace_, pods.spec);
      tell(name, meta, "spec.template.spec", pods.spec, pods.refusal);
    });
    std::erase_if(manifests_.pods, [&](const Pod& pod) {
      if (!is_new(pod)) return false;
      return tell(pod.meta.name, pod.meta, "spec", pod.spec, limits_.refusal(pod.meta.namespace_, pod.spec));
    });
  }

 private:
  // Whether no such pod will ever be.
  bool tell(const std::string& name, const ObjectMeta& meta, const char* field, const PodSpec& spec, Refusal refusal) {
    if (refusal.empty()) refusal.why = limits_.too_large(meta.namespace_, spec);
    if (!refusal.empty()) diagnostics_.warn(meta.mark, field, refusal.message(name));
    return !refusal.empty();
  }

  Diagnostics& diagnostics_;
  Manifests& manifests_;
  NamespaceLimits limits_;
};

// Every namespace has a label with its name, and the namespace of an object exists.
void complete_namespaces(const Manifests& cluster, Manifests& manifests) {
  std::set<std::string> known, used;
  for (const Namespace& n : cluster.namespaces) known.insert(n.meta.name);
  for (const Namespace& n : manifests.namespaces) known.insert(n.meta.name);
  for (const Pod& pod : manifests.pods) used.insert(pod.meta.namespace_);
  for_each_template(manifests,
                    [&](const std::string&, const ObjectMeta& meta, PodTemplate&) { used.insert(meta.namespace_); });
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

void admit(Diagnostics& diagnostics, const Manifests& cluster, Manifests& manifests) {
  PodAdmission admission(diagnostics, cluster, manifests);
  admission.set_defaults();
  Priorities priorities(present(cluster.priority_classes, manifests.priority_classes), diagnostics);
  for (Pod& pod : manifests.pods) priorities.resolve(pod.meta, "spec", pod.spec);
  for_each_template(manifests, [&](const std::string&, const ObjectMeta& meta, PodTemplate& pods) {
    priorities.resolve(meta, "spec.template.spec", pods.spec);
  });
  admission.validate();
  complete_namespaces(cluster, manifests);
}

}  // namespace kisim

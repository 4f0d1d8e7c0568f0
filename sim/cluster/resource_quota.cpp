#include "cluster/resource_quota.hpp"

#include "cluster/resource_amounts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace kisim {

namespace {

using Scope = ResourceQuota::Scope;

bool is_compute(std::string_view resource) {
  return resource == "cpu" || resource == "memory" || resource == "ephemeral-storage";
}

// apis/core/v1/helper/qos: no container asks for cpu or memory, nor does the pod as a whole.
bool is_best_effort(const PodSpec& pod) {
  auto asks = [](const ResourceList& list) {
    return std::any_of(list.begin(), list.end(), [](const auto& entry) {
      return (entry.first == "cpu" || entry.first == "memory") && entry.second > 0;
    });
  };
  if (pod.pod_requests) return false;
  for (const std::vector<Container>* list : {&pod.containers, &pod.init_containers})
    for (const Container& c : *list)
      if (asks(c.requests) || asks(c.limits)) return false;
  return true;
}

// apis/core/v1/helper, usesCrossNamespacePodAffinity: a term that names namespaces, or selects them.
bool looks_across_namespaces(const PodSpec& pod) {
  auto across = [](const PodAffinityTerm& term) { return !term.namespaces.empty() || term.namespace_selector; };
  for (const PodAffinityTerms* terms : {&pod.pod_affinity, &pod.pod_anti_affinity}) {
    if (std::any_of(terms->required.begin(), terms->required.end(), across)) return true;
    for (const WeightedPodAffinityTerm& preferred : terms->preferred)
      if (across(preferred.term)) return true;
  }
  return false;
}

bool holds(const ResourceQuota::ScopeRequirement& scope, const PodSpec& pod) {
  switch (scope.scope) {
    case Scope::BestEffort:
      return is_best_effort(pod);
    case Scope::NotBestEffort:
      return !is_best_effort(pod);
    case Scope::Terminating:
      return pod.active_deadline.has_value();
    case Scope::NotTerminating:
      return !pod.active_deadline.has_value();
    case Scope::PriorityClass:
      return scope.requirement.matches(pod.priority_class_name.empty() ? nullptr : &pod.priority_class_name);
    case Scope::CrossNamespacePodAffinity:
      return looks_across_namespaces(pod);
  }
  return false;
}

// The names under which requests and limits count.
ResourceList usage_of(const ResourceList& requests, const ResourceList& limits) {
  ResourceList out{{"pods", 1}};
  for (const auto& [resource, amount] : requests) {
    const bool plain = is_compute(resource) || resource.starts_with("hugepages-");
    if (plain) amount_at(out, resource) = amount;
    amount_at(out, "requests." + resource) = amount;
  }
  for (const auto& [resource, amount] : limits)
    if (is_compute(resource)) amount_at(out, "limits." + resource) = amount;
  return out;
}

std::string amounts_text(const ResourceList& list) {
  std::string out;
  for (const auto& [resource, amount] : list)
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", resource, amount_text(resource, amount));
  return out;
}

}  // namespace

bool covers(const ResourceQuota& quota, const PodSpec& pod) {
  return !quota.hard.empty() && std::all_of(quota.scopes.begin(), quota.scopes.end(),
                                            [&](const ResourceQuota::ScopeRequirement& s) { return holds(s, pod); });
}

ResourceList quota_usage(const PodSpec& pod) {
  ResourceList requests = pod_requests(pod), limits = pod_limits(pod);
  add_amounts(requests, pod.overhead);
  for (const auto& [resource, amount] : pod.overhead)
    if (find_amount(limits, resource)) add_amounts(limits, {{resource, amount}});
  ResourceList out = usage_of(requests, limits);
  amount_at(out, "count/pods") = 1;
  return out;
}

std::string unspecified(const ResourceQuota& quota, const PodSpec& pod) {
  constexpr std::string_view kDemanded[] = {"cpu",        "memory",        "requests.cpu",
                                            "limits.cpu", "limits.memory", "requests.memory"};
  if (pod.pod_requests) return {};
  std::map<std::string, std::set<std::string>> missing;  // resource -> containers
  for (const std::vector<Container>* list : {&pod.containers, &pod.init_containers})
    for (const Container& c : *list) {
      const ResourceList said = usage_of(c.requests, c.limits);
      for (std::string_view resource : kDemanded)
        if (find_amount(quota.hard, resource) && !find_amount(said, resource))
          missing[std::string(resource)].insert(c.name);
    }
  std::string out;
  for (const auto& [resource, containers] : missing)
    out += fmt::format("{}{} for: {}", out.empty() ? "must specify " : "; ", resource, fmt::join(containers, ","));
  return out;
}

std::string exceeded(const ResourceQuota& quota, const ResourceList& usage, const ResourceList& used) {
  ResourceList requested, before, limited;
  for (const auto& [resource, limit] : quota.hard) {
    const int64_t* amount = find_amount(usage, resource);
    if (!amount || *amount == 0) continue;
    const int64_t* now = find_amount(used, resource);
    const int64_t taken = now ? *now : 0;
    if (*amount <= limit && taken <= limit - *amount) continue;
    requested.emplace_back(resource, *amount);
    before.emplace_back(resource, taken);
    limited.emplace_back(resource, limit);
  }
  if (requested.empty()) return {};
  return fmt::format("exceeded quota: {}, requested: {}, used: {}, limited: {}", quota.meta.name,
                     amounts_text(requested), amounts_text(before), amounts_text(limited));
}

}  // namespace kisim

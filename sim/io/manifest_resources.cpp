// Resource lists, and the requests and limits of containers and pods.

#include "io/manifest_resources.hpp"

#include "cluster/resource_amounts.hpp"
#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

bool is_hugepages(std::string_view resource) { return resource.starts_with("hugepages-"); }

// Of the *kubernetes.io/ namespace, to which names without one belong (apis/core/helper, IsNativeResource).
bool is_native(std::string_view resource) {
  return resource.find('/') == resource.npos || resource.find("kubernetes.io/") != resource.npos;
}

bool is_of_containers(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || is_hugepages(name);
}

// Names of things that a quota counts.
constexpr std::string_view kCounted[] = {"pods",
                                         "resourcequotas",
                                         "services",
                                         "services.nodeports",
                                         "services.loadbalancers",
                                         "replicationcontrollers",
                                         "secrets",
                                         "configmaps",
                                         "persistentvolumeclaims"};

bool is_counted(std::string_view name) {
  return std::find(std::begin(kCounted), std::end(kCounted), name) != std::end(kCounted);
}

// Measured in whole numbers (IsIntegerResourceName).
bool counts_things(const std::string& resource) { return is_counted(resource) || is_extended(resource); }

// Names without a domain that Kubernetes knows (IsStandardResourceName).
bool is_standard(std::string_view name) {
  if (is_of_containers(name) || is_counted(name) || name == "storage" || name == "requests.storage") return true;
  if (name.starts_with("limits.")) return is_of_containers(name.substr(7)) && !is_hugepages(name.substr(7));
  return name.starts_with("requests.") && is_of_containers(name.substr(9));
}

int64_t amount_of(const NamedQuantity& q) {
  return measures_cpu(q.name) ? q.quantity.milli_value() : q.quantity.value();
}

int64_t excess_of(const NamedQuantity& q) {
  return measures_cpu(q.name) ? q.quantity.milli_excess() : q.quantity.value_excess();
}

ResourceList excess(const NamedQuantities& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities)
    if (int64_t more = excess_of(q); more != 0) out.emplace_back(q.name, more);
  return out;
}

void check_against_limit(ObjectReader& resources, const NamedQuantity& request, const NamedQuantity* limit) {
  ObjectContext& context = resources.context();
  bool overcommit = may_overcommit(request.name);
  if (!limit) {
    if (!overcommit)
      context.error(request.value->mark(), resources.path("limits"),
                    required_value("Limit must be set for non overcommitable resources"));
    return;
  }
  if (overcommit ? request.quantity <= limit->quantity : request.quantity == limit->quantity) return;
  context.error(request.value->mark(), resources.path("requests"),
                invalid_value(quote(request.value->text), fmt::format("must be {} {} limit of {}",
                                                                      overcommit ? "less than or equal to" : "equal to",
                                                                      request.name, limit->value->text)));
}

struct Requirements {
  NamedQuantities limits, requests;
};

// The checks that containers and pods share. `complain` tells what is wrong with a resource's name, if anything.
template <class F>
Requirements read_requirements(ObjectReader& resources, F complain) {
  Requirements out{read_quantities(resources, "limits"), read_quantities(resources, "requests")};
  bool has_cpu_or_memory = false, has_hugepages = false;
  for (const char* key : {"limits", "requests"})
    for (const NamedQuantity& q : key == std::string_view("limits") ? out.limits : out.requests) {
      complain(q, key_path(resources, key, q.name));
      has_cpu_or_memory |= q.name == "cpu" || q.name == "memory";
      has_hugepages |= is_hugepages(q.name);
    }
  for (const NamedQuantity& request : out.requests)
    check_against_limit(resources, request, find_quantity(out.limits, request.name));
  if (has_hugepages && !has_cpu_or_memory) resources.forbidden("", "HugePages require cpu or memory");
  return out;
}

// Limits become requests where those are absent.
void fill_requests(const NamedQuantities& limits, NamedQuantities& requests) {
  const NamedQuantities written = requests;
  for (const NamedQuantity& limit : limits)
    if (!find_quantity(written, limit.name)) requests.push_back(limit);
  std::sort(requests.begin(), requests.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

// ----------------------------------------------------------------------------------------------------- of the pod

bool is_of_pods(std::string_view name) { return name == "cpu" || name == "memory" || is_hugepages(name); }

void check_containers_fit(ObjectReader& resources, const Requirements& pod, const PodSpec& spec,
                          const ResourceList& containers) {
  ObjectContext& context = resources.context();
  for (const auto& [name, amount] : containers) {
    const NamedQuantity* request = find_quantity(pod.requests, name);
    if (request && amount > amount_of(*request))
      context.error(request->value->mark(), key_path(resources, "requests", name),
                    invalid_value(quote(request->value->text),
                                  fmt::format("must be greater than or equal to aggregate container requests of {}",
                                              amount_text(name, amount))));
  }
  for (size_t i = 0; i < spec.containers.size(); ++i)
    for (const auto& [name, amount] : spec.containers[i].limits) {
      const NamedQuantity* limit = find_quantity(pod.limits, name);
      if (limit && amount > amount_of(*limit))
        context.error(limit->value->mark(), fmt::format("{}[{}].limits", resources.path("containers", i), name),
                      invalid_value(quote(amount_text(name, amount)),
                                    fmt::format("must be less than or equal to pod limits of {}", limit->value->text)));
    }
}

}  // namespace

NamedQuantities read_quantities(ObjectReader& parent, std::string_view key) {
  NamedQuantities out;
  const Value* map = parent.find(key);
  if (!map) return out;
  if (map->kind != Value::Kind::Mapping) {
    parent.error(key, found_allowed(*map, "a mapping of resources to quantities"));
    return out;
  }
  ObjectContext& context = parent.context();
  for (const Value::Member& member : map->members) {
    std::string path = key_path(parent, key, member.key);
    std::optional<Quantity> quantity = read_quantity(context, member.value, path);
    if (!quantity) continue;
    bool negative = *quantity < Quantity(), fraction = counts_things(member.key) && !quantity->is_integer();
    if (negative || fraction)
      context.error(member.value.mark(), path,
                    invalid_value(quote(member.value.text),
                                  negative ? "must be greater than or equal to 0" : "must be an integer"));
    else
      out.push_back({member.key, *quantity, &member.value});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

const NamedQuantity* find_quantity(const NamedQuantities& quantities, std::string_view name) {
  for (const NamedQuantity& q : quantities)
    if (q.name == name) return &q;
  return nullptr;
}

std::string key_path(const ObjectReader& parent, std::string_view key, std::string_view name) {
  return fmt::format("{}[{}]", parent.path(key), name);
}

ResourceList amounts(const NamedQuantities& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities) out.emplace_back(q.name, amount_of(q));
  return out;
}

ResourceList amounts_at_most(const NamedQuantities& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities) out.emplace_back(q.name, amount_of(q) - (excess_of(q) > 0 ? 1 : 0));
  return out;
}

bool may_overcommit(std::string_view resource) { return is_native(resource) && !is_hugepages(resource); }

bool is_extended(const std::string& resource) {
  if (is_native(resource) || resource.starts_with("requests.")) return false;
  return check_qualified_name("requests." + resource).empty();  // as a quota would name it
}

NameProblems check_container_resource(std::string_view text) {
  const std::string name(text);
  if (NameProblems out = check_qualified_name(name); !out.empty()) return out;
  if (name.find('/') != name.npos)
    return is_native(name) || is_extended(name) ? NameProblems{}
                                                : NameProblems{"doesn't follow extended resource name standard"};
  NameProblems out;
  if (!is_standard(name)) out.push_back("must be a standard resource type or fully qualified");
  if (!is_of_containers(name)) out.push_back("must be a standard resource for containers");
  return out;
}

NameProblems check_quota_resource(std::string_view name) {
  NameProblems out = check_qualified_name(name);
  if (!out.empty() || name.find('/') != name.npos) return out;
  if (!is_standard(name) || name == "storage") out.push_back("must be a standard resource for quota");
  return out;
}

void check_resource_names(ObjectReader& parent, std::string_view key, const NamedQuantities& quantities,
                          NameRule rule) {
  for (const NamedQuantity& q : quantities)
    for (const std::string& problem : rule(q.name))
      parent.context().error(q.value->mark(), key_path(parent, key, q.name), invalid_value(quote(q.name), problem));
}

ResourceList read_resource_list(ObjectReader& parent, std::string_view key) {
  return amounts(read_quantities(parent, key));
}

void read_container_resources(ObjectReader resources, Container& out) {
  ObjectContext& context = resources.context();
  Requirements own = read_requirements(resources, [&](const NamedQuantity& q, const std::string& path) {
    for (const std::string& problem : check_container_resource(q.name))
      context.error(q.value->mark(), path, invalid_value(quote(q.name), problem));
  });
  fill_requests(own.limits, own.requests);
  out.limits = amounts(own.limits);
  out.requests = amounts(own.requests);
  out.rounded_up = excess(own.requests);
  resources.unmodelled("claims");
  resources.finish();
}

void read_pod_resources(ObjectReader resources, PodSpec& out) {
  if (!resources.exists()) return;
  ObjectContext& context = resources.context();
  Requirements own = read_requirements(resources, [&](const NamedQuantity& q, const std::string& path) {
    if (!is_of_pods(q.name))
      context.error(q.value->mark(), path, unsupported_value(quote(q.name), {"cpu", "hugepages-", "memory"}));
  });
  if (resources.find("claims")) resources.forbidden("claims", "claims may not be set for Resources at pod-level");
  resources.finish();

  const ResourceList containers = container_sum(out, &Container::requests);
  check_containers_fit(resources, own, out, containers);
  // The API server's defaults (apis/core/v1, defaultPodRequests): with any limit, what the containers request; and for
  // what none of them requests, the limit.
  ResourceList requests = amounts(own.requests);
  for (const auto& [name, amount] : containers)
    if (!own.limits.empty() && is_of_pods(name) && may_overcommit(name) && !find_quantity(own.requests, name))
      amount_at(requests, name) = amount;
  for (const NamedQuantity& limit : own.limits)
    if (!find_amount(requests, limit.name)) amount_at(requests, limit.name) = amount_of(limit);
  if (!requests.empty()) out.pod_requests = std::move(requests);
  out.pod_limits = amounts(own.limits);
}

}  // namespace kisim

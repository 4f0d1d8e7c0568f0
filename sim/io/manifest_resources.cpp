// Resource lists, and the requests and limits of containers and pods.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

struct NamedQuantity {
  std::string name;
  Quantity quantity;
  const Value* value;
};
using NamedQuantities = std::vector<NamedQuantity>;  // sorted by name

bool is_hugepages(std::string_view resource) { return resource.starts_with("hugepages-"); }

// Of the *kubernetes.io/ namespace, to which names without one belong (apis/core/helper, IsNativeResource).
bool is_native(std::string_view resource) {
  return resource.find('/') == resource.npos || resource.find("kubernetes.io/") != resource.npos;
}

bool is_extended(const std::string& resource) {
  if (is_native(resource) || resource.starts_with("requests.")) return false;
  return check_qualified_name("requests." + resource).empty();  // as a quota would name it
}

// Kubernetes overcommits native resources only, and hugepages not at all.
bool may_overcommit(std::string_view resource) { return is_native(resource) && !is_hugepages(resource); }

bool counts_things(const std::string& resource) { return resource == "pods" || is_extended(resource); }

bool is_of_containers(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || is_hugepages(name);
}

// Names without a domain that quotas and nodes use too.
bool is_standard(std::string_view name) {
  constexpr std::string_view kOthers[] = {"pods",
                                          "storage",
                                          "resourcequotas",
                                          "services",
                                          "services.nodeports",
                                          "services.loadbalancers",
                                          "replicationcontrollers",
                                          "secrets",
                                          "configmaps",
                                          "persistentvolumeclaims",
                                          "requests.storage"};
  for (std::string_view prefix : {"requests.", "limits."})
    if (name.starts_with(prefix) && is_of_containers(name.substr(prefix.size()))) return true;
  return is_of_containers(name) || std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers);
}

// What is wrong with the name of a resource of a container (apis/core/validation, validateContainerResourceName).
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

std::string key_path(const ObjectReader& parent, std::string_view key, std::string_view name) {
  return fmt::format("{}[{}]", parent.path(key), name);
}

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

int64_t amount_of(const NamedQuantity& q) { return q.name == "cpu" ? q.quantity.milli_value() : q.quantity.value(); }

ResourceList excess(const NamedQuantities& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities)
    if (int64_t more = q.name == "cpu" ? q.quantity.milli_excess() : q.quantity.value_excess(); more != 0)
      out.emplace_back(q.name, more);
  return out;
}

ResourceList amounts(const NamedQuantities& quantities) {
  ResourceList out;
  for (const NamedQuantity& q : quantities) out.emplace_back(q.name, amount_of(q));
  return out;
}

const NamedQuantity* find_quantity(const NamedQuantities& quantities, std::string_view name) {
  for (const NamedQuantity& q : quantities)
    if (q.name == name) return &q;
  return nullptr;
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

int64_t& at(ResourceList& list, const std::string& name) {
  auto place = std::lower_bound(list.begin(), list.end(), name,
                                [](const auto& entry, const std::string& n) { return entry.first < n; });
  if (place == list.end() || place->first != name) place = list.insert(place, {name, 0});
  return place->second;
}

void add(ResourceList& sum, const ResourceList& more) {
  for (const auto& [name, amount] : more) {
    int64_t& total = at(sum, name);
    total = amount > INT64_MAX - total ? INT64_MAX : total + amount;
  }
}

// What all containers and sidecars request together, or an init container beside the sidecars before it
// (component-helpers/resource, AggregateContainerRequests).
ResourceList container_requests(const PodSpec& spec) {
  ResourceList sum, sidecars, most;
  for (const Container& c : spec.containers) add(sum, c.requests);
  for (const Container& c : spec.init_containers) {
    ResourceList peak = sidecars;
    add(peak, c.requests);
    for (const auto& [name, amount] : peak) at(most, name) = std::max(at(most, name), amount);
    if (!c.sidecar) continue;
    add(sidecars, c.requests);
    add(sum, c.requests);
  }
  for (const auto& [name, amount] : most) at(sum, name) = std::max(at(sum, name), amount);
  return sum;
}

// "1500m", "3Gi": as Kubernetes would print it.
std::string amount_text(const std::string& name, int64_t amount) {
  if (name == "cpu") return amount % 1000 == 0 ? std::to_string(amount / 1000) : fmt::format("{}m", amount);
  std::string suffix;
  for (const char* next : {"Ki", "Mi", "Gi", "Ti", "Pi"}) {
    if (amount == 0 || amount % 1024 != 0) break;
    amount /= 1024;
    suffix = next;
  }
  return fmt::format("{}{}", amount, suffix);
}

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

  const ResourceList containers = container_requests(out);
  check_containers_fit(resources, own, out, containers);
  // The API server's defaults (apis/core/v1, defaultPodRequests): with any limit, what the containers request; and for
  // what none of them requests, the limit.
  ResourceList requests = amounts(own.requests);
  for (const auto& [name, amount] : containers)
    if (!own.limits.empty() && is_of_pods(name) && may_overcommit(name) && !find_quantity(own.requests, name))
      at(requests, name) = amount;
  for (const NamedQuantity& limit : own.limits)
    if (std::none_of(requests.begin(), requests.end(), [&](const auto& r) { return r.first == limit.name; }))
      at(requests, limit.name) = amount_of(limit);
  if (!requests.empty()) out.pod_requests = std::move(requests);
}

}  // namespace kisim

#include "cluster/resource_amounts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kisim {

namespace {

// The amount in the largest unit that leaves it whole.
std::string with_suffix(int64_t amount, int64_t step, const char* const (&suffixes)[6]) {
  const char* suffix = "";
  for (const char* next : suffixes) {
    if (amount == 0 || amount % step != 0) break;
    amount /= step;
    suffix = next;
  }
  return fmt::format("{}{}", amount, suffix);
}

bool measures_bytes(std::string_view resource) {
  return resource.ends_with("memory") || resource.ends_with("storage") || resource.find("hugepages-") != resource.npos;
}

}  // namespace

bool measures_cpu(std::string_view resource) {
  return resource == "cpu" || resource == "requests.cpu" || resource == "limits.cpu";
}

const int64_t* find_amount(const ResourceList& list, std::string_view resource) {
  for (const auto& [name, amount] : list)
    if (name == resource) return &amount;
  return nullptr;
}

int64_t& amount_at(ResourceList& list, const std::string& resource) {
  auto place = std::lower_bound(list.begin(), list.end(), resource,
                                [](const auto& entry, const std::string& name) { return entry.first < name; });
  if (place == list.end() || place->first != resource) place = list.insert(place, {resource, 0});
  return place->second;
}

void add_amounts(ResourceList& sum, const ResourceList& more) {
  for (const auto& [resource, amount] : more) {
    int64_t& total = amount_at(sum, resource);
    total = amount > INT64_MAX - total ? INT64_MAX : total + amount;
  }
}

ResourceList container_sum(const PodSpec& spec, ResourceList Container::*list) {
  ResourceList sum, sidecars, most;
  for (const Container& c : spec.containers) add_amounts(sum, c.*list);
  for (const Container& c : spec.init_containers) {
    ResourceList peak = sidecars;
    add_amounts(peak, c.*list);
    for (const auto& [resource, amount] : peak) amount_at(most, resource) = std::max(amount_at(most, resource), amount);
    if (!c.sidecar) continue;
    add_amounts(sidecars, c.*list);
    add_amounts(sum, c.*list);
  }
  for (const auto& [resource, amount] : most) amount_at(sum, resource) = std::max(amount_at(sum, resource), amount);
  return sum;
}

ResourceList pod_requests(const PodSpec& spec) {
  ResourceList out = container_sum(spec, &Container::requests);
  if (spec.pod_requests)
    for (const auto& [resource, amount] : *spec.pod_requests) amount_at(out, resource) = amount;
  return out;
}

ResourceList pod_limits(const PodSpec& spec) {
  ResourceList out = container_sum(spec, &Container::limits);
  for (const auto& [resource, amount] : spec.pod_limits) amount_at(out, resource) = amount;
  return out;
}

std::string amount_text(std::string_view resource, int64_t amount) {
  constexpr const char* kBinary[] = {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  constexpr const char* kDecimal[] = {"k", "M", "G", "T", "P", "E"};
  if (measures_cpu(resource)) {
    if (amount % 1000 != 0) return fmt::format("{}m", amount);
    amount /= 1000;
  }
  bool binary = measures_bytes(resource) && amount % 1024 == 0;
  return binary ? with_suffix(amount, 1024, kBinary) : with_suffix(amount, 1000, kDecimal);
}

}  // namespace kisim

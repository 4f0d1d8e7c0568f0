#pragma once
// Lists of resources as manifests write them, and the names that Kubernetes lets resources have.

#include "io/object_reader.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

struct NamedQuantity {
  std::string name;
  Quantity quantity;
  const Value* value = nullptr;
};
using NamedQuantities = std::vector<NamedQuantity>;  // sorted by name

// The quantities of the mapping `key`; wrong and negative ones are complained about and left out.
NamedQuantities read_quantities(ObjectReader& parent, std::string_view key);
// nullptr if absent.
const NamedQuantity* find_quantity(const NamedQuantities& quantities, std::string_view name);
// "spec.hard[pods]"
std::string key_path(const ObjectReader& parent, std::string_view key, std::string_view name);

// In milli-CPU or in units; rounded up, or down as what a whole amount is at most.
ResourceList amounts(const NamedQuantities& quantities);
ResourceList amounts_at_most(const NamedQuantities& quantities);

// Native resources but for hugepages (apis/core/helper, IsOvercommitAllowed).
bool may_overcommit(std::string_view resource);
// Those that containers ask for and kubelets share out as devices (IsExtendedResourceName).
bool is_extended(const std::string& resource);

// What is wrong with the name of a resource of a container, or of a quota (apis/core/validation).
NameProblems check_container_resource(std::string_view name);
NameProblems check_quota_resource(std::string_view name);
// Complains about every name that breaks the rule.
void check_resource_names(ObjectReader& parent, std::string_view key, const NamedQuantities& quantities, NameRule rule);

}  // namespace kisim

#pragma once
// Arithmetic on what pods ask for, and how Kubernetes writes it.

#include "cluster/objects.hpp"

#include <string>
#include <string_view>

namespace kisim {

// cpu, requests.cpu, limits.cpu: counted in milli-CPU.
bool measures_cpu(std::string_view resource);

// nullptr if absent.
const int64_t* find_amount(const ResourceList& list, std::string_view resource);
// The amount of a resource, made if absent.
int64_t& amount_at(ResourceList& list, const std::string& resource);
// `sum` ends at the largest int64.
void add_amounts(ResourceList& sum, const ResourceList& more);

// What the containers of a pod need at once of `list`, their requests or limits: all containers and sidecars, or an
// init container beside the sidecars before it (component-helpers/resource, AggregateContainerRequests).
ResourceList container_sum(const PodSpec& spec, ResourceList Container::*list);
// The same of the pod: what it says as a whole stands in place of its containers (PodRequests, PodLimits without
// overhead).
ResourceList pod_requests(const PodSpec& spec);
ResourceList pod_limits(const PodSpec& spec);

// "1500m", "3Gi", "8": a quantity in the canonical form of apimachinery's resource.Quantity. Memory and storage are
// written in powers of 1024 where they are multiples of it, whichever way the user wrote them.
std::string amount_text(std::string_view resource, int64_t amount);

}  // namespace kisim

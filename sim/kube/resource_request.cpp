#include "kube/resource_request.hpp"

#include "cluster/resource_amounts.hpp"

#include <algorithm>

namespace kisim {

namespace {

int64_t in_milli(const std::string& resource, int64_t amount) { return resource == "cpu" ? amount : amount * 1000; }

// Exactly, with what the border rounded up to whole units taken back.
int64_t container_milli(const Container& container, const std::string& resource) {
  const int64_t* amount = find_amount(container.requests, resource);
  if (!amount) return kNoRequest;
  const int64_t* rounded = resource == "cpu" ? nullptr : find_amount(container.rounded_up, resource);
  constexpr int64_t kBillionthsPerMilli = 1'000'000;
  return in_milli(resource, *amount) - (rounded ? *rounded / kBillionthsPerMilli : 0);
}

// Containers first, then sidecars: the order in which the controller looks for a request that is missing.
template <class Callback>
void for_each_container(const PodSpec& spec, Callback&& callback) {
  for (const Container& c : spec.containers) callback(c);
  for (const Container& c : spec.init_containers)
    if (c.sidecar) callback(c);
}

bool requests_anywhere(const PodSpec& spec, const std::string& resource) {
  auto requests = [&](const Container& c) { return find_amount(c.requests, resource) != nullptr; };
  return find_amount(*spec.pod_requests, resource) || find_amount(spec.overhead, resource) ||
         std::any_of(spec.containers.begin(), spec.containers.end(), requests) ||
         std::any_of(spec.init_containers.begin(), spec.init_containers.end(), requests);
}

int64_t pod_milli(const PodTemplateModel& pods, const std::string& resource) {
  if (!requests_anywhere(pods.spec, resource)) return kNoPodRequest;
  if (resource == "cpu") return pods.request[kCpu.value];
  if (resource == "memory") return in_milli(resource, pods.request[kMemory.value]);
  return kNoPodRequest;
}

}  // namespace

int64_t request_milli(const PodTemplateModel& pods, const MetricSpec& metric) {
  bool named = metric.source == MetricSpec::Source::ContainerResource;
  if (!named && pods.spec.pod_requests && !pods.spec.pod_requests->empty()) return pod_milli(pods, metric.name);
  int64_t sum = named ? kNoContainer : 0;
  for_each_container(pods.spec, [&](const Container& c) {
    if (sum == kNoRequest || (named && c.name != metric.container)) return;
    int64_t request = container_milli(c, metric.name);
    sum = request < 0 ? kNoRequest : std::max<int64_t>(sum, 0) + request;
  });
  return sum;
}

std::string container_without_request(const PodTemplateModel& pods, const MetricSpec& metric) {
  bool named = metric.source == MetricSpec::Source::ContainerResource;
  std::string found;
  for_each_container(pods.spec, [&](const Container& c) {
    if (found.empty() && (!named || c.name == metric.container) && container_milli(c, metric.name) < 0) found = c.name;
  });
  return found;
}

}  // namespace kisim

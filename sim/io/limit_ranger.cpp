#include "io/limit_ranger.hpp"

#include "cluster/resource_amounts.hpp"
#include "io/field_error.hpp"
#include "io/manifest_resources.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace kisim {

namespace {

using Type = LimitRange::Item::Type;

// Beyond this, Kubernetes compares whole units and not thousandths (api/resource, MaxMilliValue).
constexpr int64_t kMaxMilliValue = INT64_MAX / 1000;

void fill_absent(const ResourceList& from, ResourceList& list) {
  for (const auto& [resource, amount] : from)
    if (!find_amount(list, resource)) amount_at(list, resource) = amount;
}

// As Go joins errors: each once, several in brackets.
std::string joined(const std::vector<std::string>& messages) {
  std::vector<std::string> unique;
  for (const std::string& message : messages)
    if (std::find(unique.begin(), unique.end(), message) == unique.end()) unique.push_back(message);
  std::string list;
  for (const std::string& message : unique) list += (list.empty() ? "" : ", ") + message;
  return unique.size() > 1 ? "[" + list + "]" : list;
}

// One container, or the pod as a whole, against one item of a range.
class Enforcer {
 public:
  Enforcer(const LimitRange::Item& item, std::vector<std::string>& messages)
      : item_(item), per_(item.type == Type::Pod ? "Pod" : "Container"), messages_(messages) {}

  void check(const ResourceList& requests, const ResourceList& limits) {
    for (const auto& [resource, least] : item_.min)
      check_min(resource, least, find_amount(requests, resource), find_amount(limits, resource));
    for (const auto& [resource, most] : item_.max)
      check_max(resource, most, find_amount(requests, resource), find_amount(limits, resource));
    for (const auto& [resource, ratio] : item_.max_limit_request_ratio)
      check_ratio(resource, ratio, find_amount(requests, resource), find_amount(limits, resource));
  }

 private:
  void complain(const char* bound, const std::string& resource, int64_t amount, const std::string& found) {
    messages_.push_back(
        fmt::format("{} {} usage per {} is {}{}", bound, resource, per_, amount_text(resource, amount), found));
  }

  void check_min(const std::string& resource, int64_t least, const int64_t* request, const int64_t* limit) {
    if (!request)
      complain("minimum", resource, least, ".  No request is specified");
    else if (*request < least)
      complain("minimum", resource, least, ", but request is " + amount_text(resource, *request));
    else if (limit && *limit < least)
      complain("minimum", resource, least, ", but limit is " + amount_text(resource, *limit));
  }

  void check_max(const std::string& resource, int64_t most, const int64_t* request, const int64_t* limit) {
    if (!limit)
      complain("maximum", resource, most, ".  No limit is specified");
    else if (*limit > most)
      complain("maximum", resource, most, ", but limit is " + amount_text(resource, *limit));
    else if (request && *request > most)
      complain("maximum", resource, most, ", but request is " + amount_text(resource, *request));
  }

  void check_ratio(const std::string& resource, double ratio, const int64_t* request, const int64_t* limit) {
    const int64_t thousandths = std::llround(ratio * 1000);
    auto fail = [&](const std::string& why) {
      messages_.push_back(fmt::format("{} max limit to request ratio per {} is {}, but {}", resource, per_,
                                      amount_text("cpu", thousandths), why));
    };
    if (!request || *request == 0) return fail("no request is specified or request is 0");
    if (!limit || *limit == 0) return fail("no limit is specified or limit is 0");
    const bool fine = !measures_cpu(resource) && *request <= kMaxMilliValue && *limit <= kMaxMilliValue;
    const int64_t scale = fine ? 1000 : 1;
    const double observed = static_cast<double>(*limit * scale) / static_cast<double>(*request * scale);
    if (observed * 1000 > static_cast<double>(thousandths)) fail(fmt::format("provided ratio is {:f}", observed));
  }

  const LimitRange::Item& item_;
  const char* per_;
  std::vector<std::string>& messages_;
};

void check_container(const Container& container, const std::string& path, std::vector<std::string>& messages) {
  for (const auto& [resource, request] : container.requests) {
    const int64_t* limit = find_amount(container.limits, resource);
    const bool overcommit = may_overcommit(resource);
    if (!limit && !overcommit)
      messages.push_back(path + ".limits: " + required_value("Limit must be set for non overcommitable resources"));
    if (!limit || (overcommit ? request <= *limit : request == *limit)) continue;
    messages.push_back(
        path + ".requests: " +
        invalid_value(quote(amount_text(resource, request)),
                      fmt::format("must be {} {} limit of {}", overcommit ? "less than or equal to" : "equal to",
                                  resource, amount_text(resource, *limit))));
  }
}

}  // namespace

void set_limit_defaults(const LimitRange& range, PodSpec& pod) {
  for (const LimitRange::Item& item : range.limits) {
    if (item.type != Type::Container) continue;
    for (std::vector<Container>* list : {&pod.containers, &pod.init_containers})
      for (Container& c : *list) {
        fill_absent(item.default_limit, c.limits);
        fill_absent(item.default_request, c.requests);
      }
  }
}

std::string limit_violations(const LimitRange& range, const PodSpec& pod) {
  std::vector<std::string> messages;
  for (const LimitRange::Item& item : range.limits) {
    Enforcer enforcer(item, messages);
    if (item.type == Type::Pod) {
      enforcer.check(pod_requests(pod), pod_limits(pod));
      continue;
    }
    for (const std::vector<Container>* list : {&pod.containers, &pod.init_containers})
      for (const Container& c : *list) enforcer.check(c.requests, c.limits);
  }
  return joined(messages);
}

std::string invalid_resources(const PodSpec& pod) {
  std::vector<std::string> messages;
  for (size_t i = 0; i < pod.containers.size(); ++i)
    check_container(pod.containers[i], fmt::format("spec.containers[{}].resources", i), messages);
  for (size_t i = 0; i < pod.init_containers.size(); ++i)
    check_container(pod.init_containers[i], fmt::format("spec.initContainers[{}].resources", i), messages);
  if (!pod.pod_requests) return joined(messages);
  for (const auto& [resource, amount] : container_sum(pod, &Container::requests)) {
    const int64_t* request = find_amount(*pod.pod_requests, resource);
    if (request && *request < amount)
      messages.push_back(
          fmt::format("spec.resources.requests[{}]: ", resource) +
          invalid_value(quote(amount_text(resource, *request)),
                        fmt::format("must be greater than or equal to aggregate container requests of {}",
                                    amount_text(resource, amount))));
  }
  return joined(messages);
}

}  // namespace kisim

// What pods use of quotas, and how amounts are written.
#include "cluster/resource_quota.hpp"

#include "cluster/resource_amounts.hpp"
#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

PodSpec spec_of(const std::string& spec) { return good(pod(spec)).pods.at(0).spec; }

ResourceQuota quota(const std::string& spec) {
  return good("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: team}\nspec: " + spec + "\n")
      .resource_quotas.at(0);
}

const std::string kTwo = R"(
containers:
- {name: a, image: i, resources: {requests: {cpu: 1500m, memory: 1Gi}, limits: {memory: 2Gi, nvidia.com/gpu: 2}}}
- {name: b, image: i, resources: {requests: {cpu: 500m}}}
initContainers:
- {name: c, image: i, resources: {requests: {cpu: 3}, limits: {cpu: 4}}}
overhead: {cpu: 250m, memory: 64Mi}
)";

}  // namespace

TEST_CASE("amounts are written as Kubernetes prints quantities") {
  const std::pair<const char*, std::pair<int64_t, const char*>> rows[] = {
      {"cpu", {500, "500m"}},        {"cpu", {2000, "2"}},           {"requests.cpu", {1500, "1500m"}},
      {"cpu", {2'000'000, "2k"}},    {"memory", {1ll << 30, "1Gi"}}, {"limits.memory", {1536, "1536"}},
      {"memory", {1'000'000, "1M"}}, {"memory", {0, "0"}},           {"ephemeral-storage", {3ll << 20, "3Mi"}},
      {"pods", {2048, "2048"}},      {"nvidia.com/gpu", {8, "8"}},   {"requests.hugepages-2Mi", {4096, "4Ki"}}};
  for (const auto& [resource, row] : rows) {
    INFO(resource << " " << row.first);
    CHECK(amount_text(resource, row.first) == row.second);
  }
}

TEST_CASE("a quota holds amounts by name; what counts no pods is left out with a note") {
  Read r = read(
      "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {requests.cpu: 1.5, limits.memory: 1Gi, "
      "count/pods: 3, requests.nvidia.com/gpu: 1500m, services: 5, count/deployments.apps: 2, requests.storage: "
      "1Ti}}\n");
  CHECK(r.warnings().empty());
  CHECK(r.objects.resource_quotas[0].hard ==
        ResourceList{
            {"count/pods", 3}, {"limits.memory", 1ll << 30}, {"requests.cpu", 1500}, {"requests.nvidia.com/gpu", 1}});
  CHECK(r.notes() ==
        std::vector<std::string>{"m.yaml:4:138: spec.hard[count/deployments.apps]: counts no pods, ignored (3 times)"});
}

TEST_CASE("what a pod uses of quotas") {
  CHECK(quota_usage(spec_of(kTwo)) == ResourceList{{"count/pods", 1},
                                                   {"cpu", 3250},
                                                   {"limits.cpu", 4250},
                                                   {"limits.memory", (2ll << 30) + (64ll << 20)},
                                                   {"memory", (1ll << 30) + (64ll << 20)},
                                                   {"pods", 1},
                                                   {"requests.cpu", 3250},
                                                   {"requests.memory", (1ll << 30) + (64ll << 20)},
                                                   {"requests.nvidia.com/gpu", 2}});
  CHECK(*find_amount(quota_usage(spec_of("resources: {requests: {cpu: 6}}" + kTwo)), "requests.cpu") == 6250);
}

TEST_CASE("what containers must say where a quota limits it") {
  const PodSpec two = spec_of(kTwo);
  CHECK(unspecified(quota("{hard: {requests.cpu: 4, pods: 2, requests.nvidia.com/gpu: 1}}"), two).empty());
  CHECK(unspecified(quota("{hard: {memory: 4Gi}}"), two) == "must specify memory for: b,c");
  CHECK(unspecified(quota("{hard: {requests.memory: 4Gi, limits.cpu: 4}}"), two) ==
        "must specify limits.cpu for: a,b; requests.memory for: b,c");
  CHECK(unspecified(quota("{hard: {memory: 4Gi}}"), spec_of("resources: {requests: {cpu: 6}}" + kTwo)).empty());
}

TEST_CASE("what is more than a quota allows") {
  const ResourceQuota team = quota("{hard: {pods: 2, requests.cpu: 3, requests.memory: 1Gi}}");
  const ResourceList usage{{"limits.cpu", 9000}, {"pods", 1}, {"requests.cpu", 1500}, {"requests.memory", 1ll << 30}};
  CHECK(exceeded(team, usage, {{"pods", 1}, {"requests.cpu", 1500}}).empty());
  CHECK(exceeded(team, usage, {{"pods", 2}, {"requests.cpu", 1501}}) ==
        "exceeded quota: team, requested: pods=1,requests.cpu=1500m, used: pods=2,requests.cpu=1501m, limited: "
        "pods=2,requests.cpu=3");
  CHECK(exceeded(team, {{"requests.memory", (1ll << 30) + 1}}, {}) ==
        "exceeded quota: team, requested: requests.memory=1073741825, used: requests.memory=0, limited: "
        "requests.memory=1Gi");
  // Nothing asked for is nothing exceeded, even of a quota that is overdrawn.
  CHECK(exceeded(team, {{"pods", 0}}, {{"pods", 3}}).empty());
}

TEST_CASE("all scopes of a quota must hold for a pod to count") {
  const PodSpec idle = spec_of(kContainers), two = spec_of(kTwo);
  const PodSpec ending = spec_of(kContainers + "activeDeadlineSeconds: 5");
  PodSpec gold = idle;
  gold.priority_class_name = "gold";

  CHECK(covers(quota("{hard: {pods: 2}}"), idle));
  CHECK_FALSE(covers(quota("{hard: {}}"), idle));
  CHECK(covers(quota("{hard: {pods: 2}, scopes: [BestEffort]}"), idle));
  CHECK_FALSE(covers(quota("{hard: {pods: 2}, scopes: [BestEffort]}"), two));
  CHECK(covers(quota("{hard: {pods: 2}, scopes: [NotBestEffort, NotTerminating]}"), two));
  CHECK(covers(quota("{hard: {pods: 2}, scopes: [Terminating]}"), ending));
  CHECK_FALSE(covers(quota("{hard: {pods: 2}, scopes: [BestEffort, NotTerminating]}"), ending));
  CHECK(covers(quota("{hard: {pods: 2}, scopes: [PriorityClass]}"), gold));
  CHECK_FALSE(covers(quota("{hard: {pods: 2}, scopes: [PriorityClass]}"), idle));

  auto by_class = [](const std::string& rest) {
    return quota("{hard: {pods: 2}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, " + rest + "}]}}");
  };
  CHECK(covers(by_class("operator: In, values: [gold, silver]"), gold));
  CHECK_FALSE(covers(by_class("operator: In, values: [silver]"), gold));
  CHECK(covers(by_class("operator: NotIn, values: [gold]"), idle));
  CHECK_FALSE(covers(by_class("operator: NotIn, values: [gold]"), gold));
  CHECK(covers(by_class("operator: DoesNotExist"), idle));
}

TEST_CASE("quotas of other things than kisim's pods") {
  const std::string head = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: ";
  Read volumes = read(head +
                      "{hard: {persistentvolumeclaims: 2}, scopeSelector: {matchExpressions: [{scopeName: "
                      "VolumeAttributesClass, operator: In, values: [gold]}]}}\n");
  CHECK(volumes.errors().empty());
  CHECK(volumes.warnings().empty());
  CHECK(volumes.objects.resource_quotas.empty());
}

TEST_CASE("a quota of pods that look at those of other namespaces") {
  ResourceQuota across = good(
                             "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: 0}, "
                             "scopes: [CrossNamespacePodAffinity]}\n")
                             .resource_quotas.at(0);
  PodSpec pod;
  CHECK_FALSE(covers(across, pod));
  PodAffinityTerm term{.label_selector = LabelSelector{}, .topology_key = "zone"};
  pod.pod_affinity.required = {term};
  CHECK_FALSE(covers(across, pod));
  term.namespaces = {"team"};
  pod.pod_anti_affinity.preferred = {{1, term}};
  CHECK(covers(across, pod));
  pod.pod_anti_affinity.preferred[0].term = {.label_selector = LabelSelector{}, .namespace_selector = LabelSelector{}};
  CHECK(covers(across, pod));
}

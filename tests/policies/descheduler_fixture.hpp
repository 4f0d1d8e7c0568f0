#pragma once
// A small cluster under the descheduler, put together by hand.

#include "kube/descheduler_cycle.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace kisim::test {

using Texts = std::vector<std::string>;

inline constexpr int64_t kGiB = 1ll << 30;
inline constexpr Time kNow{100'000'000'000'000};

// A pod as a test writes it down: one of ReplicaSet "rs", running, an hour old, without requests.
struct PodDraft {
  std::string name;
  std::string namespace_ = "default";
  PodTemplate pods;
  DeschedulerTemplate facts;
  DeschedulerPod status;
};

class DeschedulerFixture {
 public:
  NodeId node(const std::string& name, Labels labels = {},
              ResourceList allocatable = {{"cpu", 10'000}, {"memory", 64 * kGiB}, {"pods", 110}}) {
    Node object;
    object.meta.name = name;
    object.meta.labels = std::move(labels);
    object.capacity = object.allocatable = std::move(allocatable);
    nodes.push_back(object);
    return NodeId(nodes.size() - 1);
  }

  PodDraft& pod(const std::string& name, NodeId node, ResourceList requests = {}) {
    PodDraft& out = pods.emplace_back();
    out.name = name;
    out.pods.spec.containers.push_back({"server", "server:1", std::move(requests)});
    out.facts.owners = {{"ReplicaSet", "rs", "uid-rs"}};
    out.facts.priority = 0;
    out.status.node = node;
    out.status.created = kNow - Duration::seconds(3600);
    out.status.start_time = out.status.created;
    return out;
  }

  // Runs one cycle; the names of the pods whose eviction was accepted, in order.
  Texts run(const DeschedulerPolicy& policy, const EvictPod& evict = {}) {
    ClusterBuilder builder({});
    for (const auto& [name, labels] : namespaces) {
      Namespace object;
      object.meta.name = name;
      object.meta.labels = labels;
      builder.add_namespace(object);
    }
    for (const Node& object : nodes) builder.add_node(object);
    for (const PodDisruptionBudget& budget : budgets) builder.add_budget(budget);
    for (const PodDraft& draft : pods) builder.add_template(draft.namespace_, draft.pods);
    model = std::move(builder).build();

    snapshot = {};
    snapshot.now = kNow;
    snapshot.metrics = metrics;
    for (size_t n = 0; n < nodes.size(); ++n)
      snapshot.nodes.push_back(
          descheduler_node(model, NodeId(n), n < conditions.size() ? conditions[n] : NodeConditions()));
    for (size_t p = 0; p < pods.size(); ++p) add_pod(p);
    report = Descheduler(policy).run(DeschedulerView(model, snapshot), evict);
    Texts out;
    for (const DeschedulerEviction& e : report.evictions)
      if (e.result == DeschedulerResult::Success) out.push_back(pods[e.pod.value].name);
    return out;
  }

  // How many pods the only plugin left alone for this reason.
  int64_t kept(std::string_view reason) const {
    const auto& kept = report.strategies.at(0).kept;
    auto found = kept.find(reason);
    return found == kept.end() ? 0 : found->second;
  }

  std::deque<Node> nodes;
  std::deque<PodDraft> pods;
  std::vector<std::pair<std::string, Labels>> namespaces;
  std::vector<PodDisruptionBudget> budgets;
  std::vector<NodeConditions> conditions;  // by node, as far as given
  DeschedulerMetrics metrics;
  // Pods with these indices take the template of the one before: same workload.
  std::set<size_t> same_template;

  ClusterModel model;
  DeschedulerSnapshot snapshot;
  DeschedulerReport report;

 private:
  void add_pod(size_t p) {
    size_t t = p;
    while (same_template.contains(t)) --t;
    DeschedulerTemplate facts = descheduler_template(model.templates[TemplateId(p)]);
    DeschedulerTemplate& drafted = pods[p].facts;
    drafted.evict |= facts.evict;
    drafted.prefer_no_eviction |= facts.prefer_no_eviction;
    drafted.mirror |= facts.mirror;
    drafted.is_static |= facts.is_static;
    drafted.qos = facts.qos;
    snapshot.templates.push_back(drafted);
    DeschedulerPod status = pods[p].status;
    status.pod = PodId(p);
    status.pod_template = TemplateId(t);
    snapshot.pods.push_back(std::move(status));
  }
};

// One profile that runs one plugin.
template <class Args>
DeschedulerPolicy policy_of(const std::string& plugin, Args args, DefaultEvictorArgs evictor = {}) {
  DeschedulerProfile profile;
  profile.name = "p";
  profile.plugin_config[plugin].args = std::move(args);
  profile.plugin_config["DefaultEvictor"].args = std::move(evictor);
  Params params;
  const auto* entry = Registry<DeschedulerPlugin>::instance().find(plugin);
  (entry->make(params)->points().balance ? profile.balance : profile.deschedule) = {plugin};
  profile.filter = profile.pre_eviction_filter = {"DefaultEvictor"};
  DeschedulerPolicy out;
  out.profiles.push_back(std::move(profile));
  return out;
}

// Evicts whatever the evictor lets go: every pod is older than no time at all.
inline DeschedulerPolicy everything(DefaultEvictorArgs evictor = {}) {
  PodLifeTimeArgs args;
  args.max_pod_life_time_seconds = 0;
  return policy_of("PodLifeTime", args, std::move(evictor));
}

inline SelectorRequirement among(const std::string& key, std::vector<std::string> values) {
  return {key, SelectorOperator::In, std::move(values)};
}

}  // namespace kisim::test

#include "kube/descheduler_cycle.hpp"

#include "core/error.hpp"
#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {

namespace {

// The evictor plugins of a profile, for one cycle.
struct Evictors {
  std::map<std::string, std::unique_ptr<EvictorFilter>> all;  // by name
  std::vector<EvictorFilter*> filter, pre_eviction_filter;
};

std::unique_ptr<const DeschedulerPlugin> make_plugin(const std::string& name, const DeschedulerProfile& profile) {
  const auto* entry = Registry<DeschedulerPlugin>::instance().find(name);
  KISIM_INVARIANT(entry, "no plugin of the descheduler is named {}", name);
  auto config = profile.plugin_config.find(name);
  Params params;
  if (config != profile.plugin_config.end()) {
    auto complaint = fill_params(entry->params, config->second.params, params);
    KISIM_INVARIANT(!complaint, "plugin {}: {}", name, *complaint);
    params.set_args(config->second.args);
  }
  return entry->make(params);
}

std::vector<std::unique_ptr<const DeschedulerPlugin>> make_plugins(const std::vector<std::string>& names,
                                                                   const DeschedulerProfile& profile) {
  std::vector<std::unique_ptr<const DeschedulerPlugin>> out;
  for (const std::string& name : names) out.push_back(make_plugin(name, profile));
  return out;
}

using NamedPlugins = std::map<std::string, std::unique_ptr<const DeschedulerPlugin>>;

Evictors evictors(const NamedPlugins& plugins, const DeschedulerProfile& profile, const DeschedulerView& view) {
  Evictors out;
  for (const auto& [name, plugin] : plugins) out.all[name] = plugin->evictor(view);
  for (const std::string& name : profile.filter) out.filter.push_back(out.all.at(name).get());
  for (const std::string& name : profile.pre_eviction_filter) out.pre_eviction_filter.push_back(out.all.at(name).get());
  return out;
}

NamedPlugins make_evictors(const DeschedulerProfile& profile) {
  NamedPlugins out;
  for (const std::vector<std::string>* names : {&profile.filter, &profile.pre_eviction_filter})
    for (const std::string& name : *names)
      if (!out.contains(name)) out[name] = make_plugin(name, profile);
  return out;
}

// The limits of the policy, over all plugins of a cycle.
class Limits {
 public:
  Limits(const DeschedulerPolicy& policy, const DeschedulerView& view) : policy_(policy), nodes_(view.nodes(), 0) {}

  // Success if one more fits.
  DeschedulerResult check(NodeId node, const std::string& name) const {
    if (policy_.max_pods_total && total_ >= *policy_.max_pods_total) return DeschedulerResult::TotalLimit;
    if (policy_.max_pods_per_node && nodes_[node.value] >= *policy_.max_pods_per_node)
      return DeschedulerResult::NodeLimit;
    auto found = namespaces_.find(name);
    uint64_t evicted = found == namespaces_.end() ? 0 : found->second;
    if (policy_.max_pods_per_namespace && evicted >= *policy_.max_pods_per_namespace)
      return DeschedulerResult::NamespaceLimit;
    return DeschedulerResult::Success;
  }

  void count(NodeId node, const std::string& name) {
    ++total_;
    ++nodes_[node.value];
    ++namespaces_[name];
  }

 private:
  const DeschedulerPolicy& policy_;
  uint64_t total_ = 0;
  std::vector<uint64_t> nodes_;  // by NodeId
  std::map<std::string, uint64_t> namespaces_;
};

// What a plugin said last of each pod.
class Kept {
 public:
  explicit Kept(size_t pods) : reason_(pods, kNotLookedAt) {}

  void set(ViewPodId pod, KeepReason reason) {
    if (reason_[pod.value] != kRequested) reason_[pod.value] = number(reason);
  }
  void set_requested(ViewPodId pod) { reason_[pod.value] = kRequested; }

  std::map<std::string_view, int64_t> counts() const {
    std::vector<int64_t> counts(names_.size(), 0);
    for (uint16_t reason : reason_)
      if (reason < kRequested) ++counts[reason];
    std::map<std::string_view, int64_t> out;
    for (size_t i = 0; i < names_.size(); ++i)
      if (counts[i] > 0) out[names_[i]] = counts[i];
    return out;
  }

 private:
  static constexpr uint16_t kNotLookedAt = 0xffff, kRequested = 0xfffe;

  // Few texts, asked for again and again: the last one first.
  uint16_t number(KeepReason reason) {
    for (size_t i = names_.size(); i-- > 0;)
      if (names_[i] == reason) return static_cast<uint16_t>(i);
    names_.push_back(reason);
    return static_cast<uint16_t>(names_.size() - 1);
  }

  std::vector<uint16_t> reason_;  // by ViewPodId
  std::vector<std::string_view> names_;
};

class Handle final : public DeschedulerHandle {
 public:
  Handle(const DeschedulerView& view, std::span<const NodeId> nodes, const Evictors& evictors, Limits& limits,
         const EvictPod& evict, DeschedulerStrategy& strategy, DeschedulerReport& report)
      : DeschedulerHandle(view, nodes),
        evictors_(evictors),
        limits_(limits),
        evict_(evict),
        strategy_(strategy),
        report_(report),
        kept_(view.pods()) {}

  bool filter(ViewPodId pod) override {
    for (EvictorFilter* evictor : evictors_.filter)
      if (KeepReason reason = evictor->filter(pod); !reason.empty()) return kept_.set(pod, reason), false;
    return true;
  }

  bool pre_eviction_filter(ViewPodId pod) override {
    for (EvictorFilter* evictor : evictors_.pre_eviction_filter)
      if (KeepReason reason = evictor->pre_eviction_filter(pod); !reason.empty()) return kept_.set(pod, reason), false;
    return true;
  }

  DeschedulerResult evict(ViewPodId id, std::string reason) override {
    const DeschedulerPod& pod = view.pod(id);
    const std::string& name = view.template_of(id).namespace_;
    kept_.set_requested(id);
    DeschedulerEviction& eviction = report_.evictions.emplace_back();
    eviction = {pod.pod, pod.node, strategy_.profile, strategy_.strategy, std::move(reason), {}, {}};
    eviction.result = limits_.check(pod.node, name);
    if (eviction.result != DeschedulerResult::Success) return eviction.result;
    if (evict_)
      if (std::optional<std::string> refusal = evict_(eviction)) {
        eviction.refusal = *refusal;
        return eviction.result = DeschedulerResult::Error;
      }
    limits_.count(pod.node, name);
    ++strategy_.evicted;
    ++report_.evicted;
    return DeschedulerResult::Success;
  }

  void keep(ViewPodId pod, KeepReason reason) override { kept_.set(pod, reason); }
  void fail(std::string message) override { strategy_.error = std::move(message); }

  std::map<std::string_view, int64_t> kept() const { return kept_.counts(); }

 private:
  const Evictors& evictors_;
  Limits& limits_;
  const EvictPod& evict_;
  DeschedulerStrategy& strategy_;
  DeschedulerReport& report_;
  Kept kept_;
};

}  // namespace

std::string_view to_string(DeschedulerResult result) {
  switch (result) {
    case DeschedulerResult::Success:
      return "success";
    case DeschedulerResult::Error:
      return "error";
    case DeschedulerResult::NodeLimit:
      return "maximum number of evicted pods per node reached";
    case DeschedulerResult::NamespaceLimit:
      return "maximum number of evicted pods per namespace reached";
    case DeschedulerResult::TotalLimit:
      return "maximum number of evicted pods per a descheduling cycle reached";
  }
  return "?";
}

Descheduler::Descheduler(DeschedulerPolicy policy) : policy_(std::move(policy)) {
  for (const DeschedulerProfile& profile : policy_.profiles)
    profiles_.push_back(
        {make_plugins(profile.deschedule, profile), make_plugins(profile.balance, profile), make_evictors(profile)});
}

DeschedulerReport Descheduler::run(const DeschedulerView& view, const EvictPod& evict) const {
  DeschedulerReport report;
  const std::vector<NodeId> nodes = view.ready_nodes(policy_.node_selector);
  report.skipped = nodes.size() < 2;
  if (report.skipped) return report;

  Limits limits(policy_, view);
  std::vector<Evictors> by_profile;
  for (size_t p = 0; p < profiles_.size(); ++p)
    by_profile.push_back(evictors(profiles_[p].evictors, policy_.profiles[p], view));
  auto run_plugin = [&](size_t p, const DeschedulerPlugin& plugin, const std::string& name, auto point) {
    DeschedulerStrategy strategy{policy_.profiles[p].name, name, 0, {}, {}};
    Handle handle(view, nodes, by_profile[p], limits, evict, strategy, report);
    (plugin.*point)(handle);
    strategy.kept = handle.kept();
    report.strategies.push_back(std::move(strategy));
  };
  for (size_t p = 0; p < profiles_.size(); ++p)
    for (size_t i = 0; i < profiles_[p].deschedule.size(); ++i)
      run_plugin(p, *profiles_[p].deschedule[i], policy_.profiles[p].deschedule[i], &DeschedulerPlugin::deschedule);
  for (size_t p = 0; p < profiles_.size(); ++p)
    for (size_t i = 0; i < profiles_[p].balance.size(); ++i)
      run_plugin(p, *profiles_[p].balance[i], policy_.profiles[p].balance[i], &DeschedulerPlugin::balance);
  return report;
}

}  // namespace kisim

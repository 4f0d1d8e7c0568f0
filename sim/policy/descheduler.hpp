#pragma once
// Role: one plugin of the descheduler's framework, and the policy that says which of them run (descheduler/v1alpha2).
//
// A plugin looks at the cluster through DeschedulerView, asks the evictor plugins of its profile which pods may go, and
// requests evictions. Nothing of the cluster changes while a cycle runs.

#include "policy/descheduler_args.hpp"
#include "policy/descheduler_view.hpp"

#include <any>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// What became of a request to evict a pod: the label `result` of the metric descheduler_pods_evicted.
enum class DeschedulerResult : uint8_t {
  Success,
  Error,  // the Eviction API refused
  NodeLimit,
  NamespaceLimit,
  TotalLimit
};

// Why an evictor plugin keeps a pod, or a plugin passes over it; empty: it does not. A text that outlives the cycle.
using KeepReason = std::string_view;

// The answers of one evictor plugin in one cycle.
class EvictorFilter {
 public:
  virtual ~EvictorFilter() = default;
  virtual KeepReason filter(ViewPodId pod) = 0;
  virtual KeepReason pre_eviction_filter(ViewPodId pod) = 0;
};

// One plugin's side of one cycle.
class DeschedulerHandle {
 public:
  DeschedulerHandle(const DeschedulerView& view, std::span<const NodeId> nodes) : view(view), nodes(nodes) {}
  virtual ~DeschedulerHandle() = default;

  // Whether every evictor plugin of the profile lets the pod go; the first that does not has its reason counted.
  virtual bool filter(ViewPodId pod) = 0;
  virtual bool pre_eviction_filter(ViewPodId pod) = 0;
  // Within the limits of the policy. `reason` says which rule, with its numbers.
  virtual DeschedulerResult evict(ViewPodId pod, std::string reason) = 0;
  // Counts a pod that the plugin looked at and leaves alone. What it says last of a pod counts.
  virtual void keep(ViewPodId pod, KeepReason reason) = 0;
  // The plugin cannot do its work in this cycle.
  virtual void fail(std::string message) = 0;

  const DeschedulerView& view;
  const std::span<const NodeId> nodes;  // ready and admitted by the policy's nodeSelector, ascending
};

class DeschedulerPlugin {
 public:
  virtual ~DeschedulerPlugin() = default;

  // The extension points it implements; nothing else is called. `evictor` stands for filter and preEvictionFilter.
  struct Points {
    bool deschedule = false, balance = false, evictor = false;
  };
  virtual Points points() const = 0;

  virtual void deschedule(DeschedulerHandle&) const {}
  virtual void balance(DeschedulerHandle&) const {}
  // Never null where points() has `evictor`. The view outlives what is returned.
  virtual std::unique_ptr<EvictorFilter> evictor(const DeschedulerView&) const { return {}; }
};

// Arguments of a plugin: one of the structs of policy/descheduler_args.hpp, or scalars for a plugin that declares them.
struct DeschedulerPluginConfig {
  std::any args;
  std::map<std::string, std::string> params;
};

// Plugins run in the order listed. Every plugin named has an entry in plugin_config.
struct DeschedulerProfile {
  std::string name;
  std::map<std::string, DeschedulerPluginConfig> plugin_config;  // by plugin
  std::vector<std::string> deschedule, balance, filter, pre_eviction_filter;
};

struct DeschedulerPolicy {
  std::vector<DeschedulerProfile> profiles;
  SelectorArgument node_selector;
  // Accepted evictions in one cycle; none: no limit. Checked in this order.
  std::optional<uint64_t> max_pods_total, max_pods_per_node, max_pods_per_namespace;
  std::optional<int64_t> grace_period_seconds;  // of the evictions; none: that of the pod
  // metricsProviders: what fills DeschedulerMetrics.
  bool kubernetes_metrics = false, prometheus = false;
};

}  // namespace kisim

#pragma once
// The eviction managers of all kubelets (pkg/kubelet/eviction), as far as memory goes, and the kernel's OOM killer.
//
//   memory.available = allocatable memory − Σ usage of the node's pods; below the hard threshold of 100Mi the node is
//   under MemoryPressure until it has not been for 5 min (evictionPressureTransitionPeriod), and each look evicts one
//   pod: first those above their request, then by priority, then by usage − request. Critical pods stay.
//
// nodefs, imagefs and PIDs have no model here, nor has memory outside pods; a node that runs out of memory between two
// looks kills nobody.
//
// A kubelet looks every 10 s, at multiples of 10 s. Only those looks are events that can show something: of a node
// under pressure; of one where the most that its pods can come to (PodUsage::most_memory) is above the threshold or
// above a limit. What a pod uses without any request counts from its containers' start and never changes, so that nodes
// without a part per request are looked at only when their pods change. Limits: own parts above them kill at the start,
// parts per request at the next look.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/pod_usage.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

class EvictionManager {
 public:
  // `look` is the kind of event that comes back as on_look(), its target the node.
  EvictionManager(KubeState& state, Cluster& cluster, const PodUsage& usage, ApiServer& api, Engine& engine,
                  uint16_t look)
      : state_(state), cluster_(cluster), usage_(usage), api_(api), engine_(engine), look_(look) {}

  // Containers of the pod have started or ended, or their node runs again: plans the next look, if there is to be one.
  void watch(NodeId node);
  // The node's processes stop.
  void stop(NodeId node);

  // The limit that the pod's usage is above; nothing: none.
  bool over_limit(PodId pod) const;
  // The node's running pods that are above their limits.
  std::vector<PodId> over_limits(NodeId node) const;
  // Sets or clears MemoryPressure and says whom to evict.
  std::optional<PodId> synchronize(NodeId node);
  // Why, in the kubelet's words. To be asked before the pod ends.
  std::string message(PodId pod) const;

 private:
  int64_t available(NodeId node) const;
  bool short_of_memory(NodeId node) const;
  bool may_show_something(NodeId node) const;
  std::optional<PodId> victim(NodeId node) const;

  KubeState& state_;
  Cluster& cluster_;
  const PodUsage& usage_;
  ApiServer& api_;
  Engine& engine_;
  uint16_t look_;
};

}  // namespace kisim

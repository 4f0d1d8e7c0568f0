#pragma once
// The constant part of the scheduler: a profile of plugins, compiled against one cluster.

#include "kube/scheduling_queue.hpp"
#include "policy/param.hpp"
#include "policy/scheduler.hpp"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kisim {

// How the host is chosen among the nodes with the highest total.
enum class TieBreak : uint8_t {
  Seeded,  // each equally likely, from the pod's own random stream
  Heap,    // kube-scheduler >= 1.35 without extenders: the root of a max-heap built over the feasible nodes
  First,   // the first in visiting order
  Name     // the smallest name
};

// One plugin of a profile, as a user would configure it.
struct ProfilePlugin {
  std::string name;                           // as registered
  int32_t weight = 1;                         // of its scores; 0 means 1, as in Kubernetes
  std::map<std::string, std::string> params;  // as written
};

struct SchedulerConfig {
  int kubernetes_minor = 36;  // the x of Kubernetes 1.x
  uint64_t seed = 0;
  TieBreak tie_break = TieBreak::Seeded;
  int32_t percentage_of_nodes_to_score = 0;  // 0: adaptive
  Duration bind_latency;                     // from the decision to the bound pod
  SchedulingQueueModel queue;
  std::vector<ProfilePlugin> profile;  // in order of execution
};

// Kubernetes' default profile, as far as its plugins exist here, in their order and with their weights.
std::vector<ProfilePlugin> default_profile();

// The parameters of the scheduler policy "kube", and the configuration that checked values of them mean.
const std::vector<ParamSpec>& scheduler_params();
SchedulerConfig scheduler_config(const Params& params);

struct SchedulerModel {
  struct Plugin {
    std::string name;
    int64_t weight = 1;
    ExtensionPoints points = {};
    std::shared_ptr<const SchedulerPlugin> plugin;
    std::shared_ptr<const PluginData> data;
    uint32_t first_reason = 0;     // its reasons() start here in `reasons`
    uint32_t narrowed_reason = 0;  // of nodes that its PreFilter did not name
    ClusterEvents events = {};     // that may help a pod it rejected
  };

  std::vector<Plugin> plugins;                            // at most 64
  std::array<std::vector<uint8_t>, kExtensionPoints> at;  // per extension point: plugins in order of execution
  std::vector<std::string> reasons;
  std::vector<NodeId> node_order;         // round robin over zones, as nodes joined
  std::vector<int64_t> allocatable;       // node-major
  std::vector<uint64_t> workload_entity;  // start of the addresses of its pods' random streams
  // The leading filters that are static, asked once: per template, ready or not and node, 0 for a pass, else
  // 1 + 2 · position among the filters + (1 if unresolvable).
  size_t static_filters = 0;
  std::vector<uint8_t> static_verdicts;

  SchedulingQueueModel queue;
  uint64_t seed = 0;
  TieBreak tie_break = TieBreak::Seeded;
  int32_t percentage_of_nodes_to_score = 0;
  Duration bind_latency;

  const std::vector<uint8_t>& plugins_at(ExtensionPoint point) const { return at[static_cast<size_t>(point)]; }
  // Per node: the static verdict for pods of a template on nodes that are `ready`.
  const uint8_t* static_row(TemplateId pod_template, bool ready) const {
    return static_verdicts.data() + (pod_template.value * 2 + (ready ? 1 : 0)) * node_order.size();
  }
};

// `reasons` of every model starts with this one.
inline constexpr uint32_t kNoNodesReason = 0;

// Throws InputError on an unknown plugin, a bad parameter, or a profile that cannot sort or bind.
SchedulerModel compile_scheduler(const ClusterModel& cluster, const SchedulerConfig& config);

}  // namespace kisim

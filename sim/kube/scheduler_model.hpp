#pragma once
// The constant part of the scheduler: the profiles of a configuration, compiled against one cluster.

#include "kube/latencies.hpp"
#include "kube/scheduler_configuration.hpp"
#include "kube/scheduling_queue.hpp"
#include "policy/feature_gates.hpp"
#include "policy/param.hpp"
#include "policy/scheduler.hpp"

#include <array>
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

struct SchedulerConfig {
  int kubernetes_minor = 36;  // the x of Kubernetes 1.x
  FeatureGates gates{36};
  uint64_t seed = 0;
  TieBreak tie_break = TieBreak::Seeded;
  Duration bind_latency;  // from the decision to the bound pod
  ClientLimit client_limit;
  KubeSchedulerConfiguration configuration;
};

// The parameters of the scheduler policy "kube", and what checked values of them set in a configuration whose version
// is already known.
const std::vector<ParamSpec>& scheduler_params();
void set_scheduler_params(const Params& params, SchedulerConfig& config);

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
    Reads filter_reads = Reads::Cluster, score_reads = Reads::Cluster;
  };

  struct Profile {
    std::string scheduler_name;
    int32_t percentage_of_nodes_to_score = 0;               // 0: adaptive
    std::vector<Plugin> plugins;                            // at most 64
    std::array<std::vector<uint8_t>, kExtensionPoints> at;  // per extension point: plugins in order of execution
    // The leading filters that read no more than a node and its pods: their verdict is kept until the node changes.
    size_t kept_filters = 0;
    // Score plugins whose raw scores are kept likewise.
    std::vector<uint8_t> kept_scores;

    const std::vector<uint8_t>& plugins_at(ExtensionPoint point) const { return at[static_cast<size_t>(point)]; }
  };

  static constexpr uint8_t kNoProfile = 0xff;
  std::vector<Profile> profiles;
  IdVector<TemplateId, uint8_t> profile_of;  // kNoProfile: its schedulerName is nobody's, so the pods stay Pending
  DomainCounters counters;
  std::vector<std::string> reasons;
  // Of the kept filters, those that read the node alone, asked once: by static class of a template, ready or not and
  // entry of ClusterModel::nodes: 0 for a pass, else code_of() of the first that rejects.
  IdVector<TemplateId, uint32_t> static_class;
  std::vector<uint8_t> static_verdicts;
  size_t node_entries = 0;  // of ClusterModel::nodes

  KubeSchedulerConfiguration configuration;  // as given
  SchedulingQueueModel queue;
  int kubernetes_minor = 36;
  FeatureGates gates{36};
  uint64_t seed = 0;
  TieBreak tie_break = TieBreak::Seeded;
  Duration bind_latency;

  const Profile& profile(TemplateId id) const { return profiles[profile_of[id]]; }
  ClientLimit client_limit;  // of the binding calls
  const uint8_t* static_row(TemplateId id) const { return static_verdicts.data() + static_class[id] * node_entries; }
  // A rejection by the kept filter at a position, as one byte.
  static constexpr uint8_t code_of(size_t position, StatusCode code) {
    return static_cast<uint8_t>(1 + 2 * position + (code == StatusCode::UnschedulableAndUnresolvable));
  }
};

// `reasons` of every model starts with these.
inline constexpr uint32_t kNoNodesReason = 0;

// Throws InputError on an unknown plugin, a bad argument, or a profile that cannot sort or bind.
SchedulerModel compile_scheduler(const ClusterModel& cluster, const SchedulerConfig& config);

}  // namespace kisim

#pragma once
// The constant part of the control plane.

#include "cluster/cluster.hpp"
#include "core/distribution.hpp"
#include "kube/latencies.hpp"
#include "kube/pod_start.hpp"
#include "kube/scheduler.hpp"
#include "policy/agent.hpp"
#include "policy/autoscaler.hpp"
#include "policy/mig.hpp"
#include "policy/shield.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace kisim {

struct DeschedulerPolicy;
struct PolicyFile;
struct RecordedTarget;

// A hundred years, the longest run: what is to happen later never happens, and sums of two stay on the clock.
inline constexpr Duration kForever = 1_s * 3'155'760'000;

// The cold start of a workload's pods, drawn per pod. Sizes in bytes, rates in bytes/s, times in seconds.
//
// Weights reach the GPU at weights_bandwidth from the node's disk. WeightsFrom::Registry: a node that has never had
// them fetches them at registry_bandwidth, if that is slower, and keeps them. WeightsFrom::Peer: likewise, at
// peer_bandwidth where a replica with the same weights is ready on another node. What is compiled is kept by the node,
// too.
struct PodStartup {
  Distribution image_bytes = Distribution::constant(0), image_bandwidth = Distribution::constant(1);
  Distribution weights_bytes = Distribution::constant(0), weights_bandwidth = Distribution::constant(1);
  Distribution container = Distribution::constant(0);  // sandbox and container start
  Distribution engine = Distribution::constant(0);     // after the weights, beside the phases below
  WeightsFrom weights_from = WeightsFrom::Disk;
  Distribution registry_bandwidth = Distribution::constant(1), peer_bandwidth = Distribution::constant(1);
  Distribution compile = Distribution::constant(0), graph_capture = Distribution::constant(0),
               warmup = Distribution::constant(0);
  double slowdown = 1;     // of all of it
  uint32_t artefacts = 0;  // whose weights and compiled code these are: workloads of one number share them
};

// What pods do beside serving, drawn per pod.
struct PodBehaviour {
  std::optional<Distribution> run;  // seconds until the containers exit; none: never
  double failure = 0;               // probability that they exit with a failure
  // Cores and bytes: a part of their own, and a part per request that they serve at the moment.
  Distribution cpu = Distribution::constant(0), memory = Distribution::constant(0);
  double cpu_per_request = 0, memory_per_request = 0;
};

using AutoscalerId = Id<struct AutoscalerTag>;
using AgentId = Id<struct AgentTag>;

// Who scales a workload: a policy, mostly for a HorizontalPodAutoscaler.
struct AutoscalerBinding {
  WorkloadId workload;  // invalid: the object's target does not exist
  std::shared_ptr<const Autoscaler> policy;
  std::optional<HorizontalPodAutoscaler> object;
  int32_t min_replicas = 1, max_replicas = std::numeric_limits<int32_t>::max();
  // In place of the cluster: what the autoscaler is shown, and when.
  std::shared_ptr<const RecordedTarget> recorded;
  ShieldModel shield;
  AgentId agent;  // that scales the workload in its place, but for the decisions that its shield takes from it
};

// Who scales several workloads together.
struct AgentModel {
  struct Target {
    WorkloadId workload;
    int32_t min_replicas = 1, max_replicas = 1, gpus = 0;
    // What it is shown of its pods; without a name: nothing.
    MetricSpec running, waiting, usage, gpu_busy, cpu, memory;
  };
  std::string name, reason;  // reason: of its rescales
  uint64_t entity = 0;       // hash of Agent/<name>
  std::vector<Target> targets;
  std::shared_ptr<const AgentCoding> coding;
  std::vector<Feature> observation;
  ActionSpace actions;
  std::shared_ptr<const PolicyFile> policy;  // null: somebody else chooses its actions
  ShieldModel shield;
  Duration interval;
  Time start, end;                // of its decisions, and of the run
  std::vector<uint32_t> clients;  // of the Services behind which its workloads are
  std::vector<ServiceId> services;
};

using SpecId = Id<struct SpecTag>;

// One state of a workload's object as somebody wrote it: what the manifests say, and each later apply. The pods are in
// their template; `object` has none.
struct WorkloadSpec {
  std::variant<Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, Pod> object;
  TemplateId pod_template;
  std::optional<int32_t> replicas;  // none: an apply that leaves them as they are

  const LabelSelector* selector() const;  // of the object; nullptr: it has none
};

struct KubeWorkload {
  SpecId spec;        // at the start; invalid: it is created later
  ServiceId service;  // that its pods become endpoints of; invalid: none
  PodStartup startup;
  PodBehaviour behaviour;
};

// A ResourceQuota, against what one pod of each template uses of it.
struct QuotaModel {
  ResourceQuota object;
  IdVector<TemplateId, std::vector<int64_t>> charges;  // by entry of `hard`; empty: the template is not covered
};

struct MetricsSettings {
  Duration scrape_interval{15'000'000'000};
  std::optional<Duration> offset;       // of a workload's scrapes; none: random within the interval, per workload
  Duration delay;                       // from scrape to visibility
  Duration window{30'000'000'000};      // over which rates are taken
  Duration staleness{300'000'000'000};  // a value older than this is none
  // metrics-server (--metric-resolution): the period of its scrapes of the kubelets, and the window of their CPU rate.
  Duration resource_resolution{15'000'000'000}, resource_window{15'000'000'000};
  double dropout = 0;  // probability that a scrape fails
  double noise = 0;    // standard deviation of what is read of a scrape, relative
};

// Something that breaks, on its targets together or on each by itself. Times in seconds, drawn from its own stream.
struct Fault {
  enum class Kind : uint8_t {
    NodeLoss,
    GpuFailure,
    NvlinkFailure,
    RegistryFailure,
    RegistrySlow,
    CrashLoop,
    OomKill,
    MetricsOutage
  } kind = Kind::NodeLoss;
  std::vector<NodeId> nodes;  // NodeLoss: all of them at once; GpuFailure, NvlinkFailure: one
  WorkloadId workload;        // CrashLoop, OomKill
  int32_t gpus = 1;
  double factor = 1;  // RegistrySlow
  std::optional<Distribution> at, every;
  double rate = 1;                                // how many times as often as `every` says
  Distribution for_ = Distribution::constant(0);  // 0: for good
  uint64_t entity = 0;                            // address of its stream
};

// Something that an operator does.
struct Action {
  enum class Kind : uint8_t {
    ApplyWorkload,
    Scale,
    Restart,
    DeleteWorkload,
    DeleteNamespace,
    ApplyNode,
    DeleteNode,
    Cordon,
    Uncordon,
    Drain,
    Reconfigure
  } kind = Kind::ApplyWorkload;
  Time at;
  WorkloadId workload;
  SpecId spec;  // ApplyWorkload, Restart
  int32_t replicas = 0;
  enum class Cascade : uint8_t { Background, Foreground, Orphan } cascade = Cascade::Background;
  std::string namespace_;
  NodeId node, version;  // ApplyNode: an entry of ClusterModel::nodes
  bool ignore_daemon_sets = true, delete_empty_dir_data = true, force = false;
  std::optional<Duration> grace_period, timeout;
  uint32_t mig_node = 0, mig_config = 0;  // Reconfigure: of KubeModel::mig_nodes, and of its configs
};

// A node whose GPUs may be cut anew, and what its object then is: entries of ClusterModel::nodes.
struct MigNode {
  NodeId node;
  // What it is while it is not cut yet, and where it could not be: its labels and devices of before, but for the labels
  // nvidia.com/mig.config and nvidia.com/mig.config.state.
  struct From {
    NodeId before, pending, failed;
  };
  struct Config {
    std::string name;  // of the label
    NodeId success;
    std::vector<From> from;                          // by every object that it may have had before
    Distribution takes = Distribution::constant(0);  // seconds, once no pod holds a device
    std::optional<Duration> grace_period, timeout;   // of the drain
  };
  std::vector<Config> configs;
  uint64_t entity = 0;  // address of its streams
};

// Who has nodes cut anew while the cluster runs.
struct MigPolicyModel {
  std::shared_ptr<const MigPolicy> policy;
  Duration interval;
  std::vector<std::string> configs;
  struct Node {
    uint32_t mig_node = 0, first_config = 0;  // the first of `configs` among MigNode::configs; the others follow
  };
  std::vector<Node> nodes;
};

// A group of nodes that the cluster autoscaler sizes. Its nodes are entries of ClusterModel::nodes, made when needed.
struct NodeGroup {
  std::string name;
  std::vector<NodeId> nodes;  // all that it can ever have, in the order in which they are made
  int32_t min = 0, max = 0, initial = 0;
  Distribution provision = Distribution::constant(0);  // seconds
  double failure = 0, price = 0;
  int32_t priority = 0;
};

struct ClusterAutoscalerModel {
  std::vector<NodeGroup> groups;
  enum class Expander : uint8_t { Random, MostPods, LeastWaste, LeastNodes, Price, Priority };
  std::vector<Expander> expanders;
  Duration scan_interval{10'000'000'000}, new_pod_scale_up_delay, max_node_provision_time{900'000'000'000};
  bool scale_down_enabled = true;
  double utilization_threshold = 0.5;
  Duration unneeded_time{600'000'000'000}, unready_time{1'200'000'000'000};
  Duration delay_after_add{600'000'000'000}, delay_after_failure{180'000'000'000}, delay_after_delete{10'000'000'000};
  Duration max_graceful_termination{600'000'000'000};
  int32_t max_nodes_total = 0;
  bool skip_nodes_with_system_pods = true, skip_nodes_with_local_storage = true;
};

struct DeschedulerModel {
  std::shared_ptr<const DeschedulerPolicy> policy;
  Duration interval;
  Time at;
  bool dry_run = false;
};

// kube-controller-manager --node-monitor-grace-period: from the last heartbeat to NotReady. 50 s since 1.32.
inline constexpr Duration kNodeMonitorGracePeriod = 50_s;
// Admission plugin DefaultTolerationSeconds: how long a pod stays bound to an unreachable node.
inline constexpr Duration kDefaultUnreachableToleration = 300_s;
// kube-controller-manager --horizontal-pod-autoscaler-sync-period.
inline constexpr Duration kHpaSyncPeriod = 15_s;

struct KubeModel {
  int32_t minor = 36;  // of Kubernetes 1.x
  uint64_t seed = 0;
  Latencies latencies;
  SchedulerModel scheduler;
  IdVector<WorkloadId, KubeWorkload> workloads;  // as in ClusterModel
  IdVector<SpecId, WorkloadSpec> specs;
  IdVector<AutoscalerId, AutoscalerBinding> autoscalers;
  IdVector<AgentId, AgentModel> agents;
  std::vector<QuotaModel> quotas;
  MetricsSettings metrics;
  std::vector<Fault> faults;
  std::vector<Action> actions;
  std::vector<MigNode> mig_nodes;
  std::optional<MigPolicyModel> mig_policy;
  std::optional<ClusterAutoscalerModel> cluster_autoscaler;
  std::optional<DeschedulerModel> descheduler;
};

inline const LabelSelector* WorkloadSpec::selector() const {
  return std::visit(
      [](const auto& o) -> const LabelSelector* {
        if constexpr (requires { o.selector; }) return &o.selector;
        return nullptr;
      },
      object);
}

}  // namespace kisim

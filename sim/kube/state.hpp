#pragma once
// The part of the control plane that changes. Copying it copies the future.

#include "core/random.hpp"
#include "kube/agent_state.hpp"
#include "kube/autoscaler_state.hpp"
#include "kube/client_limiter.hpp"
#include "kube/cluster_autoscaler_state.hpp"
#include "kube/kubelet_state.hpp"
#include "kube/metrics_state.hpp"
#include "kube/model.hpp"
#include "kube/scheduler.hpp"
#include "kube/statistics.hpp"
#include "policy/memory.hpp"

#include <array>
#include <string>
#include <vector>

namespace kisim {

// A condition of an object's status. `type` and `reason` live as long as the program.
struct Condition {
  std::string_view type;
  bool status = false;
  std::string_view reason;
  std::string message;
  Time since;  // lastTransitionTime: of the status
};

// What a work queue's rate limiter remembers of an item.
struct Backoff {
  int32_t failures = 0;  // in a row
  Time until;            // nothing is created before, unless an event gives the item a turn
};

struct ReplicaSetState {
  TemplateId pod_template;
  int32_t replicas = 0;  // spec.replicas
  // Annotations deployment.kubernetes.io/desired-replicas and max-replicas: what its Deployment wanted when it last
  // looked, and with maxSurge.
  int32_t desired = 0, most = 0;
  Time created;
  Backoff backoff;
};

// What of a Deployment's status tells whether its rollout moves.
struct RolloutProgress {
  int32_t updated = 0, old = 0, ready = 0, available = 0;
  Time moved;             // when one of them last did
  bool complete = false;  // and the same for the revision that runs now
  bool operator==(const RolloutProgress&) const = default;
};

enum class JobEnd : uint8_t { None, Complete, Failed };

struct JobState {
  Time started;          // status.startTime
  bool running = false;  // started and not suspended
  JobEnd end = JobEnd::None;
  Time ended;
  // Of its pods that are gone: what its status keeps of them.
  struct Gone {
    uint32_t index = PodState::kNoIndex;
    bool succeeded = false;
    Time at;
  };
  std::vector<Gone> gone;
  std::vector<PodId> surplus;  // pods that the controller itself deletes; they neither failed nor succeeded
};

// A DaemonSet's failed pods on one node are replaced after 1 s, 2 s … 15 min (failedPodsBackoff).
struct FailedPodsBackoff {
  NodeId node;
  Duration delay;
  Time since;
};

// The object of a workload, and what its controller remembers.
struct WorkloadControl {
  bool exists = false;
  bool controlled = false;       // a controller looks after it: not a bare Pod
  bool deleting = false;         // it has a deletionTimestamp: foreground deletion, or finalizers that nobody removes
  bool orphaned = false;         // it is gone; its pods, or its ReplicaSets with their pods, have stayed
  bool garbage = false;          // pods of an object of this name that is gone are still to be deleted
  Time created;                  // tells the objects of this name apart, as their UIDs do
  std::optional<Time> rescaled;  // the last time that somebody changed spec.replicas of it
  SpecId spec;
  TemplateId pod_template;                    // of the spec, or of a later restart
  std::vector<ReplicaSetState> replica_sets;  // of a Deployment, oldest revision first
  std::vector<Condition> conditions;
  RolloutProgress rollout;      // Deployment
  TemplateId current_template;  // StatefulSet: that its pods below the partition have
  JobState job;
  std::vector<FailedPodsBackoff> failed_pods;  // DaemonSet: of this generation
  // Its place in the work queue of its controller.
  EventHandle sync;
  Time sync_at;
  Backoff backoff;

  // Of the ReplicaSet that the template belongs to, or its own.
  Backoff& backoff_of(TemplateId pods) {
    for (ReplicaSetState& set : replica_sets)
      if (set.pod_template == pods) return set.backoff;
    return backoff;
  }
};

struct QuotaState {
  std::vector<int64_t> used;  // by entry of `hard`
};

// What a change of an object means to those who watch it.
struct Change {
  enum class Kind : uint8_t { PodAdded, PodBound, PodDeleted, NodeAdded, NodeRemoved } kind = Kind::PodAdded;
  PodId pod;
  NodeId node;
};

struct FaultState {
  bool active = false;
  uint64_t occurrences = 0;
  // What it holds down now. A node that leaves is a new machine when it comes back.
  std::vector<NodeId> nodes;
  std::vector<GpuId> gpus;
};

// What the node lifecycle controller has made of a node.
struct NodeMonitor {
  bool noticed = false;  // it has put its taints on it
  EventHandle timer;     // when missing heartbeats are noticed
  uint32_t zone = 0;
  // Pods that its NoExecute taints will make go, and since when that is planned.
  struct Eviction {
    PodId pod;
    Time since;
    EventHandle timer;
  };
  std::vector<Eviction> evictions;
};

// A zone's nodes lose their pods at a rate that depends on how many of them are ill.
struct ZoneMonitor {
  std::string name;
  uint32_t nodes = 0, ill = 0;
  std::vector<NodeId> queue;  // ill nodes whose pods are to go, in order
  EventHandle turn;
  Time next;  // when the next node may be taken
};

struct DrainState {
  std::vector<PodId> pods;  // still to be evicted
  Time since;
  EventHandle retry;
  bool failed = false;  // for one of them at least
};

// What goes on at a node of KubeModel::mig_nodes.
struct MigState {
  enum class Step : uint8_t { Idle, Draining, Ending, Cutting } step = Step::Idle;
  uint32_t config = 0;  // that is applied
  uint32_t record = 0;  // its entry of KubeStatistics::reconfigurations
  DrainState drain;
  bool cordoned = false;  // by this reconfiguration
  struct Next {
    uint32_t config = 0;
    std::string reason;
  };
  std::optional<Next> next;     // what the label says since
  std::optional<Time> changed;  // end of the last one
  uint64_t cuts = 0;            // ever; addresses the next one's stream
};

struct KubeState {
  SchedulerState scheduler;
  IdVector<WorkloadId, WorkloadControl> workloads;
  IdVector<NodeId, KubeletState> nodes;
  IdVector<NodeId, NodeMonitor> monitors;
  std::vector<ZoneMonitor> zones;
  IdVector<WorkloadId, ScrapeHistory> scrapes;
  IdVector<AutoscalerId, AutoscalerState> autoscalers;
  IdVector<AgentId, AgentState> agents;
  AgentId waiting;  // for its action, at this instant; invalid: none
  ClusterAutoscalerState cluster_autoscaler;
  std::vector<QuotaState> quotas;
  std::vector<FaultState> faults;
  std::vector<DrainState> drains;  // by action
  std::vector<MigState> mig_nodes;
  PolicyMemoryBox mig_memory;
  Stream mig_stream;
  std::vector<Change> changes;               // that nobody has been told of yet; empty between events
  std::array<ClientLimiter, 6> controllers;  // one client each, by WorkloadModel::Kind
  ClientLimiter descheduler;
  std::vector<int64_t> descheduler_usage;  // by node, cpu and memory: its metrics collector's; empty: none yet
  KubeStatistics statistics;
};

}  // namespace kisim

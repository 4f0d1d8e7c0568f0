#pragma once
// The cluster: what is constant (ClusterModel) and what changes (ClusterState), as plain arrays by typed ids.

#include "cluster/gpu.hpp"
#include "cluster/objects.hpp"
#include "core/event.hpp"
#include "core/id.hpp"
#include "stats/time_weighted.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kisim {

using NodeId = Id<struct NodeTag>;
using PodId = Id<struct PodTag>;
using GpuId = Id<struct GpuTag>;
using GpuModelId = Id<struct GpuModelTag>;
using TemplateId = Id<struct TemplateTag>;
using WorkloadId = Id<struct WorkloadTag>;
using ResourceId = Id<struct ResourceTag>;
using ServingModelId = Id<struct ServingModelTag>;
using ServiceId = Id<struct ServiceTag>;
using ReplicaId = Id<struct ReplicaTag>;

// Columns that every node and pod has; extended resources follow.
inline constexpr ResourceId kCpu{0u}, kMemory{1u}, kEphemeralStorage{2u}, kPods{3u};

// One node, its amounts as dense columns in the order of ClusterModel::resources.
struct NodeModel {
  Node object;
  std::vector<int64_t> allocatable;
  GpuModelId gpu_model;  // invalid: no GPU, or a product the catalogue does not know
  uint32_t gpus = 0;
  // GPUs that reach each other over NVLink: those of one node with NVLink, or of all nodes with the same label
  // nvidia.com/gpu.clique (NVSwitch racks). kNoNvlink where there is none.
  static constexpr uint32_t kNoNvlink = 0xffffffffu;
  uint32_t nvlink_domain = kNoNvlink;
  std::string zone;  // "region:zone", the grouping key of the scheduler's node order; empty without labels
};

// What the pods of one workload have in common.
struct PodTemplateModel {
  Labels labels;
  PodSpec spec;
  std::vector<int64_t> request;  // per resource; kube-scheduler's effective pod request, without the pod itself
  int64_t nonzero_cpu = 0;       // with 100m per container where cpu is absent
  int64_t nonzero_memory = 0;    // with 200 MiB per container where memory is absent
  uint32_t gpus = 0;             // whole GPUs (nvidia.com/gpu)
};

// A Deployment or ReplicaSet, or a bare Pod (replicas = 1, never recreated).
struct WorkloadModel {
  enum class Kind : uint8_t { Deployment, ReplicaSet, Pod } kind = Kind::Deployment;
  std::string namespace_, name;
  TemplateId pod_template;
  int32_t replicas = 1;    // as the manifest says
  ServingModelId serving;  // invalid: its pods serve nothing
  std::string full_name() const { return namespace_ + "/" + name; }
};

struct ClusterModel {
  std::vector<std::string> resources;  // names, by ResourceId
  IdVector<NodeId, NodeModel> nodes;   // in the order the manifests add them
  IdVector<TemplateId, PodTemplateModel> templates;
  IdVector<WorkloadId, WorkloadModel> workloads;
  IdVector<GpuModelId, GpuModel> gpu_models;

  size_t resource_count() const { return resources.size(); }
};

// Interns resource names, fills dense requests and GPU counts.
class ClusterBuilder {
 public:
  explicit ClusterBuilder(std::vector<GpuModel> catalogue);
  void add_node(const Node& node);
  TemplateId add_template(const Labels& labels, const PodSpec& spec);
  WorkloadId add_workload(WorkloadModel workload);
  // GPU products named by nodes and absent from the catalogue, with their marks.
  const std::vector<Diagnostic>& warnings() const { return warnings_; }
  ClusterModel build() &&;

 private:
  ResourceId resource(const std::string& name);
  uint32_t nvlink_domain(const NodeModel& node);

  ClusterModel model_;
  std::map<std::string, ResourceId> names_;
  std::map<std::string, uint32_t> cliques_;
  uint32_t nvlink_domains_ = 0;
  std::vector<ResourceList> node_lists_, template_lists_;
  std::vector<Diagnostic> warnings_;
};

// The life of a pod, in order. Pulling … Probing are Kubernetes' phase Pending or Running with Ready=False.
enum class PodPhase : uint8_t {
  Pending,   // not bound
  Binding,   // bound, the kubelet has not seen it
  Pulling,   // image pull
  Starting,  // container start
  Loading,   // model weights
  Probing,   // waiting for the readiness probe
  Ready,
  Terminating,  // deleted, within its grace period
  Gone
};
const char* to_string(PodPhase phase);

struct PodState {
  TemplateId pod_template;
  WorkloadId workload;
  uint32_t ordinal = 0;  // n-th pod of its workload; gives the name
  PodPhase phase = PodPhase::Pending;
  NodeId node;
  ReplicaId replica;
  Time created, scheduled, deleted;
  Time started = Time::max(), ready = Time::max();  // max() = not yet
  EventHandle timer;                                // the kubelet's next step for this pod
  std::vector<GpuId> gpus;                          // held while bound
};

struct GpuState {
  NodeId node;
  PodId owner;             // invalid: free
  TimeWeighted allocated;  // 0 or 1
  TimeWeighted busy;       // 0 or 1: a kernel is running for its owner
};

struct ClusterState {
  std::vector<int64_t> requested;                    // node-major: [node * resources + resource]; kPods counts pods
  std::vector<int64_t> nonzero_cpu, nonzero_memory;  // per node
  std::vector<uint8_t> node_ready;
  IdVector<PodId, PodState> pods;
  IdVector<GpuId, GpuState> gpus;
  std::vector<uint32_t> first_gpu;            // per node: its GPUs are first_gpu[n] … first_gpu[n] + NodeModel::gpus
  std::vector<std::vector<PodId>> node_pods;  // bound and not gone, in order of binding
  std::vector<std::vector<PodId>> workload_pods;  // not gone, in order of creation
  std::vector<uint32_t> created_pods;             // per workload, ever
};

// Changes of the state that keep its sums true. The scheduler decides, these account.
class Cluster {
 public:
  Cluster(const ClusterModel& model, ClusterState& state) : model(model), state(state) {}

  void start();  // sizes the columns; all nodes ready and empty
  PodId create_pod(WorkloadId workload, Time now);
  // Charges the node; throws InvariantError if the node would be over its allocatable.
  void bind(PodId pod, NodeId node, Time now);
  // Gives back the node's resources and GPUs; the pod is Gone.
  void remove(PodId pod, Time now);
  void set_busy(PodId pod, bool busy, Time now);
  void reset_statistics(Time now);        // end of warm-up
  std::string pod_name(PodId pod) const;  // "llama-x2b4q", as a ReplicaSet names its pods
  uint64_t pod_entity(PodId pod) const;   // hash of Pod/namespace/name, the address of its random streams

  const ClusterModel& model;
  ClusterState& state;
};

}  // namespace kisim

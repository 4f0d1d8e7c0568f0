#pragma once
// The cluster: what is constant (ClusterModel) and what changes (ClusterState), as plain arrays by typed ids.

#include "cluster/gpu.hpp"
#include "cluster/objects.hpp"
#include "core/event.hpp"
#include "core/id.hpp"
#include "stats/time_weighted.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
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
  struct Image {
    uint32_t image = 0;  // of ClusterModel::images
    int64_t bytes = 0;
  };
  std::vector<Image> images;  // on the node, by image
};

// What the pods of one workload have in common.
struct PodTemplateModel {
  std::string namespace_;
  Labels labels;
  PodSpec spec;
  std::vector<int64_t> request;  // per resource; kube-scheduler's effective pod request, without the pod itself
  int64_t nonzero_cpu = 0;       // with 100m per container where cpu is absent
  int64_t nonzero_memory = 0;    // with 200 MiB per container where memory is absent
  // The same without pod-level requests: what the score of NodeResourcesFit reads of the incoming pod.
  std::vector<int64_t> container_request;
  int64_t container_nonzero_cpu = 0, container_nonzero_memory = 0;
  uint32_t gpus = 0;  // whole GPUs (nvidia.com/gpu)
  // Shares of GPUs (alibabacloud.com/gpu-milli): thousandths of each of gpu_count devices; 0: none asked for. More than
  // one device are whole ones.
  int32_t gpu_milli = 0, gpu_count = 0;
  std::vector<std::string> gpu_products;  // alibabacloud.com/gpu-card-model: any of these; empty: any
  std::vector<HostPort> host_ports;       // of its containers and sidecars
  std::vector<uint32_t> images;           // of its containers, as ClusterModel::images
  // What PodTopologySpread's default constraints count: the selectors of its Services and of its owner together; empty:
  // nothing.
  LabelSelector default_spread_selector;

  bool matches(const LabelSelector& selector) const { return selector.matches(labels); }
};

// What is wrong with the annotations of a pod that asks for shares of GPUs: gpu-milli is 1 … 1000, gpu-count at least
// 1, and more than one device must be whole ones. Nothing if all is well.
std::optional<std::string> gpu_share_complaint(const Labels& annotations);

// A Deployment or ReplicaSet, or a bare Pod (replicas = 1, never recreated).
struct WorkloadModel {
  enum class Kind : uint8_t { Deployment, ReplicaSet, Pod } kind = Kind::Deployment;
  std::string namespace_, name;
  TemplateId pod_template;
  int32_t replicas = 1;    // as the manifest says
  ServingModelId serving;  // invalid: its pods serve nothing
  std::string full_name() const { return namespace_ + "/" + name; }
};

struct PodDisruptionBudgetModel {
  PodDisruptionBudget object;
  std::vector<uint8_t> covers;  // by TemplateId
};

struct ClusterModel {
  std::vector<std::string> resources;  // names, by ResourceId
  // In the order they join. What a node becomes when its object changes is a further entry of the same name.
  IdVector<NodeId, NodeModel> nodes;
  IdVector<TemplateId, PodTemplateModel> templates;
  IdVector<WorkloadId, WorkloadModel> workloads;
  IdVector<GpuModelId, GpuModel> gpu_models;
  std::vector<std::string> images;           // names that nodes or pods know
  std::map<std::string, Labels> namespaces;  // their labels; those that no Namespace object names have none
  std::vector<PodDisruptionBudgetModel> budgets;

  size_t resource_count() const { return resources.size(); }
};

// Kubernetes takes an image without a tag for the latest one (plugins/imagelocality, normalizedImageName).
std::string normalized_image_name(const std::string& name);

// Interns resource names, fills dense requests and GPU counts.
class ClusterBuilder {
 public:
  explicit ClusterBuilder(std::vector<GpuModel> catalogue);
  void add_node(const Node& node);
  // Before the templates: their namespaces, and the Services that select them.
  void add_namespace(const Namespace& object);
  void add_service(const Service& service);
  // `owner` is the selector of the controller that owns the pods; nullptr: none does.
  TemplateId add_template(const std::string& namespace_, const PodTemplate& pods, const LabelSelector* owner = nullptr);
  void add_budget(const PodDisruptionBudget& budget);
  WorkloadId add_workload(WorkloadModel workload);
  // GPU products named by nodes and absent from the catalogue, with their marks.
  const std::vector<Diagnostic>& warnings() const { return warnings_; }
  ClusterModel build() &&;

 private:
  ResourceId resource(const std::string& name);
  uint32_t image(const std::string& name);
  LabelSelector default_spread_selector(const PodTemplateModel& pods, const LabelSelector* owner) const;
  uint32_t nvlink_domain(const NodeModel& node);

  ClusterModel model_;
  std::map<std::string, ResourceId> names_;
  std::map<std::string, uint32_t> images_;
  std::vector<Service> services_;
  std::map<std::string, uint32_t> cliques_;
  uint32_t nvlink_domains_ = 0;
  std::vector<ResourceList> node_lists_, template_lists_, container_lists_;
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
  PodId owner;             // invalid: free, or shared
  int32_t shared = 0;      // thousandths that pods with gpu_milli hold
  TimeWeighted allocated;  // share of it that pods hold
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
  // The first resource of which the node has too little left for the pod; invalid: it fits.
  ResourceId shortage(PodId pod, NodeId node) const;
  // Charges the node; throws InvariantError if the node would be over its allocatable. `devices` are the GPUs of the
  // node that the pod holds, or shares if it asks for gpu_milli; without any, whole ones are handed out here.
  void bind(PodId pod, NodeId node, Time now, std::span<const uint16_t> devices = {});
  // Gives back the node's resources and GPUs; the pod is Gone.
  void remove(PodId pod, Time now);
  void set_busy(PodId pod, bool busy, Time now);
  void reset_statistics(Time now);        // end of warm-up
  std::string pod_name(PodId pod) const;  // "llama-x2b4q", as a ReplicaSet names its pods
  uint64_t pod_entity(PodId pod) const;   // hash of Pod/namespace/name, the address of its random streams

  const ClusterModel& model;
  ClusterState& state;

 private:
  void hand_out(PodId pod, NodeId node, Time now, std::span<const uint16_t> devices);
};

}  // namespace kisim

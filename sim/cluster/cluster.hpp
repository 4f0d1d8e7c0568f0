#pragma once
// The cluster: what is constant (ClusterModel) and what changes (ClusterState), as plain arrays by typed ids.

#include "cluster/accelerator.hpp"
#include "cluster/device_plugin.hpp"
#include "cluster/gpu.hpp"
#include "cluster/node_conditions.hpp"
#include "cluster/objects.hpp"
#include "cluster/power.hpp"
#include "cluster/topology.hpp"
#include "core/event.hpp"
#include "core/id.hpp"
#include "stats/time_weighted.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace kisim {

using NodeId = Id<struct NodeTag>;
using PodId = Id<struct PodTag>;
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
  std::vector<GpuDevice> devices;         // in the order of its GPUs
  std::vector<ResourceId> device_column;  // their resources
  // Whether pods get the GPU whole: it is neither cut nor in replicas.
  bool is_whole(uint32_t gpu) const;
  uint32_t whole_gpus() const;
  // GPUs that reach each other over NVLink: those of one node with NVLink, or of all nodes with the same label
  // nvidia.com/gpu.clique (NVSwitch racks). kNoNvlink where there is none.
  static constexpr uint32_t kNoNvlink = 0xffffffffu;
  uint32_t nvlink_domain = kNoNvlink;
  // Of ClusterModel::topologies. kNoTopology: it has no GPUs, too many, or ones that the catalogue does not know.
  static constexpr uint32_t kNoTopology = 0xffffffffu;
  uint32_t topology = kNoTopology;
  std::string zone;  // "region:zone", the grouping key of the scheduler's node order; empty without labels
  struct Image {
    uint32_t image = 0;  // of ClusterModel::images
    int64_t bytes = 0;
  };
  std::vector<Image> images;  // on the node, by image
  // No node at the start: one that a node group may get, or what another node becomes.
  bool joins_later = false;
};

// pkg/apis/core/v1/helper/qos: what the kubelet gives up last (Guaranteed) and first (BestEffort).
enum class QosClass : uint8_t { Guaranteed, Burstable, BestEffort };

// What the pods of one workload have in common.
struct PodTemplateModel {
  std::string namespace_;
  Labels labels, annotations;
  PodSpec spec;
  std::string hash;     // pod-template-hash
  WorkloadId workload;  // whose pods it stamps out
  Refusal refusal;      // of every pod of it
  QosClass qos = QosClass::BestEffort;
  std::vector<int64_t> request;  // per resource; kube-scheduler's effective pod request, without the pod itself
  int64_t nonzero_cpu = 0;       // with 100m per container where cpu is absent
  int64_t nonzero_memory = 0;    // with 200 MiB per container where memory is absent
  // The same without pod-level requests: what the score of NodeResourcesFit reads of the incoming pod.
  std::vector<int64_t> container_request;
  int64_t container_nonzero_cpu = 0, container_nonzero_memory = 0;
  uint32_t gpus = 0;  // nvidia.com/gpu: whole GPUs, or what nodes publish as such
  struct DeviceRequest {
    ResourceId resource;
    int64_t count = 0;
  };
  std::vector<DeviceRequest> devices;  // of nvidia.com/gpu, nvidia.com/mig-* …; none with gpu_milli
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

// What owns pods: a controller's object, or a bare Pod (never recreated).
struct WorkloadModel {
  enum class Kind : uint8_t { Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, Pod } kind = Kind::Deployment;
  std::string namespace_, name;
  TemplateId pod_template;  // at first
  int32_t replicas = 1;     // likewise
  ServingModelId serving;   // invalid: its pods serve nothing
  std::string full_name() const { return namespace_ + "/" + name; }
};
const char* to_string(WorkloadModel::Kind kind);

struct PodDisruptionBudgetModel {
  PodDisruptionBudget object;
  std::vector<uint8_t> covers;  // by TemplateId
};

// Of a machine without its GPUs, in milliwatts: as it stands there, and more for each core that its pods request.
struct NodePower {
  int64_t idle = 0, per_core = 0;
};

struct ClusterModel {
  std::vector<std::string> resources;  // names, by ResourceId
  // In the order they join. What a node becomes when its object changes is a further entry of the same name.
  IdVector<NodeId, NodeModel> nodes;
  IdVector<TemplateId, PodTemplateModel> templates;
  IdVector<WorkloadId, WorkloadModel> workloads;
  IdVector<GpuModelId, GpuModel> gpu_models;
  IdVector<GpuModelId, PowerLaw> power;  // of them
  std::vector<GpuTopology> topologies;   // that nodes have
  NodePower node_power;
  std::vector<std::string> images;           // names that nodes or pods know
  std::map<std::string, Labels> namespaces;  // their labels; those that no Namespace object names have none
  std::vector<PodDisruptionBudgetModel> budgets;

  size_t resource_count() const { return resources.size(); }
  // The first object of each name.
  std::vector<NodeId> machines() const;
  // What owns the pods of a template: the workload itself, or of a Deployment its ReplicaSet, "llama-6b8f7c9d4".
  std::string owner_name(TemplateId pod_template) const;
};

// Kubernetes takes an image without a tag for the latest one (plugins/imagelocality, normalizedImageName).
std::string normalized_image_name(const std::string& name);

// Interns resource names, fills dense requests and GPU counts.
class ClusterBuilder {
 public:
  explicit ClusterBuilder(std::vector<GpuModel> catalogue, GpuConfigs gpu_configs = {});
  NodeId add_node(const Node& node, bool joins_later = false);
  // The same node with other labels, and the devices that it has.
  NodeId add_relabelled(NodeId node, const Labels& labels);
  const NodeModel& node(NodeId node) const { return model_.nodes[node]; }
  // Before the templates: their namespaces, and the Services that select them.
  void add_namespace(const Namespace& object);
  void add_service(const Service& service);
  // `owner` is the selector of the controller that owns the pods; nullptr: none does. `hash` is their
  // pod-template-hash.
  TemplateId add_template(const std::string& namespace_, const PodTemplate& pods, const LabelSelector* owner = nullptr,
                          std::string hash = {});
  void add_budget(const PodDisruptionBudget& budget);
  // The template becomes the workload's; a later revision of it is made so by set_workload().
  WorkloadId add_workload(WorkloadModel workload);
  void set_workload(TemplateId pod_template, WorkloadId workload) {
    model_.templates[pod_template].workload = workload;
  }
  // What is wrong or doubtful about the GPUs of nodes, with their marks.
  const std::vector<Diagnostic>& warnings() const { return warnings_; }
  ClusterModel build() &&;

 private:
  ResourceId resource(const std::string& name);
  uint32_t image(const std::string& name);
  LabelSelector default_spread_selector(const PodTemplateModel& pods, const LabelSelector* owner) const;
  uint32_t nvlink_domain(const NodeModel& node);
  uint32_t topology(const NodeModel& node);

  ClusterModel model_;
  GpuConfigs gpu_configs_;
  std::map<std::string, ResourceId> names_;
  std::map<std::string, uint32_t> images_;
  std::vector<Service> services_;
  std::map<std::string, uint32_t> cliques_;
  uint32_t nvlink_domains_ = 0;
  std::map<std::tuple<GpuModelId, uint32_t, NvlinkFabric, PcieLayout>, uint32_t> topologies_;
  std::vector<ResourceList> node_lists_, template_lists_, container_lists_;
  std::vector<Diagnostic> warnings_;
};

// The life of a pod. Until Starting its phase in the API is Pending, from Loading to CrashLoop Running.
enum class PodPhase : uint8_t {
  Pending,   // not bound
  Binding,   // bound, the kubelet has not seen it
  Pulling,   // its image comes, or waits for the next attempt (ImagePullBackOff)
  Starting,  // container start
  Loading,   // model weights
  Probing,   // waiting for the startup and readiness probes
  Ready,
  CrashLoop,    // its containers have exited and wait for their restart
  Terminating,  // deleted, within its grace period, or on a node that does not answer
  Succeeded,
  Failed,
  Gone
};
const char* to_string(PodPhase phase);
inline bool is_running(PodPhase phase) { return phase >= PodPhase::Loading && phase <= PodPhase::CrashLoop; }
inline bool is_terminal(PodPhase phase) { return phase >= PodPhase::Succeeded; }
// Neither being deleted nor ended: what controllers count.
inline bool is_active(PodPhase phase) { return phase < PodPhase::Terminating; }

// Whom the controller reference of a pod names: the object of its workload, one of that name that is gone (the garbage
// collector comes for it), or nobody (a bare Pod, an orphan). The ReplicaSets of an orphaned Deployment stay.
enum class PodOwner : uint8_t { Present, Gone, Nobody };

struct PodState {
  static constexpr uint32_t kNoIndex = 0xffffffffu;

  TemplateId pod_template;
  WorkloadId workload;
  uint32_t ordinal = 0;       // n-th pod of its workload; the address of its random streams
  uint32_t index = kNoIndex;  // StatefulSet: ordinal; Job: completion index; else none. Part of the name
  PodPhase phase = PodPhase::Pending;
  PodOwner owner = PodOwner::Present;
  bool disrupted = false;  // deleted by eviction or preemption (condition DisruptionTarget)
  uint32_t restarts = 0;
  NodeId node;
  NodeId pinned;  // DaemonSet: the only node that it may go to
  ReplicaId replica;
  Time created, scheduled, deleted;  // deleted: its deletionTimestamp, then its end
  Duration grace;                    // of its deletion
  std::string reason;                // status.reason of a pod that ended
  Time started = Time::max();        // max() = not yet
  // When the condition Ready last became true, and when it last ceased to be; max(): it never did.
  Time ready = Time::max(), unready = Time::max();
  Time first_ready = Time::max();  // when its cold start was over
  EventHandle timer;               // the kubelet's next step for this pod
  // While bound: what it holds of its node's devices, one entry per replica, and the GPUs that these are of.
  std::vector<uint16_t> devices;
  std::vector<GpuId> gpus;
  GpuLoad load;      // on each of these GPUs
  int64_t busy = 0;  // share of the time for which a kernel runs there, in millionths
};

ApiPhase api_phase(const PodState& pod);

// Shares of a GPU are counted in these: sevenths and quarters (compute slices), and thousandths, are whole numbers.
inline constexpr int64_t kWholeGpu = 7000;

struct GpuState {
  NodeId node;
  bool healthy = true;
  bool nvlink_up = true;
  TimeWeighted allocated;      // of kWholeGpu: what pods hold
  TimeWeighted busy;           // of these, what is held by pods for which a kernel runs
  GpuLoad load;                // of all who run there together
  TimeWeighted power;          // milliwatts; 0 where the node is gone or its law is not known
  __int128 energy_before = 0;  // ∫ power up to the end of warm-up, in mW × ns
};

// A device of NodeModel::devices.
struct DeviceState {
  PodId owner;          // of one that is not shared; invalid: free
  int32_t taken = 0;    // its replicas that pods hold; thousandths of one that has no replicas
  int64_t kernels = 0;  // Σ PodState::busy of its replicas
  GpuLoad load;         // of all of them
  // What DCGM counts since the start, in millionths: whether any kernel runs, and the load, at most all of the GPU.
  TimeWeighted active, bandwidth, compute;
};

// Pods of one template.
struct PodCounts {
  int32_t active = 0;       // neither being deleted nor ended
  int32_t ready = 0;        // of the active ones
  int32_t terminating = 0;  // within their grace period
  int32_t ended = 0;        // Succeeded or Failed
  // Of all of these: whose owner is gone, and those that have none.
  int32_t abandoned = 0, unmanaged = 0;

  int32_t all() const { return active + terminating + ended; }
  void count(const PodState& pod, int32_t change);
};

struct ClusterState {
  // node-major: [node * resources + resource]; kPods counts pods
  std::vector<int64_t> requested, allocatable;
  std::vector<int64_t> nonzero_cpu, nonzero_memory;  // per node
  std::vector<uint8_t> node_present, node_joined;    // joined: it is there, or was
  std::vector<uint8_t> node_runs;                    // its machine has power; it may be present without
  std::vector<NodeConditions> node_conditions;
  std::vector<TimeWeighted> node_power;  // milliwatts, without GPUs
  std::vector<NodeId> node_version;      // its object now, an entry of ClusterModel::nodes
  std::vector<NodeId> device_version;    // that whose devices it has
  IdVector<PodId, PodState> pods;
  IdVector<GpuId, GpuState> gpus;
  std::vector<uint32_t> first_gpu;  // per node: its GPUs are first_gpu[n] … first_gpu[n] + NodeModel::gpus
  std::vector<std::vector<DeviceState>> devices;  // per node, as NodeModel::devices of its device_version
  IdVector<TemplateId, PodCounts> counts;
  std::vector<std::vector<PodId>> node_pods;  // bound and not gone, in order of binding
  // By workload: spec.replicas, of an orphaned Deployment that of its ReplicaSets together; kNoScale where there is no
  // such thing.
  std::vector<int32_t> replicas;
  static constexpr int32_t kNoScale = -1;
  std::vector<std::vector<PodId>> workload_pods;  // not gone, in order of creation
  std::vector<uint32_t> created_pods;             // per workload, ever
};

// What a pod of the template computes on with so many of these devices, of so many GPUs of the node.
Accelerator accelerator_on(const ClusterModel& model, const NodeModel& node, const PodTemplateModel& pods,
                           const GpuDevice& device, size_t devices, size_t gpus, GpuModelId otherwise = {});

// Changes of the state that keep its sums true. The scheduler decides, these account.
class Cluster {
 public:
  Cluster(const ClusterModel& model, ClusterState& state) : model(model), state(state) {}

  void start();  // sizes the columns; all nodes ready and empty
  PodId create_pod(WorkloadId workload, TemplateId pod_template, Time now);
  void set_phase(PodId pod, PodPhase phase);
  void set_owner(PodId pod, PodOwner owner);
  const NodeModel& node(NodeId id) const { return model.nodes[state.node_version[id.value]]; }
  bool node_ready(NodeId id) const { return !state.node_conditions[id.value].any_of(kNodeNotReady | kNodeUnreachable); }
  std::span<const int64_t> allocatable(NodeId id) const {
    return std::span(state.allocatable).subspan(id.value * model.resource_count(), model.resource_count());
  }
  void add_node(NodeId node, Time now);
  void remove_node(NodeId node, Time now);             // precondition: no pod is bound to it
  void set_running(NodeId node, bool runs, Time now);  // of a node that is present: its machine stops, or starts again
  // Its object is now that entry of ClusterModel::nodes. Its devices too, unless a pod holds one that would be another:
  // then they and their amounts stay as they are until a version comes when none does.
  void set_node_version(NodeId node, NodeId version);
  const std::vector<GpuDevice>& devices(NodeId node) const { return device_model(node).devices; }
  uint32_t gpus(NodeId node) const { return device_model(node).gpus; }
  // nullptr: not known.
  const GpuTopology* topology(NodeId node) const {
    uint32_t t = device_model(node).topology;
    return t == NodeModel::kNoTopology ? nullptr : &model.topologies[t];
  }
  // Those of the node whose NVLinks do not work.
  GpuSet nvlinks_down(NodeId node) const;
  GpuId gpu(NodeId node, uint32_t index) const { return GpuId(state.first_gpu[node.value] + index); }
  // Devices, or replicas of them, that the pod could get of a resource; of whole ones with gpu_milli.
  int64_t devices_left(PodId pod, NodeId node, ResourceId resource) const;
  // The resource of which the node has too few devices left for the pod, and how many it wants; with gpu_milli the
  // resource is that of whole GPUs. None: it has enough.
  std::optional<PodTemplateModel::DeviceRequest> missing_devices(PodId pod, NodeId node) const;
  // A resource of which a container of the pod asks for several replicas where the device plugin gives one at a time
  // (failRequestsGreaterThanOne); none: there is no such.
  std::optional<PodTemplateModel::DeviceRequest> too_large_request(PodId pod, NodeId node) const;
  // What the pod computes on; gpus is 0 while it holds none. `otherwise`: where the node does not name its GPU.
  Accelerator accelerator(PodId pod, GpuModelId otherwise = {}) const;
  // One device of the node, as who has all of it computes on it.
  Accelerator accelerator(NodeId node, const GpuDevice& device) const;
  // The GPUs of its node that a bound pod holds as nvidia.com/gpu or shares, as the scheduler counts them.
  std::vector<uint16_t> whole_or_shared_gpus(PodId pod) const;
  // Its devices count as allocatable no more, or again. Whoever holds one goes on holding it.
  void set_gpu_healthy(GpuId gpu, bool healthy);
  void set_nvlink_up(GpuId gpu, bool up) { state.gpus[gpu].nvlink_up = up; }
  // The first resource of which the node has too little left for the pod; invalid: it fits.
  ResourceId shortage(PodId pod, NodeId node) const;
  // Charges the node; throws InvariantError if the node would be over its allocatable. `gpus` are the whole GPUs of
  // the node that the pod holds, or shares if it asks for gpu_milli; all other devices are handed out here.
  void bind(PodId pod, NodeId node, Time now, std::span<const uint16_t> gpus = {});
  // Gives back the node's resources and GPUs; the pod stays what it is.
  void release(PodId pod, Time now);
  // The same where it holds any; the pod is Gone.
  void remove(PodId pod, Time now);
  // Whether a kernel runs for the pod; or the share of the time for which one does, in millionths (kWholeLoad).
  void set_busy(PodId pod, bool busy, Time now) { set_busy_share(pod, busy ? kWholeLoad : 0, now); }
  void set_busy_share(PodId pod, int64_t share, Time now);
  // What its kernels take of each of its GPUs from now on.
  void set_load(PodId pod, GpuLoad load, Time now);
  // ∫ power since the start, in mW × ns.
  __int128 energy(GpuId gpu, Time now) const {
    return state.gpus[gpu].energy_before + state.gpus[gpu].power.integral(now);
  }
  const PowerLaw* power_law_of(GpuId gpu) const;  // nullptr: not known
  void check_power(Time now) const;               // idle ≤ power ≤ TDP, at all times; throws InvariantError
  void reset_statistics(Time now);                // end of warm-up
  std::string pod_name(PodId pod) const;          // "llama-6b8f7c9d4-x2b4q", as its controller names its pods
  std::string next_pod_name(WorkloadId workload, TemplateId pod_template, uint32_t index) const;
  uint64_t pod_entity(PodId pod) const;  // hash of Pod/namespace/name, the address of its random streams

  const ClusterModel& model;
  ClusterState& state;

 private:
  const NodeModel& device_model(NodeId node) const { return model.nodes[state.device_version[node.value]]; }
  bool can_have_devices_of(NodeId node, NodeId version) const;
  void count_gpu(GpuId gpu, int64_t sign);
  bool draws(NodeId node) const { return state.node_present[node.value] && state.node_runs[node.value]; }
  void settle_power(GpuId gpu, Time now);
  void settle_power(NodeId node, Time now);
  std::string name_of(const PodState& pod) const;
  void hand_out(PodId pod, NodeId node, Time now, std::span<const uint16_t> gpus);
  size_t next_device(PodId pod, NodeId node, ResourceId resource) const;
  GpuSet preferred_gpus(PodId pod, NodeId node, const PodTemplateModel::DeviceRequest& request) const;
  void hold(PodId pod, NodeId node, size_t device, Time now);
  void give_back(PodId pod, Time now);
  // How much of the device one more of a request takes: thousandths, or a replica.
  int32_t part(const PodTemplateModel& t, const GpuDevice& device) const;
  int32_t capacity(const GpuDevice& device) const { return device.replicas > 1 ? device.replicas : 1000; }
  // The same of its GPU, in kWholeGpu.
  int64_t gpu_share(const PodTemplateModel& t, NodeId node, const GpuDevice& device) const;
  bool has_room(const PodTemplateModel& t, NodeId node, size_t device, ResourceId resource) const;
};

}  // namespace kisim

#pragma once
// The Scenario document and what stands beside it, parsed and checked for form: the border between io and run.
// Every optional number that the user left out holds its documented default.

#include "cluster/gpu.hpp"
#include "cluster/objects.hpp"
#include "core/distribution.hpp"
#include "kube/latencies.hpp"
#include "kube/scheduler_configuration.hpp"
#include "policy/shield.hpp"
#include "serving/batch_server.hpp"
#include "serving/catalog.hpp"
#include "serving/client.hpp"
#include "serving/llm_engine_model.hpp"
#include "traffic/traffic.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct DeschedulerPolicy;
struct PolicyFile;

struct PolicyChoice {
  std::string name;
  std::map<std::string, std::string> params;  // as written
  SourceMark mark;
};

struct QueuePolicySpec : QueuePolicy {
  std::string timeout_action = "reject";  // reject | delay
};

// One model of a batch server, under Triton's names (model_config.proto).
struct BatchModelSpec {
  std::string name;
  int32_t max_batch_size = 1, instances = 1;
  std::vector<int32_t> preferred_batch_sizes;
  Duration max_queue_delay;
  int32_t prefetched_batches = 0;
  int32_t priority_levels = 1, default_priority_level = 1;
  QueuePolicySpec default_queue_policy;
  std::map<std::string, QueuePolicySpec> priority_queue_policy;  // by level, from 1
  std::vector<std::string> steps;                                // an ensemble: models of the same server, in turn

  // Law that replaces the catalogue's. Batch: base + per_item·b, or the table. LLM, detail linear: an iteration takes
  // base + per_item·batch, a prompt prefill_base + prefill_per_token·tokens. In seconds; batch laws may be random.
  struct Latency {
    Distribution base, per_item;
    double prefill_base = 0, prefill_per_token = 0;
    std::map<std::string, double> table;  // samples -> seconds
    std::string coefficients, key;        // of a file whose table stands there; empty once it has been read
    Distribution factor = Distribution::constant(1);
    double host = 0, compute = 1, bandwidth = 1;
  };
  std::optional<Latency> latency;
  std::map<std::string, Latency> latency_on;     // by GPU model: the law there instead
  double weights_bytes = 0, instance_bytes = 0;  // of GPU memory; 0: not said
  SourceMark mark;
};

// How the pods of a workload serve: one entry of spec.models. What is said of the batch model itself is said of the
// only one, where `served` names none.
struct OperatorTables;

struct ModelSpec : BatchModelSpec {
  Labels selector;  // empty: only pods annotated kisim.dev/model: <name>
  std::string engine = "vllm-0.19", model, gpu;
  std::string detail = "iteration";  // iteration | linear | tables | fluid
  int32_t tensor_parallel = 1, data_parallel = 1, pipeline_parallel = 1;
  bool expert_parallel = false;
  // LLM engines: coefficients of their iterations, instead of the catalogue's on any GPU.
  struct Iterations : StepCoefficients {
    std::string coefficients, key;
  };
  std::optional<Iterations> iterations;

  // LLM engines; 0 = the engine's default
  int32_t max_num_seqs = 0, max_num_batched_tokens = 0, block_size = 0;
  double kv_memory_utilization = 0.9;
  bool prefix_caching = true;
  struct KvTier {
    std::string name = "dram";
    double bytes = 0;
    double read_mbs = 0;              // 0: what is usual
    std::optional<Duration> latency;  // none: what is usual
  };
  std::vector<KvTier> kv_offload;
  int32_t long_prefill_token_threshold = 0, max_model_len = 0;
  std::string scheduling_policy = "fcfs";  // fcfs | priority
  std::string role = "both";               // both | prefill | decode
  int32_t max_local_prefill_length = 0;
  KvTransferModel kv_transfer;
  struct Speculative {
    std::string method = "ngram", model;  // ngram | eagle | mtp | draft_model
    int32_t tokens = 0;
    std::vector<double> acceptance;  // one: of every draft after accepted ones; several: by place, with all before it
  };
  std::optional<Speculative> speculative;
  std::optional<LoraModel> lora;
  std::optional<bool> async_scheduling, scheduler_reserve_full_isl;  // none: the engine's default
  std::string operator_profile;                                      // directory; detail: tables
  std::shared_ptr<const OperatorTables> tables;

  // batch servers (engine: batch)
  std::vector<BatchModelSpec> served;
  double overlap = 1;  // of the instances of all models

  // Requests waiting at one replica beyond this are refused; 0 = no limit.
  int32_t max_queue_size = 0;

  // Cold start, drawn per pod. Sizes in bytes, rates in bytes/s, times in seconds.
  struct Startup {
    Distribution image = Distribution::constant(0), weights = Distribution::constant(0);
    Distribution image_bandwidth = Distribution::constant(500e6);  // registry to node
    Distribution weights_bandwidth = Distribution::constant(2e9);  // storage to GPU
    Distribution container = Distribution::constant(1);            // sandbox, container and CUDA start
    Distribution engine = Distribution::constant(0);               // beside the phases below
    std::string weights_from = "disk";                             // of nodes that have never had them
    Distribution registry_bandwidth = Distribution::constant(500e6);
    Distribution peer_bandwidth = Distribution::constant(25e9);
    // None: nothing, or with engine_defaults what the catalogue has of the engine.
    std::optional<Distribution> compile, graph_capture, warmup;
    bool engine_defaults = false;
  };
  Startup startup;
};

// One kind of request of a source. Times of the client's program are those of one turn of its thread.
struct TaskSpec {
  std::string name;
  double weight = 1;
  std::string model;                     // of a batch server with several
  std::optional<Distribution> frontend;  // seconds; answered by the server's front end
  int32_t samples = 1, priority = 0;
  Duration queue_timeout;
  Distribution untimed, send, receive;  // seconds
  int32_t send_turns = 0, receive_turns = 0;
  SourceMark mark;
};

// One traffic source.
struct TrafficSpec {
  std::string name, service;

  using Pattern = SourceModel::Pattern;
  using Arrivals = SourceModel::Arrivals;
  Pattern pattern = Pattern::Constant;
  double rate = 0;                            // Constant: mean, 1/s
  double diurnal_mean = 0, diurnal_peak = 0;  // 1/s; traffic/diurnal.hpp has the curve
  Duration diurnal_period{86'400'000'000'000}, diurnal_phase;
  std::shared_ptr<const TraceColumns> trace;
  double time_scale = 1;                     // trace: > 1 stretches time
  double rate_scale = 1;                     // trace: k copies, or a share k < 1, of the requests
  int32_t users = 0;                         // Users: a closed loop
  std::vector<UserStep> user_steps;          // Users: how many there are from when on; empty: `users` all the time
  std::vector<RateStep> rate_steps;          // Steps
  std::optional<SourceModel::Levels> drawn;  // of the steps
  Distribution think;                        // seconds between an answer and the user's next request

  Arrivals arrivals = Arrivals::Poisson;

  struct Prefix {
    int32_t groups = 1, tokens = 0;
    double zipf = 0;
  } prefix;
  AdapterModel adapters;
  struct Session {
    bool on = false;
    Distribution turns = Distribution::constant(1), think = Distribution::constant(0);
    int32_t max_tokens = 0;  // 0 = no limit
  } session;

  Distribution prompt = Distribution::constant(0), output = Distribution::constant(1);  // tokens; a trace has its own
  Duration timeout;                                                                     // 0 = none; of one attempt
  int32_t retries = 0;                     // attempts beyond the first, after a time-out, a drop or a failure
  Duration retry_backoff;                  // before each retry
  std::vector<TaskSpec> tasks;             // kinds of requests; empty: one
  std::string client = "concurrent";       // concurrent | single-thread | event-loop
  Distribution network_out, network_back;  // seconds
  int32_t connections = 0;                 // 0 = no limit
  Duration hedge_delay;                    // 0 = no hedging
  AdmissionModel admission;
  SourceMark mark;
};

struct SloSpec {
  std::string traffic;
  std::optional<Duration> ttft, tpot, e2e;
  double target = 0.99;
  std::optional<double> penalty;  // of a request that misses it, in the unit of the prices
  SourceMark mark;
};

struct MetricsSpec {
  Duration scrape_interval{15'000'000'000};
  std::optional<Duration> offset;       // none: random within the interval, per target
  Duration delay;                       // from scrape to visibility
  Duration window{30'000'000'000};      // over which rates are taken
  Duration staleness{300'000'000'000};  // a value older than this is none (Prometheus' lookback)
  // metrics-server: how often it asks the kubelets, and how far their samples of CPU lie apart.
  double dropout = 0, noise = 0;
  Duration resource_resolution{15'000'000'000}, resource_window{15'000'000'000};
};

// Something that breaks: once at `at`, or again and again. Times may be random; they are drawn from the fault's own
// stream, one per target.
struct FaultSpec {
  enum class Kind : uint8_t {
    NodeLoss,         // the node stops; back after `for`
    ZoneOutage,       // every node of the zone stops
    GpuFailure,       // `gpus` devices of the node become unhealthy
    RegistryFailure,  // image pulls fail
    RegistrySlow,     // image pulls take `factor` times as long
    CrashLoop,        // the containers of the workload's pods exit as soon as they have started
    OomKill,          // one ready pod of the workload is killed by the kernel
    MetricsOutage,    // the metrics APIs do not answer
    NvlinkFailure     // `gpus` GPUs of the node lose their NVLinks
  } kind = Kind::NodeLoss;
  std::optional<Distribution> at;                 // seconds from the start; none: the first one comes after `every`
  std::optional<Distribution> every;              // seconds from one's end to the next one's begin; none: once
  Distribution for_ = Distribution::constant(0);  // seconds; 0: for good
  std::string node, zone, workload;
  Labels node_selector;  // instead of `node`: each node with these labels breaks by itself
  int32_t gpus = 1;
  double factor = 1;
  SourceMark mark;
};

// Something that an operator does at `at`, as with kubectl.
struct ActionSpec {
  enum class Kind : uint8_t { Apply, Delete, Scale, Restart, Cordon, Uncordon, Drain, Reconfigure } kind = Kind::Apply;
  Duration at;
  Manifests apply;                       // Apply: new objects, and new states of known ones
  std::string object_kind, object_name;  // Delete, Scale, Restart: "Deployment", "ml/llama"
  int32_t replicas = 0;                  // Scale
  enum class Cascade : uint8_t { Background, Foreground, Orphan } cascade = Cascade::Background;  // Delete
  std::string node;                                // Cordon, Uncordon, Drain, Reconfigure
  bool ignore_daemon_sets = true;                  // Drain
  bool delete_empty_dir_data = true;               // Drain
  bool force = false;                              // Drain: bare pods go too
  std::optional<Duration> grace_period;            // Drain, Reconfigure
  std::optional<Duration> timeout;                 // Drain, Reconfigure; none: it tries for ever
  std::string mig_config;                          // Reconfigure: the label nvidia.com/mig.config
  Distribution takes = Distribution::constant(0);  // Reconfigure: seconds, once no pod holds a device
  SourceMark mark;
};

// How pods behave that a model of `models` does not describe, and what all of them use: one entry of spec.pods.
struct PodBehaviourSpec {
  std::string name;
  Labels selector;  // labels of the pods; empty: only pods annotated kisim.dev/pods: <name>
  // How long the containers run before they exit; none: for ever. Seconds.
  std::optional<Distribution> run;
  double failure = 0;  // probability that such a run ends with a failure
  // What a pod uses. cpu in cores, memory in bytes: a part of its own and a part per request that it serves now.
  Distribution cpu = Distribution::constant(0), memory = Distribution::constant(0);
  double cpu_per_request = 0, memory_per_request = 0;
  std::optional<ModelSpec::Startup> startup;  // of pods without a model
  SourceMark mark;
};

struct NodeGroupSpec {
  std::string name;
  Node node;  // what a new node is like; its name is replaced
  int32_t min = 0, max = 0;
  int32_t initial = 0;  // nodes at the start
  // Seconds from the request until the node has joined and is ready; a share of the requests fails.
  Distribution provision = Distribution::constant(0);
  double failure = 0;
  double price = 0;      // per hour, for the expander price
  int32_t priority = 0;  // for the expander priority
  SourceMark mark;
};

// The cluster autoscaler, under the names of its flags.
struct ClusterAutoscalerSpec {
  std::vector<NodeGroupSpec> node_groups;
  std::vector<std::string> expander{"least-waste"};  // a chain: each narrows what the one before left
  Duration scan_interval{10'000'000'000};
  Duration new_pod_scale_up_delay;
  Duration max_node_provision_time{900'000'000'000};
  bool scale_down_enabled = true;
  double scale_down_utilization_threshold = 0.5;
  Duration scale_down_unneeded_time{600'000'000'000}, scale_down_unready_time{1'200'000'000'000};
  Duration scale_down_delay_after_add{600'000'000'000}, scale_down_delay_after_failure{180'000'000'000};
  std::optional<Duration> scale_down_delay_after_delete;  // none: the scan interval
  Duration max_graceful_termination{600'000'000'000};
  int32_t max_nodes_total = 0;  // 0: no limit
  bool skip_nodes_with_system_pods = true, skip_nodes_with_local_storage = true;
  SourceMark mark;
};

// The descheduler beside the cluster: its policy as a document, read by io.
struct DeschedulerSpec {
  std::shared_ptr<const DeschedulerPolicy> policy;
  Duration interval;  // 0: once, at `at`
  Duration at;        // of the first cycle
  bool dry_run = false;
  SourceMark mark;
};

// Who has GPUs cut anew while the cluster runs.
struct MigPolicySpec {
  PolicyChoice policy;
  std::vector<std::string> configs;  // values of nvidia.com/mig.config that it may choose
  Labels node_selector;              // labels of the nodes whose GPUs it may have cut
  Duration interval{30'000'000'000};
  Distribution takes = Distribution::constant(0);  // seconds, as of a reconfiguration by an action
  std::optional<Duration> grace_period, timeout;
  SourceMark mark;
};

// Who scales several workloads together.
// Among the provenance of an agent's policy file: from decision to decision, in seconds.
inline constexpr const char* kPolicyInterval = "interval";

struct AgentSpec {
  std::string name;
  PolicyChoice coding;  // how it sees and acts; with a policy, that of the file
  std::string policy;   // file
  std::shared_ptr<const PolicyFile> file;
  std::vector<std::string> workloads;
  Duration interval{15'000'000'000};
  std::optional<Duration> start;               // of its decisions; none: after one interval
  int32_t min_replicas = 0, max_replicas = 0;  // 0: those of the HorizontalPodAutoscalers, or 1 at least
  SourceMark mark;
};

// Limits between whoever scales a workload, or an agent, and the cluster.
struct ShieldSpec {
  ShieldModel limits;
  std::string fallback;  // hold | hpa; empty: left out
  SourceMark mark;
};

// A figure that may change in steps.
struct TariffSpec {
  double value = 0;  // all the time, without steps
  struct Step {
    Duration at;
    double value = 0;
  };
  std::vector<Step> steps;
  SourceMark mark;
};

struct Scenario {
  std::string name;
  Duration duration, warmup;
  Duration fluid_step{1'000'000'000};
  uint64_t seed = 0;
  std::string kubernetes_version = "1.36";
  std::map<std::string, bool> feature_gates;  // that differ from the version's defaults
  KubeSchedulerConfiguration scheduler_configuration;
  Latencies latencies;
  std::vector<ModelSpec> models;
  std::vector<TrafficSpec> traffic;
  std::vector<SloSpec> slo;
  std::map<std::string, PolicyChoice> autoscalers;      // by workload
  std::map<std::string, PolicyChoice> routers;          // by service
  std::map<std::string, PolicyChoice> prefill_routers;  // likewise, of its prefill replicas
  std::map<std::string, PolicyChoice> interference;     // by way of sharing a GPU
  PolicyChoice scheduler{"kube", {}, {}};
  MetricsSpec metrics;
  std::vector<FaultSpec> faults;
  std::vector<ActionSpec> actions;
  std::vector<PodBehaviourSpec> pods;
  std::optional<ClusterAutoscalerSpec> cluster_autoscaler;
  std::optional<DeschedulerSpec> descheduler;
  std::optional<MigPolicySpec> mig_policy;
  std::vector<AgentSpec> agents;
  std::map<std::string, ShieldSpec> shields;   // by workload or agent
  bool trains_agents = false;                  // those without a policy are somebody's who trains them
  std::map<std::string, TariffSpec> prices;    // GPU model -> per hour
  std::optional<TariffSpec> carbon_intensity;  // grams of CO2 equivalent per kWh
  double pue = 1;
  double node_idle_watts = 0, node_core_watts = 0;

  Manifests manifests;
  GpuConfigs gpu_configs;
  std::vector<GpuModel> gpus;  // the catalogues
  std::vector<LlmModel> llms;
  std::vector<EngineProfile> engines;

  SourceMark mark;
  std::string text;  // as read, with the --set overrides, for the record
  std::vector<Diagnostic> warnings;
  bool strict = false;  // what compile() finds doubtful is an error
};

}  // namespace kisim

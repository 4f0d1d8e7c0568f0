#pragma once
// The Scenario document and what stands beside it, parsed and checked for form: the border between io and run.
// Every optional number that the user left out holds its documented default.

#include "cluster/gpu.hpp"
#include "cluster/objects.hpp"
#include "core/distribution.hpp"
#include "kube/scheduler_configuration.hpp"
#include "serving/catalog.hpp"
#include "traffic/traffic.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct PolicyChoice {
  std::string name;
  std::map<std::string, std::string> params;  // as written
  SourceMark mark;
};

// How the pods of a workload serve: one entry of spec.models.
struct ModelSpec {
  std::string name;
  Labels selector;  // empty: only pods annotated kisim.dev/model: <name>
  std::string engine = "vllm-0.19", model, gpu;
  std::string detail = "iteration";  // iteration | linear
  int32_t tensor_parallel = 1;

  // LLM engines; 0 = the engine's default
  int32_t max_num_seqs = 0, max_num_batched_tokens = 0, block_size = 0;
  double kv_memory_utilization = 0.9;

  // batch servers (engine: batch)
  int32_t max_batch_size = 1, instances = 1;
  std::vector<int32_t> preferred_batch_sizes;
  Duration max_queue_delay;

  // Requests waiting at one replica beyond this are refused; 0 = no limit.
  int32_t max_queue_size = 0;

  // Law that replaces the catalogue's. Batch: base + per_item·b. LLM, detail linear: an iteration takes
  // base + per_item·batch, a prompt prefill_base + prefill_per_token·tokens. In seconds; batch laws may be random.
  struct Latency {
    Distribution base, per_item;
    double prefill_base = 0, prefill_per_token = 0;
  };
  std::optional<Latency> latency;

  // Cold start, drawn per pod. Sizes in bytes, rates in bytes/s, times in seconds.
  struct Startup {
    Distribution image = Distribution::constant(0), weights = Distribution::constant(0);
    Distribution image_bandwidth = Distribution::constant(500e6);  // registry to node
    Distribution weights_bandwidth = Distribution::constant(2e9);  // storage to GPU
    Distribution container = Distribution::constant(1);            // sandbox, container and CUDA start
    Distribution engine = Distribution::constant(0);               // compile, graph capture, warm-up
  };
  Startup startup;
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
  double time_scale = 1;  // trace: > 1 stretches time
  double rate_scale = 1;  // trace: k copies, or a share k < 1, of the requests
  int32_t users = 0;      // Users: a closed loop
  Distribution think;     // seconds between an answer and the user's next request

  Arrivals arrivals = Arrivals::Poisson;

  Distribution prompt = Distribution::constant(0), output = Distribution::constant(1);  // tokens; a trace has its own
  Duration timeout;                                                                     // 0 = none; of one attempt
  int32_t retries = 0;     // attempts beyond the first, after a time-out, a drop or a failure
  Duration retry_backoff;  // before each retry
  SourceMark mark;
};

struct SloSpec {
  std::string traffic;
  std::optional<Duration> ttft, tpot, e2e;
  double target = 0.99;
  SourceMark mark;
};

struct MetricsSpec {
  Duration scrape_interval{15'000'000'000};
  std::optional<Duration> offset;   // none: random within the interval, per target
  Duration delay;                   // from scrape to visibility
  Duration window{30'000'000'000};  // over which rates are taken
};

struct FaultSpec {
  Duration at, for_;
  std::string kind, node;
  SourceMark mark;
};

struct Scenario {
  std::string name;
  Duration duration, warmup;
  uint64_t seed = 0;
  std::string kubernetes_version = "1.36";
  std::map<std::string, bool> feature_gates;  // that differ from the version's defaults
  KubeSchedulerConfiguration scheduler_configuration;
  std::string latencies = "none";  // none | upstream
  std::vector<ModelSpec> models;
  std::vector<TrafficSpec> traffic;
  std::vector<SloSpec> slo;
  std::map<std::string, PolicyChoice> autoscalers;  // by workload
  std::map<std::string, PolicyChoice> routers;      // by service
  PolicyChoice scheduler{"kube", {}, {}};
  MetricsSpec metrics;
  std::vector<FaultSpec> faults;
  std::map<std::string, double> prices;  // GPU model -> per hour

  Manifests manifests;
  std::vector<GpuModel> gpus;  // the catalogues
  std::vector<LlmModel> llms;
  std::vector<EngineProfile> engines;

  SourceMark mark;
  std::string text;  // as read, with the --set overrides, for the record
  std::vector<Diagnostic> warnings;
  bool strict = false;  // what compile() finds doubtful is an error
};

}  // namespace kisim

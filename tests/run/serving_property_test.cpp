// Properties of serving on shared GPUs: random worlds of LLM engines and batch servers on whole, cut, time-sliced, MPS
// and fractional GPUs live through faults, operators, reconfigurations and a MIG policy, and an onlooker counts for
// himself what must be so.
//
// KISIM_PROPERTY_STEPS: how many events (800000). KISIM_PROPERTY_SEED: the first seed (0), to see a failure again; a
// world that fails is told as the smallest scenario that fails, too.

#include "io/scenario_text.hpp"
#include "property.hpp"
#include "run/world.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <stdexcept>

namespace kisim {
namespace {

using namespace test;
__extension__ using Wide = __int128;

constexpr uint64_t kRecount = 32, kSummary = 1024;  // events between two full counts, between two summaries
constexpr uint64_t kStill = 5000;                   // events of one instant
constexpr uint64_t kLongest = 300'000;              // events of one world

class Dice {
 public:
  explicit Dice(uint64_t seed) : stream_(seed, 0, Purpose::Field) {}
  bool one_in(uint32_t n) { return stream_.below(n) == 0; }
  int32_t number(int32_t low, int32_t high) {
    return low + static_cast<int32_t>(stream_.below(static_cast<uint32_t>(high - low + 1)));
  }
  std::string pick(std::initializer_list<const char*> values) {
    return values.begin()[stream_.below(static_cast<uint32_t>(values.size()))];
  }
  template <class T>
  const T& any(const std::vector<T>& values) {
    return values[stream_.below(static_cast<uint32_t>(values.size()))];
  }

 private:
  Stream stream_;
};

// --- a scenario as lines that can be left out one by one

struct Document {
  std::string head, policies;
  std::vector<std::string> models, routers, prefill_routers, traffic, faults, actions, manifests;

  std::vector<std::vector<std::string>*> lists() { return {&actions, &faults, &traffic, &manifests}; }
  std::string text() const {
    std::string out = document(head);
    if (!policies.empty() || !routers.empty() || !prefill_routers.empty()) out += "  policies:\n" + policies;
    if (!routers.empty()) out += fmt::format("    router: {{{}}}\n", fmt::join(routers, ", "));
    if (!prefill_routers.empty()) out += fmt::format("    prefillRouter: {{{}}}\n", fmt::join(prefill_routers, ", "));
    auto section = [&](const char* name, const std::vector<std::string>& lines) {
      if (!lines.empty()) out += fmt::format("  {}:\n", name);
      for (const std::string& line : lines) out += "    " + line + "\n";
    };
    section("models", models);
    section("traffic", traffic);
    section("faults", faults);
    section("actions", actions);
    for (const std::string& manifest : manifests) out += "---\n" + manifest + "\n";
    return out;
  }
};

// The kinds of nodes, the resource that their GPUs are asked for by, what of it a node has, and the GiB of each.
struct Pool {
  const char *name, *labels;  // null: the nodes of the one before
  const char* resource;
  int32_t devices;
  double gib;
};
const std::vector<Pool> kPools{
    {"whole", "", "nvidia.com/gpu", 2, 80},
    {"mig", "nvidia.com/mig.config: balanced, nvidia.com/device-plugin.config: mixed", "nvidia.com/mig-1g.10gb", 4,
     9.75},
    {"mig", nullptr, "nvidia.com/mig-2g.20gb", 2, 19.625},
    {"cut", "nvidia.com/mig.config: half, nvidia.com/device-plugin.config: mixed", "nvidia.com/mig-3g.40gb", 2, 39.5},
    {"turns", "nvidia.com/mig.config: half, nvidia.com/device-plugin.config: turns", "nvidia.com/mig-3g.40gb.shared", 6,
     39.5},
    {"sliced", "nvidia.com/device-plugin.config: sliced", "nvidia.com/gpu.shared", 8, 80},
    {"mps", "nvidia.com/device-plugin.config: mps", "nvidia.com/gpu.shared", 6, 80.0 / 3},
    {"shares", "", "alibabacloud.com/gpu-milli", 4, 80}};

// Weights in bytes and bytes of KV for a token; what the engine takes beside them.
struct Llm {
  const char* name;
  double weights;
  int64_t kv_token;
};
const std::vector<Llm> kLlms{{"llama-3.1-8b", 2 * 8.030e9, 128 * 1024}, {"llama-3.2-1b", 2 * 1.2358e9, 32 * 1024}};
// What vLLM reserves on a GPU; with the activations of 8 billion parameters; and with buffers for collectives.
constexpr double kReservedGib = 0.65, kEngineGib = 1.55, kRankGib = 1.95, kGiB = 1024.0 * 1024 * 1024;

class Author {
 public:
  explicit Author(uint64_t seed) : dice_(seed) {
    policy_ = dice_.one_in(2);
    out_.head = fmt::format("  duration: {}s\n  warmup: {}s\n  seed: {}\n", dice_.number(200, 900),
                            dice_.one_in(3) ? dice_.number(1, 60) : 0, seed);
    out_.head += fmt::format(kFixed, dice_.pick({"none", "none", "upstream"}));
    bool shares_ignore_each_other = dice_.one_in(2);
    if (shares_ignore_each_other) out_.policies += "    interference: {gpu-milli: {name: none}}\n";
    if (policy_)
      out_.policies += fmt::format(
          "    mig: {{name: repartition, configs: [balanced, half, all-1g.10gb, all-disabled], nodeSelector: "
          "{{cuttable: \"yes\"}}, interval: {}s, takes: {}s, delay: {}s, coolDown: {}s, maxEvictions: {}, timeout: "
          "60s}}\n",
          dice_.number(1, 20), dice_.number(0, 30), dice_.number(0, 30), dice_.number(0, 100), dice_.number(0, 3));
    nodes();
    for (int32_t i = dice_.number(3, 7); i > 0; --i) server();
    if (dice_.one_in(2)) important();
    for (int32_t i = dice_.number(2, 10); i > 0; --i) fault();
    for (int32_t i = dice_.number(2, 14); i > 0; --i) action();
  }
  Document take() { return std::move(out_); }

 private:
  static constexpr const char* kFixed = R"(  kubernetes:
    latencies: {}
    schedulerConfiguration:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: KubeSchedulerConfiguration
      profiles:
      - {{schedulerName: default-scheduler}}
      - {{schedulerName: shares, plugins: {{multiPoint: {{enabled: [{{name: GpuShare}}, {{name: GpuPacking, weight: 10}}]}}}}}}
  prices: {{h100-80gb: 2.5/h}}
  carbon: {{intensity: 400}}
  migConfigs:
    version: v1
    mig-configs:
      balanced: [{{devices: all, mig-enabled: true, mig-devices: {{1g.10gb: 2, 2g.20gb: 1, 3g.40gb: 1}}}}]
      half: [{{devices: [0], mig-enabled: true, mig-devices: {{3g.40gb: 2}}}}, {{devices: [1], mig-enabled: false}}]
  devicePluginConfigs:
    mixed: {{version: v1, flags: {{migStrategy: mixed}}}}
    turns:
      version: v1
      flags: {{migStrategy: mixed}}
      sharing:
        timeSlicing: {{renameByDefault: true, resources: [{{name: nvidia.com/mig-3g.40gb, replicas: 3}}]}}
    sliced:
      {{version: v1, sharing: {{timeSlicing: {{renameByDefault: true, resources: [{{name: nvidia.com/gpu, replicas: 4}}]}}}}}}
    mps: {{version: v1, sharing: {{mps: {{renameByDefault: true, resources: [{{name: nvidia.com/gpu, replicas: 3}}]}}}}}}
)";

  std::string seconds(int32_t low_ms, int32_t high_ms) { return fmt::format("{}ms", dice_.number(low_ms, high_ms)); }
  std::string random_seconds(int32_t low_ms, int32_t high_ms) {
    std::string median = seconds(low_ms, high_ms);
    return dice_.one_in(2) ? median : fmt::format("{{lognormal: {{median: {}, sigma: 0.5}}}}", median);
  }

  void nodes() {
    for (const Pool& pool : kPools)
      for (int32_t i = dice_.number(0, 2); i >= 0 && pool.labels; --i) {
        std::string name = fmt::format("{}-{}", pool.name, i), labels = pool.labels;
        bool cuttable = labels.find("mig.config") != labels.npos;
        nodes_.push_back(name);
        if (cuttable) cuttable_.push_back(name);
        out_.manifests.push_back(fmt::format(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {}, labels: {{nvidia.com/gpu.product: "
            "NVIDIA-H100-80GB-HBM3, pool: {}, {}topology.kubernetes.io/zone: {}{}}}}}, status: {{allocatable: {{cpu: "
            "96, memory: 1Ti, pods: 110, nvidia.com/gpu: 2}}}}}}",
            name, pool.name, cuttable ? "cuttable: \"yes\", " : "", dice_.pick({"a", "b"}),
            labels.empty() ? "" : ", " + labels));
      }
    out_.manifests.push_back(
        "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: important}, value: 1000}");
  }

  // Each pod has so many devices, or so many tenths of a GPU where GPUs are shared so.
  void deployment(const std::string& app, const Pool& pool, int32_t devices, int32_t tenths, int32_t replicas,
                  const std::string& priority, const std::string& service = "") {
    bool shares = has_shares(pool);
    std::string limits = shares ? "" : fmt::format("limits: {{{}: {}}}, ", pool.resource, devices);
    std::string annotations = shares ? fmt::format(", annotations: {{{}: \"{}\"}}", pool.resource, 100 * tenths) : "";
    out_.manifests.push_back(fmt::format(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {0}}}, spec: {{replicas: {1}, selector: "
        "{{matchLabels: {{app: {0}}}}}, strategy: {{rollingUpdate: {{maxSurge: {2}, maxUnavailable: {3}}}}}, template: "
        "{{metadata: {{labels: {{app: {0}, service: {10}}}{4}}}, spec: {{{5}{6}nodeSelector: {{pool: {7}}}, "
        "terminationGracePeriodSeconds: {8}, containers: [{{name: m, image: i:1, resources: {{{9}requests: {{cpu: "
        "1}}}}}}]}}}}}}}}",
        app, replicas, dice_.number(0, 1), dice_.number(1, 2), annotations, shares ? "schedulerName: shares, " : "",
        priority, pool.name, dice_.number(0, 30), limits, service.empty() ? app : service));
    if (dice_.one_in(4))
      out_.manifests.push_back(
          fmt::format("{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: {0}}}, spec: {{selector: "
                      "{{matchLabels: {{app: {0}}}}}, minAvailable: {1}}}}}",
                      app, dice_.number(0, 2)));
    apps_.push_back(app);
  }

  static bool has_shares(const Pool& pool) { return std::string_view(pool.name) == "shares"; }

  void server() {
    std::string app = fmt::format("s{}", apps_.size());
    bool llm = dice_.one_in(2);
    const Pool& pool = dice_.any(kPools);
    int32_t tensor_parallel = llm && &pool == &kPools.front() ? dice_.number(1, 2) : 1, tenths = dice_.number(1, 10);
    deployment(app, pool, tensor_parallel, tenths, dice_.number(1, pool.devices), "");
    out_.manifests.push_back(fmt::format(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {0}}}, spec: {{selector: {{service: {0}}}}}}}", app));
    if (dice_.one_in(2))
      out_.routers.push_back(fmt::format("{}: {{name: {}}}", app,
                                         dice_.pick({"least-requests", "prefix-aware", "kv-usage-aware",
                                                     "session-affinity", "session-affinity, maxLoad: 1.2"})));
    std::string start =
        fmt::format("startup: {{container: {}, weights: {}GiB}}", random_seconds(100, 5000), dice_.number(0, 16));
    bool ahead = dice_.one_in(3);  // batches formed before an instance is free, which no queue policy may reorder
    int32_t levels = ahead ? 1 : dice_.number(1, 3);
    double gib = pool.gib * tensor_parallel * (has_shares(pool) ? 0.1 * tenths : 1);
    const bool apart = llm && dice_.one_in(3);
    out_.models.push_back(llm ? llm_model(app, start, gib, tensor_parallel, apart)
                              : batch_model(app, start, levels, ahead));
    if (apart) prefill(app, out_.models.back());
    for (int32_t i = dice_.number(1, 2); i > 0; --i) source(app, llm, levels, apart);
  }

  // Replicas on whole GPUs that compute prompts for those of the service.
  void prefill(const std::string& service, const std::string& decode) {
    std::string app = service + "-p";
    deployment(app, kPools.front(), 1, 0, dice_.number(0, 2), "", service);
    const std::string model = decode.find("llama-3.2-1b") != decode.npos ? "llama-3.2-1b" : "llama-3.1-8b";
    out_.models.push_back(
        fmt::format("{0}: {{selector: {{app: {0}}}, model: {1}, gpu: h100-80gb, role: prefill, kvMemoryUtilization: "
                    "{2}, maxNumSeqs: {3}, startup: {{container: {4}}}}}",
                    app, model, model == "llama-3.2-1b" ? "0.08" : "0.23", dice_.number(2, 64), seconds(100, 5000)));
    if (dice_.one_in(2)) out_.prefill_routers.push_back(fmt::format("{}: {{name: prefix-aware}}", service));
  }

  // Little room for KV beside the weights: requests push each other out. Some fit nowhere.
  std::string llm_model(const std::string& app, const std::string& start, double gib, int32_t tensor_parallel,
                        bool decodes) {
    auto needed = [&](const Llm& llm) {
      return (llm.weights / kGiB + (tensor_parallel > 1 ? kRankGib * tensor_parallel : kEngineGib)) / gib;
    };
    const Llm& llm = needed(kLlms.front()) < 0.98 && !dice_.one_in(3) ? kLlms.front() : kLlms.back();
    double utilization = std::min(0.99, needed(llm) + 0.01 * dice_.number(1, 10));
    std::string common = fmt::format(
        "selector: {{app: {}}}, model: {}, gpu: h100-80gb, tensorParallel: {}, maxNumSeqs: {}, kvMemoryUtilization: "
        "{:.3f}, maxQueueSize: {}, {}",
        app, llm.name, tensor_parallel, dice_.number(2, 64), utilization, dice_.one_in(2) ? dice_.number(1, 40) : 0,
        start);
    if (decodes)
      common += fmt::format(", role: {}, maxLocalPrefillLength: {}", dice_.pick({"decode", "both"}),
                            dice_.one_in(2) ? 0 : dice_.number(1, 600));
    if (dice_.one_in(3)) common += ", schedulingPolicy: priority";
    const bool drafts = dice_.one_in(4), adapters = dice_.one_in(4);
    if (drafts)
      common += fmt::format(", speculative: {{tokens: {}, acceptance: 0.{}}}", dice_.number(1, 6), dice_.number(0, 9));
    if (adapters)
      common +=
          fmt::format(", lora: {{maxLoras: {}, maxCpuLoras: {}, rank: 8}}", dice_.number(1, 3), dice_.number(0, 5));
    if (dice_.one_in(4))
      common += ", prefixCaching: false";
    else if (dice_.one_in(3))
      return fmt::format("{}: {{{}, kvOffload: [{{tier: dram, size: {}MiB}}, {{tier: nvme4, size: {}GiB}}]}}", app,
                         common, dice_.number(1, 2000), dice_.number(1, 8));
    if (decodes || drafts || adapters || dice_.one_in(2)) return fmt::format("{}: {{{}}}", app, common);
    if (dice_.one_in(3)) return fmt::format("{}: {{{}, detail: linear}}", app, common);
    return fmt::format("{0}: {{{1}, detail: linear, latency: {{base: {2}, perItem: {3}, prefillBase: {3}}}}}", app,
                       common, seconds(5, 20), seconds(0, 2));
  }

  std::string batch_model(const std::string& app, const std::string& start, int32_t levels, bool ahead) {
    std::string policy = fmt::format(
        "priorityLevels: {}, defaultQueuePolicy: {{maxQueueSize: {}, defaultTimeout: {}, timeoutAction: {}, "
        "allowTimeoutOverride: {}}}",
        levels, dice_.one_in(2) ? dice_.number(1, 30) : 0, dice_.one_in(2) ? seconds(10, 3000) : "0s",
        dice_.pick({"reject", "delay"}), dice_.pick({"true", "false"}));
    if (ahead) policy = fmt::format("prefetchedBatches: {}", dice_.number(1, 2));
    int32_t most = dice_.number(1, 16);
    std::string model = fmt::format(
        "maxBatchSize: {}, instances: {}, maxQueueDelay: {}, {}, latency: "
        "{{base: {}, perItem: {}, compute: 0.{}, bandwidth: 0.{}}}, memory: {{weights: 1GiB, perInstance: 100MiB}}",
        most, dice_.number(1, 3), dice_.one_in(2) ? seconds(0, 100) : "0s", policy, random_seconds(1, 300),
        seconds(1, 30), dice_.number(1, 9), dice_.number(1, 9));
    std::string common =
        fmt::format("{0}: {{selector: {{app: {0}}}, engine: batch, overlap: 0.{1}, maxQueueSize: {2}, {3}", app,
                    dice_.number(0, 9), dice_.one_in(3) ? dice_.number(1, 60) : 0, start);
    if (dice_.one_in(2)) return common + ", " + model + "}";
    return fmt::format("{}, serves: {{chain: {{steps: [first, second, first]}}, first: {{{}}}, second: {{{}}}}}}}",
                       common, model, model);
  }

  void source(const std::string& app, bool llm, int32_t levels, bool apart) {
    std::string name = fmt::format("t{}", out_.traffic.size());
    int32_t rate = llm ? dice_.number(1, 4) : dice_.number(1, 15);
    std::string pattern = dice_.one_in(3) ? fmt::format("{{users: {{count: {}, think: {}}}}}", dice_.number(1, 20),
                                                        random_seconds(500, 4000))
                                          : fmt::format("{{constant: {{rate: {}/s}}}}", rate);
    std::string line = fmt::format("{}: {{service: {}, pattern: {}", name, app, pattern);
    if (llm) {
      std::string prefix = fmt::format(", prefix: {{tokens: {}, groups: {}, zipf: 0.{}}}", dice_.number(1, 600),
                                       dice_.number(1, 8), dice_.number(0, 9));
      line += fmt::format(
          ", request: {{prompt: {{lognormal: {{median: 500, sigma: 0.9}}}}, output: {{geometric: {{mean: 150}}}}{}}}",
          (dice_.one_in(2) ? prefix : "") +
              (dice_.one_in(2) ? fmt::format(", adapters: {{count: {}, zipf: 0.5}}", dice_.number(1, 6)) : ""));
      if (dice_.one_in(2))
        line += fmt::format(", tasks: {{a: {{priority: {}}}, b: {{priority: {}}}}}", dice_.number(0, 3),
                            dice_.number(0, 3));
      if (dice_.one_in(3))
        line += fmt::format(", session: {{turns: {{geometric: {{mean: {}}}}}, think: {}, maxTokens: {}}}",
                            dice_.number(1, 5), random_seconds(100, 9000), dice_.number(0, 4000));
    } else
      line += fmt::format(", tasks: {{a: {{weight: 3, samples: 1}}, b: {{priority: {}, queueTimeout: {}}}}}",
                          dice_.number(0, levels), dice_.one_in(2) ? seconds(5, 2000) : "0s");
    if (!dice_.one_in(4)) line += fmt::format(", timeout: {}", seconds(200, 20'000));
    if (dice_.one_in(2)) line += fmt::format(", retries: {}, retryBackoff: {}", dice_.number(1, 4), seconds(0, 3000));
    if (!apart && dice_.one_in(3)) line += fmt::format(", hedge: {}", seconds(5, 2000));
    if (dice_.one_in(3))
      line += fmt::format(", admission: {{rate: {}/s, burst: {}, maxOutstanding: {}{}}}", dice_.number(5, 80),
                          dice_.number(1, 20), dice_.one_in(2) ? dice_.number(1, 30) : 0,
                          llm && dice_.one_in(2) ? fmt::format(", ttft: {}, shed: {{queueDepth: {}}}",
                                                               seconds(50, 5000), dice_.number(1, 9))
                                                 : "");
    if (dice_.one_in(3))
      line += fmt::format(", network: {{out: {}, back: {}}}", random_seconds(1, 50), random_seconds(1, 50));
    if (dice_.one_in(4)) line += fmt::format(", connections: {}", dice_.number(1, 20));
    out_.traffic.push_back(line + "}");
  }

  // Pods that push others off their GPUs.
  void important() {
    std::string app = fmt::format("s{}", apps_.size());
    deployment(app, dice_.any(kPools), 1, dice_.number(1, 10), 0, "priorityClassName: important, ");
    for (int32_t replicas : {dice_.number(1, 4), 0})
      out_.actions.push_back(fmt::format("- {{at: {}s, scale: deployment/{}, replicas: {}}}",
                                         dice_.number(replicas ? 10 : 100, replicas ? 90 : 199), app, replicas));
  }

  void fault() {
    std::string when = fmt::format("at: {}s, for: {}s", dice_.number(1, 190),
                                   dice_.one_in(4) ? 0 : dice_.number(1, dice_.one_in(3) ? 400 : 60));
    std::string kind = dice_.pick({"node-loss", "node-loss", "gpu-failure", "gpu-failure", "nvlink-failure",
                                   "nvlink-failure", "zone-outage", "crash-loop", "oom-kill"});
    std::string target = fmt::format("node: {}", dice_.any(nodes_));
    if (kind == "gpu-failure" || kind == "nvlink-failure") target += fmt::format(", gpus: {}", dice_.number(1, 2));
    if (kind == "zone-outage") target = "zone: " + dice_.pick({"a", "b"});
    if (kind == "crash-loop" || kind == "oom-kill") target = "workload: " + dice_.any(apps_);
    if (kind == "oom-kill") when = fmt::format("at: {}s", dice_.number(1, 190));
    out_.faults.push_back(fmt::format("- {{kind: {}, {}, {}}}", kind, when, target));
  }

  void action() {
    std::string at = fmt::format("- {{at: {}s, ", dice_.number(1, 190));
    std::string app = dice_.any(apps_), node = dice_.any(nodes_);
    switch (dice_.number(0, 6)) {
      case 0:
      case 1:
        return out_.actions.push_back(
            fmt::format("{}scale: deployment/{}, replicas: {}}}", at, app, dice_.number(0, 6)));
      case 2:
        return out_.actions.push_back(fmt::format("{}restart: deployment/{}}}", at, app));
      case 3:
        return out_.actions.push_back(fmt::format("{}drain: {}, timeout: {}s}}", at, node, dice_.number(5, 60)));
      case 4:
        return out_.actions.push_back(fmt::format("{}{}: {}}}", at, dice_.pick({"cordon", "uncordon"}), node));
      case 5:
        if (!dice_.one_in(3)) return;
        return out_.actions.push_back(
            fmt::format("{}delete: {}}}", at, dice_.one_in(2) ? "deployment/" + app : "node/" + node));
      default:
        if (policy_) return;
        return out_.actions.push_back(fmt::format(
            "{}reconfigure: {{node: {}, migConfig: {}, takes: {}s, timeout: {}s}}}}", at, dice_.any(cuttable_),
            dice_.pick({"balanced", "half", "all-1g.10gb", "all-2g.20gb", "all-disabled"}), dice_.number(0, 40),
            dice_.number(5, 60)));
    }
  }

  Dice dice_;
  bool policy_ = false;
  std::vector<std::string> nodes_, cuttable_, apps_;
  Document out_;
};

// --- the onlooker

struct Tally {
  uint64_t worlds = 0, events = 0, requests = 0, retried = 0, preempted = 0, evicted = 0, reconfigured = 0, refused = 0;
  std::array<uint64_t, 4> ends{};                             // by Outcome
  uint64_t pulled = 0, lost = 0, accepted = 0, adapters = 0;  // KV of prompts; drafts; loads
  // By LLM engines that are there at the end, on what they run.
  std::map<std::string, uint64_t> answered{{"whole", 0}, {"MIG", 0}, {"time-sliced", 0}, {"MPS", 0}, {"gpu-milli", 0}};
};

// What has left, by source and ordinal: nothing twice, and nothing that had not come.
class Leavers : public RequestSink {
 public:
  void record(const RequestRecord& r) override {
    if (r.source >= seen.size()) seen.resize(r.source + 1);
    std::vector<uint8_t>& ordinals = seen[r.source];
    if (r.ordinal >= ordinals.size()) ordinals.resize(r.ordinal + 1, 0);
    if (ordinals[r.ordinal]++) complain("request {} of source {} leaves twice", r.ordinal, r.source);
    ++ends[r.source][static_cast<size_t>(r.outcome)];
    arrivals[r.source].push(r.arrival_s);
    if (r.e2e_s < 0) complain("request {} of source {} leaves before it came", r.ordinal, r.source);
  }
  std::vector<std::vector<uint8_t>> seen;
  std::map<uint32_t, std::array<uint64_t, 4>> ends;
  // Of those that have left, the earliest first.
  std::map<uint32_t, std::priority_queue<double, std::vector<double>, std::greater<>>> arrivals;
};

class Onlooker {
 public:
  explicit Onlooker(std::shared_ptr<const Model> model) : world_(std::move(model)), recorder_(Record::All, &leavers_) {
    world_.set_recorder(&recorder_);
    energy_.resize(cluster().gpus.size(), 0);
    allocated_.resize(cluster().gpus.size(), 0);
    busy_.resize(cluster().gpus.size(), 0);
    arrivals_.resize(world_.model().serving.clients.size());
  }

  // At most that many events.
  void live(uint64_t most) {
    for (uint64_t n = 1; n <= most; ++n) {
      Before before = look();
      if (!world_.step(Time::max())) break;
      integrate(before);
      still_ = world_.now() == before.at ? still_ + 1 : 0;
      if (still_ > kStill) complain("{} events, and the clock stands still", still_);
      note_arrivals();
      if (n % kRecount == 0) count();
      if (n % kSummary == 0) balance();
      if (n == most / 2) branch_ = world_.fork();
    }
    count();
    balance();
    lives_again();
  }

  void sum_up(Tally& tally) const {
    Summary s = world_.summary();
    ++tally.worlds;
    tally.events += s.events;
    tally.requests += s.requests.arrived;
    tally.retried += s.requests.retried;
    for (const auto& [source, ends] : leavers_.ends)
      for (size_t e = 0; e < ends.size(); ++e) tally.ends[e] += ends[e];
    tally.pulled += serving().kv_transfers.count;
    tally.lost += serving().kv_transfers.lost;
    for (const ReplicaState& replica : serving().replicas) {
      tally.accepted += replica.engine.accepted_tokens;
      tally.adapters += replica.engine.adapter_loads;
    }
    tally.preempted += s.pods.preempted;
    tally.evicted += s.pods.evicted;
    for (const Reconfiguration& r : world_.state().kube.statistics.reconfigurations) {
      tally.reconfigured += r.outcome == Reconfiguration::Outcome::Success;
      tally.refused += r.outcome == Reconfiguration::Outcome::Failed;
    }
    for (const ReplicaState& replica : serving().replicas)
      if (replica.status != ReplicaState::Status::Free && world_.model().serving.models[replica.model].llm)
        tally.answered.at(kind_of(replica.accelerator)) += replica.completed;
  }
  static const char* kind_of(const Accelerator& a) {
    constexpr const char* kShared[] = {"whole", "time-sliced", "MPS", "gpu-milli"};
    return a.sharing == GpuSharing::Exclusive && a.instance ? "MIG" : kShared[static_cast<size_t>(a.sharing)];
  }
  std::string where() const {
    return fmt::format("event {} at {} s", world_.state().engine.events(), world_.now().to_seconds());
  }

 private:
  struct Before {
    Time at;
    std::vector<int64_t> power, allocated, busy;
  };
  const ClusterState& cluster() const { return world_.state().cluster; }
  const ServingState& serving() const { return world_.state().serving; }

  Before look() const {
    Before out{world_.now(), {}, {}, {}};
    for (const GpuState& gpu : cluster().gpus) {
      out.power.push_back(gpu.power.value());
      out.allocated.push_back(gpu.allocated.value());
      out.busy.push_back(gpu.busy.value());
    }
    return out;
  }

  // What held before the event held until it. The statistics begin anew at the end of warm-up.
  void integrate(const Before& before) {
    if (!warm_ && world_.now() > world_.model().warmup_end) {
      warm_ = true;
      std::fill(allocated_.begin(), allocated_.end(), 0);
      std::fill(busy_.begin(), busy_.end(), 0);
      books_ = {};
    }
    Wide passed = (world_.now() - before.at).ns;
    for (size_t g = 0; g < energy_.size(); ++g) {
      energy_[g] += before.power[g] * passed;
      allocated_[g] += before.allocated[g] * passed;
      busy_[g] += before.busy[g] * passed;
    }
  }

  void note_arrivals() {
    for (size_t c = 0; c < arrivals_.size(); ++c)
      while (arrivals_[c].size() < serving().clients[c].arrived) arrivals_[c].push_back(world_.now());
  }

  void count() {
    if (!warm_ && world_.now() == world_.model().warmup_end) return;  // what is due at that instant may be to come
    requests_are_somewhere();
    nobody_waits_for_ever();
    devices_have_room();
    replicas_have_pods();
    neighbours_slow_each_other();
    broken_links_have_a_fault();
    integrals_agree();
    books_grow();
  }

  void requests_are_somewhere() {
    uint64_t here = 0;
    for (uint32_t c = 0; c < arrivals_.size(); ++c) {
      const ClientState& books = serving().clients[c];
      const std::array<uint64_t, 4>& ends = leavers_.ends[c];
      std::array<uint64_t, 4> told{books.completed, books.failed, books.dropped, books.timed_out};
      if (ends != told)
        complain("source {}: the books count {}, {} were seen", c, fmt::join(told, "/"), fmt::join(ends, "/"));
      uint64_t left = ends[0] + ends[1] + ends[2] + ends[3];
      if (left > books.arrived) complain("source {}: {} left of {}", c, left, books.arrived);
      here += books.arrived - left;
    }
    if (here != static_cast<uint64_t>(serving().in_flight.value()))
      complain("{} are in flight, the books say {}", here, serving().in_flight.value());
  }

  // Where every attempt has its time-out, a request leaves by its last one.
  void nobody_waits_for_ever() {
    for (uint32_t c = 0; c < arrivals_.size(); ++c) {
      const ClientModel& client = world_.model().serving.clients[c];
      if (client.timeout.ns == 0 || client.process) continue;
      Duration longest = client.timeout * (client.retries + 1) + client.retry_backoff * client.retries;
      Overdue& overdue = overdue_[c];
      auto old = [&](double arrival) { return arrival < (world_.now() - longest).to_seconds(); };
      while (overdue.came < arrivals_[c].size() && old(arrivals_[c][overdue.came].to_seconds())) ++overdue.came;
      auto& left = leavers_.arrivals[c];
      for (; !left.empty() && old(left.top()); left.pop()) ++overdue.left;
      if (overdue.came != overdue.left)
        complain("source {}: of {} that came {} s ago {} are still here", c, overdue.came, longest.to_seconds(),
                 overdue.came - overdue.left);
    }
  }

  void devices_have_room() {
    const ClusterModel& model = world_.model().cluster;
    for (size_t n = 0; n < cluster().devices.size(); ++n) {
      if (!cluster().node_joined[n]) continue;  // a later object of a machine, or not there yet
      NodeId on(n);
      const std::vector<GpuDevice>& devices = world_.cluster().devices(on);
      std::vector<int64_t> taken(devices.size(), 0), allocated(world_.cluster().gpus(on), 0), memory(allocated);
      for (PodId id : cluster().node_pods[n]) {
        const PodState& pod = cluster().pods[id];
        const PodTemplateModel& t = model.templates[pod.pod_template];
        if (pod.devices.empty()) continue;
        Accelerator a = world_.cluster().accelerator(id);
        for (uint16_t d : pod.devices) {
          if (d >= devices.size()) complain("pod {} holds device {} of {}", id.value, d, devices.size());
          int64_t part = t.gpu_milli > 0 ? t.gpu_milli : devices[d].replicas > 1 ? 1 : 1000;
          taken[d] += part;
          int64_t of = devices[d].instance ? kWholeGpu / 7 * a.instance->compute_slices : kWholeGpu;
          allocated[devices[d].gpu] += of * part / (devices[d].replicas > 1 ? devices[d].replicas : 1000);
          if (a.sharing != GpuSharing::TimeSlicing)
            memory[devices[d].gpu] += a.memory_bytes / static_cast<int64_t>(pod.devices.size());
        }
      }
      for (size_t d = 0; d < devices.size(); ++d) {
        int64_t capacity = devices[d].replicas > 1 ? devices[d].replicas : 1000;
        if (taken[d] != cluster().devices[n][d].taken || taken[d] > capacity)
          complain("node {}: device {} has {} taken in the books, {} counted, of {}", n, d,
                   cluster().devices[n][d].taken, taken[d], capacity);
      }
      for (uint32_t g = 0; g < allocated.size(); ++g) {
        const GpuState& gpu = cluster().gpus[world_.cluster().gpu(on, g)];
        if (allocated[g] != gpu.allocated.value() || allocated[g] > kWholeGpu)
          complain("GPU {} of node {}: {} allocated in the books, {} counted", g, n, gpu.allocated.value(),
                   allocated[g]);
        int64_t has = model.gpu_models[model.nodes[on].gpu_model].memory_bytes;
        if (memory[g] > has) complain("GPU {} of node {}: {} bytes held of {}", g, n, memory[g], has);
        if (gpu.busy.value() < 0 || gpu.busy.value() > gpu.allocated.value())
          complain("GPU {} of node {}: {} busy, {} allocated", g, n, gpu.busy.value(), gpu.allocated.value());
      }
    }
  }

  void replicas_have_pods() {
    std::map<uint32_t, uint32_t> replica_of;  // by pod
    for (size_t r = 0; r < serving().replicas.size(); ++r) {
      const ReplicaState& replica = serving().replicas[ReplicaId(r)];
      if (replica.status == ReplicaState::Status::Free) continue;
      const PodState& pod = cluster().pods[replica.pod];
      if (!replica_of.emplace(replica.pod.value, r).second) complain("pod {} has two replicas", replica.pod.value);
      if (!pod.node.valid() || pod.replica != ReplicaId(r)) complain("replica {} has no pod on a node", r);
      const ServingModelModel& m = world_.model().serving.models[replica.model];
      if (replica.busy.integral(world_.now()) > (world_.now() - replica.since).ns)
        complain("replica {} was busy for longer than it lives", r);
      if (m.llm) memory_suffices(r, replica, m.engine);
    }
  }

  // Of the memory that it has, the share that it may use holds the weights, what else the engine takes, and all KV.
  void memory_suffices(size_t r, const ReplicaState& replica, const LlmEngineModel& engine) {
    const LlmCost& cost = replica.cost;
    int64_t held = cost.kv_blocks - replica.engine.kv.free_blocks();
    if (held < 0 || held > cost.kv_blocks) complain("replica {} holds {} KV blocks of {}", r, held, cost.kv_blocks);
    if (replica.engine.prefix_hits > replica.engine.prefix_queries)
      complain("replica {} found {} tokens of {}", r, replica.engine.prefix_hits, replica.engine.prefix_queries);
    bool empty = replica.engine.running.empty() && !replica.engine.stepping && replica.timer_at == Time::max() &&
                 replica.engine.loading.empty() && replica.kept.empty();
    if (replica.kept.size != static_cast<uint32_t>(replica.engine.kept))
      complain("replica {} keeps the KV of {} requests, its engine of {}", r, replica.kept.size, replica.engine.kept);
    if (empty && !replica.lost && held != 0) complain("replica {} is empty and holds {} KV blocks", r, held);
    auto llm = std::find_if(kLlms.begin(), kLlms.end(), [&](const Llm& l) { return engine.llm.name == l.name; });
    double bytes = llm->weights + kReservedGib * kGiB + engine.activation_bytes() +
                   static_cast<double>(cost.kv_blocks * 16 * llm->kv_token);
    double usable = static_cast<double>(replica.accelerator.memory_bytes) * engine.memory_utilization;
    if (cost.kv_blocks < 1 || bytes > usable)
      complain("replica {} has {} KV blocks: {} bytes of {}", r, cost.kv_blocks, bytes, usable);
  }

  // An LLM engine alone on its device goes at full speed. k that take turns have 0.98/k each; kernels that run side by
  // side ask for k devices at most, and each neighbour costs 3 % beside that; shares in thousandths are promised rates
  // unless the scenario says otherwise.
  void neighbours_slow_each_other() {
    std::map<std::pair<uint32_t, uint32_t>, int32_t> running;  // by GPU and where on it the instance starts
    auto place = [&](const ReplicaState& replica) {
      const PodState& pod = cluster().pods[replica.pod];
      const GpuDevice& device = world_.cluster().devices(pod.node)[pod.devices.front()];
      return std::pair(replica.accelerator.first.value, device.instance ? 1u + device.instance->start : 0u);
    };
    auto runs = [&](const ReplicaState& replica) {
      return replica.status != ReplicaState::Status::Free && !replica.lost && replica.busy.value() > 0;
    };
    for (const ReplicaState& replica : serving().replicas)
      if (runs(replica)) ++running[place(replica)];
    for (size_t r = 0; r < serving().replicas.size(); ++r) {
      const ReplicaState& replica = serving().replicas[ReplicaId(r)];
      if (!runs(replica) || !world_.model().serving.models[replica.model].llm) continue;
      int32_t k = running[place(replica)];
      double speed = static_cast<double>(replica.engine.speed) / LlmEngineState::kFullSpeed, low = 1, high = 1;
      if (k > 1 && replica.accelerator.sharing == GpuSharing::Exclusive)
        complain("{} replicas run on the device of replica {}, which is its own", k, r);
      if (k > 1) high = 1 / (1 + 0.03 * (k - 1)), low = high / k;
      if (k > 1 && replica.accelerator.sharing == GpuSharing::TimeSlicing) low = high = 0.98 / k;
      const auto& policy = world_.model().serving.interference[static_cast<size_t>(replica.accelerator.sharing)];
      const std::array<GpuDemand, 2> two{{{1, 1}, {1, 1}}};
      if (!policy || policy->speed(two, 0) == 1) low = high = 1;  // none: they ignore each other
      if (speed < low - 1e-6 || speed > high + 1e-6)
        complain("replica {}, {} running on its {} device: speed {}", r, k, kind_of(replica.accelerator), speed);
    }
  }

  void broken_links_have_a_fault() {
    std::vector<GpuId> broken;
    for (size_t i = 0; i < world_.state().kube.faults.size(); ++i)
      if (world_.model().kube.faults[i].kind == Fault::Kind::NvlinkFailure)
        broken.insert(broken.end(), world_.state().kube.faults[i].gpus.begin(),
                      world_.state().kube.faults[i].gpus.end());
    for (size_t g = 0; g < cluster().gpus.size(); ++g) {
      if (!cluster().node_present[cluster().gpus[GpuId(g)].node.value]) continue;
      auto faults = std::count(broken.begin(), broken.end(), GpuId(g));
      if (faults != (cluster().gpus[GpuId(g)].nvlink_up ? 0 : 1))
        complain("{} faults break the NVLinks of GPU {}, which are {}", faults, g,
                 cluster().gpus[GpuId(g)].nvlink_up ? "up" : "down");
    }
  }

  void integrals_agree() {
    for (size_t g = 0; g < energy_.size(); ++g) {
      GpuId id(g);
      const GpuState& gpu = cluster().gpus[id];
      if (world_.cluster().energy(id, world_.now()) != energy_[g]) complain("GPU {}: another energy than ∫ power", g);
      if (gpu.allocated.integral(world_.now()) != allocated_[g]) complain("GPU {}: another ∫ allocated", g);
      if (gpu.busy.integral(world_.now()) != busy_[g]) complain("GPU {}: another ∫ busy", g);
      if (busy_[g] > allocated_[g]) complain("GPU {}: busy for longer than allocated", g);
      bool runs = cluster().node_present[gpu.node.value] && cluster().node_runs[gpu.node.value] &&
                  g - cluster().first_gpu[gpu.node.value] < world_.cluster().gpus(gpu.node);
      const PowerLaw* law = world_.cluster().power_law_of(id);
      double watts = static_cast<double>(gpu.power.value()) * 1e-3;
      if (!runs && watts != 0) complain("GPU {} has no power and draws {} W", g, watts);
      if (runs && law && (watts < 60 || watts > 700)) complain("GPU {} draws {} W", g, watts);
    }
    world_.cluster().check_power(world_.now());
  }

  void books_grow() {
    AccountsState now = world_.accounts();
    if (now.cost < books_.cost || now.carbon_g < books_.carbon_g || now.energy_before < books_.energy_before)
      complain("cost, carbon or energy shrink: {}, {} g", now.cost, now.carbon_g);
    double hours = 0;
    for (Wide a : allocated_) hours += static_cast<double>(a) / kGpuHour;
    if (now.cost != Approx(2.5 * hours).margin(1e-9)) complain("cost {}, and {} GPU hours at 2.5", now.cost, hours);
    double kwh = static_cast<double>(now.energy_before) / kKilowattHour;
    if (now.carbon_g != Approx(400 * kwh).margin(1e-9))
      complain("{} g of carbon, and {} kWh at 400", now.carbon_g, kwh);
    books_ = now;
  }

  void balance() { world_.summary(); }

  // A copy from the middle lives on as the world did.
  void lives_again() {
    if (!branch_) return;
    while (branch_->state().engine.events() < world_.state().engine.events() && branch_->step(Time::max())) {
    }
    if (branch_->summary().signature != world_.summary().signature) complain("a copy lives otherwise");
  }

  World world_;
  Leavers leavers_;
  Recorder recorder_;
  std::unique_ptr<World> branch_;
  std::vector<std::vector<Time>> arrivals_;
  struct Overdue {
    uint64_t came = 0, left = 0;
  };
  std::map<uint32_t, Overdue> overdue_;
  std::vector<Wide> energy_, allocated_, busy_;
  AccountsState books_;
  bool warm_ = false;
  uint64_t still_ = 0;  // events at the present instant
};

// What is wrong with a world, and when; empty: nothing.
std::string problem_of(const Document& scenario, Tally* tally = nullptr) {
  std::optional<Onlooker> onlooker;
  try {
    onlooker.emplace(compile(read_scenario_text(scenario.text(), "property.yaml")));
    onlooker->live(kLongest);
    if (tally) onlooker->sum_up(*tally);
    return {};
  } catch (const InputError& e) {
    return fmt::format("refused: {}", e.what());
  } catch (const std::exception& e) {
    return fmt::format("{}: {}", onlooker ? onlooker->where() : "at the start", e.what());
  }
}

// Leaves out whatever the problem does not need; what remains may have another problem, but one.
Document smallest(Document scenario) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::vector<std::string>* list : scenario.lists())
      for (size_t i = list->size(); i-- > 0;) {
        std::string line = (*list)[i];
        list->erase(list->begin() + static_cast<std::ptrdiff_t>(i));
        std::string problem = problem_of(scenario);
        bool fails = !problem.empty() && !problem.starts_with("refused");
        if (fails)
          smaller = true;
        else
          list->insert(list->begin() + static_cast<std::ptrdiff_t>(i), line);
      }
  }
  return scenario;
}

TEST_CASE("serving on shared GPUs keeps its promises whatever happens", "[property]") {
  uint64_t steps = number_from("KISIM_PROPERTY_STEPS", 2'000'000), seed = number_from("KISIM_PROPERTY_SEED", 0);
  Tally tally;
  for (uint64_t failures = 0; tally.events < steps && failures < 3; ++seed) {
    Document scenario = Author(seed).take();
    std::string problem = problem_of(scenario, &tally);
    if (problem.empty()) continue;
    ++failures;
    FAIL_CHECK(fmt::format("KISIM_PROPERTY_SEED={} KISIM_PROPERTY_STEPS=1: {}", seed, problem));
    if (problem.starts_with("refused")) continue;
    Document least = smallest(scenario);
    fmt::print("# {}\n{}\n", problem_of(least), least.text());
  }
  std::string counts = fmt::format(
      "{} worlds, {} events, {} requests ({} retried; {}), {} preempted, {} evicted, {} reconfigured, {} not; "
      "KV of {} prompts pulled and of {} lost, {} drafts accepted, {} adapters loaded; answered by LLMs: {}",
      tally.worlds, tally.events, tally.requests, tally.retried, fmt::join(tally.ends, "/"), tally.preempted,
      tally.evicted, tally.reconfigured, tally.refused, tally.pulled, tally.lost, tally.accepted, tally.adapters,
      fmt::join(tally.answered, ", "));
  INFO(counts);
  if (std::getenv("KISIM_PROPERTY_STEPS")) WARN(counts);
  if (tally.worlds < 8) return;
  // A property that nothing puts to the test always holds.
  for (uint64_t ends : tally.ends) CHECK(ends > 0);
  CHECK(tally.retried > 0);
  CHECK(tally.pulled > 0);
  CHECK(tally.accepted > 0);
  CHECK(tally.adapters > 0);
  CHECK(tally.evicted > 0);
  CHECK(tally.reconfigured > 0);
  for (const auto& [kind, requests] : tally.answered) {
    INFO(kind);
    CHECK(requests > 0);
  }
}

}  // namespace
}  // namespace kisim

#include "sample_run.hpp"

#include <cmath>
#include <limits>

namespace kisim {

Summary sample_summary() {
  Summary s;
  s.signature = 0x0123456789abcdefull;
  s.scenario = "quickstart";
  s.seed = 42;
  s.simulated_s = 7200;
  s.events = 1234567;
  s.wall_s = 0.4127;
  s.events_per_s = 2991438.5;
  s.peak_rss_bytes = 31457280;
  s.requests = {72012, 72000, 71850, 3, 20, 117, 22, 14};
  s.latency_s.e2e = {2.51, 2.13, 4.02, 5.61, 9.87, 31.4};
  s.latency_s.queue = {0.021, 0, 0.04, 0.11, 0.9, 4.2};
  s.latency_s.ttft = {0.108, 0.071, 0.19, 0.41, 1.3, 4.9};
  s.latency_s.tpot = {0.0118, 0.0112, 0.0139, 0.0147, 0.021, 0.043};
  s.tokens = Summary::Tokens{90123456, 15123456, 30123456, 2291.43};
  s.slo = Summary::Slo{0.98713, 9.91};
  s.gpu = Summary::Gpu{5.41, 3.29, 0.6081};
  s.energy_kwh = 2.25;
  s.cost = 13.53;
  s.carbon_kg = 1.27;
  s.slo_penalty = 0.41;
  s.replicas["default/llama"] = {2.71, 4, 6, 5};
  s.pods = {11, 2, 1, 3};
  s.nodes = {2.5, 3, 4.79};
  s.decisions = {{"autoscaler/metric-above-target", 6}, {"scheduler/Insufficient nvidia.com/gpu", 2}};
  s.warnings = {"llama.yaml:12:3: spec.template.spec.hostNetwork: not modelled, ignored"};
  return s;
}

Scenario sample_scenario() {
  Scenario s;
  s.name = "quickstart";
  s.duration = Duration::seconds(7200);
  s.warmup = Duration::seconds(300);
  s.seed = 42;
  s.text = "apiVersion: kisim.dev/v1\nkind: Scenario\nmetadata: {name: quickstart}\n";
  SloSpec slo;
  slo.traffic = "chat";
  slo.ttft = Duration::seconds(2);
  slo.tpot = Duration::seconds(0.1);
  s.slo.push_back(slo);
  return s;
}

namespace {

using LabelList = std::vector<std::pair<std::string, std::string>>;

class SeriesMaker {
 public:
  explicit SeriesMaker(std::vector<Series>& out) : out_(out) {}

  template <class Value>
  void operator()(const char* metric, const char* unit, LabelList labels, Value value) {
    Series series{metric, unit, std::move(labels), {}, {}};
    for (int64_t s = 15; s <= 7200; s += 15) series.add(Time{s * 1'000'000'000}, value(static_cast<double>(s)));
    out_.push_back(std::move(series));
  }

 private:
  std::vector<Series>& out_;
};

// A jagged line without randomness.
double jitter(double t, double k) { return std::sin(t * 0.37 * k) * std::sin(t * 0.113 * k + 1); }

}  // namespace

Recorder sample_recorder() {
  Recorder r(Record::None, nullptr);
  SeriesMaker make(r.series);
  auto load = [](double t) { return 10 + 7 * std::sin(t / 1150) + 1.1 * jitter(t, 1); };
  auto ready = [](double t) { return std::floor(1.2 + 2.3 * std::max(0.0, std::sin((t - 240) / 1150)) + 0.5); };
  auto wanted = [&](double t) { return ready(t + 90); };
  const double nan = std::numeric_limits<double>::quiet_NaN();

  make("kisim_requests_arrived_per_second", "1/s", {{"source", "chat"}}, load);
  make("kisim_requests_completed_per_second", "1/s", {{"source", "chat"}},
       [&](double t) { return load(t - 20) + 0.6 * jitter(t, 2); });
  struct Quantile {
    const char* label;
    double scale;
  };
  for (const Quantile& quantile : {Quantile{"0.5", 1}, {"0.95", 2.4}, {"0.99", 4}}) {
    const char* label = quantile.label;
    double scale = quantile.scale;
    auto shape = [&, scale](double t) { return scale * (1 + 0.1 * jitter(t, scale) + 0.08 * load(t)); };
    make("kisim_e2e_seconds", "s", {{"quantile", label}, {"source", "chat"}}, [=](double t) { return 1.3 * shape(t); });
    make("kisim_ttft_seconds", "s", {{"quantile", label}, {"source", "chat"}}, [=](double t) {
      return t > 5200 && t < 5500 ? nan : 0.07 * shape(t) + (t > 3000 && t < 3200 ? 0.3 * scale : 0);
    });
    make("kisim_tpot_seconds", "s", {{"quantile", label}, {"source", "chat"}},
         [=](double t) { return 0.008 + 0.002 * shape(t); });
  }
  make("kisim_replicas", "1", {{"workload", "default/llama"}}, wanted);
  make("kisim_replicas_ready", "1", {{"workload", "default/llama"}}, ready);
  make("kisim_pods", "1", {{"phase", "starting"}, {"workload", "default/llama"}},
       [&](double t) { return std::max(0.0, wanted(t) - ready(t)); });
  make("kisim_pods", "1", {{"phase", "pending"}, {"workload", "default/llama"}}, [](double) { return 0.0; });
  make("kisim_requests_waiting", "1", {{"service", "default/llama"}},
       [&](double t) { return std::max(0.0, 4 * jitter(t, 0.7)); });
  make("kisim_requests_running", "1", {{"service", "default/llama"}},
       [&](double t) { return std::floor(2.4 * load(t)); });
  make("kisim_kv_cache_usage", "1", {{"service", "default/llama"}}, [&](double t) { return 0.04 * load(t); });
  make("kisim_gpu_allocated", "1", {}, [&](double t) { return std::max(ready(t), wanted(t)); });
  make("kisim_gpu_busy", "1", {}, [&](double t) { return ready(t) * (0.6 + 0.03 * load(t - 300) * 0.5); });

  r.sources = {"chat"};
  for (uint64_t i = 0; i < 5; ++i)
    r.requests.push_back({i, 0, i, i == 3 ? Outcome::TimedOut : Outcome::Completed, 1, static_cast<uint32_t>(i % 2),
                          1000, 200, 1.5 * static_cast<double>(i), 0.01, i == 3 ? nan : 0.1, 0.011, 2.4});
  for (int i = 0; i < 6; ++i)
    r.pods.push_back({"llama-" + std::string(5, static_cast<char>('a' + i)), "default/llama", i == 5 ? "" : "gpu-1",
                      i < 4 ? "Ready" : "Gone", 600.0 * i, i == 5 ? nan : 600.0 * i + 0.1, 600.0 * i + 12,
                      600.0 * i + 48, i < 4 ? nan : 6000});
  r.scalings.push_back({930, "default/llama", 1, 2, "vllm:num_requests_waiting: 9.2 per pod, target 5"});
  r.scalings.push_back({5415, "default/llama", 3, 2, "stabilized for 300 s; <below> target"});
  return r;
}

}  // namespace kisim

#pragma once
// The result of a run, field by field as `kisim run -o json` prints it. Durations in seconds, sizes in bytes.
// An empty optional is JSON null: not applicable. 0 is a measured zero.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct LatencySummary {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};

struct Summary {
  uint64_t signature = 0;
  std::string scenario;
  uint64_t seed = 0;
  double simulated_s = 0;
  uint64_t events = 0;
  double wall_s = 0, events_per_s = 0;  // with peak_rss_bytes and signature: not part of the signature
  uint64_t peak_rss_bytes = 0;
  bool interrupted = false;  // printed only when true

  // Of the whole run, warm-up included: arrived = completed + failed + dropped + timed_out + in_flight.
  struct Requests {
    uint64_t arrived = 0, admitted = 0, completed = 0, failed = 0, dropped = 0, timed_out = 0, in_flight = 0, retried = 0;
  } requests;
  // Over requests completed after warm-up; empty when there are none (or, for ttft and tpot, no LLM).
  struct Latency {
    std::optional<LatencySummary> e2e, queue, ttft, tpot;
  } latency_s;
  struct Tokens {
    uint64_t prompt = 0, generated = 0;
    double per_s = 0;
  };
  std::optional<Tokens> tokens;  // after warm-up; empty without an LLM
  struct Slo {
    double attainment = 0, goodput_per_s = 0;
  };
  std::optional<Slo> slo;
  struct Gpu {
    double hours_allocated = 0, hours_busy = 0, utilization = 0;
  };
  std::optional<Gpu> gpu;  // after warm-up; empty without GPUs
  std::optional<double> energy_kwh, cost;
  struct Replicas {
    double mean = 0;
    int64_t max = 0;
    uint64_t scale_ups = 0, scale_downs = 0;
  };
  std::map<std::string, Replicas> replicas;  // by workload, "default/llama"
  struct Pods {
    uint64_t scheduled = 0;
    int64_t pending_max = 0;
    uint64_t preempted = 0, evicted = 0;
  } pods;
  std::map<std::string, uint64_t> decisions;  // reason -> count
  std::vector<std::string> warnings;
};

}  // namespace kisim

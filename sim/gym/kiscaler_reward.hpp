#pragma once
// KIScaler's reward as published (KIS-S, arXiv 2507.07932; scripts/rl/kubernetes_env.py of its repository):
//   0.4 max(0, (L0 − L)/L0) + 0.3 max(0, (T − T0)/T0) + 0.2 E + S − 0.5 [cpu > 90 %]
//   L, T    p95 in ms and requests per second; L0, T0 what was measured of the pattern: random, spike on the GPU,
//           ramp, periodic the mean of GPU and CPU
//   E       g/(g + c) for random and spike, 1 − |g − c|/(g + c) for ramp and periodic; g, c: replicas
//   S       0.01 from the third step on, 0 before
// It has no cost and no SLO, and says nothing of a policy where latency and throughput do not depend on it.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

struct KiscalerPattern {
  std::string_view name;
  double p95_ms, requests_per_s;  // L0, T0
  bool prefers_gpu;
};
const std::vector<KiscalerPattern>& kiscaler_patterns();
// nullptr: there is no such pattern.
const KiscalerPattern* find_kiscaler_pattern(std::string_view name);

struct KiscalerStep {
  std::optional<double> p95_ms;  // none: nothing was answered
  double requests_per_s = 0, cpu_percent = 0;
  int gpu_replicas = 0, cpu_replicas = 0;
  int steps_before = 0;  // in the episode
};
double kiscaler_reward(const KiscalerPattern& pattern, const KiscalerStep& step);

}  // namespace kisim

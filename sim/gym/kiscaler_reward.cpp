#include "gym/kiscaler_reward.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

const std::vector<KiscalerPattern>& kiscaler_patterns() {
  static const std::vector<KiscalerPattern> patterns{
      {"random", 2600, 10.4, true},
      {"ramp", (5800.0 + 6700) / 2, (10.3 + 10.2) / 2, false},
      {"spike", 370, 6.4, true},
      {"periodic", (2300.0 + 2300) / 2, (11.5 + 12.1) / 2, false},
  };
  return patterns;
}

const KiscalerPattern* find_kiscaler_pattern(std::string_view name) {
  for (const KiscalerPattern& p : kiscaler_patterns())
    if (p.name == name) return &p;
  return nullptr;
}

double kiscaler_reward(const KiscalerPattern& pattern, const KiscalerStep& step) {
  const double g = step.gpu_replicas, c = step.cpu_replicas, all = g + c;
  const double faster = step.p95_ms ? std::max(0.0, (pattern.p95_ms - *step.p95_ms) / pattern.p95_ms) : 0;
  const double more = std::max(0.0, (step.requests_per_s - pattern.requests_per_s) / pattern.requests_per_s);
  double balance = 0;
  if (all > 0) balance = pattern.prefers_gpu ? g / all : 1 - std::abs(g - c) / all;
  const double stable = step.steps_before < 2 ? 0 : 0.01;
  return 0.4 * faster + 0.3 * more + 0.2 * balance + stable - (step.cpu_percent > 90 ? 0.5 : 0);
}

}  // namespace kisim

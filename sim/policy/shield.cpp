#include "policy/shield.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

int32_t limit_change(const ShieldModel& shield, int32_t replicas, int32_t wanted, Time now, std::optional<Time> changed,
                     ShieldReason& reason) {
  if (wanted == replicas) return wanted;
  const bool up = wanted > replicas;
  if (changed && now - *changed < (up ? shield.cooldown_up : shield.cooldown_down)) {
    reason = "ShieldCooldown";
    return replicas;
  }
  const int32_t most = up ? shield.max_step_up : shield.max_step_down;
  const int32_t step = std::abs(wanted - replicas);
  if (most == 0 || step <= most) return wanted;
  reason = "ShieldMaxStep";
  return up ? replicas + most : replicas - most;
}

void limit_sum(const ShieldModel& shield, std::span<const int32_t> floor, std::span<int32_t> wanted,
               ShieldReason& reason) {
  if (shield.max_replicas == 0) return;
  int64_t over = -static_cast<int64_t>(shield.max_replicas);
  for (int32_t n : wanted) over += n;
  for (size_t i = wanted.size(); i-- > 0 && over > 0;) {
    const int64_t back = std::min<int64_t>(over, wanted[i] - floor[i]);
    if (back <= 0) continue;
    wanted[i] -= static_cast<int32_t>(back);
    over -= back;
    reason = "ShieldMaxReplicas";
  }
}

ShieldReason distrust(const ShieldModel& shield, std::span<const Feature> features, std::span<const float> observation,
                      std::span<const float> seen_low, std::span<const float> seen_high) {
  for (size_t i = 0; i < observation.size(); ++i) {
    const float x = observation[i];
    if (!std::isfinite(x)) return "ShieldNotANumber";
    if (x < features[i].low || x > features[i].high) return "ShieldOutOfBounds";
    if (!shield.outside || seen_low.empty()) continue;
    const double margin = *shield.outside * (static_cast<double>(seen_high[i]) - seen_low[i]);
    if (x < seen_low[i] - margin || x > seen_high[i] + margin) return "ShieldOutsideTraining";
  }
  return {};
}

}  // namespace kisim

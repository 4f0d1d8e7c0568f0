#pragma once
// A shield between whoever scales workloads and the cluster: by how much and how often their replicas may change, and
// when what is seen is so bad that the policy is not asked. It holds for any autoscaler or agent.

#include "core/time.hpp"
#include "rl/space.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace kisim {

struct ShieldModel {
  int32_t max_step_up = 0, max_step_down = 0;  // replicas of one workload in one decision; 0: no limit
  Duration cooldown_up, cooldown_down;         // from its last change, whoever made it, to the next one up, or down
  int32_t max_replicas = 0;                    // of all workloads together; 0: no limit
  // Agents alone: what they are shown may be so old, and lie outside the range in which its policy was trained by this
  // share of the range's width. None: it may be anything, or missing.
  std::optional<Duration> max_age;
  std::optional<double> outside;
  bool falls_back = false;  // agents alone: the workloads' HPAs decide where the policy is not asked; else nobody

  bool operator==(const ShieldModel&) const = default;
};

// Why a workload does not become what was asked for; the names under which it is counted. Empty: it does.
using ShieldReason = std::string_view;

// One workload: what comes of `wanted`. `changed`: when its replicas changed last.
int32_t limit_change(const ShieldModel& shield, int32_t replicas, int32_t wanted, Time now, std::optional<Time> changed,
                     ShieldReason& reason);
// All of them: those above their floor give back, the last first, until the sum is allowed or nobody is above it.
void limit_sum(const ShieldModel& shield, std::span<const int32_t> floor, std::span<int32_t> wanted,
               ShieldReason& reason);

// Why a policy cannot be asked: an element that is no number, or outside its bounds, or outside the range in which the
// policy was trained. Empty: it can.
ShieldReason distrust(const ShieldModel& shield, std::span<const Feature> features, std::span<const float> observation,
                      std::span<const float> seen_low, std::span<const float> seen_high);

}  // namespace kisim

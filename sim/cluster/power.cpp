#include "cluster/power.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kMillionths = 1e6;

// Not std::nearbyint, a call of the library: these run for every batch.
int64_t rounded(double x) { return static_cast<int64_t>(x < 0 ? x - 0.5 : x + 0.5); }

// Of a step that takes no time the share is not a number: nothing.
int64_t millionths(double share) { return share > 0 ? rounded(std::min(share, 1.0) * kMillionths) : 0; }

int64_t milliwatts(double watts) { return rounded(watts * 1000); }

}  // namespace

GpuLoad GpuLoad::of(double bandwidth, double compute, double awake, double peers) {
  return {millionths(bandwidth), millionths(compute), millionths(awake), millionths(peers)};
}

int64_t PowerLaw::at(GpuLoad sum) const {
  auto share = [](int64_t u) { return std::min(1.0, static_cast<double>(u) / kMillionths); };
  double power = share(sum.awake) * (base - static_cast<double>(idle)) + bandwidth * share(sum.bandwidth) +
                 compute * std::sqrt(share(sum.compute)) - waiting * share(sum.peers);
  return std::clamp(idle + rounded(power), idle, tdp);
}

PowerLaw power_law(const GpuModel& gpu, const GpuModel* reference) {
  PowerLaw law;
  law.measured = gpu.power_base > 0;
  const GpuModel* from = law.measured ? &gpu : reference;
  if (!from || from->power_base <= 0) return law;
  double milliwatts_each = 1000 * gpu.tdp_watts / from->tdp_watts;
  law.idle = milliwatts(gpu.idle_watts > 0 ? gpu.idle_watts : kIdleShare * gpu.tdp_watts);
  law.tdp = milliwatts(gpu.tdp_watts);
  law.base = from->power_base * milliwatts_each;
  law.bandwidth = from->power_bandwidth * milliwatts_each;
  law.compute = from->power_compute * milliwatts_each;
  law.waiting = from->power_waiting * milliwatts_each;
  return law;
}

}  // namespace kisim

#pragma once
// Watts of a GPU by what it does: its idle power while nothing runs there, and while something does
//
//   clamp(idle + awake·(base − idle) + bandwidth·u_bandwidth + compute·√u_compute − waiting·peers, idle, TDP)
//
// where u are the bytes and FLOPs of all who run there over the time and the GPU's peaks, awake is the share of its
// multiprocessors that they may run on: 1, or that of the MIG instances with a kernel, and peers is 1 where it computes
// together with other GPUs, for which it waits again and again. It is far from linear in utilisation: an H100 draws 425
// to 540 W at a batch of 8, and of computing the first tenth costs as much as the next three. Coefficients, errors and
// sources are in cluster/catalog/gpus.yaml. A GPU without measurements has the law of the H100 in proportion to its
// TDP.

#include "cluster/gpu.hpp"

#include <cstdint>

namespace kisim {

// Of a GPU whose idle power nobody publishes, a share of its TDP: the mean of those that are (T4 17 %, A100 18 %,
// L40S 13 %, H100 14 %, B200 13 %).
inline constexpr double kIdleShare = 0.15;
// Mean absolute error of the H100's law in proportion to TDP on another GPU: 37 ML.ENERGY configurations of dense
// models on B200 (bias -8 %, a tenth of them beyond 33 %).
inline constexpr double kScaledLawError = 0.18;

// What one of those who run on a GPU takes of it, in millionths of its peaks. Integers: sums stay exact while they come
// and go.
struct GpuLoad {
  int64_t bandwidth = 0, compute = 0, awake = 0, peers = 0;

  // From shares of the peaks, and of the multiprocessors; what is beyond all of them is all.
  static GpuLoad of(double bandwidth, double compute, double awake = 1, double peers = 0);
  GpuLoad operator-(const GpuLoad& o) const {
    return {bandwidth - o.bandwidth, compute - o.compute, awake - o.awake, peers - o.peers};
  }
  GpuLoad& operator+=(const GpuLoad& o) {
    return *this = {bandwidth + o.bandwidth, compute + o.compute, awake + o.awake, peers + o.peers};
  }
  bool operator==(const GpuLoad&) const = default;
};

// All of a peak.
inline constexpr int64_t kWholeLoad = 1'000'000;

// The GPU of the catalogue whose law the others share.
inline constexpr const char* kPowerReference = "h100-80gb";

// In milliwatts.
struct PowerLaw {
  int64_t idle = 0, tdp = 0;
  double base = 0, bandwidth = 0, compute = 0, waiting = 0;
  bool measured = false;

  bool known() const { return base > 0; }
  int64_t at(GpuLoad sum) const;
};

// `reference` is the GPU whose law those without measurements share; nullptr: they have none.
PowerLaw power_law(const GpuModel& gpu, const GpuModel* reference);

}  // namespace kisim

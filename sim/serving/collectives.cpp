#include "serving/collectives.hpp"

#include <algorithm>
#include "cluster/topology.hpp"

namespace kisim {

namespace {

constexpr int32_t kUsualPcie = 4;  // generation, of a GPU that does not say

}  // namespace

double all_reduce_seconds(const GpuModel& gpu, int32_t gpus, double bytes) {
  if (gpus < 2) return 0;
  constexpr double kNvlinkShare = 0.74, kPcieShare = 0.56, kPcieLatency = 12.7e-6;
  double n = gpus, moved = 2 * (n - 1) / n * bytes;
  if (gpu.nvlink_gbs > 0)
    return std::max(13 + 2 * n, 5.25 * n) * 1e-6 + moved / (kNvlinkShare * gpu.nvlink_gbs / 2 * 1e9);
  return kPcieLatency + moved / (kPcieShare * pcie_gbs(gpu.pcie_gen > 0 ? gpu.pcie_gen : kUsualPcie) * 1e9);
}

}  // namespace kisim

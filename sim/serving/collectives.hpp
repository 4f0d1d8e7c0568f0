#pragma once
// How long collectives between the GPUs of one engine take.

#include "cluster/gpu.hpp"

#include <cstdint>

namespace kisim {

// All-reduce of `bytes` on each of n GPUs of one node, in seconds: latency + 2(n - 1)/n·bytes/bandwidth, the ring's
// bound, where the bandwidth is a share of that of one direction of the links. NVLink: 74 % and
// max(13 + 2n, 5.25n) us, the lines through 8 to 67 MB on 2, 4 and 8 GPUs of a DGX H100 (17, 21 and 42 us; 64, 76 and
// 84 %; Vidur, data/profiling/network/h100_dgx). PCIe: 56 % and 12.7 us, two RTX PRO 6000 with NCCL (LLMServingSim,
// profiler/perf/RTXPRO6000/hardware.yaml). 0 for one GPU.
double all_reduce_seconds(const GpuModel& gpu, int32_t gpus, double bytes);

}  // namespace kisim

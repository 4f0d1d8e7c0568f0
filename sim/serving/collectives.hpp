#pragma once
// How long collectives between the GPUs of one engine take.

#include "cluster/gpu.hpp"

#include <cstdint>

namespace kisim {

// All-reduce of `bytes` on each of n GPUs of one node, in seconds: latency + 2(n - 1)/n·bytes/bandwidth, the ring's
// bound, where the bandwidth is a share of that of one direction of the links. NVLink: 70 %, 67 MB on four H100 in
// 0.317 ms (vidur, data/profiling/network/h100_dgx). PCIe: 56 % and 12.7 us, two RTX PRO 6000 with NCCL (LLMServingSim,
// profiler/perf/RTXPRO6000/hardware.yaml). 0 for one GPU.
double all_reduce_seconds(const GpuModel& gpu, int32_t gpus, double bytes);

}  // namespace kisim

#pragma once
// One run of the FGD reproduction: the pods of a trace arrive one after the other, are tried once by the scheduler and
// never leave.

#include "fgd_data.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// A policy as the paper names it, as the published results do, and the plugin that it is here.
struct FgdPolicy {
  const char *name, *published, *plugin;
};
inline constexpr FgdPolicy kFgdPolicies[] = {{"Random", "01-Random", "GpuRandom"},
                                             {"DotProd", "02-DotProd", "GpuDotProd"},
                                             {"Clustering", "03-GpuClustering", "GpuClustering"},
                                             {"Packing", "04-GpuPacking", "GpuPacking"},
                                             {"BestFit", "05-BestFit", "GpuBestFit"},
                                             {"FGD", "06-FGD", "FGD"}};
inline constexpr size_t kFgdPolicyCount = std::size(kFgdPolicies);

struct FgdRun {
  FgdCurve allocated{}, fragmented{};  // per cent of the cluster's GPU
  size_t pods = 0;
  double cpu_s = 0;  // of the thread, for deciding about all of them
};

// The pods in order of arrival: sorted by name, shuffled, and drawn from again (or dropped) until they ask for 130 % of
// `capacity` thousandths of a GPU.
std::vector<const FgdPod*> fgd_arrivals(const FgdTrace& trace, int64_t capacity, uint64_t seed);

FgdRun run_fgd_once(const std::vector<FgdNode>& nodes, const FgdTrace& trace, const FgdPolicy& policy, uint64_t seed);

}  // namespace kisim

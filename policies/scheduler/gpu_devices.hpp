#pragma once
// Pods that ask for GPUs or shares of them (alibabacloud.com/gpu-milli): which devices of a node have room for one, and
// which it takes.

#include "cluster/cluster.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kisim {

inline constexpr int32_t kWholeGpuMilli = 1000;

// The annotation of pods that names the GPU models they accept, and the label of nodes that tells theirs.
inline const std::string kGpuCardModel = "alibabacloud.com/gpu-card-model";

// The model of the node's GPUs; empty if the node does not tell.
inline std::string gpu_product(const Node& node) {
  const std::string* label = find_label(node.meta.labels, kGpuCardModel);
  return label ? *label : std::string();
}

// The largest node of the trace that the policies below were published with (openb, ATC'23): their scores measure free
// amounts in it, whatever the node's own size.
inline constexpr double kScaleCpuMilli = 128000, kScaleGpuMilli = 8000;

// What a pod asks for: so much of each of so many devices. More than one device are whole ones.
struct GpuRequest {
  int32_t milli = 0, count = 0;

  int64_t total() const { return int64_t{milli} * count; }
  bool part_of_one() const { return count == 1 && milli < kWholeGpuMilli; }
};

// nvidia.com/gpu counts as whole devices.
inline GpuRequest gpu_request(const PodTemplateModel& pod) {
  if (pod.gpu_milli > 0) return {pod.gpu_milli, pod.gpu_count};
  return pod.gpus > 0 ? GpuRequest{kWholeGpuMilli, static_cast<int32_t>(pod.gpus)} : GpuRequest{};
}

// Only these have their devices chosen by plugins.
inline bool chooses_devices(const PodTemplateModel& pod) { return pod.gpu_milli > 0; }

inline int64_t sum_milli(std::span<const int32_t> free) {
  int64_t sum = 0;
  for (int32_t milli : free) sum += milli;
  return sum;
}

inline bool has_room(std::span<const int32_t> free, GpuRequest request) {
  return std::count_if(free.begin(), free.end(), [&](int32_t f) { return f >= request.milli; }) >= request.count;
}

// The smallest free amount that holds `milli`; -1 where none does.
inline int32_t tightest_fit(std::span<const int32_t> free, int32_t milli) {
  int32_t best = -1;
  for (int32_t f : free)
    if (f >= milli && (best < 0 || f < best)) best = f;
  return best;
}

// The devices with the least free that is enough, the first of equals. Precondition: has_room(free, request).
inline void choose_tightest(std::span<const int32_t> free, GpuRequest request, std::vector<uint16_t>& devices) {
  devices.clear();
  for (int32_t k = 0; k < request.count; ++k) {
    size_t best = free.size();
    for (size_t d = 0; d < free.size(); ++d) {
      if (free[d] < request.milli || (best < free.size() && free[d] >= free[best])) continue;
      if (std::find(devices.begin(), devices.end(), d) == devices.end()) best = d;
    }
    devices.push_back(static_cast<uint16_t>(best));
  }
}

}  // namespace kisim

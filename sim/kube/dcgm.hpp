#pragma once
// What NVIDIA's DCGM measures of the devices of pods, a whole GPU or a MIG instance each, and dcgm-exporter exports.
// What it counts of a device, it counts of all pods that share it: replicas under time-slicing and MPS, shares in
// thousandths. Of an instance, shares are of what the instance has.

#include "cluster/cluster.hpp"
#include "serving/serving.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace kisim {

struct DcgmGauges {
  bool instance = false;  // of MIG
  // Counters since the start, in nanoseconds: in which any kernel ran; × share of the peak bandwidth of its memory that
  // was read and written; × share of the peak FP16 rate of its tensor cores.
  double active = 0, dram = 0, tensor = 0;
  std::optional<int64_t> fb_used;  // bytes; none: nobody knows what one of its pods takes
  int64_t fb_total = 0;            // 0: not known

  // Precondition: both are known.
  int64_t fb_free() const { return std::max<int64_t>(0, fb_total - *fb_used); }
};

class Dcgm {
 public:
  Dcgm(const Cluster& cluster, const Serving& serving) : cluster_(cluster), serving_(serving) {}

  // `device` is an index of Cluster::devices(node).
  DcgmGauges of_device(NodeId node, size_t device, Time now) const;
  // The mean over the pod's devices; none: it has no device.
  std::optional<DcgmGauges> of_pod(PodId pod, Time now) const;

 private:
  std::optional<int64_t> fb_used(NodeId node, size_t device) const;
  std::optional<int64_t> memory_on_each_device(PodId pod) const;

  const Cluster& cluster_;
  const Serving& serving_;
};

}  // namespace kisim

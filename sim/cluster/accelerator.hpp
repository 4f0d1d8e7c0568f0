#pragma once
// What a replica computes on: whole GPUs, a MIG instance, or a share of a GPU that others use too.

#include "core/id.hpp"

#include <cstdint>

namespace kisim {

using GpuId = Id<struct GpuTag>;
using GpuModelId = Id<struct GpuModelTag>;

struct MigProfile;

enum class GpuSharing : uint8_t {
  Exclusive,    // nobody else computes there
  TimeSlicing,  // replicas of the device take turns
  Mps,          // replicas of the device run side by side
  Fraction      // shares in thousandths (gpu-milli)
};

struct Accelerator {
  GpuSharing sharing = GpuSharing::Exclusive;
  GpuModelId gpu_model;                  // invalid: no GPU, or one that the catalogue does not know
  uint32_t gpus = 0;                     // devices that it computes on
  GpuId first;                           // of them; invalid: none
  const MigProfile* instance = nullptr;  // null: whole GPUs or shares of them
  uint32_t replicas = 1;                 // of the device, under TimeSlicing and Mps
  double compute_share = 1;              // SMs that it may use / SMs of the GPU
  bool sm_unknown = false;               // nobody publishes those of the instance: by compute slices instead
  double bandwidth_share = 1;            // memory slices / those of the GPU
  int64_t memory_bytes = 0;              // that it may use; 0: not known
  double slowdown = 1;                   // of all that it computes, against what is known of it

  // Whether one is as good as the other.
  bool same_kind(const Accelerator& other) const {
    Accelerator here = *this;
    here.first = other.first;
    return here == other;
  }
  bool operator==(const Accelerator&) const = default;
};

}  // namespace kisim

#pragma once
// Role: how much replicas that run on one GPU at a time slow each other.

#include <cstddef>
#include <span>

namespace kisim {

// What a replica asks of the whole GPU while its kernels run: shares of its SMs and of its memory bandwidth, 0 … 1.
struct GpuDemand {
  double compute = 1, bandwidth = 1;
};

class Interference {
 public:
  virtual ~Interference() = default;
  // Speed of the replica busy[self], 1 = as if it were alone. Only those whose kernels run are there: idle neighbours
  // cost nothing. Precondition: busy.size() > 1. Must not allocate; above 0.
  virtual double speed(std::span<const GpuDemand> busy, size_t self) const = 0;
};

}  // namespace kisim

#pragma once
// How long one batch takes on one instance alone, by its size in samples. Either
//   base + per_sample·n      both may be random, or
//   table(n) · factor        linear between the points of a monotone table; constant before the first point, along the
//                            last segment beyond the last (and counted as outside the fitted range). The factor may be
//                            random.
//
// The law holds for a whole GPU. On a part of one, `host` seconds of a batch (copies of control, API, kernel launches)
// stay what they are and the rest takes longer by
//   max(1, compute/compute_share, bandwidth/bandwidth_share)
// where `compute` and `bandwidth` are the shares of the SMs and of the memory bandwidth that the model uses when it has
// the GPU to itself: a model that fills neither its SMs nor its bandwidth runs on a slice as fast as on the whole.

#include "cluster/accelerator.hpp"
#include "core/distribution.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct LatencyPoint {
  double samples = 0, seconds = 0;
};

// The closest monotone table: least squares by pooling adjacent violators (Barlow, Bartholomew, Bremner, Brunk 1972).
// Sorts by size; points of one size are averaged.
std::vector<LatencyPoint> isotonic(std::vector<LatencyPoint> points);

struct LatencyLaw {
  Distribution base, per_sample;                    // seconds
  std::vector<LatencyPoint> table;                  // ascending in both; not empty: instead of base and per_sample
  Distribution factor = Distribution::constant(1);  // of the table
  double host = 0;                                  // seconds of a batch that do not depend on the GPU's share
  double compute = 1, bandwidth = 1;                // demands on a whole GPU, 0 … 1; its power follows from them
  double range_min = 0, range_max = 0;              // samples that it was fitted on; 0, 0: not fitted

  // `noise` is the stream of the batch's first request. Does not allocate.
  double seconds(int64_t samples, Stream& noise, double slowdown = 1) const;
  double slowdown(const Accelerator& accelerator) const;
  bool outside(int64_t samples) const {
    auto n = static_cast<double>(samples);
    return range_max > 0 && (n < range_min || n > range_max);
  }

 private:
  double from_table(double samples) const;
};

}  // namespace kisim

#pragma once
// The time of a batch as a monotone table, from measured batches.

#include "calibration/least_squares.hpp"
#include "serving/latency_law.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct LatencyFit {
  std::vector<LatencyPoint> table;  // isotonic; ascending
  std::vector<Interval> intervals;  // of the table's seconds; without width where a size was measured once
  double base = 0, per_sample = 0;  // seconds: the robust line through relative errors, for a first impression
  double fit_error = 0;             // median relative distance of the points from the table
  // Median relative error at an inner size that is left out, from a table of the others.
  double leave_one_out_error = 0;
};

// Points needed for a table: two of them give a line, a third can contradict it.
inline constexpr size_t kLeastLatencyPoints = 3;

// Precondition: at least kLeastLatencyPoints different sizes, all above 0, as all seconds.
LatencyFit fit_latency(std::vector<LatencyPoint> points, uint64_t seed);

// The table between its points, linear; its ends beyond them.
double seconds_at(const std::vector<LatencyPoint>& table, double samples);

}  // namespace kisim

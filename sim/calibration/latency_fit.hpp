#pragma once
// The time of a batch as a monotone table, from measured batches.

#include "io/coefficients.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

// Precondition: at least kLeastLatencyPoints different sizes, all above 0, as all seconds.
LatencyFit fit_latency(std::vector<LatencyPoint> points, uint64_t seed);

// The table between its points, linear; its ends beyond them.
double seconds_at(const std::vector<LatencyPoint>& table, double samples);

}  // namespace kisim

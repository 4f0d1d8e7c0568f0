#pragma once
// The distribution of a phase of start-up, from logged durations.

#include "io/coefficients.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

inline constexpr size_t kLeastStartupPoints = 20;

// Precondition: at least kLeastStartupPoints durations, all above 0.
StartupFit fit_startup(const std::vector<double>& seconds, uint64_t seed);

}  // namespace kisim

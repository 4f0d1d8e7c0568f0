#pragma once
// Seeds as people write them. Both throw UsageError that says what was found and what is allowed, not where.

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// The whole text as a number.
uint64_t parse_seed(const std::string& text);
// "7", or "0..4" for 0, 1, 2, 3 and 4.
std::vector<uint64_t> parse_seeds(const std::string& text);

}  // namespace kisim

#include "io/seeds.hpp"

#include "core/error.hpp"

#include <charconv>
#include <numeric>

namespace kisim {

uint64_t parse_seed(const std::string& text) {
  uint64_t seed = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty())
    throw UsageError(fmt::format("found '{}', allowed: 0 to {}", text, UINT64_MAX));
  return seed;
}

std::vector<uint64_t> parse_seeds(const std::string& text) {
  constexpr uint64_t kMost = 10'000;
  const size_t dots = text.find("..");
  const uint64_t first = parse_seed(text.substr(0, dots));
  const uint64_t last = dots == std::string::npos ? first : parse_seed(text.substr(dots + 2));
  if (last < first || last - first >= kMost)
    throw UsageError(
        fmt::format("found '{}', allowed: a seed, or the first and the last of at most {} as 0..4", text, kMost));
  std::vector<uint64_t> out(last - first + 1);
  std::iota(out.begin(), out.end(), first);
  return out;
}

}  // namespace kisim

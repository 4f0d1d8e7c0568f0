#pragma once
// Gaps between events for the hold model (Jones, CACM 29(4), 1986), drawn beforehand so that only queues are timed.

#include "core/distribution.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

enum class GapShape : int { Exponential, Bimodal, Ties };

inline const char* name_of(GapShape shape) {
  constexpr const char* kNames[] = {"exponential", "bimodal", "ties"};
  return kNames[static_cast<int>(shape)];
}

// A cyclic table of gaps in ns.
class Gaps {
 public:
  explicit Gaps(GapShape shape) : values_(kSize) {
    Stream stream(1, static_cast<uint64_t>(shape), Purpose::Arrivals);
    for (int64_t& value : values_) value = draw(shape, stream);
  }
  int64_t next() { return values_[at_++ & (kSize - 1)]; }

 private:
  static constexpr size_t kSize = 1 << 16;

  static int64_t draw(GapShape shape, Stream& stream) {
    switch (shape) {
      case GapShape::Exponential:
        return Duration::seconds(draw_exponential(stream, 1e-3)).ns;
      // Token steps beside scrapes and control loops.
      case GapShape::Bimodal: {
        double mean = stream.uniform() < 0.94 ? 100e-6 : 1.0;
        return Duration::seconds(draw_exponential(stream, mean)).ns;
      }
      // Whole milliseconds: many events share an instant.
      case GapShape::Ties:
        return draw_geometric(stream, 100) * 1000000;
    }
    return 0;
  }

  std::vector<int64_t> values_;
  size_t at_ = 0;
};

}  // namespace kisim

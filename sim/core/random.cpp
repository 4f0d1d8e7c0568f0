#include "core/random.hpp"

namespace kisim {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  constexpr uint64_t kMul0 = 0xD2511F53, kMul1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = kMul0 * c[0], p1 = kMul1 * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += kWeyl0;
    k[1] += kWeyl1;
  }
  return c;
}

void Stream::refill() {
  block_ = philox4x32({counter_++, static_cast<uint32_t>(purpose_), static_cast<uint32_t>(entity_),
                       static_cast<uint32_t>(entity_ >> 32)},
                      {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
  used_ = 0;
}

uint32_t Stream::below(uint32_t n) {
  uint64_t m = static_cast<uint64_t>(next_u32()) * n;
  if (static_cast<uint32_t>(m) < n) {
    uint32_t threshold = (0u - n) % n;
    while (static_cast<uint32_t>(m) < threshold) m = static_cast<uint64_t>(next_u32()) * n;
  }
  return static_cast<uint32_t>(m >> 32);
}

}  // namespace kisim

#pragma once
// Randomness is addressed, not drawn in turn: a stream is (seed, entity, purpose). The entity is a hash of
// kind/namespace/name, never an index, so that adding a pod shifts no other stream.

#include <array>
#include <cstdint>

namespace kisim {

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11): counter and key in, 128 random bits out.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// What a stream is for; part of its address. Append only: the numbers enter every signature.
enum class Purpose : uint32_t {
  Arrivals = 1,
  PromptTokens = 2,
  OutputTokens = 3,
  ServiceTime = 4,
  Routing = 5,
  SchedulerTie = 6,
  Startup = 7,
  ScrapeOffset = 8,
  Field = 9,
  Policy = 10,
  Think = 11,
  Fault = 12,
  Patience = 13,
  Heartbeat = 14,
  Usage = 15,
  Run = 16,
  Pleg = 17,
  ClusterAutoscaling = 18,
  Network = 19,
  ClientTurn = 20,
  Task = 21,
  Users = 22,
  Prefix = 23,
  Turns = 24,
  Adapter = 25,
  Drafts = 26,
  Episode = 27,
  MetricDropout = 30,
  MetricNoise = 31,
  Variation = 32,
  InitialWeights = 33,
  Exploration = 34,
  Minibatches = 35,
  Replay = 36,
  Resampling = 40,
};

// One sequence of random numbers. A plain value: copying it copies its position.
class Stream {
 public:
  Stream() = default;
  Stream(uint64_t seed, uint64_t entity, Purpose purpose) : seed_(seed), entity_(entity), purpose_(purpose) {}

  uint32_t next_u32() {
    if (used_ == 4) refill();
    return block_[used_++];
  }
  uint64_t next_u64() {
    uint64_t low = next_u32();
    return low | static_cast<uint64_t>(next_u32()) << 32;
  }
  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }
  // In (0, 1): safe under log and in inverse distribution functions.
  // 52 bits, since a half added to 53 of them would round up to 1.
  double uniform_open() { return (static_cast<double>(next_u64() >> 12) + 0.5) * 0x1p-52; }
  // In [0, n), without bias (Lemire, TOMACS 2019). Precondition: n > 0.
  uint32_t below(uint32_t n);

 private:
  void refill();

  uint64_t seed_ = 0;
  uint64_t entity_ = 0;
  Purpose purpose_ = Purpose::Policy;
  uint32_t counter_ = 0;
  std::array<uint32_t, 4> block_{};
  uint32_t used_ = 4;
};

}  // namespace kisim

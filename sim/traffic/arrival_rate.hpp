#pragma once
// A source as a rate, for who follows queues as rates and makes no request of it.

#include "traffic/diurnal.hpp"
#include "traffic/stepped_rate.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace kisim {

struct SourceModel;
struct TraceColumns;

enum class SourcePattern : uint8_t { Constant, Diurnal, Trace, Users, Steps };

class ArrivalRate {
 public:
  // Precondition: an open source.
  explicit ArrivalRate(const SourceModel& source);

  // Arrivals expected from `from` on and before `to`: the integral of the rate; of a trace the rows then, times
  // rate_scale. A trace's count is exact, the others' is the mean over seeds.
  double between(Time from, Time to) const;
  // The rate is the same all the time.
  bool steady() const { return pattern_ == SourcePattern::Constant; }

 private:
  SourcePattern pattern_;
  double rate_;  // 1/s; of those that are not told by one of the next three
  DiurnalRate diurnal_;
  SteppedRate stepped_;
  std::shared_ptr<const TraceColumns> trace_;
  double time_scale_, rate_scale_;
};

struct RequestSize {
  int32_t prompt = 0, output = 1;  // tokens
};

// Requests, all equally likely, that stand for those of the source: 1048576 of its own are cut into strata of equal
// size by their output; each gives its mean output and the prompts of one of its ranks, another one for each stratum.
// So the means of both and how they go together are kept to a token, and of each the quantiles. They are those of the
// source, the same for every seed of a run.
inline constexpr size_t kTypicalRequests = 64;
std::vector<RequestSize> typical_requests(const SourceModel& source);

// The digits of k < n = 2^j in the opposite order (van der Corput): any few neighbours lie spread over all.
constexpr size_t van_der_corput(size_t k, size_t n) {
  size_t out = 0;
  for (size_t bit = 1; bit < n; bit <<= 1, k >>= 1) out = out << 1 | (k & 1);
  return out;
}

}  // namespace kisim

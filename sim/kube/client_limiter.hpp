#pragma once
// When a client's next call may go (client-go flowcontrol, a token bucket): its generic cell rate form, in whole
// nanoseconds, so that equal runs wait equally.

#include "kube/latencies.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

class ClientLimiter {
 public:
  // The instant, now or later, at which the call goes.
  Time reserve(const ClientLimit& limit, Time now) {
    if (limit.qps <= 0) return now;
    int64_t gap = std::llround(1e9 / limit.qps);
    int64_t spare = std::llround(std::max(0.0, limit.burst - 1) * static_cast<double>(gap));
    Time at = std::max(now, full_ - Duration{spare});
    full_ = std::max(full_, at) + Duration{gap};
    return at;
  }
  // Whether a call made now would go at once.
  bool ready(const ClientLimit& limit, Time now) const {
    ClientLimiter trial = *this;
    return trial.reserve(limit, now) == now;
  }

 private:
  Time full_;  // when the bucket is full again
};

}  // namespace kisim

#pragma once
// A request: who sent it, what it asks for, how far it is. Requests live in a slab whose size follows the requests in
// flight, not those served.

#include "core/event.hpp"
#include "core/hash.hpp"
#include "core/id.hpp"
#include "core/time.hpp"
#include "traffic/arrival.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

using RequestId = Id<struct RequestTag>;

enum class Outcome : uint8_t { Completed = 0, Failed = 1, Dropped = 2, TimedOut = 3 };

// What is known of a request when it leaves; a row of /requests in run.h5. Times in seconds of simulated time;
// NaN = did not get that far.
struct RequestRecord {
  uint32_t source = 0;
  uint64_t ordinal = 0;
  Outcome outcome = Outcome::Completed;
  uint32_t attempts = 1;
  uint32_t replica_pod = 0xffffffffu;  // PodId of the last attempt
  int32_t prompt_tokens = 0, output_tokens = 0;
  double arrival_s = 0, queue_s = 0, ttft_s = 0, tpot_s = 0, e2e_s = 0;
};

class RequestSink {
 public:
  virtual ~RequestSink() = default;
  virtual void record(const RequestRecord& record) = 0;
};

}  // namespace kisim

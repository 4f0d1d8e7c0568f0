#pragma once
// A batch inference server, as Triton's dynamic batcher: one FIFO queue, `instances` executors, each running one batch
// at a time (Triton docs/user_guide/batcher.md). When an instance is free:
//   the largest preferred size that the queue can fill, if any;
//   else, without a queue delay, min(queue, max_batch_size);
//   else wait until a preferred or full batch forms or the oldest request has waited max_queue_delay, then send what
//   is there.
// A batch of b takes base + per_item·b seconds.

#include "core/distribution.hpp"
#include "serving/request.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace kisim {

struct BatchServerModel {
  int32_t max_batch_size = 1;
  int32_t instances = 1;
  std::vector<int32_t> preferred;  // ascending
  Duration max_queue_delay;
  Distribution base, per_item;  // seconds; drawn from the stream of the batch's first request
  uint64_t seed = 0;
};

struct BatchServerState {
  struct Instance {
    RequestList batch;
    EventHandle timer;
  };
  RequestList waiting;
  std::vector<Instance> instances;
  int32_t busy = 0;
  EventHandle delay_timer;  // when the oldest request has waited long enough
};

class BatchServer {
 public:
  BatchServer(const BatchServerModel& model, BatchServerState& state, RequestSlab& requests)
      : model_(model), state_(state), requests_(requests) {}

  // How many of the waiting to send now; 0 = wait. Precondition: something waits.
  int32_t batch_size(Time now) const;
  // Moves `size` requests to an idle instance. Returns the instance and when the batch ends.
  struct Started {
    uint32_t instance;
    Time end;
  };
  Started start_batch(int32_t size, Time now);
  bool has_idle_instance() const { return state_.busy < model_.instances; }

 private:
  const BatchServerModel& model_;
  BatchServerState& state_;
  RequestSlab& requests_;
};

}  // namespace kisim

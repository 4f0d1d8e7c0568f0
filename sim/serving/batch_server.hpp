#pragma once
// A batch inference server, as Triton is: models on one replica, each with its queue, its dynamic batcher and its
// instance group (model_config.proto; core/src/dynamic_batch_scheduler.cc and scheduler_utils.cc).
//
// The batcher looks at the waiting in order of priority level, within a level at those whose time-out has not passed
// before those that it has deferred, first come first served, up to max_batch_size samples:
//   if their oldest has waited max_queue_delay already, all of these are sent;
//   else the longest prefix of a preferred size, if there is one, or the last before the largest preferred size;
//   else, without a queue delay or with no room for more, all of them;
//   else it waits for more, until the oldest has waited max_queue_delay or a time-out passes.
// Without preferred sizes max_batch_size is the one. Time-outs are looked at where the batcher looks, as in Triton: in
// a queue that no instance serves nobody is refused.
//
// A batch is formed when an instance is free, or up to `prefetched` of them before: Triton's rate limiter takes
// batches from a per-model batcher while fewer than twice the instances wait (core/src/rate_limiter.cc, from 21.06 on).
// A formed batch does not grow.
//
// k instances that run at a time, of all models, progress together at the total speed 1 + overlap·(k - 1), each at an
// equal share of it: 1 = they do not feel each other (CPU servers), 0 = they take turns, between them copies and
// compute overlap, below 0 they disturb each other.

#include "cluster/power.hpp"
#include "core/ring.hpp"
#include "serving/latency_law.hpp"
#include "serving/request.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// Of one priority level.
struct QueuePolicy {
  bool timeout_delays = false;          // served after all of its level whose time-out has not passed; else refused
  Duration default_timeout;             // 0 = none
  bool allow_timeout_override = false;  // a request's own may be shorter, never longer
  int32_t max_queue_size = 0;           // requests; 0 = no limit
};

struct BatchModel {
  std::string name;
  int32_t max_batch_size = 1;  // samples
  int32_t instances = 1;
  std::vector<int32_t> preferred;  // samples, ascending
  Duration max_queue_delay;
  int32_t prefetched = 0;                          // batches
  std::vector<QueuePolicy> levels{QueuePolicy()};  // the first is served first
  uint32_t default_level = 0;                      // of requests that name none
  std::vector<LatencyLaw> laws{LatencyLaw()};
  std::vector<uint32_t> law_of_gpu;  // by GpuModelId; beyond its end: laws[0]
  std::vector<uint32_t> steps;       // an ensemble: models that a request goes through in turn; it has no queue
};

struct BatchServerModel {
  std::vector<BatchModel> models{BatchModel()};
  double overlap = 1;
  uint64_t seed = 0;

  // Requests that can be in batches at a time.
  int64_t most_running() const;
};

struct BatchInstance {
  RequestList batch;
  bool busy = false;
  double left = 0;  // seconds of its batch, alone, as of `since`
  Time since;
  EventHandle timer;  // the end of its batch at the present speed
};

struct BatchModelState {
  struct Level {
    RequestList queue, deferred;
  };
  std::vector<Level> levels;
  uint32_t waiting = 0;  // requests in the levels
  int64_t waiting_samples = 0;
  int64_t enough_samples = 0;  // while fewer wait there is nothing to look at; 0: whenever one comes
  EventHandle look_timer;      // when there is

  Ring<RequestList> formed;
  uint32_t first_formed = 0;  // number of the first of them

  std::vector<BatchInstance> instances;
  int32_t busy = 0;
  uint32_t law = 0;  // of BatchModel::laws
  double slowdown = 1;
  uint64_t batches = 0, outside = 0;  // batches started; those of a size outside the law's range
};

struct BatchServerState {
  std::vector<BatchModelState> models;
  int32_t busy = 0;  // instances
  double speed = 1;  // of every busy instance
  struct Started {
    uint32_t model, instance;
  };
  std::vector<Started> started;    // for the caller, who gives them timers
  std::vector<RequestId> refused;  // for the caller: their time-out has passed
};

class BatchServer {
 public:
  BatchServer(const BatchServerModel& model, BatchServerState& state, RequestSlab& requests)
      : model_(model), state_(state), requests_(requests) {}

  void start(const Accelerator& accelerator);
  // Can this request ever be served? If not it must be refused.
  bool fits(const Request& request) const;
  // False: the queue of its level is full. Request::model says whose; an ensemble's first step is that of the request.
  bool enqueue(RequestId id, Time now);
  // Whether form() has anything to look at.
  bool must_look(uint32_t model) const {
    const BatchModelState& s = state_.models[model];
    return s.waiting_samples >= s.enough_samples;
  }
  // Forms batches and starts them on idle instances (state.started). Returns when to look again; max() = when something
  // changes. state.refused are out of the queue.
  Time form(uint32_t model, Time now);
  // Its batch is over; its requests are still in it.
  void end(uint32_t model, uint32_t instance);
  // Takes a waiting, formed or running request out. A batch that runs goes on without an owner for this place.
  void withdraw(RequestId id);
  // All goes on at another speed from now on.
  void set_speed(double speed, Time now);
  // At which the busy instances progress, each, when nobody else uses the GPU.
  double own_speed() const;
  // What it asks of the GPU while it runs: the most of any of its running models.
  double demand(double LatencyLaw::*of) const;
  // What it takes of its GPUs now: of each running instance its law's demand, at the speed at which it runs.
  GpuLoad load(const Accelerator& accelerator) const;

  uint32_t waiting() const;  // formed batches included
  uint32_t running() const;
  void check() const;  // its counts are those of its lists; throws InvariantError

 private:
  struct Look;
  bool add_waiting(Look& look, uint32_t model, BatchModelState::Level& level, const QueuePolicy& policy, bool deferred,
                   Time now);
  Look look(uint32_t model, Time now);
  RequestList take(uint32_t model, uint32_t count);
  void begin(uint32_t model, RequestList batch, Time now);
  void forget_waiting(uint32_t model, const Request& request);
  const LatencyLaw& law(uint32_t model) const { return model_.models[model].laws[state_.models[model].law]; }

  const BatchServerModel& model_;
  BatchServerState& state_;
  RequestSlab& requests_;
};

}  // namespace kisim

#pragma once
// The scheduling queue of kube-scheduler (pkg/scheduler/backend/queue): pods ready for an attempt, pods that back off
// and pods that wait for an event. All times are simulated; whoever owns the queue flushes it when next_flush() says.

#include "core/ring.hpp"
#include "policy/scheduler.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct SchedulingQueueModel {
  Duration initial_backoff{1'000'000'000};              // podInitialBackoffSeconds
  Duration max_backoff{10'000'000'000};                 // podMaxBackoffSeconds
  Duration max_in_unschedulable_pods{300'000'000'000};  // left-overs are retried after this
  Duration leftover_check{30'000'000'000};              // how often they are looked for, from `start` on
  Time start;
};

struct QueuedPod : QueueEntry {
  enum class Place : uint8_t {
    None,   // bound, deleted or never added
    Gated,  // held by PreEnqueue
    Active,
    Backoff,        // after Unschedulable; taken early when nothing is active
    ErrorBackoff,   // after an error; always waits
    Unschedulable,  // waits for an event
    InFlight        // popped, outcome open
  };
  Place place = Place::None;
  uint32_t unschedulable_count = 0, consecutive_errors = 0;
  // By plugin index in the profile: those that rejected the pod last, and those that only asked it to wait.
  uint64_t rejected_by = 0, pending_by = 0;
  Time backoff_expiry;  // whole second; still backing off while expiry >= now truncated to the second
  uint32_t heap_index = 0;
  PodId previous, next;    // in the unschedulable pool
  uint64_t popped_at = 0;  // position in the in-flight log
};

// While pods are in flight, pops and cluster events are logged in order: a pod that fails is judged by the events since
// its pop.
struct InFlightEntry {
  PodId popped;  // invalid: an event, or a pop whose pod is no longer in flight
  ClusterEvent event;
  bool is_event = false;
};

struct SchedulingQueueState {
  IdVector<PodId, QueuedPod> pods;
  std::vector<PodId> active, backoff, error_backoff;  // binary heaps
  PodId oldest, newest;                               // the unschedulable pool, in order of failure
  size_t unschedulable = 0;
  std::vector<PodId> gated;
  Ring<InFlightEntry> log;
  uint64_t log_begin = 0;  // position of log.front()
  uint64_t sequence = 0;
};

// What the queue asks the profile.
class QueueingPolicy {
 public:
  virtual ~QueueingPolicy() = default;
  virtual bool less(const QueueEntry& a, const QueueEntry& b) const = 0;
  // True if for one of `plugins` the event may make the pod schedulable.
  virtual bool hint(PodId pod, uint64_t plugins, const ClusterEvent& event) = 0;
};

class SchedulingQueue {
 public:
  SchedulingQueue(const SchedulingQueueModel& model, SchedulingQueueState& state, QueueingPolicy& policy)
      : model_(model), state_(state), policy_(policy) {}

  void add(PodId pod, int32_t priority, bool gated, Time now);
  void ungate(PodId pod);
  // The next pod to try, now in flight; invalid if there is none. Takes from the backoff heap when nothing is active.
  PodId pop();
  // Outcomes of an attempt. Precondition of all three: the pod is in flight.
  void fail(PodId pod, uint64_t rejected_by, uint64_t pending_by, Time now);
  void error(PodId pod, Time now);
  void done(PodId pod);
  // The pod is gone, wherever it was.
  void remove(PodId pod);
  // Moves the pods out of the unschedulable pool for which the event may matter.
  void move(const ClusterEvent& event, Time now);
  // Moves the pods whose time has come.
  void flush(Time now);

  bool can_pop() const { return !state_.active.empty() || !state_.backoff.empty(); }
  // When flush() next has something to do; Time::max() if never.
  Time next_flush() const;
  bool contains(PodId pod) const { return place(pod) != QueuedPod::Place::None; }
  QueuedPod::Place place(PodId pod) const {
    return pod.value < state_.pods.size() ? state_.pods[pod].place : QueuedPod::Place::None;
  }
  // Pods that wait for an event, an attempt or the end of their backoff; gated ones included.
  size_t pending() const {
    return state_.active.size() + state_.backoff.size() + state_.error_backoff.size() + state_.unschedulable +
           state_.gated.size();
  }

 private:
  using Place = QueuedPod::Place;
  using Heap = std::vector<PodId>;

  void stamp(QueuedPod& pod, Time now);
  void set_backoff(QueuedPod& pod);
  bool backing_off(const QueuedPod& pod, Time now) const;
  // Out of the pool or of flight: to the active heap if it need not back off, else to the backoff heap.
  void requeue(PodId pod, bool at_once, Time now);
  void leave(PodId pod);
  void end_flight(PodId pod);
  void pool_add(PodId pod);
  void pool_remove(PodId pod);

  Heap& heap_of(Place place);
  bool before(Place heap, PodId a, PodId b) const;
  void heap_push(Place place, PodId pod);
  PodId heap_pop(Place place);
  void heap_remove(PodId pod);
  void sift_up(Heap& heap, Place place, size_t i);
  void sift_down(Heap& heap, Place place, size_t i);

  const SchedulingQueueModel& model_;
  SchedulingQueueState& state_;
  QueueingPolicy& policy_;
};

}  // namespace kisim

#include "kube/scheduling_queue.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

Time whole_second(Time t) { return {t.ns - t.ns % kSecond}; }

}  // namespace

void SchedulingQueue::add(PodId id, int32_t priority, bool gated, Time now) {
  if (id.value >= state_.pods.size()) state_.pods.resize(id.value + 1);
  QueuedPod& pod = state_.pods[id];
  KISIM_INVARIANT(pod.place == Place::None, "pod {} is queued twice", id.value);
  pod = {};
  pod.priority = priority;
  stamp(pod, now);
  if (!gated) return heap_push(Place::Active, id);
  pod.place = Place::Gated;
  state_.gated.push_back(id);
}

// The pod keeps its place in the order by time: it is as old as its arrival.
void SchedulingQueue::ungate(PodId id) {
  const QueuedPod& pod = state_.pods[id];
  KISIM_INVARIANT(pod.place == Place::Gated, "pod {} is not gated", id.value);
  std::erase(state_.gated, id);
  heap_push(Place::Active, id);
}

PodId SchedulingQueue::pop() {
  if (!can_pop()) return {};
  PodId id = heap_pop(state_.active.empty() ? Place::Backoff : Place::Active);
  QueuedPod& pod = state_.pods[id];
  pod.place = Place::InFlight;
  pod.popped_at = state_.log_begin + state_.log.size();
  state_.log.push_back({id, {}, false});
  return id;
}

void SchedulingQueue::fail(PodId id, uint64_t rejected_by, uint64_t pending_by, Time now) {
  QueuedPod& pod = state_.pods[id];
  KISIM_INVARIANT(pod.place == Place::InFlight, "pod {} fails without an attempt", id.value);
  ++pod.unschedulable_count;
  pod.consecutive_errors = 0;
  pod.rejected_by = rejected_by;
  pod.pending_by = pending_by;
  stamp(pod, now);
  set_backoff(pod);

  // What came during the attempt may already have helped. A pod that nobody rejected has nothing to wait for.
  bool missed = (rejected_by | pending_by) == 0, at_once = false;
  for (uint64_t at = pod.popped_at + 1; at < state_.log_begin + state_.log.size(); ++at) {
    const InFlightEntry& entry = state_.log[at - state_.log_begin];
    if (!entry.is_event) continue;
    at_once = at_once || policy_.hint(id, pending_by, entry.event);
    missed = missed || at_once || policy_.hint(id, rejected_by, entry.event);
  }
  end_flight(id);
  if (missed)
    requeue(id, at_once, now);
  else
    pool_add(id);
}

void SchedulingQueue::error(PodId id, Time now) {
  QueuedPod& pod = state_.pods[id];
  KISIM_INVARIANT(pod.place == Place::InFlight, "pod {} errs without an attempt", id.value);
  ++pod.consecutive_errors;
  pod.rejected_by = pod.pending_by = 0;
  stamp(pod, now);
  set_backoff(pod);
  end_flight(id);
  heap_push(Place::ErrorBackoff, id);
}

void SchedulingQueue::done(PodId id) {
  KISIM_INVARIANT(place(id) == Place::InFlight, "pod {} is done without an attempt", id.value);
  leave(id);
}

void SchedulingQueue::remove(PodId id) {
  if (contains(id)) leave(id);
}

void SchedulingQueue::move(const ClusterEvent& event, Time now) {
  if (!state_.log.empty()) state_.log.push_back({{}, event, true});
  for (PodId id = state_.oldest, next; id.valid(); id = next) {
    const QueuedPod& pod = state_.pods[id];
    next = pod.next;
    bool at_once = pod.pending_by != 0 && policy_.hint(id, pod.pending_by, event);
    if (!at_once && !policy_.hint(id, pod.rejected_by, event)) continue;
    pool_remove(id);
    requeue(id, at_once, now);
  }
}

void SchedulingQueue::flush(Time now) {
  for (Place place : {Place::Backoff, Place::ErrorBackoff}) {
    Heap& heap = heap_of(place);
    while (!heap.empty() && !backing_off(state_.pods[heap.front()], now)) heap_push(Place::Active, heap_pop(place));
  }
  if ((now - model_.start).ns % model_.leftover_check.ns != 0) return;
  auto is_leftover = [&](PodId id) { return now - state_.pods[id].timestamp > model_.max_in_unschedulable_pods; };
  // Gated pods stay where they are, but kube-scheduler tells of them, too.
  bool moved = std::any_of(state_.gated.begin(), state_.gated.end(), is_leftover);
  while (state_.oldest.valid() && is_leftover(state_.oldest)) {
    PodId id = state_.oldest;
    pool_remove(id);
    requeue(id, false, now);
    moved = true;
  }
  if (moved && !state_.log.empty())
    state_.log.push_back({{}, {ClusterEvent::Kind::UnschedulableTimeout, {}, {}}, true});
}

Time SchedulingQueue::next_flush() const {
  Time next = Time::max();
  for (const Heap* heap : {&state_.backoff, &state_.error_backoff})
    if (!heap->empty()) next = std::min(next, state_.pods[heap->front()].backoff_expiry + 1_s);
  if (state_.oldest.valid()) {
    Duration ripe = state_.pods[state_.oldest].timestamp + model_.max_in_unschedulable_pods - model_.start;
    next = std::min(next, model_.start + model_.leftover_check * (ripe.ns / model_.leftover_check.ns + 1));
  }
  return next;
}

void SchedulingQueue::stamp(QueuedPod& pod, Time now) {
  pod.timestamp = now;
  pod.sequence = state_.sequence++;
}

// initial · 2^(attempts − 1), at most max, and the expiry truncated to the whole second.
void SchedulingQueue::set_backoff(QueuedPod& pod) {
  uint32_t attempts = pod.consecutive_errors > 0 ? pod.consecutive_errors : pod.unschedulable_count;
  Duration backoff = model_.initial_backoff;
  for (uint32_t i = 1; i < attempts && backoff < model_.max_backoff; ++i) backoff = backoff * 2;
  pod.backoff_expiry = whole_second(pod.timestamp + std::min(backoff, model_.max_backoff));
}

bool SchedulingQueue::backing_off(const QueuedPod& pod, Time now) const {
  return pod.backoff_expiry >= whole_second(now);
}

void SchedulingQueue::requeue(PodId id, bool at_once, Time now) {
  heap_push(at_once || !backing_off(state_.pods[id], now) ? Place::Active : Place::Backoff, id);
}

void SchedulingQueue::leave(PodId id) {
  switch (place(id)) {
    case Place::None:
      return;
    case Place::Gated:
      std::erase(state_.gated, id);
      break;
    case Place::InFlight:
      end_flight(id);
      break;
    case Place::Unschedulable:
      pool_remove(id);
      break;
    case Place::Active:
    case Place::Backoff:
    case Place::ErrorBackoff:
      heap_remove(id);
      break;
  }
  state_.pods[id].place = Place::None;
}

// Keeps the log as short as the oldest pod in flight needs it.
void SchedulingQueue::end_flight(PodId id) {
  state_.log[state_.pods[id].popped_at - state_.log_begin].popped = {};
  while (!state_.log.empty() && !state_.log.front().popped.valid()) {
    state_.log.pop_front();
    ++state_.log_begin;
  }
}

void SchedulingQueue::pool_add(PodId id) {
  QueuedPod& pod = state_.pods[id];
  pod.place = Place::Unschedulable;
  pod.previous = state_.newest;
  pod.next = {};
  (state_.newest.valid() ? state_.pods[state_.newest].next : state_.oldest) = id;
  state_.newest = id;
  ++state_.unschedulable;
}

void SchedulingQueue::pool_remove(PodId id) {
  const QueuedPod& pod = state_.pods[id];
  (pod.previous.valid() ? state_.pods[pod.previous].next : state_.oldest) = pod.next;
  (pod.next.valid() ? state_.pods[pod.next].previous : state_.newest) = pod.previous;
  --state_.unschedulable;
}

SchedulingQueue::Heap& SchedulingQueue::heap_of(Place place) {
  if (place == Place::Active) return state_.active;
  return place == Place::Backoff ? state_.backoff : state_.error_backoff;
}

bool SchedulingQueue::before(Place heap, PodId a, PodId b) const {
  const QueuedPod &x = state_.pods[a], &y = state_.pods[b];
  if (heap != Place::Active && x.backoff_expiry != y.backoff_expiry) return x.backoff_expiry < y.backoff_expiry;
  if (policy_.less(x, y)) return true;
  return !policy_.less(y, x) && x.sequence < y.sequence;
}

void SchedulingQueue::heap_push(Place place, PodId id) {
  Heap& heap = heap_of(place);
  state_.pods[id].place = place;
  heap.push_back(id);
  sift_up(heap, place, heap.size() - 1);
}

PodId SchedulingQueue::heap_pop(Place place) {
  PodId top = heap_of(place).front();
  heap_remove(top);
  return top;
}

void SchedulingQueue::heap_remove(PodId id) {
  Place place = state_.pods[id].place;
  Heap& heap = heap_of(place);
  size_t hole = state_.pods[id].heap_index;
  PodId last = heap.back();
  heap.pop_back();
  if (hole == heap.size()) return;
  heap[hole] = last;
  sift_up(heap, place, hole);
  sift_down(heap, place, state_.pods[last].heap_index);
}

void SchedulingQueue::sift_up(Heap& heap, Place place, size_t i) {
  PodId id = heap[i];
  for (; i > 0 && before(place, id, heap[(i - 1) / 2]); i = (i - 1) / 2) {
    heap[i] = heap[(i - 1) / 2];
    state_.pods[heap[i]].heap_index = static_cast<uint32_t>(i);
  }
  heap[i] = id;
  state_.pods[id].heap_index = static_cast<uint32_t>(i);
}

void SchedulingQueue::sift_down(Heap& heap, Place place, size_t i) {
  PodId id = heap[i];
  for (size_t child = 2 * i + 1; child < heap.size(); i = child, child = 2 * i + 1) {
    if (child + 1 < heap.size() && before(place, heap[child + 1], heap[child])) ++child;
    if (!before(place, heap[child], id)) break;
    heap[i] = heap[child];
    state_.pods[heap[i]].heap_index = static_cast<uint32_t>(i);
  }
  heap[i] = id;
  state_.pods[id].heap_index = static_cast<uint32_t>(i);
}

}  // namespace kisim

#pragma once
// The discrete-event engine: a clock, a pending-event set and the signature of what was popped. It calls nobody:
// the World pops events and hands them to the rooms. A plain value: copying it copies the future.

#include "core/error.hpp"
#include "core/event.hpp"
#include "core/hash.hpp"
#include "core/heap_queue.hpp"
#include "core/ladder_queue.hpp"

#include <vector>

namespace kisim {

// Any type with push, min, pop, filter, empty and size over PendingEvent can be the pending-event set.
template <class PendingSet>
class BasicEngine {
 public:
  Time now() const { return now_; }
  size_t pending() const { return pending_.size() - stale_; }
  // Events popped and not cancelled.
  uint64_t events() const { return events_; }
  // Hash of every event popped so far, in order.
  uint64_t signature() const { return signature_; }
  // Folds a decision that pops no event of its own, such as where a pod went, into the signature.
  void sign(uint64_t decision) { signature_ = (signature_ ^ (signature_ >> 29) ^ decision) * 0xbf58476d1ce4e5b9ull; }

  // Precondition: at >= now(). Allocates only while more events are pending than ever before.
  EventHandle schedule(Time at, Priority priority, uint16_t kind, uint32_t target, uint64_t payload = 0) {
    KISIM_INVARIANT(at >= now_, "event of kind {:#06x} scheduled at {} ns, before now = {} ns", kind, at.ns, now_.ns);
    uint32_t slot = free_;
    if (slot == kNil) {
      slot = static_cast<uint32_t>(bodies_.size());
      KISIM_INVARIANT(slot < kMaxSlots, "more than {} events pending", kMaxSlots);
      bodies_.emplace_back();
    } else {
      free_ = static_cast<uint32_t>(bodies_[slot].payload);
    }
    KISIM_INVARIANT(sequence_ < kMaxSequence, "more than {} events in one run", kMaxSequence);
    uint64_t order = PendingEvent::pack(priority, sequence_++, slot);
    bodies_[slot] = {order, payload, target, kind, priority};
    pending_.push({at.ns, order});
    return {order};
  }

  // O(1): the event stays in the set and is skipped when its turn comes. A spent or empty handle is ignored.
  void cancel(EventHandle& handle) {
    if (!handle) return;
    uint32_t slot = PendingEvent{0, handle.order}.slot();
    if (bodies_[slot].order == handle.order) {
      release(slot);
      if (++stale_ > 1024 && stale_ > pending_.size() / 2) compact();
    }
    handle = {};
  }

  // Pops the next event at or before `until` and moves the clock to it; false if there is none.
  bool pop(Time until, Event& out) {
    while (!pending_.empty()) {
      PendingEvent next = pending_.min();
      if (next.time > until.ns) return false;
      pending_.pop();
      uint32_t slot = next.slot();
      const Body& body = bodies_[slot];
      if (body.order != next.order) {
        --stale_;
        continue;
      }
      out = {Time{next.time}, body.kind, body.priority, body.target, body.payload};
      release(slot);
      now_ = out.time;
      ++events_;
      uint64_t word = static_cast<uint64_t>(out.kind) << 40 | static_cast<uint64_t>(out.priority) << 32 | out.target;
      signature_ = (signature_ ^ static_cast<uint64_t>(out.time.ns)) * 0x9e3779b97f4a7c15ull;
      signature_ = (signature_ ^ (signature_ >> 29) ^ word) * 0xbf58476d1ce4e5b9ull;
      signature_ = (signature_ ^ (signature_ >> 32) ^ out.payload) * 0x94d049bb133111ebull;
      return true;
    }
    return false;
  }

  // Moves the clock forward to a time at which nothing is pending before it.
  void advance_to(Time t) {
    KISIM_INVARIANT(t >= now_, "clock moved back from {} to {} ns", now_.ns, t.ns);
    now_ = t;
  }

 private:
  static constexpr uint32_t kNil = 0xffffffffu;
  static constexpr uint32_t kMaxSlots = 1u << PendingEvent::kSlotBits;
  static constexpr uint64_t kMaxSequence = 1ull << PendingEvent::kSequenceBits;
  static constexpr uint64_t kFree = ~0ull;

  // `order` tells whether a pending entry still means this body; on the free list `payload` is the next free slot.
  struct Body {
    uint64_t order = kFree;
    uint64_t payload = 0;
    uint32_t target = 0;
    uint16_t kind = 0;
    Priority priority = Priority::Control;
  };

  void release(uint32_t slot) {
    bodies_[slot].order = kFree;
    bodies_[slot].payload = free_;
    free_ = slot;
  }

  void compact() {
    pending_.filter([this](const PendingEvent& e) { return bodies_[e.slot()].order == e.order; });
    stale_ = 0;
  }

  Time now_;
  uint64_t sequence_ = 0, events_ = 0, signature_ = 0x6b6973696d000001ull;
  PendingSet pending_;
  size_t stale_ = 0;
  std::vector<Body> bodies_;
  uint32_t free_ = kNil;
};

using Engine = BasicEngine<LadderQueue>;
using ReferenceEngine = BasicEngine<HeapQueue>;

}  // namespace kisim

#pragma once
// What an event is and the one place that orders events: (time, priority, sequence), nothing else.

#include "core/time.hpp"

#include <cstdint>

namespace kisim {

// At one instant, causes come before those who look at them.
enum class Priority : uint8_t {
  Completion = 0,  // work that ends
  Failure = 1,     // things that break
  Arrival = 2,     // requests that come
  Control = 3,     // controllers, scheduler, kubelet
  Scrape = 4,      // metrics that observe
  End = 5,         // end of warm-up and of the run
};

// `kind` is room << 8 | code; `target` is an id of that room; `payload` is the room's own.
struct Event {
  Time time;
  uint16_t kind = 0;
  Priority priority = Priority::Control;
  uint32_t target = 0;
  uint64_t payload = 0;
};

// The rooms that handle events, in the high byte of Event::kind.
enum class Room : uint8_t { Traffic = 1, Serving = 2, Kube = 3, Run = 4 };

template <class Code>
constexpr uint16_t event_kind(Room room, Code code) {
  return static_cast<uint16_t>(static_cast<uint16_t>(room) << 8 | static_cast<uint16_t>(code));
}
constexpr Room event_room(uint16_t kind) { return static_cast<Room>(kind >> 8); }
constexpr uint8_t event_code(uint16_t kind) { return static_cast<uint8_t>(kind); }

// What the pending-event set moves around: 16 bytes. `order` packs priority (4 bits), sequence (36 bits) and slot of
// the event's body (24 bits); sequence numbers are unique, so comparing it never reaches the slot.
struct PendingEvent {
  int64_t time;
  uint64_t order;

  static constexpr int kSlotBits = 24, kSequenceBits = 36;
  static constexpr uint64_t pack(Priority priority, uint64_t sequence, uint32_t slot) {
    return static_cast<uint64_t>(priority) << (kSlotBits + kSequenceBits) | sequence << kSlotBits | slot;
  }
  constexpr uint32_t slot() const { return static_cast<uint32_t>(order & ((1u << kSlotBits) - 1)); }
};

// As one 128-bit number: without a branch, since queues compare what cannot be predicted.
constexpr bool operator<(const PendingEvent& a, const PendingEvent& b) {
  auto key = [](const PendingEvent& e) { return static_cast<__int128>(e.time) << 64 | e.order; };
  return key(a) < key(b);
}

// Names a scheduled event so that it can be cancelled; empty when default-constructed or spent.
struct EventHandle {
  uint64_t order = ~0ull;
  explicit operator bool() const { return order != ~0ull; }
};

}  // namespace kisim

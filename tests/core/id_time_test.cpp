#include "core/event.hpp"
#include "core/hash.hpp"
#include "core/id.hpp"
#include "core/time.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace kisim;

namespace {
using PearId = Id<struct PearTag>;
using PlumId = Id<struct PlumTag>;
}  // namespace

TEST_CASE("ids are distinct types and start invalid", "[id]") {
  static_assert(!std::is_convertible_v<PearId, PlumId>);
  static_assert(!std::is_convertible_v<int, PearId>);
  CHECK_FALSE(PearId().valid());
  IdVector<PearId, std::string> pears;
  PearId a = pears.push_back("a"), b = pears.push_back("b");
  CHECK(a.valid());
  CHECK(a < b);
  CHECK(pears[b] == "b");
  CHECK(pears.size() == 2);
}

TEST_CASE("seconds round to the nearest nanosecond, half to even", "[time]") {
  CHECK(Duration::seconds(1.5).ns == 1500000000);
  CHECK(Duration::seconds(0.1 + 0.2).ns == 300000000);
  CHECK(Duration::seconds(-2e-9).ns == -2);
  CHECK(Duration::seconds(2.5e-9).ns == 2);
  CHECK(Duration::seconds(3.5e-9).ns == 4);
  CHECK((Duration{250000000}).to_seconds() == 0.25);
}

TEST_CASE("times and durations add, subtract and compare", "[time]") {
  Time t{1000};
  CHECK(t + 5_us == Time{6000});
  CHECK(t + 5_us - t == 5_us);
  CHECK(t - 1_us == Time{0});
  CHECK(2_ms * 3 == 6_ms);
  CHECK(1_s > 999_ms);
  CHECK(Time::max().ns == INT64_MAX);
}

TEST_CASE("event kinds split into room and code", "[event]") {
  uint16_t kind = event_kind(Room::Serving, 7);
  CHECK(event_room(kind) == Room::Serving);
  CHECK(event_code(kind) == 7);
}

TEST_CASE("pending events order by time, priority and sequence", "[event]") {
  auto event = [](int64_t time, Priority priority, uint64_t sequence, uint32_t slot) {
    return PendingEvent{time, PendingEvent::pack(priority, sequence, slot)};
  };
  uint64_t last_sequence = (1ull << PendingEvent::kSequenceBits) - 1;
  uint32_t last_slot = (1u << PendingEvent::kSlotBits) - 1;
  CHECK(event(-1, Priority::End, last_sequence, last_slot) < event(0, Priority::Completion, 0, 0));
  CHECK(event(1, Priority::Arrival, last_sequence, last_slot) < event(1, Priority::Control, 0, 0));
  CHECK(event(1, Priority::Arrival, 5, last_slot) < event(1, Priority::Arrival, 6, 0));
  CHECK_FALSE(event(1, Priority::Arrival, 5, 1) < event(1, Priority::Arrival, 5, 1));
  CHECK(event(0, Priority::End, last_sequence, last_slot).slot() == last_slot);
}

TEST_CASE("hashes are pinned and differ", "[hash]") {
  CHECK(hash_text("") == mix64(0xcbf29ce484222325ull));
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) seen.insert(hash_combine(hash_text("Traffic/chat"), i));
  CHECK(seen.size() == 1000);
  CHECK(hash_combine(1, 2) != hash_combine(2, 1));
}

#include "core/distribution.hpp"
#include "core/heap_queue.hpp"
#include "core/ladder_queue.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace kisim;

namespace {

bool same(const PendingEvent& a, const PendingEvent& b) { return a.time == b.time && a.order == b.order; }

// The queues side by side: whatever one pops, the others must pop.
class SideBySide {
 public:
  explicit SideBySide(bool with_set = true) : with_set_(with_set) {}

  void push(int64_t time, Priority priority = Priority::Control) {
    PendingEvent e{time, PendingEvent::pack(priority, sequence_, static_cast<uint32_t>(sequence_ & 0xffffff))};
    ++sequence_;
    ladder_.push(e);
    heap_.push(e);
    if (with_set_) set_.insert(e);
  }
  PendingEvent pop() {
    PendingEvent e = ladder_.min();
    ladder_.pop();
    if (!same(e, heap_.min())) FAIL("ladder and heap differ at " << e.time << " against " << heap_.min().time);
    heap_.pop();
    if (!with_set_) return e;
    if (!same(e, *set_.begin())) FAIL("ladder and reference differ at " << e.time);
    set_.erase(set_.begin());
    return e;
  }
  void filter(uint64_t keep_mask) {
    auto keep = [=](const PendingEvent& e) { return (mix(e.order) & keep_mask) != 0; };
    ladder_.filter(keep);
    heap_.filter(keep);
    std::erase_if(set_, [&](const PendingEvent& e) { return !keep(e); });
  }
  void check_sizes() {
    REQUIRE(ladder_.size() == heap_.size());
    REQUIRE(ladder_.empty() == heap_.empty());
    if (with_set_) REQUIRE(ladder_.size() == set_.size());
  }
  size_t size() const { return ladder_.size(); }
  void drain() {
    while (size() > 0) pop();
    check_sizes();
  }

 private:
  static uint64_t mix(uint64_t x) { return (x >> 24) * 0x9e3779b97f4a7c15ull >> 32; }

  LadderQueue ladder_;
  HeapQueue heap_;
  std::set<PendingEvent> set_;
  bool with_set_;
  uint64_t sequence_ = 0;
};

enum class Gap { Exponential, Bimodal, Ties, AllEqual, Heavy };

int64_t draw_gap(Gap gap, Stream& stream) {
  switch (gap) {
    case Gap::Exponential:
      return static_cast<int64_t>(draw_exponential(stream, 1e6));
    case Gap::Bimodal:
      return static_cast<int64_t>(draw_exponential(stream, stream.uniform() < 0.94 ? 1e5 : 1e9));
    case Gap::Ties:
      return draw_geometric(stream, 20) * 1000000;
    case Gap::AllEqual:
      return 0;
    case Gap::Heavy:
      return static_cast<int64_t>(std::min(1e15, draw_lognormal(stream, 1e5, 5)));
  }
  return 0;
}

Priority draw_priority(Stream& stream) { return static_cast<Priority>(stream.below(6)); }

// `pending` events, then `holds` times: pop one, push one.
void hold(SideBySide& queues, Gap gap, int64_t start, size_t pending, int holds, int filter_every = 0) {
  Stream stream(21, static_cast<uint64_t>(gap), Purpose::Policy);
  for (size_t i = 0; i < pending; ++i) queues.push(start + draw_gap(gap, stream), draw_priority(stream));
  for (int i = 0; i < holds; ++i) {
    PendingEvent e = queues.pop();
    queues.push(e.time + draw_gap(gap, stream), draw_priority(stream));
    if (filter_every > 0 && i % filter_every == 0) {
      queues.filter(1);
      queues.check_sizes();
      while (queues.size() < pending) queues.push(e.time + draw_gap(gap, stream), draw_priority(stream));
    }
  }
  queues.check_sizes();
}

}  // namespace

TEST_CASE("hold model: the same order at every size", "[queue]") {
  for (Gap gap : {Gap::Exponential, Gap::Bimodal, Gap::Ties, Gap::AllEqual, Gap::Heavy})
    for (size_t pending : {1, 2, 7, 48, 49, 100, 1000, 5000}) {
      INFO("gap " << static_cast<int>(gap) << ", pending " << pending);
      SideBySide queues;
      hold(queues, gap, 0, pending, 20000);
      queues.drain();
    }
}

TEST_CASE("hold model: a million holds and 200,000 pending", "[queue]") {
  for (Gap gap : {Gap::Exponential, Gap::Bimodal, Gap::Ties, Gap::AllEqual, Gap::Heavy}) {
    SideBySide queues(false);
    hold(queues, gap, 0, 1000, 1000000);
    queues.drain();
    SideBySide crowded(false);
    hold(crowded, gap, 0, 200000, 300000);
    crowded.drain();
  }
}

TEST_CASE("hold model with events dropped in between", "[queue]") {
  for (Gap gap : {Gap::Exponential, Gap::Bimodal, Gap::Ties, Gap::AllEqual, Gap::Heavy}) {
    SideBySide queues;
    hold(queues, gap, 0, 3000, 50000, 997);
    queues.drain();
  }
}

TEST_CASE("everything dropped leaves a queue that works", "[queue]") {
  SideBySide queues;
  hold(queues, Gap::Exponential, 0, 1000, 500);
  queues.filter(0);
  CHECK(queues.size() == 0);
  hold(queues, Gap::Ties, 0, 1000, 500);
  queues.drain();
}

TEST_CASE("inserts in descending order, before all that is pending", "[queue]") {
  SideBySide queues;
  for (int64_t t = 100000; t > 0; --t) queues.push(t * 1000);
  queues.pop();
  for (int64_t t = 20000; t > 0; --t) queues.push(t % 999);
  queues.drain();
  // The worst for a sorted bottom: every push just before the last one popped.
  for (int64_t t = 0; t < 2000; ++t) queues.push(1000000000);
  for (int64_t t = 0; t < 50000; ++t) {
    queues.push(900000000 - t);
    queues.push(950000000 - t);
    queues.pop();
  }
  queues.drain();
}

TEST_CASE("growing and shrinking", "[queue]") {
  SideBySide queues(false);
  Stream stream(5, 6, Purpose::Policy);
  int64_t now = 0;
  for (int wave = 0; wave < 40; ++wave) {
    for (uint32_t i = stream.below(20000); i > 0; --i) queues.push(now + draw_gap(Gap::Bimodal, stream));
    for (uint32_t i = stream.below(20000); i > 0 && queues.size() > 0; --i) now = queues.pop().time;
  }
  queues.drain();
}

TEST_CASE("times at the ends of the clock", "[queue]") {
  SideBySide queues;
  Stream stream(5, 7, Purpose::Policy);
  for (int i = 0; i < 3000; ++i) {
    queues.push(INT64_MAX, draw_priority(stream));
    queues.push(INT64_MAX - static_cast<int64_t>(stream.below(5)), draw_priority(stream));
    queues.push(static_cast<int64_t>(stream.next_u64() >> 1), draw_priority(stream));
    queues.push(i, draw_priority(stream));
    queues.push(INT64_MIN + i, draw_priority(stream));
    if (i % 2 == 0) queues.pop();
  }
  for (int i = 0; i < 5000; ++i) {
    queues.pop();
    queues.push(INT64_MAX, draw_priority(stream));
  }
  queues.drain();
}

TEST_CASE("far timers beside near events", "[queue]") {
  // One event at the end of a long run, timers of hours, events of microseconds.
  SideBySide queues(false);
  Stream stream(5, 8, Purpose::Policy);
  queues.push(INT64_MAX);
  for (int i = 0; i < 100; ++i) queues.push(3600000000000ll * (i + 1));
  for (int i = 0; i < 20000; ++i) queues.push(static_cast<int64_t>(stream.below(100000)));
  for (int i = 0; i < 500000; ++i) {
    PendingEvent e = queues.pop();
    queues.push(e.time + static_cast<int64_t>(stream.below(100000)));
  }
  queues.drain();
}

TEST_CASE("a copied queue pops the same", "[queue]") {
  LadderQueue queue;
  Stream stream(5, 9, Purpose::Policy);
  uint64_t sequence = 0;
  auto push = [&](LadderQueue& q, int64_t time) {
    q.push({time, PendingEvent::pack(Priority::Control, sequence++, 0)});
  };
  for (int i = 0; i < 10000; ++i) push(queue, draw_gap(Gap::Bimodal, stream));
  for (int i = 0; i < 5000; ++i) {
    queue.min();
    queue.pop();
  }
  LadderQueue copy = queue;
  while (!queue.empty()) {
    REQUIRE(same(copy.min(), queue.min()));
    copy.pop();
    queue.pop();
  }
  CHECK(copy.empty());
}

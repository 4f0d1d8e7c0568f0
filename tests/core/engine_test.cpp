#include "core/engine.hpp"

#include "allocations.hpp"
#include "core/distribution.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

constexpr uint16_t kTick = event_kind(Room::Run, 1);

std::vector<uint32_t> pop_all(Engine& engine) {
  std::vector<uint32_t> targets;
  for (Event e; engine.pop(Time::max(), e);) targets.push_back(e.target);
  return targets;
}

// A small world of its own: every event schedules others, cancels some, and remembers handles.
template <class AnyEngine>
class Churn {
 public:
  explicit Churn(uint32_t targets) : handles_(targets), stream_(1, 2, Purpose::Policy) {
    for (uint32_t i = 0; i < targets; ++i) handles_[i] = schedule(i);
  }
  void run(int events) {
    Event e;
    for (int i = 0; i < events && engine.pop(Time::max(), e); ++i) {
      handles_[e.target] = schedule(e.target);
      auto other = stream_.below(static_cast<uint32_t>(handles_.size()));
      if (stream_.below(3) != 0) continue;
      engine.cancel(handles_[other]);
      handles_[other] = schedule(other);
    }
  }
  AnyEngine engine;

 private:
  EventHandle schedule(uint32_t target) {
    Duration gap{static_cast<int64_t>(draw_exponential(stream_, stream_.below(10) == 0 ? 1e9 : 1e5))};
    if (stream_.below(2) == 0) gap.ns -= gap.ns % 1000000;
    return engine.schedule(engine.now() + gap, static_cast<Priority>(stream_.below(5)), kTick, target,
                           stream_.next_u32());
  }

  std::vector<EventHandle> handles_;
  Stream stream_;
};

}  // namespace

TEST_CASE("events come by time, then priority, then sequence", "[engine]") {
  Engine engine;
  engine.schedule(Time{20}, Priority::Completion, kTick, 0);
  engine.schedule(Time{10}, Priority::End, kTick, 1);
  engine.schedule(Time{10}, Priority::Arrival, kTick, 2);
  engine.schedule(Time{10}, Priority::Completion, kTick, 3);
  engine.schedule(Time{10}, Priority::Arrival, kTick, 4);
  engine.schedule(Time{5}, Priority::Scrape, kTick, 5);
  CHECK(pop_all(engine) == std::vector<uint32_t>{5, 3, 2, 4, 1, 0});
}

TEST_CASE("a popped event is what was scheduled", "[engine]") {
  Engine engine;
  engine.schedule(Time{7}, Priority::Scrape, kTick, 9, 0xfedcba9876543210ull);
  Event e;
  REQUIRE(engine.pop(Time{7}, e));
  CHECK(e.time == Time{7});
  CHECK(e.kind == kTick);
  CHECK(e.priority == Priority::Scrape);
  CHECK(e.target == 9);
  CHECK(e.payload == 0xfedcba9876543210ull);
  CHECK(engine.now() == Time{7});
  CHECK(engine.events() == 1);
}

TEST_CASE("pop stops at its limit and leaves the clock", "[engine]") {
  Engine engine;
  engine.schedule(Time{10}, Priority::Control, kTick, 1);
  Event e;
  CHECK_FALSE(engine.pop(Time{9}, e));
  CHECK(engine.now() == Time{0});
  engine.advance_to(Time{9});
  CHECK(engine.now() == Time{9});
  CHECK(engine.pop(Time{10}, e));
  CHECK_THROWS_AS(engine.advance_to(Time{3}), InvariantError);
}

TEST_CASE("an event in the past is a broken invariant", "[engine]") {
  Engine engine;
  engine.advance_to(Time{100});
  CHECK_THROWS_AS(engine.schedule(Time{99}, Priority::Control, kTick, 0), InvariantError);
  CHECK_NOTHROW(engine.schedule(Time{100}, Priority::Control, kTick, 0));
}

TEST_CASE("cancelled events do not come; spent handles do no harm", "[engine]") {
  Engine engine;
  EventHandle first = engine.schedule(Time{1}, Priority::Control, kTick, 1);
  EventHandle second = engine.schedule(Time{2}, Priority::Control, kTick, 2);
  EventHandle none;
  engine.cancel(none);
  EventHandle copy = second;
  engine.cancel(second);
  CHECK_FALSE(second);
  engine.cancel(second);
  CHECK(engine.pending() == 1);

  // The freed slot goes to another event, which the stale copy must not touch.
  engine.schedule(Time{3}, Priority::Control, kTick, 3);
  engine.cancel(copy);
  CHECK(engine.pending() == 2);
  CHECK(pop_all(engine) == std::vector<uint32_t>{1, 3});
  engine.cancel(first);
  CHECK(engine.pending() == 0);
  CHECK(engine.events() == 2);
}

TEST_CASE("cancelling many events compacts the pending set", "[engine]") {
  Engine engine;
  std::vector<EventHandle> handles;
  for (uint32_t i = 0; i < 50000; ++i)
    handles.push_back(engine.schedule(Time{static_cast<int64_t>(i * 7919 % 50000)}, Priority::Control, kTick, i));
  for (uint32_t i = 0; i < 50000; ++i)
    if (i % 10 != 0) engine.cancel(handles[i]);
  CHECK(engine.pending() == 5000);
  auto left = pop_all(engine);
  CHECK(left.size() == 5000);
  CHECK(std::all_of(left.begin(), left.end(), [](uint32_t target) { return target % 10 == 0; }));
}

TEST_CASE("ladder and heap give the same signature", "[engine]") {
  for (uint32_t targets : {1u, 10u, 300u, 5000u}) {
    Churn<Engine> ladder(targets);
    Churn<ReferenceEngine> heap(targets);
    for (int i = 0; i < 10; ++i) {
      ladder.run(20000);
      heap.run(20000);
      REQUIRE(ladder.engine.signature() == heap.engine.signature());
      REQUIRE(ladder.engine.now() == heap.engine.now());
      REQUIRE(ladder.engine.pending() == heap.engine.pending());
    }
  }
}

TEST_CASE("a copy continues identically and apart", "[engine]") {
  Churn<Engine> churn(1000);
  churn.run(12345);
  Churn<Engine> copy = churn;
  churn.run(50000);
  CHECK(copy.engine.signature() != churn.engine.signature());
  copy.run(50000);
  CHECK(copy.engine.signature() == churn.engine.signature());
  CHECK(copy.engine.events() == churn.engine.events());
}

TEST_CASE("the signature tells time, kind, priority, target and payload apart", "[engine]") {
  auto signature = [](Time t, Priority priority, uint16_t kind, uint32_t target, uint64_t payload) {
    Engine engine;
    engine.schedule(t, priority, kind, target, payload);
    Event e;
    engine.pop(Time::max(), e);
    return engine.signature();
  };
  uint64_t base = signature(Time{1}, Priority::Control, 1, 1, 1);
  CHECK(base == signature(Time{1}, Priority::Control, 1, 1, 1));
  CHECK(base != signature(Time{2}, Priority::Control, 1, 1, 1));
  CHECK(base != signature(Time{1}, Priority::Arrival, 1, 1, 1));
  CHECK(base != signature(Time{1}, Priority::Control, 2, 1, 1));
  CHECK(base != signature(Time{1}, Priority::Control, 1, 2, 1));
  CHECK(base != signature(Time{1}, Priority::Control, 1, 1, 2));
}

TEST_CASE("no allocation per event in the steady state", "[engine]") {
  Churn<Engine> churn(2000);
  churn.run(2000000);
  uint64_t before = test::allocations();
  churn.run(1000000);
  uint64_t during = test::allocations() - before;
  CHECK(during == 0);
}

TEST_CASE("draws do not allocate", "[engine]") {
  Stream stream(1, 1, Purpose::Policy);
  std::vector<Distribution> all{Distribution::lognormal(10, 1), Distribution::gamma(1, 2),
                                Distribution::zipf(100, 1),     Distribution::poisson(30),
                                Distribution::geometric(9),     Distribution::discrete({1, 2}, {1, 1}),
                                Distribution::empirical({1, 2})};
  double sum = 0;
  uint64_t before = test::allocations();
  for (const Distribution& d : all)
    for (int i = 0; i < 1000; ++i) sum += d.draw(stream);
  uint64_t during = test::allocations() - before;
  CHECK(during == 0);
  CHECK(sum > 0);
}

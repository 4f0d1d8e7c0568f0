// The engine with trivial handlers: every event schedules the next one of its target. The yardstick is what one would
// write first: a std::priority_queue of whole events.

#include "core/engine.hpp"
#include "gaps.hpp"
#include "interleaved.hpp"

#include <benchmark/benchmark.h>

#include <queue>

namespace kisim {
namespace {

constexpr int64_t kSegment = 20000;  // events
constexpr uint16_t kTick = event_kind(Room::Run, 0);

class WithEngine {
 public:
  WithEngine(GapShape shape, int64_t pending) : gaps_(shape) {
    for (int64_t i = 0; i < pending; ++i) schedule(static_cast<uint32_t>(i));
    run(4 * pending);
  }
  void run(int64_t events) {
    Event event;
    for (int64_t i = 0; i < events; ++i) {
      engine_.pop(Time::max(), event);
      schedule(event.target);
    }
  }
  int64_t now() const { return engine_.now().ns; }

 private:
  void schedule(uint32_t target) {
    engine_.schedule(engine_.now() + Duration{gaps_.next()}, Priority::Control, kTick, target);
  }

  Engine engine_;
  Gaps gaps_;
};

class WithStdQueue {
 public:
  WithStdQueue(GapShape shape, int64_t pending) : gaps_(shape) {
    for (int64_t i = 0; i < pending; ++i) schedule(static_cast<uint32_t>(i));
    run(4 * pending);
  }
  void run(int64_t events) {
    for (int64_t i = 0; i < events; ++i) {
      Entry entry = queue_.top();
      queue_.pop();
      now_ = entry.event.time;
      schedule(entry.event.target);
    }
  }
  int64_t now() const { return now_.ns; }

 private:
  struct Entry {
    Event event;
    uint64_t sequence;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      if (a.event.time != b.event.time) return a.event.time > b.event.time;
      if (a.event.priority != b.event.priority) return a.event.priority > b.event.priority;
      return a.sequence > b.sequence;
    }
  };

  void schedule(uint32_t target) {
    queue_.push({{now_ + Duration{gaps_.next()}, kTick, Priority::Control, target, 0}, sequence_++});
  }

  std::priority_queue<Entry, std::vector<Entry>, Later> queue_;
  Gaps gaps_;
  Time now_;
  uint64_t sequence_ = 0;
};

void engine(benchmark::State& state, GapShape shape) {
  WithEngine ours(shape, state.range(0));
  WithStdQueue yardstick(shape, state.range(0));
  Samples ours_s, yardstick_s, ratio;
  for (auto _ : state) {
    double seconds = time_of([&] { ours.run(kSegment); });
    state.SetIterationTime(seconds);
    ours_s.add(seconds);
    yardstick_s.add(time_of([&] { yardstick.run(kSegment); }));
    ratio.add(yardstick_s.last() / seconds);
  }
  if (ours.now() != yardstick.now()) state.SkipWithError("the clocks differ");
  state.SetItemsProcessed(state.iterations() * kSegment);
  state.counters["events_per_s"] = kSegment / ours_s.median();
  state.counters["yardstick_per_s"] = kSegment / yardstick_s.median();
  state.counters["ratio"] = ratio.median();
}

[[maybe_unused]] const bool registered = [] {
  for (GapShape shape : {GapShape::Exponential, GapShape::Bimodal, GapShape::Ties})
    benchmark::RegisterBenchmark((std::string("engine/") + name_of(shape)).c_str(), engine, shape)
        ->RangeMultiplier(10)
        ->Range(1000, 100000)
        ->UseManualTime();
  return true;
}();

}  // namespace
}  // namespace kisim

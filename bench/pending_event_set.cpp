// Hold model on the pending-event sets: pop the next event, push one a random gap later. `ratio` is the yardstick's
// time over the ladder queue's.

#include "core/heap_queue.hpp"
#include "core/ladder_queue.hpp"
#include "gaps.hpp"
#include "interleaved.hpp"

#include <benchmark/benchmark.h>

#include <queue>

namespace kisim {
namespace {

class StdQueue {
 public:
  void push(PendingEvent e) { queue_.push(e); }
  const PendingEvent& min() { return queue_.top(); }
  void pop() { queue_.pop(); }

 private:
  struct Later {
    bool operator()(const PendingEvent& a, const PendingEvent& b) const { return b < a; }
  };
  std::priority_queue<PendingEvent, std::vector<PendingEvent>, Later> queue_;
};

template <class Queue>
class Hold {
 public:
  Hold(GapShape shape, int64_t pending) : gaps_(shape) {
    for (int64_t i = 0; i < pending; ++i) push(0);
    run(4 * pending);
  }

  void run(int64_t holds) {
    for (int64_t i = 0; i < holds; ++i) {
      PendingEvent e = queue_.min();
      queue_.pop();
      checksum_ = (checksum_ ^ e.order) * 0x9e3779b97f4a7c15ull;
      push(e.time);
    }
  }
  uint64_t checksum() const { return checksum_; }

 private:
  void push(int64_t now) { queue_.push({now + gaps_.next(), PendingEvent::pack(Priority::Control, sequence_++, 0)}); }

  Queue queue_;
  Gaps gaps_;
  uint64_t sequence_ = 0, checksum_ = 0;
};

void pending_event_set(benchmark::State& state, GapShape shape) {
  Hold<LadderQueue> ladder(shape, state.range(0));
  Hold<HeapQueue> heap(shape, state.range(0));
  Hold<StdQueue> yardstick(shape, state.range(0));
  int64_t holds = std::max<int64_t>(20000, 2 * state.range(0));  // a segment: every pending event goes through
  Samples ladder_s, heap_s, yardstick_s, ratio;
  for (auto _ : state) {
    double seconds = time_of([&] { ladder.run(holds); });
    state.SetIterationTime(seconds);
    ladder_s.add(seconds);
    heap_s.add(time_of([&] { heap.run(holds); }));
    yardstick_s.add(time_of([&] { yardstick.run(holds); }));
    ratio.add(yardstick_s.last() / seconds);
  }
  if (ladder.checksum() != yardstick.checksum() || heap.checksum() != yardstick.checksum())
    state.SkipWithError("the queues pop in different orders");
  double ns = 1e9 / static_cast<double>(holds);
  state.SetItemsProcessed(state.iterations() * holds);
  state.counters["ladder_ns"] = ladder_s.median() * ns;
  state.counters["heap_ns"] = heap_s.median() * ns;
  state.counters["yardstick_ns"] = yardstick_s.median() * ns;
  state.counters["ratio"] = ratio.median();
}

[[maybe_unused]] const bool registered = [] {
  for (GapShape shape : {GapShape::Exponential, GapShape::Bimodal, GapShape::Ties})
    benchmark::RegisterBenchmark((std::string("pending_event_set/") + name_of(shape)).c_str(), pending_event_set, shape)
        ->RangeMultiplier(10)
        ->Range(1000, 100000)
        ->UseManualTime();
  return true;
}();

}  // namespace
}  // namespace kisim

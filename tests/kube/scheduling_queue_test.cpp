#include "kube/scheduling_queue.hpp"

#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace kisim {
namespace {

using Place = QueuedPod::Place;

Time at(double seconds) { return Time{} + Duration::seconds(seconds); }
PodId pod(uint32_t i) { return PodId(size_t{i}); }

constexpr ClusterEvent kPodDelete{ClusterEvent::Kind::AssignedPodDelete, {}, {}};
constexpr ClusterEvent kNodeAdd{ClusterEvent::Kind::NodeAdd, {}, {}};
constexpr uint64_t kFit = 1, kAffinity = 2;

// Sorts as PrioritySort does. Plugin kFit hopes for deleted pods, kAffinity for new nodes.
struct TestPolicy : QueueingPolicy {
  bool less(const QueueEntry& a, const QueueEntry& b) const override {
    return a.priority != b.priority ? a.priority > b.priority : a.timestamp < b.timestamp;
  }
  bool hint(PodId, uint64_t plugins, const ClusterEvent& event) override {
    if (event.kind == ClusterEvent::Kind::UnschedulableTimeout) return plugins != 0;
    uint64_t interested = event.kind == ClusterEvent::Kind::AssignedPodDelete ? kFit : kAffinity;
    return (plugins & interested) != 0;
  }
};

struct Fixture {
  SchedulingQueueModel model;
  SchedulingQueueState state;
  TestPolicy policy;
  SchedulingQueue queue{model, state, policy};

  // One failed attempt of a pod that is the next to be popped.
  void attempt(PodId expected, uint64_t rejected_by, Time now) {
    REQUIRE(queue.pop() == expected);
    queue.fail(expected, rejected_by, 0, now);
  }
};

TEST_CASE("the active queue sorts by priority, then by time of entry, then by order of entry") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.queue.add(pod(1), 10, false, at(1));
  f.queue.add(pod(2), 10, false, at(0.5));
  f.queue.add(pod(3), 10, false, at(1));
  for (uint32_t expected : {2u, 1u, 3u, 0u}) CHECK(f.queue.pop() == pod(expected));
  CHECK_FALSE(f.queue.pop().valid());
}

TEST_CASE("a pod that failed goes behind those of its priority that have waited longer") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.queue.add(pod(1), 0, false, at(1));
  f.attempt(pod(0), kFit, at(2));
  f.queue.move(kPodDelete, at(20));  // backoff is over: active again, with the time of its failure
  CHECK(f.queue.place(pod(0)) == Place::Active);
  CHECK(f.queue.pop() == pod(1));
  CHECK(f.queue.pop() == pod(0));
}

TEST_CASE("backoff doubles from one second to ten and its end is truncated to the second") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0.4));
  double now = 0.7;
  for (int64_t seconds : {1, 2, 4, 8, 10, 10}) {
    f.attempt(pod(0), kFit, at(now));
    CHECK(f.state.pods[pod(0)].backoff_expiry == at(std::floor(now + static_cast<double>(seconds))));
    now += 20;
    f.queue.move(kPodDelete, at(now));
  }
}

TEST_CASE("a pod backs off while its expiry is not before the present second") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.attempt(pod(0), kFit, at(0.7));   // expires at 1 s
  f.queue.move(kPodDelete, at(1.2));  // 1 >= 1: still backing off
  CHECK(f.queue.place(pod(0)) == Place::Backoff);
  CHECK(f.queue.next_flush() == at(2));
  f.queue.flush(at(1));
  CHECK(f.queue.place(pod(0)) == Place::Backoff);
  f.queue.flush(at(2));
  CHECK(f.queue.place(pod(0)) == Place::Active);
}

TEST_CASE("an idle queue gives out pods that back off, but not those that erred") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.queue.add(pod(1), 0, false, at(0));
  f.attempt(pod(0), kFit, at(0.1));
  REQUIRE(f.queue.pop() == pod(1));
  f.queue.error(pod(1), at(0.1));
  f.queue.move(kPodDelete, at(0.2));
  CHECK(f.queue.place(pod(0)) == Place::Backoff);
  CHECK(f.queue.place(pod(1)) == Place::ErrorBackoff);
  CHECK(f.queue.pop() == pod(0));
  CHECK_FALSE(f.queue.pop().valid());
  CHECK(f.queue.next_flush() == at(2));  // 0.1 + 1 s is truncated to 1 s and over one second later
  f.queue.flush(at(2));
  CHECK(f.queue.pop() == pod(1));
}

TEST_CASE("errors in a row set the backoff of an erring pod, and a rejection forgets them") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.queue.pop() == pod(0));
    f.queue.error(pod(0), at(100 * i));
    f.queue.flush(at(100 * i + 50));
  }
  CHECK(f.state.pods[pod(0)].backoff_expiry == at(204));  // third error: 4 s
  f.attempt(pod(0), kFit, at(300));
  CHECK(f.state.pods[pod(0)].backoff_expiry == at(301));  // first rejection: 1 s
}

TEST_CASE("an event moves only the pods whose rejecting plugins hope for it") {
  Fixture f;
  f.queue.add(pod(0), 2, false, at(0));
  f.queue.add(pod(1), 1, false, at(0));
  f.queue.add(pod(2), 0, false, at(0));
  f.attempt(pod(0), kFit, at(0));
  f.attempt(pod(1), kAffinity, at(0));
  f.attempt(pod(2), kFit | kAffinity, at(0));
  f.queue.move(kNodeAdd, at(100));
  CHECK(f.queue.place(pod(0)) == Place::Unschedulable);
  CHECK(f.queue.place(pod(1)) == Place::Active);
  CHECK(f.queue.place(pod(2)) == Place::Active);
}

TEST_CASE("events during an attempt count for the pod that fails in it") {
  Fixture f;
  f.queue.add(pod(0), 1, false, at(0));
  f.queue.add(pod(1), 0, false, at(0));
  REQUIRE(f.queue.pop() == pod(0));
  f.queue.move(kPodDelete, at(1));
  REQUIRE(f.queue.pop() == pod(1));
  f.queue.move(kNodeAdd, at(2));
  f.queue.fail(pod(0), kFit, 0, at(3));  // the deletion came after its pop
  f.queue.fail(pod(1), kFit, 0, at(3));  // and before this one's
  CHECK(f.queue.place(pod(0)) == Place::Backoff);
  CHECK(f.queue.place(pod(1)) == Place::Unschedulable);
  CHECK(f.state.log.empty());
}

TEST_CASE("the log of events in flight is as short as the oldest pod in flight needs") {
  Fixture f;
  for (uint32_t i = 0; i < 4; ++i) f.queue.add(pod(i), 0, false, at(0));
  for (uint32_t i = 0; i < 4; ++i) {
    REQUIRE(f.queue.pop() == pod(i));
    f.queue.move(kPodDelete, at(1));
  }
  CHECK(f.state.log.size() == 8);
  f.queue.done(pod(1));
  CHECK(f.state.log.size() == 8);
  f.queue.done(pod(0));
  CHECK(f.state.log.size() == 4);
  f.queue.done(pod(2));
  f.queue.remove(pod(3));
  CHECK(f.state.log.empty());
  f.queue.move(kPodDelete, at(2));
  CHECK(f.state.log.empty());
}

TEST_CASE("a pod that only waits for something outside skips its backoff") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  REQUIRE(f.queue.pop() == pod(0));
  f.queue.fail(pod(0), 0, kFit, at(0));
  CHECK(f.queue.place(pod(0)) == Place::Unschedulable);
  f.queue.move(kPodDelete, at(0));
  CHECK(f.queue.place(pod(0)) == Place::Active);
}

TEST_CASE("a pod that no plugin rejected retries after its backoff") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.attempt(pod(0), 0, at(0));
  CHECK(f.queue.place(pod(0)) == Place::Backoff);
}

TEST_CASE("left-overs are retried after more than five minutes, at the next half minute") {
  Fixture f;
  f.queue.add(pod(0), 0, false, at(0));
  f.queue.add(pod(1), 0, false, at(0));
  f.attempt(pod(0), kFit, at(30));
  f.attempt(pod(1), kFit, at(31));
  CHECK(f.queue.next_flush() == at(360));  // at 330 s it has waited exactly five minutes, not more
  f.queue.flush(at(330));
  CHECK(f.queue.place(pod(0)) == Place::Unschedulable);
  f.queue.flush(at(345));  // not a time of the check
  CHECK(f.queue.place(pod(0)) == Place::Unschedulable);
  f.queue.flush(at(360));
  CHECK(f.queue.place(pod(0)) == Place::Active);
  CHECK(f.queue.place(pod(1)) == Place::Active);
  CHECK(f.queue.next_flush() == Time::max());
}

TEST_CASE("gated pods wait outside until the gates are lifted") {
  Fixture f;
  f.queue.add(pod(0), 0, true, at(0));
  CHECK_FALSE(f.queue.pop().valid());
  CHECK(f.queue.next_flush() == Time::max());
  CHECK(f.queue.pending() == 1);
  f.queue.ungate(pod(0));
  CHECK(f.queue.pop() == pod(0));
  CHECK(f.state.pods[pod(0)].timestamp == at(0));
}

TEST_CASE("removal from anywhere leaves the rest in order") {
  Fixture f;
  for (uint32_t i = 0; i < 40; ++i) f.queue.add(pod(i), static_cast<int32_t>(i * 7 % 40), false, at(0));
  for (uint32_t i = 0; i < 40; i += 3) f.queue.remove(pod(i));
  f.queue.remove(pod(0));  // unknown by now: nothing happens
  int32_t last = 40;
  size_t popped = 0;
  for (PodId p = f.queue.pop(); p.valid(); p = f.queue.pop(), ++popped) {
    CHECK(p.value % 3 != 0);
    CHECK(f.state.pods[p].priority < last);
    last = f.state.pods[p].priority;
  }
  CHECK(popped == 26);

  Fixture g;
  for (uint32_t i = 0; i < 3; ++i) g.queue.add(pod(i), 0, false, at(0));
  for (uint32_t i = 0; i < 3; ++i) g.attempt(pod(i), kFit, at(0));
  g.queue.remove(pod(1));
  CHECK(g.queue.pending() == 2);
  g.queue.move(kPodDelete, at(100));
  CHECK(g.queue.pop() == pod(0));
  CHECK(g.queue.pop() == pod(2));
  CHECK_FALSE(g.state.oldest.valid());
}

TEST_CASE("the heaps agree with a sorted list under random use") {
  Fixture f;
  Stream random(1, 2, Purpose::Policy);
  std::vector<PodId> reference;
  uint32_t next = 0;
  for (int step = 0; step < 5000; ++step) {
    uint32_t what = random.below(5);
    if (what < 3) {
      f.queue.add(pod(next), static_cast<int32_t>(random.below(5)), false, at(random.below(4)));
      reference.push_back(pod(next++));
    } else if (!reference.empty() && what == 3) {
      size_t i = random.below(static_cast<uint32_t>(reference.size()));
      f.queue.remove(reference[i]);
      reference.erase(reference.begin() + static_cast<long>(i));
    } else if (!reference.empty()) {
      auto first = std::min_element(reference.begin(), reference.end(), [&](PodId a, PodId b) {
        const QueuedPod &x = f.state.pods[a], &y = f.state.pods[b];
        return std::tuple(-x.priority, x.timestamp.ns, x.sequence) <
               std::tuple(-y.priority, y.timestamp.ns, y.sequence);
      });
      PodId popped = f.queue.pop();
      REQUIRE(popped == *first);
      reference.erase(first);
      f.queue.done(popped);
    }
  }
  CHECK(f.queue.pending() == reference.size());
}

}  // namespace
}  // namespace kisim

#pragma once
// Pending-event set after the ladder queue of Tang, Goh and Thng (TOMACS 15(3), 2005): amortised O(1) push and pop.
//
//   top      far future, an unsorted list
//   rungs    buckets of equal width; each rung splits one crowded bucket of the rung above
//   bottom   the next bucket, sorted
//   late     events pushed into the span of a long bottom, a heap
//
// Bucket widths are powers of two, so finding a bucket is a shift. Lists are chains of small chunks from one pool:
// a bucket is read in a few cache lines, and nothing is allocated once the pool is as large as it ever gets.
// Memory: 18 bytes per event, and up to one chunk of 128 bytes more per bucket in use.

#include "core/event.hpp"
#include "core/heap_queue.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace kisim {

class LadderQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void push(PendingEvent e) {
    ++size_;
    if (e.time > covered_) return append(top_, e);
    for (int r = 0; r < rungs_; ++r) {
      Rung& rung = ladder_[r];
      if (e.time >= rung.next_start()) return append(rung.buckets[rung.index(e.time)], e);
    }
    if (bottom_.size() - head_ <= kSortAtMost) return insert_into_bottom(e);
    late_.push(e);
    if (late_.size() > late_limit_) split_late();
  }

  // Precondition: not empty.
  const PendingEvent& min() {
    if (head_ == bottom_.size() && late_.empty()) refill();
    return late_is_next() ? late_.min() : bottom_[head_];
  }

  // Precondition: min() was called since the last push or pop.
  void pop() {
    --size_;
    if (late_is_next())
      late_.pop();
    else
      ++head_;
  }

  // Drops the events that `keep` refuses.
  template <class Keep>
  void filter(Keep keep) {
    bottom_.erase(bottom_.begin(), bottom_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
    std::erase_if(bottom_, [&](const PendingEvent& e) { return !keep(e); });
    late_.filter(keep);
    size_ = bottom_.size() + late_.size();
    filter_list(top_, keep);
    for (int r = 0; r < rungs_; ++r)
      for (size_t b = ladder_[r].current; b < ladder_[r].used; ++b) filter_list(ladder_[r].buckets[b], keep);
  }

 private:
  static constexpr uint32_t kNil = 0xffffffffu;
  static constexpr uint32_t kChunkEvents = 7;
  static constexpr uint32_t kSortAtMost = 48;  // a list up to this size is sorted, a larger one is dealt into a rung
  static constexpr size_t kLateAtMost = 512;   // more late events become a rung
  static constexpr int kMaxRungs = 10;
  static constexpr size_t kMaxBuckets = 1 << 16;

  struct Chunk {
    PendingEvent events[kChunkEvents];
    uint32_t next;
  };
  // First in, first out: events of one instant mostly come out in the order wanted. The last chunk alone is partly
  // filled.
  struct List {
    uint32_t head = kNil, tail = kNil;
    uint32_t count = 0;
  };
  struct Rung {
    int64_t start = 0;
    int shift = 0;
    size_t current = 0;  // the first bucket not yet taken; always below `used` between calls
    size_t used = 0;
    std::vector<List> buckets;

    int64_t next_start() const {
      return static_cast<int64_t>(static_cast<uint64_t>(start) + (static_cast<uint64_t>(current) << shift));
    }
    // The last bucket also takes what lies between this rung and the one above.
    size_t index(int64_t time) const {
      return std::min<size_t>((static_cast<uint64_t>(time) - static_cast<uint64_t>(start)) >> shift, used - 1);
    }
  };
  struct Span {
    int64_t first, last;
  };

  bool late_is_next() const { return !late_.empty() && (head_ == bottom_.size() || late_.min() < bottom_[head_]); }

  uint32_t take_chunk() {
    if (free_ == kNil) {
      pool_.emplace_back();
      return static_cast<uint32_t>(pool_.size() - 1);
    }
    uint32_t chunk = free_;
    free_ = pool_[chunk].next;
    return chunk;
  }

  void append(List& list, PendingEvent e) {
    uint32_t at = list.count++ % kChunkEvents;
    if (at == 0) {
      uint32_t chunk = take_chunk();
      pool_[chunk].next = kNil;
      (list.tail == kNil ? list.head : pool_[list.tail].next) = chunk;
      list.tail = chunk;
    }
    pool_[list.tail].events[at] = e;
  }

  template <class Visit>
  void for_each(const List& list, Visit visit) const {
    uint32_t left = list.count;
    for (uint32_t chunk = list.head; chunk != kNil; chunk = pool_[chunk].next) {
      uint32_t n = std::min(left, kChunkEvents);
      for (uint32_t i = 0; i < n; ++i) visit(pool_[chunk].events[i]);
      left -= n;
    }
  }

  // Visits every event and gives the chunks back. The visitor may take chunks.
  template <class Visit>
  void drain(const List& list, Visit visit) {
    uint32_t left = list.count;
    for (uint32_t chunk = list.head; chunk != kNil;) {
      uint32_t n = std::min(left, kChunkEvents), next = pool_[chunk].next;
      for (uint32_t i = 0; i < n; ++i) visit(PendingEvent(pool_[chunk].events[i]));
      pool_[chunk].next = free_;
      free_ = chunk;
      left -= n;
      chunk = next;
    }
  }

  template <class Keep>
  void filter_list(List& list, Keep keep) {
    List kept;
    drain(list, [&](const PendingEvent& e) {
      if (keep(e)) append(kept, e);
    });
    list = kept;
    size_ += kept.count;
  }

  Span span_of(const List& list) const {
    Span span{INT64_MAX, INT64_MIN};
    for_each(list, [&](const PendingEvent& e) {
      span.first = std::min(span.first, e.time);
      span.last = std::max(span.last, e.time);
    });
    return span;
  }

  // Brings the earliest events into the empty bottom.
  void refill() {
    bottom_.clear();
    head_ = 0;
    late_limit_ = kLateAtMost;
    while (bottom_.empty()) {
      List list = rungs_ == 0 ? take_top() : take_bucket();
      if (list.count <= kSortAtMost) {
        sort_into_bottom(list);
        continue;
      }
      Span span = span_of(list);
      if (span.first == span.last || rungs_ == kMaxRungs)
        sort_into_bottom(list);
      else
        add_rung(list, span);
    }
  }

  List take_top() {
    List list = top_;
    top_ = {};
    covered_ = span_of(list).last;
    return list;
  }

  // The next bucket of the lowest rung, perhaps empty. A rung without buckets left goes.
  List take_bucket() {
    Rung& rung = ladder_[rungs_ - 1];
    while (rung.current + 1 < rung.used && rung.buckets[rung.current].count == 0) ++rung.current;
    List list = rung.buckets[rung.current];
    rung.buckets[rung.current] = {};
    if (++rung.current == rung.used) --rungs_;
    return list;
  }

  // Deals the list into a new lowest rung.
  void add_rung(const List& list, Span span) {
    if (static_cast<size_t>(rungs_) == ladder_.size()) ladder_.emplace_back();
    Rung& rung = ladder_[rungs_++];
    uint64_t width = static_cast<uint64_t>(span.last) - static_cast<uint64_t>(span.first);
    size_t wanted = std::clamp<size_t>(std::bit_ceil(list.count), 16, kMaxBuckets);
    rung.shift = std::max(0, static_cast<int>(std::bit_width(width)) - (static_cast<int>(std::bit_width(wanted)) - 1));
    rung.start = span.first;
    rung.current = 0;
    rung.used = static_cast<size_t>(width >> rung.shift) + 1;
    if (rung.buckets.size() < rung.used) rung.buckets.resize(rung.used);
    drain(list, [&](const PendingEvent& e) { append(rung.buckets[rung.index(e.time)], e); });
  }

  void sort_into_bottom(const List& list) {
    drain(list, [&](const PendingEvent& e) { bottom_.push_back(e); });
    if (bottom_.size() > kSortAtMost) {
      if (!std::is_sorted(bottom_.begin(), bottom_.end())) std::sort(bottom_.begin(), bottom_.end());
      return;
    }
    for (size_t i = 1; i < bottom_.size(); ++i) {
      PendingEvent e = bottom_[i];
      size_t j = i;
      for (; j > 0 && e < bottom_[j - 1]; --j) bottom_[j] = bottom_[j - 1];
      bottom_[j] = e;
    }
  }

  // Moves the earlier events into the room that popped ones have left.
  void insert_into_bottom(PendingEvent e) {
    if (head_ == 0) {
      bottom_.insert(std::upper_bound(bottom_.begin(), bottom_.end(), e), e);
      return;
    }
    size_t i = --head_;
    for (; i + 1 < bottom_.size() && bottom_[i + 1] < e; ++i) bottom_[i] = bottom_[i + 1];
    bottom_[i] = e;
  }

  // Many events pushed into the present bucket: if they are spread in time, bottom and late become the lowest rung.
  void split_late() {
    if (rungs_ == kMaxRungs) return;
    List list;
    for (size_t i = head_; i < bottom_.size(); ++i) append(list, bottom_[i]);
    for (const PendingEvent& e : late_.events()) append(list, e);
    Span span = span_of(list);
    if (span.first == span.last) {
      late_limit_ *= 2;
      drain(list, [](const PendingEvent&) {});
      return;
    }
    bottom_.clear();
    head_ = 0;
    late_.clear();
    add_rung(list, span);
  }

  size_t size_ = 0;
  List top_;
  int64_t covered_ = INT64_MIN;  // top holds what comes after
  int rungs_ = 0;
  std::vector<Rung> ladder_;  // coarsest first
  std::vector<PendingEvent> bottom_;
  size_t head_ = 0;  // of bottom
  HeapQueue late_;
  size_t late_limit_ = kLateAtMost;
  std::vector<Chunk> pool_;
  uint32_t free_ = kNil;
};

}  // namespace kisim

#pragma once
// Pending-event set as a ladder queue (Tang, Goh, Thng, TOMACS 15(3), 2005): amortised O(1) push and pop.
//
//   top      far future, an unsorted list
//   rungs    buckets of equal width; each rung splits one crowded bucket of the rung above
//   bottom   the next events, sorted, latest first, popped from the back
//
// Bucket widths are powers of two, so finding a bucket is a shift. Lists live in one pool of nodes: moving an event
// down relinks it and nothing is allocated once the pool has reached the largest number pending.
// Memory: 24 bytes per event and 8 per bucket.

#include "core/event.hpp"

#include <algorithm>
#include <array>
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
    if (e.time >= top_start_) {
      append(top_, e);
      top_min_ = std::min(top_min_, e.time);
      top_max_ = std::max(top_max_, e.time);
      return;
    }
    for (int r = 0; r < rungs_; ++r) {
      Rung& rung = ladder_[r];
      if (e.time >= rung.next_start()) {
        append(rung.buckets[rung.index(e.time)], e);
        return;
      }
    }
    insert_bottom(e);
  }

  // Precondition: not empty.
  const PendingEvent& min() {
    if (bottom_.empty()) refill();
    return bottom_.back();
  }

  // Precondition: min() was called since the last push or pop.
  void pop() {
    bottom_.pop_back();
    --size_;
  }

  // Drops the events that `keep` refuses.
  template <class Keep>
  void filter(Keep keep) {
    bottom_.erase(std::remove_if(bottom_.begin(), bottom_.end(), [&](const PendingEvent& e) { return !keep(e); }),
                  bottom_.end());
    size_ = bottom_.size();
    filter_list(top_, keep);
    for (int r = 0; r < rungs_; ++r)
      for (size_t b = ladder_[r].current; b < ladder_[r].used; ++b) filter_list(ladder_[r].buckets[b], keep);
  }

 private:
  static constexpr uint32_t kNil = 0xffffffffu;
  static constexpr size_t kSortAtMost = 48;    // a bucket up to this size is sorted, a larger one is split
  static constexpr size_t kBottomAtMost = 512;  // a longer bottom becomes a rung
  static constexpr int kMaxRungs = 10;
  static constexpr size_t kMaxBuckets = 1 << 16;

  struct Node {
    PendingEvent event;
    uint32_t next;
  };
  struct List {
    uint32_t head = kNil;
    uint32_t count = 0;
  };
  struct Rung {
    int64_t start = 0;
    int shift = 0;
    size_t current = 0;  // the first bucket not yet taken
    size_t used = 0;     // buckets in use
    std::vector<List> buckets;

    int64_t bucket_start(size_t b) const {
      // saturates: the last bucket may end beyond the clock
      uint64_t t = static_cast<uint64_t>(start) + (static_cast<uint64_t>(b) << shift);
      return t > static_cast<uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<int64_t>(t);
    }
    int64_t next_start() const { return current >= used ? INT64_MAX : bucket_start(current); }
    size_t index(int64_t time) const {
      return std::min<size_t>(static_cast<uint64_t>(time - start) >> shift, used - 1);
    }
  };

  uint32_t take_node() {
    if (free_ == kNil) {
      pool_.push_back({});
      return static_cast<uint32_t>(pool_.size() - 1);
    }
    uint32_t n = free_;
    free_ = pool_[n].next;
    return n;
  }

  void append(List& list, PendingEvent e) {
    uint32_t n = take_node();
    pool_[n] = {e, list.head};
    list.head = n;
    ++list.count;
  }

  template <class Keep>
  void filter_list(List& list, Keep keep) {
    List kept;
    for (uint32_t n = list.head; n != kNil;) {
      uint32_t next = pool_[n].next;
      if (keep(pool_[n].event)) {
        pool_[n].next = kept.head;
        kept.head = n;
        ++kept.count;
      } else {
        pool_[n].next = free_;
        free_ = n;
      }
      n = next;
    }
    list = kept;
    size_ += kept.count;
  }

  void insert_bottom(PendingEvent e) {
    // latest first: find the first element that is earlier than e
    auto at = std::partition_point(bottom_.begin(), bottom_.end(), [&](const PendingEvent& b) { return e < b; });
    bottom_.insert(at, e);
    if (bottom_.size() > kBottomAtMost && rungs_ < kMaxRungs) split_bottom();
  }

  // A crowded bottom whose events are spread in time becomes the lowest rung.
  void split_bottom() {
    int64_t earliest = bottom_.back().time, latest = bottom_.front().time;
    if (earliest == latest) return;
    int64_t end = top_start_;
    for (int r = 0; r < rungs_; ++r) end = std::min(end, ladder_[r].next_start());
    List list;
    for (const PendingEvent& e : bottom_) append(list, e);
    bottom_.clear();
    // The rung must reach up to the next higher one, or an event between them would find no bucket.
    spread(list, earliest, end - 1);
  }

  // Makes a rung over [first, last] and deals the list into its buckets.
  void spread(List list, int64_t first, int64_t last) {
    if (static_cast<size_t>(rungs_) == ladder_.size()) ladder_.emplace_back();
    Rung& rung = ladder_[rungs_++];
    uint64_t span = static_cast<uint64_t>(last - first);
    size_t wanted = std::clamp<size_t>(std::bit_ceil(static_cast<size_t>(list.count)), 16, kMaxBuckets);
    rung.shift = 0;
    while ((span >> rung.shift) >= wanted) ++rung.shift;
    rung.start = first;
    rung.current = 0;
    rung.used = static_cast<size_t>(span >> rung.shift) + 1;
    if (rung.buckets.size() < rung.used) rung.buckets.resize(rung.used);
    std::fill_n(rung.buckets.begin(), rung.used, List{});
    for (uint32_t n = list.head; n != kNil;) {
      uint32_t next = pool_[n].next;
      List& bucket = rung.buckets[rung.index(pool_[n].event.time)];
      pool_[n].next = bucket.head;
      bucket.head = n;
      ++bucket.count;
      n = next;
    }
  }

  void sort_into_bottom(List list) {
    for (uint32_t n = list.head; n != kNil;) {
      uint32_t next = pool_[n].next;
      bottom_.push_back(pool_[n].event);
      pool_[n].next = free_;
      free_ = n;
      n = next;
    }
    // Few events: insertion sort. They come latest-inserted first, which for ties is already the wanted order.
    if (bottom_.size() <= kSortAtMost) {
      for (size_t i = 1; i < bottom_.size(); ++i) {
        PendingEvent e = bottom_[i];
        size_t j = i;
        for (; j > 0 && bottom_[j - 1] < e; --j) bottom_[j] = bottom_[j - 1];
        bottom_[j] = e;
      }
    } else {
      std::sort(bottom_.begin(), bottom_.end(), [](const PendingEvent& a, const PendingEvent& b) { return b < a; });
    }
  }

  void refill() {
    while (bottom_.empty()) {
      if (rungs_ == 0) {
        // Everything pending is in top.
        List list = top_;
        int64_t first = top_min_, last = top_max_;
        top_ = {};
        top_min_ = INT64_MAX;
        top_max_ = INT64_MIN;
        top_start_ = last == INT64_MAX ? INT64_MAX : last + 1;
        if (list.count <= kSortAtMost || first == last)
          sort_into_bottom(list);
        else
          spread(list, first, last);
        continue;
      }
      Rung& rung = ladder_[rungs_ - 1];
      while (rung.current < rung.used && rung.buckets[rung.current].count == 0) ++rung.current;
      if (rung.current == rung.used) {
        --rungs_;
        continue;
      }
      List list = rung.buckets[rung.current];
      rung.buckets[rung.current] = {};
      int64_t first = rung.bucket_start(rung.current);
      int shift = rung.shift;
      ++rung.current;
      if (list.count > kSortAtMost && shift > 0 && rungs_ < kMaxRungs) {
        int64_t last = first + static_cast<int64_t>((1ull << shift) - 1);
        spread(list, first, last);
      } else {
        sort_into_bottom(list);
      }
    }
  }

  size_t size_ = 0;
  List top_;
  int64_t top_start_ = INT64_MIN, top_min_ = INT64_MAX, top_max_ = INT64_MIN;
  int rungs_ = 0;
  std::vector<Rung> ladder_;
  std::vector<PendingEvent> bottom_;
  std::vector<Node> pool_;
  uint32_t free_ = kNil;
};

}  // namespace kisim

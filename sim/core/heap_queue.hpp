#pragma once
// Pending-event set as a 4-ary heap: the simple reference that the ladder queue is tested against.
// push, pop O(log n); memory 16 bytes per event.

#include "core/event.hpp"

#include <algorithm>
#include <vector>

namespace kisim {

class HeapQueue {
 public:
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // In no particular order.
  const std::vector<PendingEvent>& events() const { return heap_; }
  void clear() { heap_.clear(); }

  void push(PendingEvent e) {
    size_t i = heap_.size();
    heap_.push_back(e);
    while (i > 0) {
      size_t parent = (i - 1) / 4;
      if (!(e < heap_[parent])) break;
      heap_[i] = heap_[parent];
      i = parent;
    }
    heap_[i] = e;
  }

  // Precondition: not empty.
  const PendingEvent& min() const { return heap_.front(); }

  void pop() {
    PendingEvent last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) sift_down(0, last);
  }

  // Drops the events that `keep` refuses.
  template <class Keep>
  void filter(Keep keep) {
    std::erase_if(heap_, [&](const PendingEvent& e) { return !keep(e); });
    if (heap_.size() < 2) return;
    for (size_t i = (heap_.size() - 2) / 4 + 1; i-- > 0;) sift_down(i, heap_[i]);
  }

 private:
  void sift_down(size_t i, PendingEvent e) {
    size_t n = heap_.size();
    for (;;) {
      size_t first = 4 * i + 1;
      if (first >= n) break;
      size_t best = first, last = std::min(first + 4, n);
      for (size_t c = first + 1; c < last; ++c)
        if (heap_[c] < heap_[best]) best = c;
      if (!(heap_[best] < e)) break;
      heap_[i] = heap_[best];
      i = best;
    }
    heap_[i] = e;
  }

  std::vector<PendingEvent> heap_;
};

}  // namespace kisim

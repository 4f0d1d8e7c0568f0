#pragma once
// The order in which Go's sort.Slice leaves a slice: pattern-defeating quicksort (O. Peters, arXiv 2106.05123) in the
// variant of Go since 1.19. It matters where the comparison is no order, such as one that calls equal elements less
// than each other: then what comes out is the algorithm's doing, and no other sort gives the same.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace kisim {

template <class T, class Less>
class GoSort {
 public:
  GoSort(std::vector<T>& items, Less less) : items_(items), less_(std::move(less)) {}
  void run() { sort(0, items_.size(), std::bit_width(items_.size())); }

 private:
  static constexpr size_t kInsertion = 12, kMedian = 8, kNinther = 50, kMostSwaps = 12;

  // What the choice of the pivot lets guess of a range.
  enum class Hint : uint8_t { Unknown, Increasing, Decreasing };

  bool less(size_t a, size_t b) const { return less_(items_[a], items_[b]); }
  void swap(size_t a, size_t b) { std::swap(items_[a], items_[b]); }

  // Ranges are [first, end). After `bad` unbalanced partitions, heap sort takes over.
  void sort(size_t first, size_t end, int bad) {
    bool balanced = true, partitioned = true;
    for (size_t length = end - first; length > kInsertion; length = end - first) {
      if (bad == 0) return heap_sort(first, end);
      if (!balanced) {
        scatter(first, end);
        --bad;
      }
      Hint hint = Hint::Unknown;
      size_t pivot = choose_pivot(first, end, hint);
      if (hint == Hint::Decreasing) {
        for (size_t a = first, b = end - 1; a < b; ++a, --b) swap(a, b);
        pivot = end - 1 - (pivot - first);
        hint = Hint::Increasing;
      }
      if (balanced && partitioned && hint == Hint::Increasing && nearly_sorted(first, end)) return;
      // The element before the range is no larger than any in it: if the pivot is not larger than that, it is equal.
      if (first > 0 && !less(first - 1, pivot)) {
        first = partition_equal(first, end, pivot);
        continue;
      }
      const size_t middle = partition(first, end, pivot, partitioned), left = middle - first, right = end - middle;
      balanced = std::min(left, right) >= length / 8;
      if (left < right) {
        sort(first, middle, bad);
        first = middle + 1;
      } else {
        sort(middle + 1, end, bad);
        end = middle;
      }
    }
    insertion_sort(first, end);
  }

  void insertion_sort(size_t first, size_t end) {
    for (size_t i = first + 1; i < end; ++i)
      for (size_t j = i; j > first && less(j, j - 1); --j) swap(j, j - 1);
  }

  void heap_sort(size_t first, size_t end) {
    size_t length = end - first;
    auto sink = [&](size_t root, size_t size) {
      for (size_t child = 2 * root + 1; child < size; child = 2 * root + 1) {
        if (child + 1 < size && less(first + child, first + child + 1)) ++child;
        if (!less(first + root, first + child)) return;
        swap(first + root, first + child);
        root = child;
      }
    };
    for (size_t root = (length + 1) / 2; root-- > 0;) sink(root, length);
    for (size_t last = length; last-- > 0;) {
      swap(first, first + last);
      sink(0, last);
    }
  }

  // Median of three, of medians where the range is long.
  size_t choose_pivot(size_t first, size_t end, Hint& hint) {
    const size_t length = end - first, quarter = length / 4;
    size_t a = first + quarter, b = first + 2 * quarter, c = first + 3 * quarter, swaps = 0;
    if (length >= kNinther) {
      a = median(a - 1, a, a + 1, swaps);
      b = median(b - 1, b, b + 1, swaps);
      c = median(c - 1, c, c + 1, swaps);
    }
    if (length >= kMedian) b = median(a, b, c, swaps);
    hint = swaps == 0 ? Hint::Increasing : swaps == kMostSwaps ? Hint::Decreasing : Hint::Unknown;
    return b;
  }

  size_t median(size_t a, size_t b, size_t c, size_t& swaps) {
    auto in_order = [&](size_t& x, size_t& y) {
      if (!less(y, x)) return;
      std::swap(x, y);
      ++swaps;
    };
    in_order(a, b);
    in_order(b, c);
    in_order(a, b);
    return b;
  }

  // Puts a few elements of an almost sorted range right; true if it is sorted then.
  bool nearly_sorted(size_t first, size_t end) {
    constexpr int kSteps = 5;
    size_t i = first + 1;
    for (int step = 0; step < kSteps; ++step) {
      while (i < end && !less(i, i - 1)) ++i;
      if (i == end) return true;
      if (end - first < kNinther) return false;
      swap(i, i - 1);
      if (i - first >= 2)
        for (size_t j = i - 1; j >= 1 && less(j, j - 1); --j) swap(j, j - 1);
      if (end - i >= 2)
        for (size_t j = i + 1; j < end && less(j, j - 1); ++j) swap(j, j - 1);
    }
    return false;
  }

  // Smaller ones before the pivot, the others behind it; returns its place.
  size_t partition(size_t first, size_t end, size_t pivot, bool& already) {
    swap(first, pivot);
    size_t i = first + 1, j = end - 1;
    already = true;
    while (true) {
      while (i <= j && less(i, first)) ++i;
      while (i <= j && !less(j, first)) --j;
      if (i > j) break;
      already = false;
      swap(i++, j--);
    }
    swap(j, first);
    return j;
  }

  // The pivot's equals first; returns where the larger ones begin.
  size_t partition_equal(size_t first, size_t end, size_t pivot) {
    swap(first, pivot);
    size_t i = first + 1, j = end - 1;
    while (true) {
      while (i <= j && !less(first, i)) ++i;
      while (i <= j && less(first, j)) --j;
      if (i > j) return i;
      swap(i++, j--);
    }
  }

  // Breaks patterns that lead to bad pivots: swaps three elements around the middle with others, chosen by a xorshift
  // generator whose seed is the length.
  void scatter(size_t first, size_t end) {
    const size_t length = end - first, mask = (size_t{1} << std::bit_width(length)) - 1;
    uint64_t random = length;
    for (size_t i = 0; i < 3; ++i) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      size_t other = static_cast<size_t>(random) & mask;
      if (other >= length) other -= length;
      swap(first + length / 4 * 2 - 1 + i, first + other);
    }
  }

  std::vector<T>& items_;
  Less less_;
};

template <class T, class Less>
void go_sort(std::vector<T>& items, Less less) {
  GoSort<T, Less>(items, std::move(less)).run();
}

}  // namespace kisim

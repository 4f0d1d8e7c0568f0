#pragma once
// Log-linear histogram of non-negative integers (HDR class): 128 equal buckets per power of two, so a bucket is at
// most 1/128 of its value wide and its midpoint errs by at most 1/256 < 0.4 %. Merging is exact and order-free.

#include <cstdint>
#include <optional>
#include <vector>

namespace kisim {

class Histogram {
 public:
  void add(int64_t value, uint64_t times = 1);  // negative counts as 0
  void merge(const Histogram& other);
  void reset();

  uint64_t count() const { return count_; }
  double mean() const;  // exact; 0 when empty
  int64_t min() const { return count_ == 0 ? 0 : min_; }
  int64_t max() const { return count_ == 0 ? 0 : max_; }
  // Nearest rank: the smallest value v such that at least ceil(q·n) values are <= v; relative error <= 0.4 %,
  // never beyond [min, max]. 0 when empty.
  int64_t quantile(double q) const;

  // The same of the values added since `before`, a former state of this; none: no value.
  std::optional<double> quantile_since(const Histogram& before, double q) const;

  struct Bucket {
    int64_t low, high;  // [low, high)
    uint64_t count;
  };
  std::vector<Bucket> buckets() const;  // the non-empty ones, ascending

 private:
  static constexpr int kSubBits = 7;
  static uint32_t index(uint64_t value);
  static uint64_t low_of(uint32_t index);

  std::vector<uint64_t> counts_;  // grows to the largest index seen
  uint64_t count_ = 0;
  __int128 sum_ = 0;
  int64_t min_ = 0, max_ = 0;
};

}  // namespace kisim

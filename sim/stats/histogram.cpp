#include "stats/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kisim {

uint32_t Histogram::index(uint64_t v) {
  // Below 256 every value has its own bucket; above, the leading 8 bits choose it.
  if (v < (2u << kSubBits)) return static_cast<uint32_t>(v);
  int exponent = std::bit_width(v) - 1 - kSubBits;
  return static_cast<uint32_t>((exponent << kSubBits) + (v >> exponent));
}

uint64_t Histogram::low_of(uint32_t i) {
  if (i < (2u << kSubBits)) return i;
  int exponent = static_cast<int>(i >> kSubBits) - 1;
  return static_cast<uint64_t>((i & ((1u << kSubBits) - 1)) | (1u << kSubBits)) << exponent;
}

void Histogram::add(int64_t value, uint64_t times) {
  if (times == 0) return;
  if (value < 0) value = 0;
  uint32_t i = index(static_cast<uint64_t>(value));
  if (i >= counts_.size()) counts_.resize(i + 1);
  counts_[i] += times;
  if (count_ == 0) min_ = max_ = value;
  count_ += times;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<__int128>(value) * times;
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  count_ += other.count_;
  sum_ += other.sum_;
}

// Keeps the capacity, so that the steady state after a warm-up does not allocate.
void Histogram::reset() {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = 0;
  sum_ = 0;
  min_ = max_ = 0;
}

double Histogram::mean() const { return count_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(count_); }

int64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  auto rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_)));
  rank = std::clamp<uint64_t>(rank, 1, count_);
  if (rank == count_) return max_;
  uint64_t seen = 0;
  for (uint32_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen < rank) continue;
    uint64_t low = low_of(i), high = low_of(i + 1);
    return std::clamp(static_cast<int64_t>(low + (high - 1 - low) / 2), min_, max_);
  }
  return max_;
}

std::optional<double> Histogram::quantile_since(const Histogram& before, double q) const {
  if (count_ == before.count_) return std::nullopt;
  auto rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_ - before.count_)));
  uint64_t seen = 0;
  for (uint32_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i] - (i < before.counts_.size() ? before.counts_[i] : 0);
    if (seen >= rank) return static_cast<double>(low_of(i)) / 2 + static_cast<double>(low_of(i + 1) - 1) / 2;
  }
  return static_cast<double>(max_);
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> out;
  for (uint32_t i = 0; i < counts_.size(); ++i)
    if (counts_[i] > 0)
      out.push_back({static_cast<int64_t>(low_of(i)), static_cast<int64_t>(low_of(i + 1)), counts_[i]});
  return out;
}

}  // namespace kisim

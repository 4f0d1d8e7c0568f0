#pragma once
// Timing of contestants side by side: on a noisy machine only segments measured in turn, and their medians, compare.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace kisim {

// Seconds that `segment` takes.
template <class Segment>
double time_of(Segment segment) {
  auto start = std::chrono::steady_clock::now();
  segment();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  double last() const { return values_.back(); }
  double median() {
    auto middle = values_.begin() + static_cast<std::ptrdiff_t>(values_.size() / 2);
    std::nth_element(values_.begin(), middle, values_.end());
    return *middle;
  }

 private:
  std::vector<double> values_;
};

}  // namespace kisim

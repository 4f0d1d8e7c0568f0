#pragma once
// What a request costs over the time of a run.

#include "interleaved.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace kisim {

struct SlicedRun {
  uint64_t completed = 0;
  double wall_s = 0;
  // Cost of a request among the last ones over that among the first, medians of slices: 1 = it does not matter how many
  // were served before.
  double late_over_early = 0;
};

// Runs until `end` in slices; `run_until(Time)` advances, `completed()` counts.
template <class RunUntil, class Completed>
SlicedRun run_in_slices(Duration end, RunUntil run_until, Completed completed) {
  constexpr int kSlices = 40, kPart = 10;
  SlicedRun out;
  std::vector<double> costs;
  for (int slice = 1; slice <= kSlices; ++slice) {
    double seconds = time_of([&] { run_until(Time{end.ns / kSlices * slice}); });
    uint64_t before = out.completed;
    out.completed = completed();
    costs.push_back(seconds / static_cast<double>(out.completed - before));
    out.wall_s += seconds;
  }
  auto median = [](auto first, auto last) {
    std::vector<double> part(first, last);
    std::nth_element(part.begin(), part.begin() + part.size() / 2, part.end());
    return part[part.size() / 2];
  };
  out.late_over_early = median(costs.end() - kPart, costs.end()) / median(costs.begin(), costs.begin() + kPart);
  return out;
}

}  // namespace kisim

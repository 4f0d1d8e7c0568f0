#pragma once
// Named time series collected at scrapes, for run.h5 and the report. Columns of (t, value) per labelled metric.

#include "core/time.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

struct Series {
  std::string metric;                                       // "vllm:num_requests_waiting"
  std::string unit;                                         // "1", "s", "By"
  std::vector<std::pair<std::string, std::string>> labels;  // sorted by name
  std::vector<double> t;                                    // seconds
  std::vector<double> value;

  void add(Time at, double v) {
    t.push_back(at.to_seconds());
    value.push_back(v);
  }
};

}  // namespace kisim

#pragma once
// Runs a scenario and keeps the row of every request, in order of arrival.

#include "run/world.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace kisim::test {

struct Rows : RequestSink {
  std::vector<RequestRecord> rows;
  void record(const RequestRecord& r) override { rows.push_back(r); }
};

inline std::pair<std::vector<RequestRecord>, Summary> simulate(const Scenario& s) {
  Rows rows;
  Recorder recorder(Record::All, &rows);
  RunOptions options;
  options.recorder = &recorder;
  Summary summary = run(compile(s), options);
  std::sort(rows.rows.begin(), rows.rows.end(), [](const auto& a, const auto& b) { return a.ordinal < b.ordinal; });
  return {rows.rows, summary};
}

}  // namespace kisim::test

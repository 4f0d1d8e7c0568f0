#pragma once
// What a recorded controller was shown, sync by sync: in place of the API server's and the metrics APIs' answers, so
// that a whole run can be held against the record.

#include "policy/autoscaler.hpp"

#include <vector>

namespace kisim {

struct RecordedMetric {
  ObservedMetric::Answer answer = ObservedMetric::Answer::None;
  std::vector<std::optional<MetricSample>> samples;
  std::vector<int64_t> request_milli;
  std::vector<MetricSample> orphans;
  std::vector<int64_t> values_milli;

  ObservedMetric view() const { return {answer, samples, request_milli, orphans, values_milli}; }
};

struct RecordedSync {
  Time at;
  int32_t status_replicas = 0;
  std::vector<ObservedPod> pods;
  std::vector<RecordedMetric> metrics;  // by index of the object's metrics
};

struct RecordedTarget {
  std::vector<RecordedSync> syncs;  // in order of time, at least one
};

}  // namespace kisim

#pragma once
// What a run leaves behind beside its summary: time series, rows of requests, the pods. It watches and is no part of
// the State: a run with and without a recorder has the same signature.

#include "core/random.hpp"
#include "kube/dcgm_exporter.hpp"
#include "kube/pod_start.hpp"
#include "serving/request.hpp"
#include "stats/histogram.hpp"
#include "stats/series.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kisim {

class World;

enum class Record : uint8_t { None, Sample, All };

// One pod's life; times in seconds, NaN = did not get there. Ready: for the first time.
struct PodRecord {
  std::string name, workload, node, phase;
  double created = 0, scheduled = 0, started = 0, ready = 0, deleted = 0;
};

// One start of a pod's containers that became ready: seconds by StartPhase.
struct StartRecord {
  std::string pod, workload, weights_from;
  uint32_t restarts = 0;  // before it
  double began = 0;
  std::array<double, kStartPhases> seconds{};
};

// One GPU over the run, after warm-up; energy NaN: its power is not known.
struct GpuRecord {
  std::string node, model;
  uint32_t index = 0;
  double hours_allocated = 0, hours_busy = 0, energy_kwh = 0;
};

// A decision of a controller that changed something: a scaling.
struct ScalingRecord {
  double t = 0;
  std::string workload;
  int32_t from = 0, to = 0;
  std::string reason;
};

class Recorder : public RequestSink {
 public:
  static constexpr size_t kSampleRows = 65536;

  // Record::Sample keeps at most kSampleRows requests, chosen by the hash of (source's name, ordinal): the same
  // requests whatever the policy. Record::All hands every row to `rows`, which must outlive the recorder.
  Recorder(Record mode, RequestSink* rows) : mode_(mode), rows_(rows) {}

  void record(const RequestRecord& record) override;
  void record_flow(const RequestRecord& record, uint64_t requests) override;
  // At every scrape interval: one point per series.
  void sample(const World& world);
  // At the end of the run.
  void finish(const World& world);

  std::vector<Series> series;           // sorted by metric, then labels, after finish()
  std::vector<RequestRecord> requests;  // Record::Sample: sorted by arrival, after finish()
  std::vector<std::string> sources;     // names, by RequestRecord::source
  std::vector<PodRecord> pods;
  std::vector<ScalingRecord> scalings;
  std::vector<GpuRecord> gpus;
  std::vector<StartRecord> starts;  // in the order in which they became ready

 private:
  void finish_gpus(const World& world);
  void finish_starts(const World& world);
  void sample_traffic(const World& world, double interval_s);
  void point(const std::string& metric, const std::string& unit,
             const std::vector<std::pair<std::string, std::string>>& labels, Time at, double value);

  Record mode_;
  RequestSink* rows_;
  uint64_t threshold_ = ~0ull;  // rows with a larger hash are not in the sample
  std::map<std::string, size_t> index_;
  struct Interval {
    uint64_t completed = 0;
    Histogram e2e, ttft, tpot;
  };
  std::vector<Interval> intervals_;  // by source, since the last sample
  std::vector<uint64_t> arrived_before_;
  std::vector<double> busy_before_;  // GPU-seconds
  double energy_before_ = 0;         // joules, since the start
  DcgmExporter dcgm_;
  Time last_sample_;
};

}  // namespace kisim

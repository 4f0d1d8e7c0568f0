#pragma once
// Coefficient files: what `kisim calibrate` has fitted, from what, within which range and how well.
//
//   apiVersion: kisim.dev/v1
//   kind: Coefficients
//   provenance: {source: triton_tables.csv, rows: 24, method: …, kisim: 0.1.0}
//   latency:
//     - {name: …, unit: ms, table: {1: 2.03, 2: 2.46, …}, interval: {1: [2.01, 2.05], …}, range: [1, 128],
//        line: {base: 1.6, perItem: 0.43}, error: {fit: 0.01, leaveOneOut: 0.04},
//        overlap: 0.25, hostCost: 0.11, prefetched: 4}                      # these three where a server was fitted
//   startup:
//     - {name: …, unit: s, median: 22.7, sigma: 1.1, interval: {median: [21, 24], sigma: [1, 1.2]}, range: [1.9, 60],
//        error: {fit: 0.02, leftOut: 0.05}}
//   iterations:                                                              # of an LLM engine; serving/step_cost.hpp
//     - {name: h100-80gb, gpu: h100-80gb, stepMs: 1.72, layerUs: 10.9, weightFactor: 1.11, kvFactor: 1.02,
//        computeFactor: 1.11, samplingUs: 0.26, allReduceFactor: 0.69, prefillFactor: 1,
//        range: {sequences: 256, context: 5653, tensorParallel: 8}, error: {fit: 0.031, leftOut: 0.057}, held:
//        [allReduceFactor]}
//   linear:                                                                  # of an LLM engine at detail linear
//     - {name: …, unit: ms, base: 6.7, perItem: 0.076, prefillBase: 7.1, prefillPerToken: 0.03,
//        interval: {base: [6.5, 6.9], perItem: [0.07, 0.08]}, range: [3, 120], error: {fit: 0.01, leaveOneOut: 0.02}}
//   interference:
//     - {job: …, neighbour: …, speed: 0.71}

#include "io/value.hpp"
#include "serving/catalog.hpp"
#include "serving/latency_law.hpp"
#include "serving/llm_engine_model.hpp"
#include "stats/interval.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// The time of a batch as a monotone table.
struct LatencyFit {
  std::vector<LatencyPoint> table;  // isotonic; ascending
  std::vector<Interval> intervals;  // of the table's seconds; without width where a size was measured once
  double base = 0, per_sample = 0;  // seconds: the robust line through relative errors, for a first impression
  double fit_error = 0;             // median relative distance of the points from the table
  // Median relative error at an inner size that is left out, from a table of the others.
  double leave_one_out_error = 0;
};

// Points needed for a table: two of them give a line, a third can contradict it.
inline constexpr size_t kLeastLatencyPoints = 3;

// Lognormal: log seconds ~ N(log median, sigma²). Both from quantiles, which a few wild durations do not move: sigma =
// (log p90 - log p10)/2.5631.
struct StartupFit {
  double median = 0, sigma = 0;
  Interval median_interval, sigma_interval;
  double min = 0, max = 0;  // of the durations
  // Median relative error of the deciles, of all durations, and of each tenth of them from a fit to the others.
  double fit_error = 0, left_out_error = 0;
};

// How a batch server behaves beyond the time of one batch, from closed-loop measurements.
struct ServerFit {
  double overlap = 0;      // k instances progress at the total speed 1 + overlap·(k - 1)
  double host = 0;         // seconds per request of the one host process that every request passes
  int32_t prefetched = 0;  // formed batches that wait for an instance
};

struct LatencyCoefficients {
  std::string name;
  LatencyFit fit;
  std::optional<ServerFit> server;
};

struct StartupCoefficients {
  std::string name;
  StartupFit fit;
};

struct IterationCoefficients {
  std::string name;
  StepCoefficients fit;           // its error: of models that were left out
  double fit_error = 0;           // median relative error of the points
  std::vector<std::string> held;  // figures that the measurements say little of
};

// The figures of StepCoefficients by the names that files give them.
struct IterationFigure {
  const char* name;
  double StepCoefficients::*value;
};
inline constexpr std::array<IterationFigure, 8> kIterationFigures = {{
    {"stepMs", &StepCoefficients::step_ms},
    {"layerUs", &StepCoefficients::layer_us},
    {"weightFactor", &StepCoefficients::weight_factor},
    {"kvFactor", &StepCoefficients::kv_factor},
    {"computeFactor", &StepCoefficients::compute_factor},
    {"samplingUs", &StepCoefficients::sampling_us},
    {"allReduceFactor", &StepCoefficients::all_reduce_factor},
    {"prefillFactor", &StepCoefficients::prefill_factor},
}};

struct LinearCoefficients {
  std::string name;
  LinearLaw law;
  Interval base, per_sequence;               // of the law's; seconds
  double min_batch = 0, max_batch = 0;       // of the measurements
  double fit_error = 0, left_out_error = 0;  // median relative error of the time per token, and of one left out
};

struct InterferenceCoefficients {
  std::string job, neighbour;
  double speed = 0;
};

struct Coefficients {
  struct Provenance {
    std::string source, method, version;
    size_t rows = 0;  // of the source that were used
  } provenance;
  std::vector<LatencyCoefficients> latency;
  std::vector<StartupCoefficients> startup;
  std::vector<IterationCoefficients> iterations;
  std::vector<LinearCoefficients> linear;
  std::vector<InterferenceCoefficients> interference;
};

std::string coefficients_yaml(const Coefficients& coefficients);
// Throws InputError with every complaint (a wrong unit, a missing or unknown field, too few points, a table that falls)
// at file:line:column, IoError.
Coefficients read_coefficients(const std::string& path);
Coefficients parse_coefficients(const Value& document);

}  // namespace kisim

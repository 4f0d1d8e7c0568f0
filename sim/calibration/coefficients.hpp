#pragma once
// Coefficient files: what `kisim calibrate` has fitted, from what, within which range and how well.
//
//   apiVersion: kisim.dev/v1
//   kind: Coefficients
//   provenance: {source: triton_tables.csv, rows: 24, method: …, kisim: 0.1.0}
//   latency:
//     - {name: …, unit: ms, table: {1: 2.03, 2: 2.46, …}, interval: {1: [2.01, 2.05], …}, range: [1, 128],
//        error: {fit: 0.01, leaveOneOut: 0.04}, overlap: 0.25, hostCost: 0.11, prefetched: 4}
//   startup:
//     - {name: …, unit: s, median: 22.7, sigma: 1.1, …, range: [1.9, 60], error: {…}}
//   interference:
//     - {job: …, neighbour: …, speed: 0.71}

#include "calibration/latency_fit.hpp"
#include "calibration/startup_fit.hpp"
#include "io/value.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

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
  std::vector<InterferenceCoefficients> interference;
};

std::string coefficients_yaml(const Coefficients& coefficients);
// Throws InputError with every complaint (a wrong unit, a missing or unknown field, too few points, a table that falls)
// at file:line:column, IoError.
Coefficients read_coefficients(const std::string& path);
Coefficients parse_coefficients(const Value& document);

}  // namespace kisim

#pragma once
// From a table of measurements to coefficients.

#include "io/coefficients.hpp"
#include "io/text_table.hpp"

#include <string>
#include <vector>

namespace kisim {

struct CalibrationRequest {
  std::string kind;                     // of calibration_kinds()
  std::string file;                     // CSV; requests: a directory; scrapes: the first of them
  std::vector<std::string> more_files;  // scrapes
  std::string size, time, unit;
  std::vector<std::string> by;  // columns
  std::string gpu, engine;      // of the catalogue; requests
  uint64_t seed = 1;            // of the bootstrap
};

// latency: columns `size` and `time`; startup: column `time`; iterations, of an LLM engine: columns model, gpu,
// tensor_parallel, `size` (sequences that decode), context (tokens of each, on average) and `time`, a fit per GPU;
// requests: the same coefficients, from the log of a run of an engine (io/vllm_log.hpp);
// scrapes: the linear law of an engine, from what vLLM tells Prometheus (calibration/scrape_fit.hpp);
// interference: columns family, batch_size, rate, neighbour_family, neighbour_batch_size, neighbour_rate (steps per
// second alone; a batch size may be empty) and speed (share of the rate alone that is left): a table of every job
// beside every neighbour, those that nobody measured too.
std::vector<std::string> calibration_kinds();

// Throws InputError with file:line (a missing column, a wrong unit, too few points, a number that is none), IoError.
Coefficients calibrate(const CalibrationRequest& request);

// What was fitted, with its errors.
std::string calibration_table(const Coefficients& coefficients, const TextStyle& style);

// "a,b" → a, b
std::vector<std::string> split_columns(const std::string& text);

}  // namespace kisim

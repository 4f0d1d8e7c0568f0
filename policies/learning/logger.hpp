#pragma once
// Curves of a training: a CSV table, which is equal for equal trainings, and TensorBoard's event files.

#include "algorithm.hpp"

#include <cstdio>
#include <memory>
#include <string>

namespace kisim::learning {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// A row for each iteration: global_step and the metrics' tags. NaN is an empty cell.
class CurvesFile {
 public:
  // Begins the file, or goes on after its first `bytes` (of a checkpoint; 0: anew). Throws IoError.
  CurvesFile(const std::string& path, uint64_t bytes);

  void add(int64_t step, const Metrics& metrics);
  uint64_t bytes() const { return bytes_; }

 private:
  void write(const std::string& line);

  std::string path_;
  File file_;
  uint64_t bytes_ = 0;
};

// Records as TFRecord has them: length, masked CRC-32C of the length, payload, masked CRC-32C of the payload; the
// payload is TensorFlow's Event message with a Summary of scalars.
class EventFile {
 public:
  // events.out.tfevents.<seconds>.<host> in `directory`. Throws IoError.
  explicit EventFile(const std::string& directory);

  // NaN is left out.
  void add(double wall_time, int64_t step, const Metrics& metrics);

 private:
  void write(const std::string& payload);

  std::string path_;
  File file_;
};

// Seconds since 1970.
double wall_time();

// CRC-32C (Castagnoli), and as a record has it: rotated by 15 bits, plus a constant.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace kisim::learning

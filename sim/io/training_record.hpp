#pragma once
// What a training leaves in its directory for those that go on with it or draw it: training.json.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kisim {

struct TrainingRecord {
  static constexpr const char* kFile = "training.json";

  std::string file;         // of kind Training, as an absolute path; empty: an environment of its own
  std::string environment;  // its name, and where there is a file the hash of what was trained on
  std::string algorithm;
  int64_t steps = 0;                              // of each seed
  std::map<std::string, std::string> parameters;  // of the algorithm, all of them
  std::vector<uint64_t> seeds;                    // each once

  std::string json() const;
  // Throws IoError, and InputError that names the field where one is missing or not what json() writes.
  static TrainingRecord read(const std::string& directory);
};

}  // namespace kisim

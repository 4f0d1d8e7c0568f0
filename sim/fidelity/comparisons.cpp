#include "fidelity/comparisons.hpp"

#include "core/error.hpp"

#include <algorithm>
#include <filesystem>

namespace kisim {

std::vector<std::string> files_of(const std::string& directory, const std::string& ending) {
  std::vector<std::string> out;
  std::error_code problem;
  if (!std::filesystem::is_directory(directory, problem)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(directory, problem))
    if (entry.path().string().ends_with(ending)) out.push_back(entry.path().string());
  if (problem) throw IoError(fmt::format("cannot read directory '{}': {}", directory, problem.message()));
  std::sort(out.begin(), out.end());
  return out;
}

Scoreboard score(const FidelityData& data) {
  for (const std::string& directory : {data.scored, data.calibrated})
    if (!directory.empty() && !std::filesystem::is_directory(directory))
      throw IoError(fmt::format("cannot read '{}': not a directory", directory));
  Scoreboard board;
  compare_triton(data, board);
  compare_gavel(data, board);
  compare_locust(data, board);
  compare_ml_energy(data, board);
  compare_splitwise(data, board);
  compare_vllm_logs(data, board);
  compare_aiconfigurator(data, board);
  compare_mlperf(data, board);
  if (!board.rows.empty()) compare_mig(board);
  return board;
}

}  // namespace kisim

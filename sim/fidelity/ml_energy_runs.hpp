#pragma once
// The ML.ENERGY benchmark's runs of dense models: ml-energy/models/*.json.

#include "calibration/step_fit.hpp"

#include <map>
#include <string>
#include <vector>

namespace kisim {

// The benchmark gives the lengths of outputs only. 100 or 400 tokens instead move its errors by less than a percent.
inline constexpr double kMlEnergyPrompt = 250;

// A model under a steady load of so many sequences.
struct MlEnergyRun {
  std::string label;
  GpuModel gpu;
  StepPoint step;    // its median ITL, at the mean context of the sequences in flight
  double ends = 0;   // sequences that end per iteration, as many as begin
  double watts = 0;  // per GPU

  // Of a small model a B200 waits for its host: like models differ by a factor of two, and draw what idle ones do.
  bool host_bound() const;
  // What it takes of each GPU on average, if an iteration that only decodes takes so long: those, and the prompts of
  // the sequences that begin.
  GpuLoad load(double decode_seconds, double prefill_mfu) const;
};

struct MlEnergyRuns {
  std::vector<MlEnergyRun> runs;
  std::map<std::string, size_t> skipped;
};

// Throws InputError on files of another format.
MlEnergyRuns read_ml_energy(const std::string& directory);

// Those on a GPU whose iterations are the GPU's, without one model.
std::vector<MlEnergyRun> runs_to_fit(const std::vector<MlEnergyRun>& runs, const std::string& gpu,
                                     const std::string& without_model);

}  // namespace kisim

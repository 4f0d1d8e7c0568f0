#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/ml_energy_runs.hpp"
#include "io/input.hpp"

#include <algorithm>
#include <map>

namespace kisim {

namespace {

struct Marks {
  const char* gpu;
  double pass_itl, aim_itl, pass_watts, aim_watts;
};
constexpr Marks kMarks[] = {{"h100-80gb", 0.10, 0.06, 0.10, 0.06}, {"b200-180gb", 0.20, 0.12, 0.12, 0.08}};

// Of vLLM, whose runs these are.
double prefill_mfu() {
  for (const EngineProfile& engine : read_engine_catalogue())
    if (engine.name.starts_with("vllm-")) return engine.prefill_mfu;
  KISIM_INVARIANT(false, "the catalogue has no vLLM");
}

// Coefficients of one GPU from some runs, and what they say of others.
class Fit {
 public:
  Fit(const std::vector<MlEnergyRun>& runs, const GpuModel& gpu, double prefill_mfu) : mfu_(prefill_mfu) {
    std::vector<StepPoint> steps;
    for (const MlEnergyRun& run : runs) steps.push_back(run.step);
    coefficients_ = fit_steps(steps, gpu);
    std::vector<PowerPoint> powers;
    for (const MlEnergyRun& run : runs) powers.push_back({load(run), run.watts});
    gpu_ = fit_power(powers, gpu);
  }

  double seconds(const MlEnergyRun& run) const { return run.step.predicted(coefficients_, run.gpu); }
  double watts(const MlEnergyRun& run) const {
    return static_cast<double>(power_law(gpu_, nullptr).at(load(run))) * 1e-3;
  }

 private:
  GpuLoad load(const MlEnergyRun& run) const { return run.load(seconds(run), mfu_); }

  double mfu_;
  StepCoefficients coefficients_;
  GpuModel gpu_;
};

// The roofline at the peaks: reading or computing, whichever takes longer.
double roofline(const MlEnergyRun& run) {
  const StepPoint& p = run.step;
  const StepTerms t = step_terms(p.llm, run.gpu, p.tensor_parallel);
  return std::max(t.weights + p.sequences * p.context * (t.kv_token + t.window_token), t.token * p.sequences);
}

struct Rows {
  ScoreRow itl, watts, host_itl, host_watts;
};

void add_points(const MlEnergyRun& run, const Fit& fit, Rows& rows) {
  constexpr double kMs = 1e3;
  ScoreRow &itl = run.host_bound() ? rows.host_itl : rows.itl, &watts = run.host_bound() ? rows.host_watts : rows.watts;
  itl.points.push_back({run.label, run.step.seconds * kMs, fit.seconds(run) * kMs, roofline(run) * kMs});
  watts.points.push_back({run.label, run.watts, fit.watts(run), run.gpu.tdp_watts});
}

Rows rows_on(const GpuModel& gpu, bool calibrated) {
  ScoreRow row;
  row.data = "ml-energy, dense models on " + gpu.name;
  row.split = fmt::format(
      "{}; prompts of {:g} tokens assumed",
      calibrated ? "fitted on all models of the calibration data" : "each model in turn left out, fitted on the others",
      kMlEnergyPrompt);
  ScoreRow itl = row, watts = row;
  itl.metric = "median ITL";
  itl.unit = "ms";
  itl.naive = "roofline at the peaks";
  watts.metric = "watts per GPU";
  watts.unit = "W";
  watts.naive = "TDP";
  Rows out{itl, watts, itl, watts};
  for (const Marks& marks : kMarks) {
    if (gpu.name != marks.gpu) continue;
    out.itl.pass = marks.pass_itl;
    out.itl.aim = marks.aim_itl;
    out.watts.pass = marks.pass_watts;
    out.watts.aim = marks.aim_watts;
  }
  for (ScoreRow* host : {&out.host_itl, &out.host_watts}) {
    host->data = "ml-energy, host-bound on " + gpu.name;
    host->split += "; models below 10 billion parameters, not fitted on";
  }
  return out;
}

}  // namespace

void compare_ml_energy(const FidelityData& data, Scoreboard& board) {
  const std::vector<GpuModel> gpus = read_gpu_catalogue();
  const MlEnergyRuns scored = read_ml_energy(data.scored);
  const bool calibrated = !data.calibrated.empty();
  const MlEnergyRuns known = calibrated ? read_ml_energy(data.calibrated) : MlEnergyRuns();
  const double mfu = prefill_mfu();
  for (const GpuModel& gpu : gpus) {
    Rows rows = rows_on(gpu, calibrated);
    std::map<std::string, std::vector<const MlEnergyRun*>> by_model;
    for (const MlEnergyRun& run : scored.runs)
      if (run.gpu.name == gpu.name) by_model[run.step.llm.name].push_back(&run);
    for (const auto& [model, runs] : by_model) {
      data.progress(fmt::format("ml-energy, {} on {}", model, gpu.name));
      const auto others =
          calibrated ? runs_to_fit(known.runs, gpu.name, "") : runs_to_fit(scored.runs, gpu.name, model);
      if (others.size() < kLeastStepPoints) {
        for (ScoreRow* row : {&rows.itl, &rows.watts}) row->skipped["too few others to fit on"] += runs.size();
        continue;
      }
      const Fit fit(others, gpu, mfu);
      for (const MlEnergyRun* run : runs) add_points(*run, fit, rows);
    }
    for (ScoreRow* row : {&rows.itl, &rows.watts, &rows.host_itl, &rows.host_watts}) {
      if (row->points.empty()) continue;
      if (row == &rows.itl || row == &rows.watts)
        for (const auto& [why, count] : scored.skipped) row->skipped[why] += count;
      board.rows.push_back(std::move(*row));
    }
  }
}

}  // namespace kisim

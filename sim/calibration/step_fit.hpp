#pragma once
// The coefficients of an engine's iterations on one GPU (serving/step_cost.hpp), from measured decode iterations, and
// those of the GPU's power (cluster/power.hpp), from its watts meanwhile.
//
// Few models are measured, and what grows with their size grows together: layers, weights, all-reduces. So both fits
// are of relative errors with priors of what the hardware allows, wide enough that measurements move them.

#include "calibration/least_squares.hpp"
#include "cluster/gpu.hpp"
#include "cluster/power.hpp"
#include "serving/step_cost.hpp"

#include <span>
#include <string>
#include <vector>

namespace kisim {

// Iterations that decode `sequences` of so many tokens of context each.
struct StepPoint {
  LlmModel llm;
  int32_t tensor_parallel = 1;
  double sequences = 0, context = 0;
  double window_context = 0;  // of that, what a layer with a sliding window sees
  double seconds = 0;         // measured

  // How long that takes with such coefficients; what else there is to an engine does not matter.
  double predicted(const StepCoefficients& coefficients, const GpuModel& gpu) const;
};

inline constexpr size_t kLeastStepPoints = 8;

// What is known of a coefficient before anything is measured, in the order of kIterationFigures; and how far an
// iteration of a model may be from all other models'.
std::span<const Prior> step_priors();
inline constexpr double kStepSpread = 0.05;

// All but `error`. Precondition: points.
StepCoefficients fit_steps(std::span<const StepPoint> points, const GpuModel& gpu);
// Median relative error of each model from a fit to the others, over all points; of all of them where there is one.
double left_out_error(std::span<const StepPoint> points, const GpuModel& gpu);

// What a GPU draws under a load.
struct PowerPoint {
  GpuLoad load;
  double watts = 0;
};

// The power figures of `gpu`, all but its error. Precondition: points; its TDP.
GpuModel fit_power(std::span<const PowerPoint> points, GpuModel gpu);

}  // namespace kisim

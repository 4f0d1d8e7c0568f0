#include "calibration/step_fit.hpp"

#include "core/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace kisim {

namespace {

// What an iteration takes, by coefficient, in the order of StepCoefficients; seconds.
constexpr size_t kStepTerms = 7;
std::array<double, kStepTerms> terms_of(const StepPoint& p, const GpuModel& gpu) {
  const StepTerms t = step_terms(p.llm, gpu, p.tensor_parallel);
  return {1e-3,
          1e-6 * t.layers,
          t.weights,
          p.sequences * (t.kv_token * p.context + t.window_token * p.window_context),
          p.sequences * t.token,
          1e-6 * p.sequences * t.vocabulary,
          t.all_reduce + p.sequences * t.all_reduce_token};
}

// A step of an engine takes a millisecond on the host, or two; a layer tens of microseconds in all, mostly its reads;
// nobody reads faster than the peak or, in a good kernel, slower than three quarters of it; small batches compute less
// efficiently than prompts; sorting a vocabulary takes some passes over it; all-reduces are as measured; of prompts, in
// which decoding has no part, engines differ by a third.
constexpr std::array<Prior, kStepTerms + 1> kStepPriors = {
    {{1, 1}, {10, 10}, {1.1, 0.1}, {1.1, 0.2}, {1.2, 0.4}, {0.25, 0.2}, {1, 0.3}, {1, 0.3}}};

// base, bandwidth, compute, waiting; in TDPs.
constexpr std::array<Prior, 4> kPowerPriors = {{{0.4, 0.2}, {0.3, 0.2}, {0.6, 0.4}, {0.1, 0.1}}};
constexpr double kPowerSpread = 0.07;  // boards of one kind differ, and so do their coolings

}  // namespace

std::span<const Prior> step_priors() { return kStepPriors; }

double StepPoint::predicted(const StepCoefficients& c, const GpuModel& gpu) const {
  const auto terms = terms_of(*this, gpu);
  const std::array<double, kStepTerms> factors = {c.step_ms,        c.layer_us,    c.weight_factor,    c.kv_factor,
                                                  c.compute_factor, c.sampling_us, c.all_reduce_factor};
  double seconds = 0;
  for (size_t i = 0; i < kStepTerms; ++i) seconds += factors[i] * terms[i];
  return seconds;
}

StepCoefficients fit_steps(std::span<const StepPoint> points, const GpuModel& gpu) {
  KISIM_INVARIANT(!points.empty(), "no iterations on {}", gpu.name);
  std::vector<std::vector<double>> rows;
  StepCoefficients out;
  for (const StepPoint& p : points) {
    std::vector<double>& row = rows.emplace_back();
    for (double term : terms_of(p, gpu)) row.push_back(term / p.seconds);
    out.max_sequences = std::max(out.max_sequences, static_cast<int32_t>(std::ceil(p.sequences)));
    out.max_context = std::max(out.max_context, static_cast<int32_t>(std::ceil(p.context)));
    out.max_tensor_parallel = std::max(out.max_tensor_parallel, p.tensor_parallel);
  }
  const std::vector<double> ones(rows.size(), 1.0);
  const std::vector<double> c = nonnegative_least_squares(rows, ones, kStepSpread, step_priors().first(kStepTerms));
  out.gpu = gpu.name;
  out.bandwidth_gbs = gpu.bandwidth_gbs;
  out.step_ms = c[0];
  out.layer_us = c[1];
  out.weight_factor = c[2];
  out.kv_factor = c[3];
  out.compute_factor = c[4];
  out.sampling_us = c[5];
  out.all_reduce_factor = c[6];
  return out;
}

double left_out_error(std::span<const StepPoint> points, const GpuModel& gpu) {
  std::vector<double> errors;
  for (const StepPoint& p : points) {
    std::vector<StepPoint> others;
    for (const StepPoint& o : points)
      if (o.llm.name != p.llm.name) others.push_back(o);
    const StepCoefficients c = fit_steps(others.empty() ? points : others, gpu);
    errors.push_back(std::abs(p.predicted(c, gpu) / p.seconds - 1));
  }
  return median(errors);
}

GpuModel fit_power(std::span<const PowerPoint> points, GpuModel gpu) {
  constexpr double kMillionths = 1e6;
  KISIM_INVARIANT(!points.empty() && gpu.tdp_watts > 0, "no watts of {}", gpu.name);
  std::vector<std::vector<double>> rows;
  for (const PowerPoint& p : points) {
    const double of_measured = gpu.tdp_watts / p.watts;
    rows.push_back({of_measured, of_measured * static_cast<double>(p.load.bandwidth) / kMillionths,
                    of_measured * std::sqrt(static_cast<double>(p.load.compute) / kMillionths),
                    -of_measured * static_cast<double>(p.load.peers) / kMillionths});
  }
  const std::vector<double> ones(rows.size(), 1.0);
  const std::vector<double> c = nonnegative_least_squares(rows, ones, kPowerSpread, kPowerPriors);
  gpu.power_base = c[0] * gpu.tdp_watts;
  gpu.power_bandwidth = c[1] * gpu.tdp_watts;
  gpu.power_compute = c[2] * gpu.tdp_watts;
  gpu.power_waiting = c[3] * gpu.tdp_watts;
  return gpu;
}

}  // namespace kisim

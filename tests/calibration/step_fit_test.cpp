// The fit of iterations and watts finds what made them.

#include "calibration/step_fit.hpp"

#include "calibration/calibrate.hpp"
#include "calibration/least_squares.hpp"
#include "core/random.hpp"
#include "io/input.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace kisim;

namespace {

GpuModel h100() {
  GpuModel gpu;
  gpu.name = "h100-80gb";
  gpu.fp16_tflops = 989;
  gpu.bandwidth_gbs = 3350;
  gpu.nvlink_gbs = 900;
  gpu.tdp_watts = 700;
  gpu.idle_watts = 95;
  return gpu;
}

StepCoefficients truth() {
  StepCoefficients c;
  c.step_ms = 1.5;
  c.layer_us = 12;
  c.weight_factor = 1.15;
  c.kv_factor = 1.05;
  c.compute_factor = 1.3;
  c.sampling_us = 0.3;
  c.all_reduce_factor = 0.8;
  return c;
}

LlmModel with_vocabulary(LlmModel model, int32_t tokens, bool tied = false) {
  model.vocabulary = tokens;
  model.tied_embeddings = tied;
  return model;
}

std::vector<StepPoint> points() {
  LlmModel sliding = with_vocabulary({"sliding", 27e9, 62, 5376, 32, 16, 128}, 262208, true);
  sliding.window = 1024;
  sliding.window_layers = 52;
  const LlmModel models[] = {with_vocabulary({"small", 3.2e9, 28, 3072, 24, 8, 128}, 128256, true),
                             with_vocabulary({"middle", 14.8e9, 40, 5120, 40, 8, 128}, 151936),
                             with_vocabulary({"large", 70.5e9, 80, 8192, 64, 8, 128}, 32000), sliding};
  std::vector<StepPoint> out;
  for (const LlmModel& llm : models)
    for (int32_t n : {1, 2, 4, 8})
      for (double sequences : {8, 32, 128, 256})
        for (double context : {300, 4000}) {
          StepPoint p{llm, n, sequences, context, std::min<double>(context, llm.window)};
          p.seconds = p.predicted(truth(), h100());
          out.push_back(p);
        }
  return out;
}

}  // namespace

TEST_CASE("least squares without negative coefficients: priors decide what data do not") {
  const Prior wide[] = {{1, 100}, {1, 100}};
  // y = 2 a; b would help at -1.
  auto c = nonnegative_least_squares({{1, 1}, {2, 1}, {3, 1}}, std::vector<double>{1, 3, 5}, 10, wide);
  CHECK(c[1] == 0);
  CHECK(c[0] == Approx(22.0 / 14).epsilon(1e-3));
  // Two columns alike: their sum is known, the rest is the priors'.
  const Prior unequal[] = {{1, 0.1}, {3, 0.1}};
  c = nonnegative_least_squares({{1, 1}, {1, 1}}, std::vector<double>{6, 6}, 0.01, unequal);
  CHECK(c[0] == Approx(2).epsilon(0.01));
  CHECK(c[1] == Approx(4).epsilon(0.01));
  CHECK(c[1] - c[0] == Approx(2));
  // One wild value of ten moves it less than a plain mean.
  const Prior one[] = {{0, 1000}};
  std::vector<double> values(10, 1.0);
  values.back() = 11;
  c = nonnegative_least_squares(std::vector<std::vector<double>>(10, {1}), values, 0.1, one);
  CHECK(c[0] < 1.1);
}

TEST_CASE("coefficients of iterations are found again, and predict a model that was left out") {
  const auto p = points();
  const StepCoefficients found = fit_steps(p, h100()), made = truth();
  CHECK(found.step_ms == Approx(made.step_ms).epsilon(0.02));
  CHECK(found.layer_us == Approx(made.layer_us).epsilon(0.05));
  CHECK(found.weight_factor == Approx(made.weight_factor).epsilon(0.02));
  CHECK(found.kv_factor == Approx(made.kv_factor).epsilon(0.02));
  CHECK(found.compute_factor == Approx(made.compute_factor).epsilon(0.05));
  CHECK(found.sampling_us == Approx(made.sampling_us).epsilon(0.05));
  CHECK(found.all_reduce_factor == Approx(made.all_reduce_factor).epsilon(0.02));
  CHECK(found.max_sequences == 256);
  CHECK(found.max_context == 4000);
  CHECK(found.max_tensor_parallel == 8);
  CHECK(left_out_error(p, h100()) < 0.02);
}

TEST_CASE("what the fit predicts is what the engine takes") {
  LlmEngineModel model;
  model.profile.steps = {truth()};
  model.profile.steps[0].gpu = "h100-80gb";
  for (const StepPoint& p : points()) {
    model.llm = p.llm;
    model.tensor_parallel = p.tensor_parallel;
    StepWork work;
    work.decoding = static_cast<int64_t>(p.sequences);
    work.decode_context = static_cast<int64_t>(p.sequences * p.context);
    const double seconds = static_cast<double>(llm_cost(model, h100(), {}).line(work).first_ps) * 1e-12;
    CAPTURE(p.llm.name, p.tensor_parallel, p.sequences, p.context);
    REQUIRE(seconds == Approx(p.seconds).epsilon(1e-4));
  }
}

TEST_CASE("a table of decode iterations becomes a coefficient file") {
  const std::string path = (std::filesystem::temp_directory_path() / "kisim_step_fit_test.csv").string();
  std::vector<LlmModel> models;
  for (const LlmModel& llm : read_llm_catalogue())
    if (llm.name == "llama-3.1-8b" || llm.name == "qwen3-32b" || llm.name == "gemma-3-27b") models.push_back(llm);
  const auto gpus = read_gpu_catalogue();
  const GpuModel& gpu =
      *std::find_if(gpus.begin(), gpus.end(), [](const GpuModel& g) { return g.name == "h100-80gb"; });
  std::string text = "model,gpu,tensor_parallel,batch,context,itl_ms\n";
  for (const LlmModel& llm : models)
    for (int32_t n : {1, 2, 4})
      for (double batch : {8, 64, 200}) {
        const StepPoint p{llm, n, batch, 700, std::min<double>(700, llm.window)};
        text += fmt::format("{},h100-80gb,{},{},700,{}\n", llm.name, n, batch, p.predicted(truth(), gpu) * 1e3);
      }
  CalibrationRequest request;
  request.kind = "iterations";
  request.file = path;
  request.size = "batch";
  request.time = "itl_ms";
  request.unit = "ms";
  std::ofstream(path) << text;
  const Coefficients found = calibrate(request);
  REQUIRE(found.iterations.size() == 1);
  CHECK(found.iterations[0].name == "h100-80gb");
  CHECK(found.iterations[0].fit_error < 0.01);
  CHECK(found.iterations[0].fit.weight_factor == Approx(truth().weight_factor).epsilon(0.05));

  // Written and read again.
  std::ofstream(path) << coefficients_yaml(found);
  const Coefficients again = read_coefficients(path);
  REQUIRE(again.iterations.size() == 1);
  const StepCoefficients &a = found.iterations[0].fit, &b = again.iterations[0].fit;
  for (const IterationFigure& figure : kIterationFigures)
    CHECK(b.*figure.value == Approx(a.*figure.value).epsilon(1e-5).margin(1e-9));
  CHECK(b.max_context == 700);
  CHECK(b.max_tensor_parallel == 4);

  text.replace(text.find("llama"), 5, "alpaca");
  std::ofstream(path) << text;
  CHECK_THROWS_WITH(calibrate(request), Catch::Contains(":2:1: model: found 'alpaca-3.1-8b', allowed: see"));
  std::filesystem::remove(path);
}

TEST_CASE("the figures of a GPU's power are found again") {
  GpuModel made = h100();
  made.power_base = 280;
  made.power_bandwidth = 200;
  made.power_compute = 500;
  made.power_waiting = 50;
  const PowerLaw law = power_law(made, nullptr);
  Stream random(7, 1, Purpose::Field);
  std::vector<PowerPoint> loads;
  for (int i = 0; i < 60; ++i) {
    const GpuLoad load = GpuLoad::of(random.uniform(), random.uniform() / 6, 1, i % 2);
    loads.push_back({load, static_cast<double>(law.at(load)) * 1e-3});
  }
  const GpuModel found = fit_power(loads, h100());
  CHECK(found.power_base == Approx(280).epsilon(0.03));
  CHECK(found.power_bandwidth == Approx(200).epsilon(0.05));
  CHECK(found.power_compute == Approx(500).epsilon(0.05));
  CHECK(found.power_waiting == Approx(50).epsilon(0.1));
}

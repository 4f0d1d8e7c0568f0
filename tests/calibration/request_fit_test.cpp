// Coefficients from the log of a run: found again in a log that kisim made, and honest on real ones.

#include "calibration/request_fit.hpp"

#include "calibration/calibrate.hpp"
#include "core/random.hpp"
#include "io/input.hpp"
#include "shared_data.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace kisim;
namespace fs = std::filesystem;

namespace {

template <class Entry>
Entry named(const std::vector<Entry>& entries, const std::string& name) {
  return *std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.name == name; });
}

// Requests come at random times, at three rates in turn, twice: little to do, some, too much; now short prompts, now
// long ones.
std::vector<EngineRequest> requests(size_t count) {
  std::vector<EngineRequest> out;
  Stream stream(7, 1, Purpose::Resampling);
  double now = 0;
  for (size_t i = 0; i < count; ++i) {
    constexpr double kRates[] = {1, 4, 12};
    const size_t part = 12 * i / count;
    now += (0.2 + 1.6 * stream.uniform()) / kRates[part / 2 % 3];
    const uint32_t longest = part % 2 ? 6000 : 300;
    out.push_back({Time{} + Duration::seconds(now), static_cast<int32_t>(50 + stream.below(longest)),
                   static_cast<int32_t>(20 + stream.below(400))});
  }
  return out;
}

StepCoefficients truth() {
  StepCoefficients c;
  c.gpu = "h100-80gb";
  c.bandwidth_gbs = 3350;
  c.step_ms = 2.5;
  c.layer_us = 15;
  c.weight_factor = 1.3;
  c.kv_factor = 1.5;
  c.compute_factor = 1.6;
  c.sampling_us = 0.5;
  c.all_reduce_factor = 0.69;
  c.prefill_factor = 1.4;
  return c;
}

// A directory as LLMServingSim's bench writes them.
fs::path written(const std::vector<EngineRequest>& requests, const std::vector<EngineAnswer>& answers) {
  const fs::path directory = fs::temp_directory_path() / "kisim_request_fit_test";
  fs::create_directories(directory);
  std::ofstream(directory / "meta.json") << R"({"model": "meta-llama/Llama-3.1-8B",
    "engine_kwargs": {"max_num_seqs": 64, "max_num_batched_tokens": 2048}, "kv_cache": {"num_gpu_blocks": 20000}})";
  std::ofstream file(directory / "requests.jsonl");
  for (size_t i = 0; i < requests.size(); ++i) {
    auto s = [](Time t) { return (t - Time{}).to_seconds() + 5000; };
    file
        << fmt::format(
               R"({{"input_toks": {}, "output_toks": {}, "queued_ts": {:.9f}, "scheduled_ts": {:.9f}, "first_token_ts": {:.9f}, "last_token_ts": {:.9f}}})",
               requests[i].prompt_tokens, requests[i].output_tokens, s(requests[i].queued), s(answers[i].scheduled),
               s(answers[i].first_token), s(answers[i].finished))
        << "\n";
  }
  return directory;
}

CalibrationRequest request_of(const std::string& directory, const std::string& gpu) {
  CalibrationRequest out;
  out.kind = "requests";
  out.file = directory;
  out.gpu = gpu;
  out.engine = "vllm-0.19";
  return out;
}

}  // namespace

TEST_CASE("a log that kisim wrote gives back what an iteration took") {
  VllmLog log;
  log.engine.llm = named(read_llm_catalogue(), "llama-3.1-8b");
  log.engine.profile = named(read_engine_catalogue(), "vllm-0.19");
  log.engine.max_num_seqs = 64;
  log.engine.max_num_batched_tokens = 2048;
  log.engine.async_scheduling = log.engine.scheduler_reserve_full_isl = true;
  log.kv_blocks = 20000;
  const GpuModel gpu = named(read_gpu_catalogue(), "h100-80gb");
  VllmLog made = log;
  made.engine.profile.steps = {truth()};
  const auto asked = requests(240);
  const LlmCost cost = made.cost(gpu);
  const auto directory = written(asked, replay(made.engine, cost, asked).answers);

  const Coefficients found = calibrate(request_of(directory.string(), "h100-80gb"));
  REQUIRE(found.iterations.size() == 1);
  const IterationCoefficients& i = found.iterations[0];
  CHECK(found.provenance.rows == 240);
  CHECK(i.fit_error < 0.01);
  CHECK(i.fit.error < 0.02);
  CHECK(i.fit.max_sequences > 32);
  CHECK(i.fit.max_sequences <= 64);
  CHECK(i.fit.max_tensor_parallel == 1);
  // One model tells sums apart, not their parts; one GPU nothing of all-reduces.
  CHECK(std::find(i.held.begin(), i.held.end(), "allReduceFactor") != i.held.end());
  CHECK(i.fit.all_reduce_factor == Approx(0.69));
  log.engine.profile.steps = {i.fit};
  log.engine.profile.steps[0].bandwidth_gbs = 3350;
  const LlmCost again = log.cost(gpu);
  for (int64_t decoding : {4, 16, 48})
    for (int64_t context : {500, 3000}) {
      CAPTURE(decoding, context);
      StepWork work;
      work.decoding = decoding;
      work.decode_context = decoding * context;
      // What a sequence takes and what its tokens do is told apart only as far as their mixture varied.
      const double tolerance = decoding == 48 && context == 500 ? 0.1 : 0.03;
      CHECK(again.line(work).first_ps == Approx(cost.line(work).first_ps).epsilon(tolerance));
    }
  CHECK(again.per_prefill_token_ps == Approx(cost.per_prefill_token_ps).epsilon(0.05));

  // What is written is read again.
  const std::string file = (directory / "coefficients.yaml").string();
  std::ofstream(file) << coefficients_yaml(found);
  const Coefficients read = read_coefficients(file);
  REQUIRE(read.iterations.size() == 1);
  CHECK(read.iterations[0].fit.prefill_factor == Approx(i.fit.prefill_factor).epsilon(1e-5));
  CHECK(read.iterations[0].held == i.held);
  fs::remove_all(directory);
}

TEST_CASE("logs that cannot be fitted are refused with file and line") {
  const fs::path directory = fs::temp_directory_path() / "kisim_request_fit_bad";
  fs::create_directories(directory);
  auto complaint = [&](const std::string& meta, const std::string& requests, const std::string& gpu) -> std::string {
    std::ofstream(directory / "meta.json") << meta;
    std::ofstream(directory / "requests.jsonl") << requests;
    try {
      calibrate(request_of(directory.string(), gpu));
    } catch (const InputError& e) {
      return e.what();
    }
    return "none";
  };
  using Catch::Contains;
  const std::string meta = R"({"model": "meta-llama/Llama-3.1-8B"})";
  const std::string good = R"({"input_toks": 9, "output_toks": 5, "queued_ts": 1, "scheduled_ts": 1, )";
  CHECK_THAT(complaint(meta, good + R"("first_token_ts": 2, "last_token_ts": 3})", "h100-80gb"), Contains("20"));
  CHECK_THAT(complaint(meta, "\n" + good + R"("first_token_ts": 4, "last_token_ts": 3})", "h100-80gb"),
             Contains("requests.jsonl:2") && Contains("in this order"));
  CHECK_THAT(complaint(meta, good + R"("first_token_ts": 2})", "h100-80gb"), Contains("last_token_ts"));
  CHECK_THAT(complaint(meta, "", "gtx-1"), Contains("gtx-1"));
  CHECK_THAT(complaint(R"({"model": "no/model"})", "", "h100-80gb"), Contains("no/model"));
  fs::remove_all(directory);
}

TEST_CASE("logs of vLLM: each half of a run is predicted from the other") {
  const fs::path logs = shared_file("data/serving/vllm-logs");
  if (logs.empty()) return;
  for (auto [gpu, directory] : {std::pair("rtx-4090", "RTX4090"), std::pair("rtx-pro-6000", "RTXPRO6000")}) {
    const std::string run = (logs / directory / "Llama-3.1-8B" / "vllm").string();
    const Coefficients found = calibrate(request_of(run, gpu));
    CAPTURE(gpu, found.provenance.method);
    CHECK(found.iterations[0].fit_error < 0.03);
    CHECK(found.iterations[0].fit.error < 0.05);
  }
}

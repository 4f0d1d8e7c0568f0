// Rows of language models: what they skip, what they predict, and that the catalogue is what the public data say.

#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/ml_energy_runs.hpp"
#include "io/input.hpp"
#include "shared_data.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <cmath>
#include <fstream>

using namespace kisim;
namespace fs = std::filesystem;

namespace {

class Directory {
 public:
  Directory() : path_(fs::temp_directory_path() / "kisim_llm_rows_test") { fs::remove_all(path_); }
  ~Directory() { fs::remove_all(path_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  FidelityData data() const {
    FidelityData out;
    out.scored = path_.string();
    return out;
  }

 private:
  fs::path path_;
};

std::string ml_energy_file(const std::string& model, const std::string& architecture, double itl_ms) {
  return fmt::format(
      R"({{"model_id": "{}", "task": "chat", "architecture": "{}", "weight_precision": "bfloat16", "configurations": [
        {{"gpu_model": "H100", "num_gpus": 1, "max_num_seqs": 8, "avg_batch_size": 8, "avg_output_len": 200,
          "median_itl_ms": {}, "avg_power_watts": 480,
          "output_length_distribution": {{"bins": [100, 300], "counts": [50]}},
          "parallelization": {{"data_parallel": 1, "expert_parallel": 1, "tensor_parallel": 1}}}}]}})",
      model, architecture, itl_ms);
}

const ScoreRow& row_of(const Scoreboard& board, const std::string& data, const std::string& metric) {
  for (const ScoreRow& row : board.rows)
    if (row.data == data && row.metric == metric) return row;
  FAIL("no row " << data << ", " << metric);
  throw 0;
}

}  // namespace

TEST_CASE("ml-energy: contexts are those in flight; models that are not dense or not known are skipped by name") {
  Directory directory;
  directory.write("ml-energy/models/a.json", ml_energy_file("Qwen/Qwen3-14B", "Dense Transformer", 12));
  directory.write("ml-energy/models/b.json", ml_energy_file("Some/Model-9B", "Dense Transformer", 12));
  directory.write("ml-energy/models/c.json", ml_energy_file("Some/Model-9B-A1B", "MoE", 12));
  const MlEnergyRuns runs = read_ml_energy(directory.data().scored);
  REQUIRE(runs.runs.size() == 1);
  CHECK(runs.skipped.at("no such model in the catalogue: Some/Model-9B") == 1);
  CHECK(runs.skipped.at("not a dense transformer: MoE") == 1);
  const MlEnergyRun& run = runs.runs[0];
  CHECK(run.gpu.name == "h100-80gb");
  CHECK(run.step.llm.name == "qwen3-14b");
  CHECK(run.step.context == Approx(kMlEnergyPrompt + 100));  // half of 200
  CHECK(run.step.window_context == 0);
  CHECK(run.ends == Approx(8.0 / 200));

  // Nothing to fit on without it.
  Scoreboard board;
  compare_ml_energy(directory.data(), board);
  CHECK(board.rows.empty());
  directory.write("ml-energy/models/a.json", "{\"model_id\": 1}");
  CHECK_THROWS(read_ml_energy(directory.data().scored));
}

TEST_CASE("splitwise: a time that only tokens decide is interpolated; ends and other outputs are skipped") {
  Directory directory;
  std::string text = "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,tensor_parallel\n";
  auto row = [&](int prompt, int batch, int output) {
    const int tokens = prompt * batch;
    text += fmt::format("m,g,{},{},{},{},{},2\n", prompt, batch, output, 10 + 0.1 * tokens, 20 + 0.5 * batch);
  };
  for (int prompt : {128, 256, 512, 1024, 2048}) row(prompt, 1, 128);
  for (int batch : {2, 4, 8}) row(512, batch, 128);
  row(512, 1, 256);
  directory.write("splitwise/p.csv", text);
  Scoreboard board;
  compare_splitwise(directory.data(), board);
  REQUIRE(board.rows.size() == 2);
  for (const ScoreRow& r : board.rows) {
    INFO(r.metric);
    CHECK(r.points.size() == 3 + 2);  // 256, 512 and 1024 tokens; batches of 2 and 4
    CHECK(r.errors().worst < 1e-9);
    CHECK(r.naive_errors()->worst > 0.005);
    CHECK(r.skipped.at("the same prompts with longer or shorter outputs") == 1);
    CHECK(r.skipped.at("at the end of an axis, where nothing is on its other side") == 4);
  }
}

TEST_CASE("measurements of nothing are refused with their file, and the row where there are rows") {
  using Catch::Contains;
  auto complaint = [](void (*compare)(const FidelityData&, Scoreboard&), const std::string& file,
                      const std::string& text) -> std::string {
    Directory directory;
    directory.write(file, text);
    Scoreboard board;
    try {
      compare(directory.data(), board);
    } catch (const InputError& e) {
      return e.what();
    }
    return "none";
  };
  CHECK_THAT(
      complaint(compare_ml_energy, "ml-energy/models/a.json", ml_energy_file("Qwen/Qwen3-14B", "Dense Transformer", 0)),
      Contains("a.json") && Contains("median_itl_ms"));
  const std::string header =
      "mode,model_path,backend,system,silicon_data_source,id,gemm_quant_mode,precision,isl,osl,silicon_ttft_ms,"
      "silicon_tpot_ms,tp_size,attention_dp_size,moe_ep_size,moe_tp_size,batch_size\n";
  auto row = [](int batch, int ranks) {
    return fmt::format(
        "agg,Qwen/Qwen3-32B,vllm,h100_sxm,silicon_concurrency=32,x,bf16,bf16,1000,500,200,20,{},1,1,1,{}\n", ranks,
        batch);
  };
  CHECK_THAT(complaint(compare_aiconfigurator, "aiconfigurator/a.csv", header + row(32, 2) + row(-64, 2)),
             Contains("a.csv:3") && Contains("batch_size"));
  CHECK_THAT(complaint(compare_aiconfigurator, "aiconfigurator/a.csv", header + row(32, 2000000000)),
             Contains("a.csv:2") && Contains("tp_size"));
  CHECK(complaint(compare_aiconfigurator, "aiconfigurator/a.csv", header + row(32, 2)) == "none");
}

TEST_CASE("language models, shared measurements: the rows pass, and the catalogue's figures are the fit's") {
  const std::string file = shared_file("data/serving/ml-energy");
  if (file.empty()) return;
  FidelityData data;
  data.scored = fs::path(file).parent_path().string();
  Scoreboard board;
  compare_ml_energy(data, board);
  compare_splitwise(data, board);
  for (const ScoreRow& row : board.rows) {
    INFO(row.data << ", " << row.metric << ": " << row.errors().median);
    CHECK(row.mark() != ScoreRow::Mark::Miss);
  }

  const MlEnergyRuns runs = read_ml_energy(data.scored);
  const std::vector<EngineProfile> engines = read_engine_catalogue();
  std::map<std::string, GpuModel> gpus;
  for (const GpuModel& gpu : read_gpu_catalogue()) gpus[gpu.name] = gpu;
  REQUIRE_FALSE(engines[0].steps.empty());
  for (const StepCoefficients& c : engines[0].steps) {
    CAPTURE(c.gpu);
    const GpuModel& gpu = gpus.at(c.gpu);
    std::vector<StepPoint> points;
    std::vector<PowerPoint> powers;
    for (const MlEnergyRun& run : runs_to_fit(runs.runs, c.gpu, "")) points.push_back(run.step);
    const StepCoefficients fit = fit_steps(points, gpu);
    auto same = [](double catalogue, double fitted) { return std::abs(catalogue - fitted) <= 2e-3 * fitted + 1e-9; };
    CHECK(same(c.step_ms, fit.step_ms));
    CHECK(same(c.layer_us, fit.layer_us));
    CHECK(same(c.weight_factor, fit.weight_factor));
    CHECK(same(c.kv_factor, fit.kv_factor));
    CHECK(same(c.compute_factor, fit.compute_factor));
    CHECK(same(c.sampling_us, fit.sampling_us));
    CHECK(same(c.all_reduce_factor, fit.all_reduce_factor));
    CHECK(c.max_sequences == fit.max_sequences);
    CHECK(c.max_context == fit.max_context);
    CHECK(c.max_tensor_parallel == fit.max_tensor_parallel);
    CHECK(c.error == Approx(left_out_error(points, gpu)).margin(5e-4));
    for (const MlEnergyRun& run : runs_to_fit(runs.runs, c.gpu, ""))
      powers.push_back({run.load(run.step.predicted(fit, gpu), engines[0].prefill_mfu), run.watts});
    const GpuModel power = fit_power(powers, gpu);
    CAPTURE(power.power_base, power.power_bandwidth, power.power_compute, power.power_waiting);
    CHECK(same(gpu.power_base, power.power_base));
    CHECK(same(gpu.power_bandwidth, power.power_bandwidth));
    CHECK(same(gpu.power_compute, power.power_compute));
    CHECK(same(gpu.power_waiting, power.power_waiting));
    CHECK(
        gpu.power_error ==
        Approx(row_of(board, "ml-energy, dense models on " + gpu.name, "watts per GPU").errors().median).margin(1e-3));
  }
}

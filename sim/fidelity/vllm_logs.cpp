#include "calibration/least_squares.hpp"
#include "fidelity/comparisons.hpp"
#include "io/catalogue.hpp"
#include "io/input.hpp"
#include "io/operator_profile.hpp"
#include "io/vllm_log.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace kisim {

namespace {

namespace fs = std::filesystem;

struct VllmRun : VllmLog {
  std::string label, hardware;
};

std::vector<fs::path> directories_in(const fs::path& path) {
  std::vector<fs::path> out;
  if (fs::is_directory(path))
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_directory()) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<VllmRun> read_runs(const std::string& directory) {
  std::vector<VllmRun> out;
  for (const fs::path& hardware : directories_in(directory + "/vllm-logs"))
    for (const fs::path& model : directories_in(hardware)) {
      const std::string files = (model / "vllm").string();
      if (!fs::exists(files + "/requests.jsonl")) continue;
      const std::string name = hardware.filename().string();
      out.push_back({read_vllm_log(files), name + ", " + model.filename().string(), name});
    }
  return out;
}

// The profile of the model on that hardware, from the first of the directories that has one.
std::string profile_of(const VllmRun& run, const std::vector<std::string>& directories) {
  for (const std::string& directory : directories) {
    std::string path = directory + "/vllm-operator-profiles/perf/" + run.hardware + "/" + run.model;
    for (const fs::path& variant : directories_in(path))
      if (fs::is_directory(variant / fmt::format("tp{}", run.engine.tensor_parallel))) return variant.string();
  }
  return "";
}

// The scheduler as it is, on a GPU that is always at its datasheet's peaks.
LlmCost roofline(const LlmCost& cost) {
  LlmCost out = cost;
  auto ps = [](double seconds) { return static_cast<int64_t>(seconds * 1e12); };
  out.tables = nullptr;
  out.step_ps = ps(cost.ideal.weights + cost.ideal.all_reduce);
  out.experts_ps = ps(cost.ideal.experts);
  out.per_sequence_ps = 0;
  out.per_decode_ps = ps(cost.ideal.token + cost.ideal.all_reduce_token);
  out.per_kv_token_ps = ps(cost.ideal.kv_token);
  out.per_window_token_ps = ps(cost.ideal.window_token);
  out.per_prefill_token_ps = ps(cost.ideal.token + cost.ideal.all_reduce_token);
  out.per_attention_ps = cost.ideal.attention * 1e12;
  return out;
}

struct RunFigures {
  double tpot_mean = 0, e2e_mean = 0, ttft_p99 = 0;
};

RunFigures figures_of(const std::vector<EngineRequest>& requests, const std::vector<EngineAnswer>& answers) {
  std::vector<double> tpot, e2e, ttft;
  for (size_t i = 0; i < requests.size(); ++i) {
    e2e.push_back(answers[i].e2e(requests[i]));
    ttft.push_back(answers[i].ttft(requests[i]));
    if (requests[i].output_tokens > 1) tpot.push_back(answers[i].tpot(requests[i]));
  }
  return {mean(tpot), mean(e2e), quantile(ttft, 0.99)};
}

enum Row { kTpot, kE2e, kTtft, kTpotEach, kE2eEach, kTtftEach, kRunning, kWaiting, kKv, kRows };

std::array<ScoreRow, kRows> empty_rows() {
  constexpr const char* kData = "vllm-logs";
  const char* split =
      "operator profiles of the same GPU and model measured apart from the runs; nothing is fitted on a log. KV blocks "
      "as "
      "recorded, else from the memory planner";
  constexpr const char* kNaive = "the same scheduler at the GPU's peaks";
  using Verdict = ScoreRow::Verdict;
  std::array<ScoreRow, kRows> rows;
  rows[kTpot] = {kData, "TPOT mean", "s", split, kNaive, Verdict::Median, 0.08, 0.03};
  rows[kE2e] = {kData, "E2E mean", "s", split, kNaive, Verdict::Median, 0.08, 0.03};
  rows[kTtft] = {kData, "TTFT p99", "s", split, kNaive, Verdict::Median, 0.15, 0.05};
  rows[kTpotEach] = {kData, "TPOT, each", "s", split, kNaive, Verdict::Median};
  rows[kE2eEach] = {kData, "E2E, each", "s", split, kNaive, Verdict::Median};
  rows[kTtftEach] = {kData, "TTFT, each", "s", split, kNaive, Verdict::Median};
  rows[kRunning] = {kData, "running", "requests", split, kNaive, Verdict::Wape, 0.15, 0.08};
  rows[kWaiting] = {kData, "waiting", "requests", split, kNaive, Verdict::Wape, 0.15, 0.08};
  rows[kKv] = {kData, "KV usage", "share", split, kNaive, Verdict::Wape, 0.15, 0.08};
  return rows;
}

void add_points(const VllmRun& run, const EngineReplay& ours, const EngineReplay& naive,
                std::array<ScoreRow, kRows>& rows) {
  RunFigures measured = figures_of(run.requests, run.answers), predicted = figures_of(run.requests, ours.answers),
             roof = figures_of(run.requests, naive.answers);
  rows[kTpot].points.push_back({run.label, measured.tpot_mean, predicted.tpot_mean, roof.tpot_mean});
  rows[kE2e].points.push_back({run.label, measured.e2e_mean, predicted.e2e_mean, roof.e2e_mean});
  rows[kTtft].points.push_back({run.label, measured.ttft_p99, predicted.ttft_p99, roof.ttft_p99});
  for (size_t i = 0; i < run.requests.size(); ++i) {
    const EngineRequest& request = run.requests[i];
    const EngineAnswer &m = run.answers[i], &p = ours.answers[i], &n = naive.answers[i];
    const std::string label = fmt::format("{}, request {}", run.label, i);
    rows[kTtftEach].points.push_back({label, m.ttft(request), p.ttft(request), n.ttft(request)});
    rows[kE2eEach].points.push_back({label, m.e2e(request), p.e2e(request), n.e2e(request)});
    if (request.output_tokens > 1)
      rows[kTpotEach].points.push_back({label, m.tpot(request), p.tpot(request), n.tpot(request)});
  }
  for (size_t i = 0; i < run.gauges.size(); ++i) {
    const EngineGauges &m = run.gauges[i], &p = ours.gauges[i], &n = naive.gauges[i];
    const std::string label = fmt::format("{}, {:.0f} s", run.label, run.instants[i].to_seconds());
    auto add = [&](Row row, double measured_value, double ours_value, double naive_value) {
      rows[row].points.push_back({label, measured_value, ours_value, naive_value});
    };
    add(kRunning, m.running, p.running, n.running);
    add(kWaiting, m.waiting, p.waiting, n.waiting);
    if (run.has_kv_usage) add(kKv, m.kv_usage, p.kv_usage, n.kv_usage);
  }
}

}  // namespace

void compare_vllm_logs(const FidelityData& data, Scoreboard& board) {
  const std::vector<VllmRun> runs = read_runs(data.scored);
  if (runs.empty()) return;
  const std::vector<GpuModel> gpus = read_gpu_catalogue();
  const std::vector<LlmModel> llms = read_llm_catalogue();
  const std::vector<EngineProfile> engines = read_engine_catalogue();
  const auto vllm = std::find_if(engines.begin(), engines.end(),
                                 [](const EngineProfile& engine) { return engine.name.starts_with("vllm-"); });
  std::vector<std::string> sources = {data.scored};
  if (!data.calibrated.empty()) sources.insert(sources.begin(), data.calibrated);
  std::array<ScoreRow, kRows> rows = empty_rows();
  for (VllmRun run : runs) {
    data.progress("vLLM log, " + run.label);
    const GpuModel* gpu = find_alike(gpus, run.hardware);
    const LlmModel* llm = find_llm(llms, run.model);
    const std::string profile = profile_of(run, sources);
    std::string why;
    if (!gpu) why = "no GPU of that name in the catalogue: " + run.hardware;
    if (!llm) why = "no model of that name in the catalogue: " + run.model;
    if (profile.empty()) why = "no operator profile of the model on the GPU";
    if (run.data_parallel > 1) why = "data parallel";
    if (vllm == engines.end()) why = "no vLLM in the catalogue";
    if (!why.empty()) {
      for (ScoreRow& row : rows) ++row.skipped[why];
      continue;
    }
    run.engine.llm = *llm;
    run.engine.profile = *vllm;
    run.engine.tables = read_operator_profile(profile, run.engine.tensor_parallel, *llm, gpus);
    const LlmCost cost = run.cost(*gpu);
    const EngineReplay ours = replay(run.engine, cost, run.requests, run.instants);
    if (std::any_of(ours.answers.begin(), ours.answers.end(), [](const EngineAnswer& a) { return a.refused; })) {
      for (ScoreRow& row : rows) ++row.skipped["its KV blocks do not hold its longest request"];
      continue;
    }
    add_points(run, ours, replay(run.engine, roofline(cost), run.requests, run.instants), rows);
  }
  for (ScoreRow& row : rows)
    if (!row.points.empty()) board.rows.push_back(std::move(row));
}

}  // namespace kisim

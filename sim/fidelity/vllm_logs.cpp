#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/json_file.hpp"
#include "io/catalogue.hpp"
#include "io/csv.hpp"
#include "io/data_table.hpp"
#include "io/decimal_time.hpp"
#include "io/input.hpp"
#include "io/operator_profile.hpp"
#include "serving/engine_replay.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace kisim {

namespace {

namespace fs = std::filesystem;

struct VllmRun {
  std::string label, hardware, directory;
  std::string model;  // as its hub calls it
  LlmEngineModel engine;
  int64_t kv_blocks = 0;  // as recorded; 0: not
  int32_t data_parallel = 1;
  double memory_bytes = 0;
  double started = 0;       // by the clock of arrival_time, seconds: the gauges' times count from it; 0: not recorded
  double clock_offset = 0;  // of the first request, in the gauges' time
  std::vector<EngineRequest> requests;
  std::vector<EngineAnswer> answers;
  std::vector<Time> instants;
  std::vector<EngineGauges> gauges;
  bool has_kv_usage = false;
};

std::vector<fs::path> directories_in(const fs::path& path) {
  std::vector<fs::path> out;
  if (fs::is_directory(path))
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_directory()) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

int32_t whole(const Json& object, const char* key, int32_t otherwise) {
  const Json& value = member(object, key);
  return value.is_number_integer() ? value.get<int32_t>() : otherwise;
}

// vLLM V1 schedules asynchronously and reserves whole prompts unless told otherwise.
void read_settings(const std::string& path, VllmRun& run) {
  const Json meta = read_json(path);
  const Json& given = member(meta, "engine_kwargs");
  const Json& scheduler = member(member(meta, "resolved_config"), "scheduler_config");
  const Json& cache = member(meta, "kv_cache");
  run.model = member(meta, "model").is_string() ? meta.at("model").get<std::string>() : "";
  LlmEngineModel& engine = run.engine;
  engine.max_num_seqs = whole(given, "max_num_seqs", 256);
  engine.max_num_batched_tokens = whole(given, "max_num_batched_tokens", 2048);
  engine.tensor_parallel = whole(given, "tensor_parallel_size", 1);
  engine.block_size = whole(cache, "block_size", 16);
  run.data_parallel = whole(given, "data_parallel_size", 1);
  for (int32_t setting :
       {engine.max_num_seqs, engine.max_num_batched_tokens, engine.tensor_parallel, engine.block_size})
    if (setting < 1) refuse(path, fmt::format("found a size of {}, allowed: at least 1", setting));
  auto flag = [&](const char* key) { return !member(scheduler, key).is_boolean() || scheduler.at(key).get<bool>(); };
  engine.async_scheduling = flag("async_scheduling");
  engine.scheduler_reserve_full_isl = flag("scheduler_reserve_full_isl");
  engine.long_prefill_token_threshold = whole(scheduler, "long_prefill_token_threshold", 0);
  const Json& caching = member(cache, "enable_prefix_caching");
  engine.prefix_caching = !caching.is_boolean() || caching.get<bool>();
  const Json& utilization = member(cache, "gpu_memory_utilization");
  if (utilization.is_number()) engine.memory_utilization = utilization.get<double>();
  run.kv_blocks = whole(cache, "num_gpu_blocks", 0);
  const Json& started = member(meta, "started_at");
  if (started.is_string())
    if (auto ns = parse_time(started.get<std::string>(), TimeUnit::Datetime))
      run.started = static_cast<double>(*ns) * 1e-9;
  const Json& memory = member(member(meta, "hardware"), "device_total_memory_bytes");
  if (memory.is_number()) run.memory_bytes = memory.get<double>();
}

void read_requests(const std::string& path, VllmRun& run) {
  const std::string text = read_text(path);
  struct Row {
    double arrival, queued, scheduled, first, last;
    int32_t in, out;
  };
  std::vector<Row> rows;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.find_first_not_of(" \r\t") == line.npos) continue;
    const Json row = Json::parse(line, nullptr, false);
    if (!row.is_object()) refuse(path, fmt::format("found {}, allowed: a JSON object per line", shown(line)));
    rows.push_back({number(row, "arrival_time", path), number(row, "queued_ts", path),
                    number(row, "scheduled_ts", path), number(row, "first_token_ts", path),
                    number(row, "last_token_ts", path), static_cast<int32_t>(number(row, "input_toks", path)),
                    static_cast<int32_t>(number(row, "output_toks", path))});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.queued < b.queued; });
  // Both clocks at the first request.
  if (run.started > 0 && !rows.empty()) run.clock_offset = rows.front().arrival - run.started;
  for (const Row& row : rows) {
    auto time = [&](double ts) { return Time{} + Duration::seconds(ts - rows.front().queued); };
    run.requests.push_back({time(row.queued), row.in, row.out});
    run.answers.push_back({false, time(row.scheduled), time(row.first), time(row.last)});
  }
}

void read_gauges(const std::string& path, VllmRun& run) {
  if (!fs::exists(path)) return;
  DataTable table = DataTable::read(path);
  size_t t = table.column("t"), running = table.column("running"), waiting = table.column("waiting"),
         kv = table.column("kv_cache_pct");
  for (size_t r = 0; r < table.rows(); ++r) {
    auto figure = [&](size_t column) { return table.number(r, column).value_or(0); };
    double at = figure(t) - run.clock_offset;
    if (at < 0) continue;
    for (size_t column : {running, waiting, kv})
      if (figure(column) < 0 || figure(column) > 1e9)
        refuse(path, fmt::format("line {}: found {}, allowed: 0 to 1e9", table.mark(r).line, figure(column)));
    run.instants.push_back(Time{} + Duration::seconds(at));
    run.gauges.push_back(
        {static_cast<uint32_t>(figure(running)), static_cast<uint32_t>(figure(waiting)), figure(kv) / 100});
    run.has_kv_usage = run.has_kv_usage || figure(kv) > 0;
  }
}

std::vector<VllmRun> read_runs(const std::string& directory) {
  std::vector<VllmRun> out;
  for (const fs::path& hardware : directories_in(directory + "/vllm-logs"))
    for (const fs::path& model : directories_in(hardware)) {
      const std::string files = (model / "vllm").string();
      if (!fs::exists(files + "/requests.jsonl")) continue;
      VllmRun& run = out.emplace_back();
      run.hardware = hardware.filename().string();
      run.label = run.hardware + ", " + model.filename().string();
      read_settings(files + "/meta.json", run);
      read_requests(files + "/requests.jsonl", run);
      read_gauges(files + "/timeseries.csv", run);
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
    Accelerator whole_gpu;
    whole_gpu.gpus = static_cast<uint32_t>(run.engine.tensor_parallel);
    // What the driver leaves of a nominal GB: 24,081 of 24,576 MiB of an RTX 4090.
    double memory = run.memory_bytes > 0 ? run.memory_bytes : 0.98 * static_cast<double>(gpu->memory_bytes);
    whole_gpu.memory_bytes = static_cast<int64_t>(memory) * run.engine.tensor_parallel;
    LlmCost cost = llm_cost(run.engine, *gpu, whole_gpu);
    if (run.kv_blocks > 0) cost.kv_blocks = run.kv_blocks;
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

// The comparisons on made-up data whose answers are known, and on the shared measurements where they are present.

#include "fidelity/comparisons.hpp"
#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "fidelity/llm_points.hpp"
#include "fidelity/triton_bench.hpp"
#include "shared_data.hpp"

#include <unistd.h>

#include <cmath>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

// A directory of measurements that is gone after the test.
class DataDirectory {
 public:
  explicit DataDirectory(const std::string& name = "data")
      : path_(fs::temp_directory_path() / fmt::format("kisim-fidelity-{}-{}", getpid(), name)) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~DataDirectory() { fs::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    write_file((path_ / name).string(), text);
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

constexpr const char* kHeader =
    "source_path,kind,title,batch_or_concurrency,inferences_per_s,client_send_ms,network_ms,server_queue_ms,"
    "compute_input_ms,compute_infer_ms,compute_output_ms,p50_ms,p90_ms,p95_ms,p99_ms,avg_ms,precision,max_batch_size,"
    "model_instances,max_queue_delay,raw_params\n";

std::string csv_row(const std::string& kind, int size, double rate, double mean_ms, double p95_ms) {
  return fmt::format(
      "Torch/Zoo/Net/triton/README.md,triton_{},\"{}: GPU X, Runtime with FP16\",{},{:.9g},,,,,,,,,{:.9g},,"
      "{:.9g},FP16,16,2,,\n",
      kind, kind == "online" ? "Online" : "Offline", size, rate, p95_ms, mean_ms);
}

// A server of two instances that the simulator itself has measured; requests of `samples`.
std::string simulated_bench(double overlap, double host, int32_t samples) {
  std::string out = kHeader;
  TritonBench bench;
  bench.instances = 2;
  bench.max_batch_size = 16;
  bench.samples = samples;
  for (int n : {1, 2, 4, 8, 16}) {
    const double seconds = 0.002 + 0.0005 * n;
    bench.offline.push_back({static_cast<double>(n), seconds});
    out += csv_row("offline", n, n / seconds, seconds * 1e3, seconds * 1e3);
  }
  for (int clients : {4, 8, 12, 16, 24, 32, 48, 64}) {
    const ClosedLoopResult f = predict(bench, {overlap, host, 0}, clients);
    out += csv_row("online", clients, f.samples_per_s, f.mean_s * 1e3, f.p95_s * 1e3);
  }
  return out;
}

FidelityData data_of(const std::string& scored, const std::string& calibrated = "") {
  FidelityData out;
  out.scored = scored;
  out.calibrated = calibrated;
  return out;
}

}  // namespace

TEST_CASE("triton: a server that the simulator measured is found again; rows that contradict themselves are skipped") {
  DataDirectory directory;
  directory.write("triton/any name.csv", simulated_bench(0.5, 0.0, 2) + csv_row("online", 40, 1000, 1, 1));
  Scoreboard board;
  compare_triton(data_of(directory.path()), board);
  REQUIRE(board.rows.size() == 2);
  for (const ScoreRow& row : board.rows) {
    INFO(row.metric);
    CHECK(row.data == "triton, other models");
    CHECK(row.points.size() == 4);  // every second of eight
    CHECK(row.skipped.at("fitted on") == 4);
    CHECK(row.skipped.at("throughput × latency differs from the clients by more than 10 %") == 1);
    CHECK(row.errors().median < 0.05);
    CHECK(row.naive_errors()->median > row.errors().median);
  }
}

TEST_CASE("triton: fitted elsewhere, everything is scored, by what the most similar server taught") {
  DataDirectory there("there"), here("here");
  there.write("triton/a.csv", simulated_bench(0.5, 0.0, 1));
  here.write("triton/b.csv", simulated_bench(0.5, 0.0, 2));
  Scoreboard board;
  compare_triton(data_of(here.path(), there.path()), board);
  REQUIRE(board.rows.size() == 2);
  CHECK(board.rows[0].points.size() == 8);
  CHECK(board.rows[0].errors().median < 0.05);
}

TEST_CASE("triton: a table without a column, or with a text for a number, is refused at its line") {
  DataDirectory directory;
  auto refused = [&](const std::string& text) {
    directory.write("triton/t.csv", text);
    Scoreboard board;
    try {
      compare_triton(data_of(directory.path()), board);
    } catch (const InputError& error) {
      return error.diagnostics().at(0).text();
    }
    return std::string("nothing");
  };
  CHECK_THAT(refused("kind,title\nx,y\n"), Contains("t.csv:1:1: source_path: no such column; found kind, title"));
  std::string bad = std::string(kHeader) + csv_row("offline", 1, 100, 10, 10);
  bad.replace(bad.rfind(",100,"), 5, ",fast,");
  CHECK(refused(bad) == "nothing");  // the mean is there, the rate is not needed
  bad = std::string(kHeader) + csv_row("online", 1, 100, 10, 10);
  bad.replace(bad.rfind(",100,"), 5, ",fast,");
  CHECK_THAT(refused(bad), Contains("t.csv:2") && Contains("inferences_per_s") && Contains("'fast'"));
}

TEST_CASE("gavel: a job left out is judged by its like; pairs that did not run are skipped; absent data is no row") {
  DataDirectory directory;
  std::string text = R"x({"gpu y": {)x";
  const std::pair<const char*, double> families[] = {{"Light", 0.9}, {"Heavy", 0.5}};
  std::string jobs;
  for (const auto& [family, speed] : families) {
    for (int batch : {8, 16, 32, 64}) {
      if (!jobs.empty()) jobs += ", ";
      jobs += fmt::format(R"x("('{} (batch size {})', 1)": {{"null": {})x", family, batch, 1000.0 / batch);
      for (const auto& [other, other_speed] : families)
        for (int b : {8, 16, 32, 64}) {
          const bool never = batch == 64 && b == 64;
          jobs += fmt::format(R"x(, "('{} (batch size {})', 1)": [{}, {}])x", other, b,
                              never ? 0 : other_speed * 1000.0 / batch, never ? 0 : speed * 1000.0 / b);
        }
      jobs += "}";
    }
  }
  jobs += R"x(, "('Light (batch size 8)', 2)": {"null": 1})x";
  directory.write("gavel/any.json", text + jobs + "}}");
  Scoreboard board;
  compare_gavel(data_of(directory.path()), board);
  REQUIRE(board.rows.size() == 1);
  const ScoreRow& row = board.rows[0];
  CHECK(row.data == "gavel, pairs on gpu y");
  CHECK(row.skipped.at("one of the two did not run") == 3);
  CHECK(row.points.size() == 2 * 33 - 6);  // each pair for each of its jobs, those of a job with itself once
  CHECK(row.errors().mean < 0.1);
  CHECK(row.mark() == ScoreRow::Mark::Aim);

  Scoreboard nothing;
  DataDirectory empty("empty");
  nothing = score(data_of(empty.path()));
  CHECK(nothing.rows.empty());
  CHECK_FALSE(nothing.passed());
  CHECK_THROWS_AS(score(data_of("/nonexistent/data")), IoError);
}

TEST_CASE("gavel, shared measurements: better than the aim") {
  const std::string file = shared_file("data/serving/gavel");
  if (file.empty()) return;
  Scoreboard board;
  compare_gavel(data_of(fs::path(file).parent_path().string()), board);
  REQUIRE(board.rows.size() == 1);
  CHECK(board.rows[0].mark() == ScoreRow::Mark::Aim);
}

TEST_CASE("kisim Locust, shared measurements: spikes from ramps") {
  const std::string file = shared_file("data/serving/kisim");
  if (file.empty()) return;
  Scoreboard board;
  compare_locust(data_of(fs::path(file).parent_path().string()), board);
  REQUIRE(board.rows.size() == 3);
  for (const ScoreRow& row : board.rows) {
    INFO(row.metric << " " << row.errors().median);
    CHECK(row.mark() != ScoreRow::Mark::Miss);
    CHECK(row.points.size() == 3);
  }
}

namespace {

constexpr const char* kSiliconHeader =
    "id,silicon_data_source,backend,model_path,system,precision,mode,isl,osl,gemm_quant_mode,batch_size,tp_size,"
    "attention_dp_size,moe_tp_size,moe_ep_size,prefill_tp_size,prefill_attention_dp_size,decode_tp_size,"
    "decode_attention_dp_size,decode_moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n";

std::string silicon_row(const std::string& engine, const std::string& model, int32_t concurrency, double ttft_ms,
                        double tpot_ms) {
  return fmt::format(
      "x_c{0}_y,source_file=h100_sxm/{1}/1/x.csv,{1},{2},h100_sxm,,agg,512,128,,,2,,1,1,,,,,,{3:.9g},{4:.9g}\n",
      concurrency, engine, model, ttft_ms, tpot_ms);
}

// What an engine would measure that is `scale` times as slow as the catalogue's.
std::string simulated_silicon(const std::string& engine, const std::string& model, double scale) {
  const LlmCatalogues catalogues;
  const LlmDeployment on{*find_llm(catalogues.llms, model), catalogues.gpu("h100-80gb"), 2};
  const EngineProfile& profile = *catalogues.engine(engine);
  const LlmEngineModel server = on.engine(profile);
  std::string out;
  for (int32_t clients : {16, 32}) {
    const double overhead = profile.request_overhead_ms * 1e-3;
    const LlmClosedLoop loop{clients, 512, 128, 1, 10u * static_cast<uint64_t>(clients), overhead};
    const LlmClosedLoopResult r = simulate_llm_closed_loop(server, on.cost(server), loop);
    out += silicon_row(engine, model, clients, r.ttft_s * scale * 1e3, r.tpot_s * scale * 1e3);
  }
  return out;
}

const ScoreRow& row_of(const Scoreboard& board, const std::string& data, const std::string& metric) {
  for (const ScoreRow& row : board.rows)
    if (row.data == data && row.metric == metric) return row;
  FAIL("no row " << data << " " << metric);
  return board.rows.front();
}

}  // namespace

TEST_CASE("aiconfigurator: an engine's factor comes from its other model; what is not used is counted") {
  DataDirectory data;
  data.write("aiconfigurator/silicon.csv", kSiliconHeader + simulated_silicon("sglang", "Qwen/Qwen3-32B", 0.8) +
                                               simulated_silicon("sglang", "meta-llama/Llama-3.1-8B-Instruct", 0.8) +
                                               silicon_row("sglang", "Qwen/Qwen3-32B", 8, 100, 10) +
                                               silicon_row("sglang", "example/unheard-of", 16, 100, 10) +
                                               silicon_row("unknown", "Qwen/Qwen3-32B", 16, 100, 10));
  Scoreboard board;
  compare_aiconfigurator({data.path()}, board);
  const ScoreRow& tpot = row_of(board, "aiconfigurator, dense, sglang", "TPOT");
  REQUIRE(tpot.points.size() == 4);
  CHECK(tpot.errors().worst < 1e-6);
  CHECK(row_of(board, "aiconfigurator, dense, sglang", "TTFT").errors().worst < 1e-6);
  CHECK(tpot.skipped.at("concurrency below 16") == 1);
  CHECK(tpot.naive_errors()->bias < -0.2);

  // Fitted elsewhere, where the engine is another 10 % faster.
  DataDirectory calibration("calibration");
  calibration.write("aiconfigurator/silicon.csv", kSiliconHeader + simulated_silicon("sglang", "Qwen/Qwen3-8B", 0.72));
  Scoreboard again;
  compare_aiconfigurator({data.path(), calibration.path()}, again);
  CHECK(row_of(again, "aiconfigurator, dense, sglang", "TPOT").errors().bias == Approx(-0.1));
}

TEST_CASE("aiconfigurator, shared measurements: closer than a roofline") {
  const std::string file = shared_file("data/serving/aiconfigurator");
  if (file.empty()) return;
  Scoreboard board;
  compare_aiconfigurator({fs::path(file).parent_path().string()}, board);
  REQUIRE(board.rows.size() == 10);
  for (const ScoreRow& row : board.rows) {
    CAPTURE(row.data, row.metric);
    if (row.metric == "TPOT") CHECK(row.errors().median < row.naive_errors()->median);
  }
}

TEST_CASE("mlperf: a prediction as high as the best result is a violation") {
  DataDirectory data;
  auto result = [](double tokens) {
    return fmt::format(
        R"([{{"ID": "5.1-1", "Category": "closed", "UsedModel": "llama2-70b-99", "Scenario": "Offline", "Nodes": 1,
             "Accelerator": "NVIDIA H100-SXM-80GB", "a#": 8, "weight_data_types": "fp8",
             "Performance_Result": {}, "Performance_Units": "Tokens/s"}}])",
        tokens);
  };
  Scoreboard board;
  data.write("mlperf/a.json", result(8 * 3900));
  compare_mlperf({data.path()}, board);
  CHECK(board.rows.at(0).mark() == ScoreRow::Mark::Aim);
  data.write("mlperf/a.json", result(8 * 100));
  compare_mlperf({data.path()}, board);
  CHECK(board.rows.at(1).mark() == ScoreRow::Mark::Reported);
  CHECK(board.rows.at(1).errors().worst > 0);
}

TEST_CASE("MIG: every GPU of eight memory slices has the known numbers of layouts") {
  Scoreboard board;
  compare_mig(board);
  REQUIRE(board.rows.size() == 1);
  CHECK(board.rows[0].points.size() >= 5);
  CHECK(board.rows[0].points.size() % 5 == 0);
  for (const ScoredPoint& p : board.rows[0].points) {
    INFO(p.label);
    CHECK(p.predicted == p.measured);
  }
}

TEST_CASE("vLLM logs, shared measurements: better than the aim") {
  const std::string file = shared_file("data/serving/vllm-logs");
  if (file.empty()) return;
  Scoreboard board;
  compare_vllm_logs(data_of(fs::path(file).parent_path().string()), board);
  REQUIRE(board.rows.size() == 9);
  for (const ScoreRow& row : board.rows) {
    INFO(row.metric);
    if (row.pass) CHECK(row.mark() == ScoreRow::Mark::Aim);
  }
}

TEST_CASE("vLLM logs: a run without a profile is skipped, one that is none is refused") {
  DataDirectory directory;
  const std::string run = "vllm-logs/H100/Llama-3.1-8B/vllm/";
  directory.write(run + "meta.json", R"({"model": "meta-llama/Llama-3.1-8B", "engine_kwargs": {}})");
  directory.write(run + "requests.jsonl",
                  R"({"queued_ts": 1, "arrival_time": 1, "scheduled_ts": 1, "first_token_ts": 2, "last_token_ts": 3,)"
                  R"( "input_toks": 10, "output_toks": 5})");
  Scoreboard board;
  compare_vllm_logs(data_of(directory.path()), board);
  CHECK(board.rows.empty());
  directory.write(run + "requests.jsonl", "queued_ts 1\n");
  CHECK_THROWS_AS(compare_vllm_logs(data_of(directory.path()), board), InputError);
}

// MLPerf Inference results (mlcommons/inference_results): the best that anybody has got out of a GPU, with kernels and
// settings made for the occasion. A prediction for the engines of the catalogue that is as high is a mistake.

#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/llm_points.hpp"
#include "io/json_file.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace kisim {

namespace {

// Mean lengths of the data sets of MLPerf Inference v5.1, tokens; mlcommons/inference, the benchmarks' pages.
struct Workload {
  const char *begins, *model;
  double prompt, output;
};
constexpr Workload kWorkloads[] = {
    {"llama2-70b", "llama-2-70b", 294, 294},        {"llama3.1-8b", "llama-3.1-8b", 778, 73},
    {"llama3_1-8b", "llama-3.1-8b", 778, 73},       {"llama3.1-405b", "llama-3.1-405b", 9428, 684},
    {"llama3_1-405b", "llama-3.1-405b", 9428, 684}, {"mixtral-8x7b", "mixtral-8x7b", 283, 145},
    {"deepseek-r1", "deepseek-r1", 800, 3880}};
constexpr std::pair<const char*, const char*> kGpus[] = {
    {"NVIDIA B200-SXM-180GB", "b200-180gb"}, {"NVIDIA H200-SXM-141GB", "h200-141gb"},
    {"NVIDIA GB200", "gb200-185gb"},         {"NVIDIA H100-SXM-80GB", "h100-80gb"},
    {"NVIDIA H100-NVL-94GB", "h100-94gb"},   {"NVIDIA L40S", "l40s"},
    {"NVIDIA GB300", "gb300-277gb"},         {"NVIDIA L4-PCIe-24GB", "l4"},
    {"NVIDIA GeForce RTX 4090", "rtx-4090"}, {"NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"}};
constexpr int32_t kMostGpus = 8;

struct Best {
  double per_gpu = 0;  // tokens/s
  std::string id;
};
using Key = std::tuple<std::string, std::string, std::string>;  // workload's model, GPU, type of the weights

const Workload* workload_of(const std::string& model) {
  for (const Workload& w : kWorkloads)
    if (model.starts_with(w.begins)) return &w;
  return nullptr;
}

std::string text(const Json& result, const char* key) {
  const Json& value = member(result, key);
  return value.is_string() ? value.get<std::string>() : std::string{};
}

struct Results {
  std::map<Key, Best> best;
  std::map<std::string, size_t> skipped;
};

void read_result(const Json& result, const std::string& file, Results& out) {
  if (text(result, "Performance_Units") != "Tokens/s") return;
  auto skip = [&](const std::string& why) { ++out.skipped[why]; };
  const std::string model = text(result, "UsedModel"), accelerator = text(result, "Accelerator");
  const Workload* workload = workload_of(model);
  if (!workload) return skip("model without known lengths: " + model);
  if (text(result, "Category") != "closed") return skip("open division: the model may be another");
  if (text(result, "Scenario") != "Offline") return skip("not offline: what it reaches is bound by its latencies");
  auto gpu = std::find_if(std::begin(kGpus), std::end(kGpus), [&](const auto& g) { return accelerator == g.first; });
  if (gpu == std::end(kGpus)) return skip("GPU not in the catalogue: " + accelerator);
  const double gpus = number(result, "a#", file) * std::max(1.0, number(result, "Nodes", file));
  if (!(gpus > 0)) return skip("tells no number of GPUs");
  const double per_gpu = number(result, "Performance_Result", file) / gpus;
  Best& best = out.best[{workload->begins, gpu->second, text(result, "weight_data_types")}];
  if (per_gpu > best.per_gpu) best = {per_gpu, text(result, "ID")};
}

// Tokens/s per GPU in the steady state with as many sequences as the memory holds, at the best of the ways to split the
// model; everybody's share of the prompts is in it. 0: it does not fit.
double throughput(const LlmDeployment& on, const EngineProfile& profile, const Workload& workload) {
  const LlmEngineModel model = on.engine(profile);
  const LlmCost cost = on.cost(model);
  const double room = static_cast<double>(cost.kv_blocks) * model.block_size / (workload.prompt + workload.output);
  const double sequences = std::min<double>(room, model.max_num_seqs);
  if (sequences < 1) return 0;
  const double token = decode_seconds(cost, sequences, workload.prompt + workload.output / 2) +
                       sequences / workload.output * prefill_seconds(cost, workload.prompt);
  return sequences / token / model.gpus();
}

double best_throughput(LlmDeployment on, const EngineProfile& profile, const Workload& workload) {
  double best = 0;
  for (int32_t gpus = 1; gpus <= kMostGpus; gpus *= 2) {
    on.tensor_parallel = gpus;
    best = std::max(best, throughput(on, profile, workload));
  }
  return best;
}

}  // namespace

void compare_mlperf(const FidelityData& data, Scoreboard& board) {
  Results results;
  for (const std::string& file : files_of(data.scored + "/mlperf", ".json"))
    for (const Json& result : read_json(file, Json::value_t::array)) read_result(result, file, results);
  if (results.best.empty()) return;
  const LlmCatalogues catalogues;
  ScoreRow row;
  row.data = "mlperf, offline";
  row.metric = "tokens/s per GPU, above the best";
  row.unit = "tokens/s";
  row.split =
      "best result per model, GPU and type of weights; nothing fitted; a prediction below the best is no error, one at "
      "or "
      "above it is to be explained";
  row.verdict = ScoreRow::Verdict::Exact;
  row.aim = 0;
  row.skipped = results.skipped;
  for (const auto& [key, best] : results.best) {
    const auto& [name, gpu, weights] = key;
    const Workload& workload = *workload_of(name);
    const LlmModel* llm = find_llm(catalogues.llms, workload.model);
    if (!llm) {
      ++row.skipped["model not in the catalogue: " + name];
      continue;
    }
    const LlmDeployment on{with_weights(*llm, weights), catalogues.gpu(gpu)};
    double predicted = 0;
    for (const EngineProfile& engine : catalogues.engines)
      if (engine.kind == "llm") predicted = std::max(predicted, best_throughput(on, engine, workload));
    if (predicted == 0) {
      ++row.skipped["does not fit 8 GPUs"];
      continue;
    }
    row.points.push_back({fmt::format("{} {} {}, {} ({:.0f} predicted)", name, gpu, weights, best.id, predicted),
                          best.per_gpu, std::max(predicted, best.per_gpu), std::nullopt});
  }
  for (const ScoredPoint& p : row.points)
    if (p.predicted > p.measured)
      row.split += fmt::format("; above: {}, {:+.1f} %", p.label, 100 * (p.predicted / p.measured - 1));
  if (!row.points.empty()) board.rows.push_back(std::move(row));
}

}  // namespace kisim

#include "fidelity/ml_energy_runs.hpp"

#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "io/input.hpp"
#include "io/json_file.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kMostSequences = 256;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// Empty where there is none.
std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

// The benchmark's A100 and H100 have 80 GB; of others there is one.
const GpuModel* find_gpu(const std::vector<GpuModel>& gpus, const std::string& name) {
  auto named = [&](const std::string& start) {
    auto found = std::find_if(gpus.begin(), gpus.end(), [&](const GpuModel& g) { return g.name.starts_with(start); });
    return found == gpus.end() ? nullptr : &*found;
  };
  const GpuModel* gpu = named(lower(name) + "-80gb");
  return gpu ? gpu : named(lower(name) + "-");
}

// Σ min(prompt + i, most) over the first n tokens of an output; of a continuous i.
double context_seen(double n, double most) {
  const double before = std::clamp(most - kMlEnergyPrompt, 0.0, n);  // tokens until the window is full
  const double inside = before * (kMlEnergyPrompt + before / 2);
  return n > before ? inside + (n - before) * most : inside;
}

// Tokens of context of a sequence in flight, those within a window of `most` tokens, on average. The longer an output,
// the longer is it in flight.
double mean_context(const Json& configuration, const std::string& path, double most) {
  const Json& lengths = member(configuration, "output_length_distribution");
  const Json &bins = member(lengths, "bins"), &counts = member(lengths, "counts");
  if (!bins.is_array() || !counts.is_array() || bins.size() != counts.size() + 1)
    refuse(path, "output_length_distribution: allowed: bins, and counts between them");
  double tokens = 0, seen = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (!bins[i].is_number() || !bins[i + 1].is_number() || !counts[i].is_number())
      refuse(path, "output_length_distribution: allowed: numbers");
    const double n = (bins[i].get<double>() + bins[i + 1].get<double>()) / 2, count = counts[i].get<double>();
    tokens += count * n;
    seen += count * context_seen(n, most);
  }
  return tokens > 0 ? seen / tokens : 0;
}

// Why kisim does not predict such a model; empty: it does.
std::string unknown(const Json& document, const LlmModel* model) {
  const std::string architecture = text(document, "architecture"), precision = text(document, "weight_precision");
  if (architecture.find("Dense") == architecture.npos) return "not a dense transformer: " + architecture;
  if (precision != "bfloat16" && precision != "fp8") return "weights in " + precision;
  if (!model) return "no such model in the catalogue: " + text(document, "model_id");
  return "";
}

void add_run(const Json& c, const Json& document, const LlmModel& model, const std::vector<GpuModel>& gpus,
             const std::string& path, MlEnergyRuns& out) {
  const std::string gpu_name = text(c, "gpu_model");
  const GpuModel* gpu = find_gpu(gpus, gpu_name);
  if (!gpu) return void(++out.skipped["no such GPU in the catalogue: " + gpu_name]);
  const Json& parallel = member(c, "parallelization");
  if (number(c, "max_num_seqs", path) > kMostSequences) return void(++out.skipped["more than 256 sequences"]);
  if (number(parallel, "data_parallel", path) != 1) return void(++out.skipped["data parallel"]);
  MlEnergyRun run;
  run.gpu = *gpu;
  run.step.llm = model;
  if (text(document, "weight_precision") == "fp8") run.step.llm.bytes_per_parameter = 1;
  constexpr double kMostGpus = 1024;
  const double ranks = positive(parallel, "tensor_parallel", path);
  if (ranks < 1 || ranks > kMostGpus)
    refuse(path, fmt::format("tensor_parallel: found {}, allowed: 1 to {}", ranks, kMostGpus));
  run.step.tensor_parallel = static_cast<int32_t>(ranks);
  run.step.sequences = positive(c, "avg_batch_size", path);
  run.step.context = mean_context(c, path, HUGE_VAL);
  run.step.window_context = mean_context(c, path, model.window);
  run.step.seconds = positive(c, "median_itl_ms", path) * 1e-3;
  run.ends = run.step.sequences / positive(c, "avg_output_len", path);
  run.watts = positive(c, "avg_power_watts", path) / positive(c, "num_gpus", path);
  run.label = fmt::format("{}, {}, {} {}: {:g} sequences", text(document, "model_id"), text(document, "task"),
                          run.step.tensor_parallel, gpu_name, number(c, "max_num_seqs", path));
  out.runs.push_back(std::move(run));
}

}  // namespace

bool MlEnergyRun::host_bound() const {
  constexpr double kSmallModel = 10e9;
  return gpu.name == "b200-180gb" && step.llm.parameters < kSmallModel;
}

GpuLoad MlEnergyRun::load(double decode_seconds, double prefill_mfu) const {
  const StepTerms t = step_terms(step.llm, gpu, step.tensor_parallel);
  const double prompts = ends * kMlEnergyPrompt;
  const double seconds = decode_seconds + prompts * t.token / prefill_mfu;
  const double kv = t.kv_token * step.context + t.window_token * step.window_context;
  const double read = t.weights + step.sequences * kv;
  const double computed = t.token * (step.sequences + prompts) + t.attention * step.sequences * step.context;
  return GpuLoad::of(read / seconds, computed / seconds, 1, step.tensor_parallel > 1 ? 1 : 0);
}

MlEnergyRuns read_ml_energy(const std::string& directory) {
  const std::vector<GpuModel> gpus = read_gpu_catalogue();
  const std::vector<LlmModel> models = read_llm_catalogue();
  MlEnergyRuns out;
  for (const std::string& file : files_of(directory + "/ml-energy/models", ".json")) {
    const Json document = read_json(file);
    const Json& configurations = member(document, "configurations");
    if (!configurations.is_array()) refuse(file, "configurations: allowed: a list");
    const LlmModel* model = find_llm(models, text(document, "model_id"));
    if (const std::string why = unknown(document, model); !why.empty()) {
      out.skipped[why] += configurations.size();
      continue;
    }
    for (const Json& c : configurations) add_run(c, document, *model, gpus, file, out);
  }
  return out;
}

std::vector<MlEnergyRun> runs_to_fit(const std::vector<MlEnergyRun>& runs, const std::string& gpu,
                                     const std::string& without_model) {
  std::vector<MlEnergyRun> out;
  for (const MlEnergyRun& run : runs)
    if (run.gpu.name == gpu && !run.host_bound() && run.step.llm.name != without_model) out.push_back(run);
  return out;
}

}  // namespace kisim

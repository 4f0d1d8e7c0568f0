#include "serving/step_cost.hpp"

#include "core/error.hpp"
#include "serving/collectives.hpp"
#include "serving/operator_tables.hpp"

#include <cmath>

namespace kisim {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kHiddenOfLayer = 4096;  // of a layer that counts as one

int64_t ps(double seconds) { return static_cast<int64_t>(std::nearbyint(seconds * 1e12)); }

}  // namespace

double LlmEngineModel::fixed_bytes(int32_t gpus) const {
  return llm.weight_bytes() + profile.activation_gib * kGiB + profile.non_torch_gib * kGiB * gpus;
}

StepTerms step_terms(const LlmModel& llm, const GpuModel& gpu, int32_t tensor_parallel) {
  const double n = tensor_parallel;
  const double bandwidth = gpu.bandwidth_gbs * 1e9;
  const bool fp8 = llm.bytes_per_parameter <= 1 && gpu.fp8_tflops > 0;
  const double flops = (fp8 ? gpu.fp8_tflops : gpu.fp16_tflops) * 1e12 * n;
  const int32_t kv_shards = std::min(tensor_parallel, std::max(1, llm.kv_heads));  // a head is not cut
  StepTerms t;
  t.layers = llm.layers * llm.hidden / kHiddenOfLayer;
  t.weights = (llm.layer_parameters() * llm.bytes_per_parameter + llm.embedding_bytes()) / (bandwidth * n);
  t.kv_token = llm.kv_bytes_of(llm.layers - llm.sliding_window_layers) / (bandwidth * kv_shards);
  t.window_token = llm.kv_bytes_of(llm.sliding_window_layers) / (bandwidth * kv_shards);
  t.token = 2 * llm.layer_parameters() / flops;
  t.attention = 4.0 * llm.layers * llm.heads * llm.head_dim / (gpu.fp16_tflops * 1e12 * n);
  t.vocabulary = llm.vocabulary * 1e-3;
  constexpr double kActivationBytes = 2;
  const double reduces = 2.0 * llm.layers;
  t.all_reduce = reduces * all_reduce_seconds(gpu, tensor_parallel, 0);
  t.all_reduce_token = reduces * all_reduce_seconds(gpu, tensor_parallel, llm.hidden * kActivationBytes) - t.all_reduce;
  return t;
}

const StepCoefficients& step_coefficients(const EngineProfile& engine, const GpuModel& gpu) {
  KISIM_INVARIANT(!engine.steps.empty(), "engine {} has no coefficients", engine.name);
  auto distance = [&](const StepCoefficients& c) {
    return c.gpu == gpu.name ? -1 : std::abs(std::log(c.bandwidth_gbs / gpu.bandwidth_gbs));
  };
  return *std::min_element(engine.steps.begin(), engine.steps.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator) {
  const EngineProfile& engine = model.profile;
  const StepCoefficients& c = step_coefficients(engine, gpu);
  const StepTerms t = step_terms(model.llm, gpu, model.tensor_parallel);
  const double bandwidth = accelerator.bandwidth_share, compute = accelerator.compute_share;
  LlmCost cost;
  const double step = c.step_ms * 1e-3 + c.layer_us * 1e-6 * t.layers + c.weight_factor * t.weights / bandwidth +
                      c.all_reduce_factor * t.all_reduce;
  const double sent = c.all_reduce_factor * t.all_reduce_token;
  const double sequence = c.sampling_us * 1e-6 * t.vocabulary;
  const double decode = c.compute_factor * t.token / compute + sent;
  const double kv_token = c.kv_factor * t.kv_token / bandwidth, window_token = c.kv_factor * t.window_token / bandwidth;
  const double prefill_token = t.token / (compute * engine.prefill_mfu) + sent;
  cost.step_ps = ps(step);
  cost.per_sequence_ps = ps(sequence);
  cost.per_decode_ps = ps(decode);
  cost.per_kv_token_ps = ps(kv_token);
  cost.per_window_token_ps = ps(window_token);
  cost.per_prefill_token_ps = ps(prefill_token);
  cost.per_attention_ps = t.attention / (compute * engine.prefill_mfu) * 1e12;
  cost.window = model.llm.sliding_window;

  double room = static_cast<double>(accelerator.memory_bytes) * model.memory_utilization -
                model.fixed_bytes(model.tensor_parallel);
  cost.kv_blocks = static_cast<int64_t>(std::floor(room / model.block_bytes()));

  const double seen = std::min<double>(LlmCost::kNominalContext, cost.window);
  const double per_sequence = sequence + decode + kv_token * LlmCost::kNominalContext + window_token * seen;
  cost.linear = model.linear.value_or(LinearLaw{step, per_sequence, step, prefill_token});

  cost.ideal = t;
  bool whole = accelerator.compute_share == 1 && accelerator.bandwidth_share == 1;
  if (model.tables && model.tables->gpu == gpu.name && whole) cost.tables = model.tables;
  cost.compute_share = compute;
  cost.bandwidth_share = bandwidth;
  cost.prefill_mfu = engine.prefill_mfu;
  if (cost.tables || model.linear) return cost;
  cost.estimated = c.gpu != gpu.name;
  cost.max_sequences = c.max_sequences;
  cost.max_context = c.max_context;
  return cost;
}

StepLine LlmCost::line(const StepWork& work) const {
  if (tables) return tables->line(work);
  StepLine line;
  const int64_t near = within_window(work.decode_context, work.decoding);
  line.first_ps = step_ps + per_sequence_ps * (work.decoding + work.prefilling()) + per_decode_ps * work.decoding +
                  per_kv_token_ps * (work.decode_context + work.prefill_context) +
                  per_window_token_ps * (near + within_window(work.prefill_context, work.prefilling())) +
                  per_prefill_token_ps * work.prefill_tokens +
                  static_cast<int64_t>(std::nearbyint(per_attention_ps * work.prefill_pairs));
  line.growth_ps = per_kv_token_ps * work.decoding;
  if (window == 0 || near < work.decode_context || work.decoding == 0) return line;
  line.growth_ps += per_window_token_ps * work.decoding;
  line.iterations = window - (work.decode_context + work.decoding - 1) / work.decoding + 1;
  return line;
}

}  // namespace kisim

#include "serving/step_cost.hpp"

#include "cluster/topology.hpp"
#include "core/error.hpp"
#include "serving/collectives.hpp"
#include "serving/operator_tables.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kHiddenOfLayer = 4096;  // of a layer that counts as one

int64_t ps(double seconds) { return static_cast<int64_t>(std::nearbyint(seconds * 1e12)); }

// FLOP/s that a prefill reaches with weights of so many bytes each: computed in the narrowest type that holds them and
// that the GPU and the engine know.
double prefill_flops(const GpuModel& gpu, const EngineProfile& engine, double bytes_per_parameter) {
  if (bytes_per_parameter <= 0.625 && gpu.fp4_tflops > 0 && engine.prefill_mfu_fp4 > 0)
    return engine.prefill_mfu_fp4 * gpu.fp4_tflops * 1e12;
  if (bytes_per_parameter <= 1 && gpu.fp8_tflops > 0 && engine.prefill_mfu_fp8 > 0)
    return engine.prefill_mfu_fp8 * gpu.fp8_tflops * 1e12;
  return engine.prefill_mfu * gpu.fp16_tflops * 1e12;
}

// With weights of so many bytes each, as above.
double peak_flops(const GpuModel& gpu, double bytes_per_parameter) {
  if (bytes_per_parameter <= 0.625 && gpu.fp4_tflops > 0) return gpu.fp4_tflops * 1e12;
  if (bytes_per_parameter <= 1 && gpu.fp8_tflops > 0) return gpu.fp8_tflops * 1e12;
  return gpu.fp16_tflops * 1e12;
}

}  // namespace

// The largest iteration at once: 16-bit inputs and outputs of a layer and its MLP (gate, up and their product; of the
// experts as often as a token asks for them), and for each sequence the logits in 16 and twice in 32 bits.
double LlmEngineModel::activation_bytes() const {
  const double mlp = std::max(llm.intermediate, llm.experts.per_token * llm.experts.intermediate);
  return 2.0 * max_num_batched_tokens * (2.0 * llm.hidden + 3 * mlp / tensor_parallel) +
         10.0 * max_num_seqs * llm.vocabulary;
}

// NCCL's buffers: aiconfigurator, systems/h100_sxm.yaml.
double LlmEngineModel::fixed_bytes(int32_t gpus) const {
  constexpr double kCollectives = 400e6;
  const double each = activation_bytes() + profile.reserved_gib * kGiB + (gpus > 1 ? kCollectives : 0);
  return llm.dense_bytes() * data_parallel + llm.expert_bytes() + each * gpus;
}

StepTerms step_terms(const LlmModel& llm, const GpuModel& gpu, int32_t tensor_parallel, int32_t data_parallel) {
  const double n = tensor_parallel * data_parallel;
  const double bandwidth = gpu.bandwidth_gbs * 1e9 * n, copies = llm.kv_copies(tensor_parallel);
  StepTerms t;
  t.layers = llm.layers * llm.hidden / kHiddenOfLayer;
  t.weights = (llm.layer_parameters() * llm.bytes_per_parameter + llm.embedding_bytes()) * data_parallel / bandwidth;
  t.experts = llm.expert_bytes() / bandwidth;
  t.kv_token = llm.kv_bytes_per_token() * copies / bandwidth;
  t.window_token = llm.window_bytes_per_token() * copies / bandwidth;
  t.state = 2 * llm.state_bytes * copies / bandwidth;
  t.token = (2 * llm.layer_parameters() / peak_flops(gpu, llm.bytes_per_parameter) +
             2 * llm.active_expert_parameters() / peak_flops(gpu, llm.experts.bytes_per_parameter)) /
            n;
  t.attention = llm.attention_flops() / (gpu.fp16_tflops * 1e12 * n);
  t.vocabulary = llm.vocabulary * 1e-3;
  constexpr double kActivationBytes = 2;
  const double reduces = 2.0 * llm.layers;
  t.all_reduce = reduces * all_reduce_seconds(gpu, tensor_parallel, 0);
  t.all_reduce_token =
      (reduces * all_reduce_seconds(gpu, tensor_parallel, llm.hidden * kActivationBytes) - t.all_reduce) /
      data_parallel;
  return t;
}

const StepCoefficients& step_coefficients(const EngineProfile& engine, const GpuModel& gpu) {
  KISIM_INVARIANT(!engine.steps.empty(), "engine {} has no coefficients", engine.name);
  // As a ratio: logarithms differ between libraries.
  auto distance = [&](const StepCoefficients& c) {
    if (c.gpu == gpu.name) return 0.0;
    return std::max(c.bandwidth_gbs / gpu.bandwidth_gbs, gpu.bandwidth_gbs / c.bandwidth_gbs);
  };
  return *std::min_element(engine.steps.begin(), engine.steps.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator) {
  const EngineProfile& engine = model.profile;
  const LlmModel& llm = model.llm;
  const int32_t gpus = model.gpus();
  const StepCoefficients& c = step_coefficients(engine, gpu);
  const StepTerms t = step_terms(llm, gpu, model.tensor_parallel, model.data_parallel);
  const double bandwidth = accelerator.bandwidth_share, compute = accelerator.compute_share;
  const double factor = engine.step_factor;
  LlmCost cost;
  const double step =
      factor * (c.step_ms * 1e-3 + c.layer_us * 1e-6 * t.layers + c.weight_factor * t.weights / bandwidth +
                c.all_reduce_factor * t.all_reduce + engine.moe_layer_ms * 1e-3 * llm.experts.layers);
  const double experts = factor * engine.expert_factor * t.experts / bandwidth;
  const double sent = c.all_reduce_factor * t.all_reduce_token;
  const double sequence = factor * c.sampling_us * 1e-6 * t.vocabulary / model.data_parallel;
  // Experts get few tokens each, even of a large batch, and compute them as those of a prompt.
  const double dense_token = 2 * llm.layer_parameters() / (peak_flops(gpu, llm.bytes_per_parameter) * gpus);
  const double expert_token = 2 * llm.active_expert_parameters() /
                              (compute * gpus * prefill_flops(gpu, engine, llm.experts.bytes_per_parameter));
  const double decode =
      factor * (c.compute_factor * dense_token / compute + expert_token + c.kv_factor * t.state / bandwidth + sent);
  const double kv_factor = factor * c.kv_factor;
  const double kv_token = kv_factor * t.kv_token / bandwidth, window_token = kv_factor * t.window_token / bandwidth;
  const double computed_token =
      c.prefill_factor *
      (2 * llm.layer_parameters() / (compute * gpus * prefill_flops(gpu, engine, llm.bytes_per_parameter)) +
       expert_token);
  const double prefill_token = computed_token + sent;
  cost.step_ps = ps(step);
  cost.experts_ps = ps(experts);
  cost.experts = llm.experts;
  cost.per_sequence_ps = ps(sequence);
  cost.per_decode_ps = ps(decode);
  cost.per_kv_token_ps = ps(kv_token);
  cost.per_window_token_ps = ps(window_token);
  cost.per_prefill_token_ps = ps(prefill_token);
  cost.per_attention_ps = c.prefill_factor * t.attention / (compute * engine.prefill_mfu) * 1e12;
  cost.window = llm.window;

  double room = static_cast<double>(accelerator.memory_bytes) * model.memory_utilization - model.fixed_bytes(gpus);
  cost.kv_blocks = static_cast<int64_t>(std::floor(room / model.block_bytes()));

  cost.host_bytes_per_s = pcie_gbs(gpu.pcie_gen) * 1e9 * gpus;

  const double seen = std::min<double>(LlmCost::kNominalContext, static_cast<double>(cost.window));
  // A prompt of some length reads about all experts, a small batch about none beyond those of its sequences.
  const double per_sequence = sequence + decode + kv_token * LlmCost::kNominalContext + window_token * seen +
                              experts * llm.experts.share_read(1);
  cost.linear = model.linear.value_or(LinearLaw{step, per_sequence, step + experts, prefill_token});

  cost.ideal = t;
  bool whole = accelerator.compute_share == 1 && accelerator.bandwidth_share == 1;
  if (model.tables && model.tables->gpu == gpu.name && whole) cost.tables = model.tables;
  cost.compute_share = compute;
  cost.bandwidth_share = bandwidth;
  cost.prefill_mfu = t.token > 0 ? t.token / (compute * computed_token) : engine.prefill_mfu;
  if (cost.tables || model.linear) return cost;
  cost.estimated = c.gpu != gpu.name;
  cost.beyond_tensor_parallel = c.max_tensor_parallel > 0 && model.tensor_parallel > c.max_tensor_parallel;
  cost.max_sequences = c.max_sequences;
  cost.max_context = c.max_context;
  return cost;
}

StepLine LlmCost::line(const StepWork& work) const {
  if (tables) return tables->line(work);
  StepLine line;
  const int64_t near = within_window(work.decode_context, work.decoding);
  line.first_ps = step_ps + static_cast<int64_t>(std::nearbyint(static_cast<double>(experts_ps) * experts_read(work))) +
                  per_sequence_ps * (work.decoding + work.prefilling()) + per_decode_ps * work.decoding +
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

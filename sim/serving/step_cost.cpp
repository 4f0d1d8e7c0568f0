#include "serving/step_cost.hpp"

#include "cluster/topology.hpp"
#include "serving/operator_tables.hpp"

#include <cmath>

namespace kisim {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

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

}  // namespace

double LlmEngineModel::fixed_bytes(int32_t gpus) const {
  return llm.dense_bytes() * data_parallel + llm.expert_bytes() + profile.activation_gib * kGiB +
         profile.non_torch_gib * kGiB * gpus;
}

LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator) {
  const LlmModel& llm = model.llm;
  const EngineProfile& engine = model.profile;
  const int32_t gpus = model.gpus();
  double peak_bandwidth = gpu.bandwidth_gbs * 1e9 * gpus;
  double peak_flops = gpu.fp16_tflops * 1e12 * gpus;
  double bandwidth = peak_bandwidth * accelerator.bandwidth_share;
  double compute = accelerator.compute_share * gpus;
  double kv_token = llm.kv_bytes_per_token() * llm.kv_copies(model.tensor_parallel);
  double sequence = llm.fixed_bytes_read_per_sequence() * llm.kv_copies(model.tensor_parallel);
  double dense = llm.dense_bytes() * model.data_parallel;
  double prefill_token =
      2 * (llm.active_parameters() - llm.active_expert_parameters()) /
          (compute * prefill_flops(gpu, engine, llm.bytes_per_parameter)) +
      2 * llm.active_expert_parameters() / (compute * prefill_flops(gpu, engine, llm.experts.bytes_per_parameter));
  LlmCost cost;
  double step = engine.step_ms * 1e-3 + engine.weight_factor * dense / bandwidth +
                engine.moe_layer_ms * 1e-3 * llm.experts.layers;
  if (model.tensor_parallel > 1) step += engine.tp_layer_ms * 1e-3 * llm.layers;
  double experts = engine.expert_factor * llm.expert_bytes() / bandwidth;
  double per_sequence = engine.per_sequence_ms * 1e-3 / model.data_parallel + engine.kv_factor * sequence / bandwidth;
  cost.step_ps = ps(step);
  cost.experts_ps = ps(experts);
  cost.experts = llm.experts;
  cost.per_sequence_ps = ps(per_sequence);
  cost.per_kv_token_ps = ps(engine.kv_factor * kv_token / bandwidth);
  cost.per_prefill_token_ps = ps(prefill_token);
  cost.per_attention_ps = llm.attention_flops() / (compute * gpu.fp16_tflops * 1e12 * engine.prefill_mfu) * 1e12;

  double room = static_cast<double>(accelerator.memory_bytes) * model.memory_utilization - model.fixed_bytes(gpus);
  cost.kv_blocks = static_cast<int64_t>(std::floor(room / model.block_bytes()));

  cost.host_bytes_per_s = pcie_gbs(gpu.pcie_gen) * 1e9 * gpus;

  double decoding = per_sequence + engine.kv_factor * kv_token / bandwidth * LlmCost::kNominalContext;
  // A prompt of some length reads about all experts, a small batch about none beyond those of its sequences.
  double read_per_sequence = experts * llm.experts.share_read(1);
  cost.linear = model.linear.value_or(LinearLaw{step, decoding + read_per_sequence, step + experts, prefill_token});

  cost.ideal = {dense / peak_bandwidth, kv_token / peak_bandwidth, 2 * llm.active_parameters() / peak_flops,
                llm.attention_flops() / peak_flops, llm.expert_bytes() / peak_bandwidth};
  bool whole = accelerator.compute_share == 1 && accelerator.bandwidth_share == 1;
  if (model.tables && model.tables->gpu == gpu.name && whole) cost.tables = model.tables;
  cost.compute_share = accelerator.compute_share;
  cost.bandwidth_share = accelerator.bandwidth_share;
  cost.prefill_mfu = engine.prefill_mfu;
  return cost;
}

StepLine LlmCost::line(const StepWork& work) const {
  if (tables) return tables->line(work);
  StepLine line;
  line.first_ps = step_ps + static_cast<int64_t>(std::nearbyint(static_cast<double>(experts_ps) * experts_read(work))) +
                  per_sequence_ps * (work.decoding + work.prefilling()) +
                  per_kv_token_ps * (work.decode_context + work.prefill_context) +
                  per_prefill_token_ps * work.prefill_tokens +
                  static_cast<int64_t>(std::nearbyint(per_attention_ps * work.prefill_pairs));
  line.growth_ps = per_kv_token_ps * work.decoding;
  return line;
}

}  // namespace kisim

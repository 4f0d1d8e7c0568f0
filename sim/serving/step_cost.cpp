#include "serving/step_cost.hpp"

#include "cluster/topology.hpp"
#include "serving/operator_tables.hpp"

#include <cmath>

namespace kisim {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

int64_t ps(double seconds) { return static_cast<int64_t>(std::nearbyint(seconds * 1e12)); }

}  // namespace

double LlmEngineModel::fixed_bytes(int32_t gpus) const {
  return llm.weight_bytes() + profile.activation_gib * kGiB + profile.non_torch_gib * kGiB * gpus;
}

LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator) {
  const LlmModel& llm = model.llm;
  const EngineProfile& engine = model.profile;
  double peak_bandwidth = gpu.bandwidth_gbs * 1e9 * model.tensor_parallel;
  double peak_flops = gpu.fp16_tflops * 1e12 * model.tensor_parallel;
  double bandwidth = peak_bandwidth * accelerator.bandwidth_share;
  double flops = peak_flops * accelerator.compute_share * engine.prefill_mfu;
  double kv_token = llm.kv_bytes_per_token();
  double attention_flop = 4.0 * llm.layers * llm.heads * llm.head_dim;
  LlmCost cost;
  double step = engine.step_ms * 1e-3 + engine.weight_factor * llm.weight_bytes() / bandwidth;
  if (model.tensor_parallel > 1) step += engine.tp_layer_ms * 1e-3 * llm.layers;
  cost.step_ps = ps(step);
  cost.per_sequence_ps = ps(engine.per_sequence_ms * 1e-3);
  cost.per_kv_token_ps = ps(engine.kv_factor * kv_token / bandwidth);
  cost.per_prefill_token_ps = ps(2 * llm.parameters / flops);
  cost.per_attention_ps = attention_flop / flops * 1e12;

  double room = static_cast<double>(accelerator.memory_bytes) * model.memory_utilization -
                model.fixed_bytes(model.tensor_parallel);
  cost.kv_blocks = static_cast<int64_t>(std::floor(room / model.block_bytes()));

  cost.host_bytes_per_s = pcie_gbs(gpu.pcie_gen) * 1e9 * model.tensor_parallel;

  double per_sequence =
      engine.per_sequence_ms * 1e-3 + engine.kv_factor * kv_token / bandwidth * LlmCost::kNominalContext;
  cost.linear = model.linear.value_or(LinearLaw{step, per_sequence, step, 2 * llm.parameters / flops});

  cost.ideal = {llm.weight_bytes() / peak_bandwidth, kv_token / peak_bandwidth, 2 * llm.parameters / peak_flops,
                attention_flop / peak_flops};
  cost.tables = model.tables;
  cost.compute_share = accelerator.compute_share;
  cost.bandwidth_share = accelerator.bandwidth_share;
  cost.prefill_mfu = engine.prefill_mfu;
  return cost;
}

StepLine LlmCost::line(const StepWork& work) const {
  if (tables) return tables->line(work);
  StepLine line;
  line.first_ps = step_ps + per_sequence_ps * (work.decoding + work.prefilling()) +
                  per_kv_token_ps * (work.decode_context + work.prefill_context) +
                  per_prefill_token_ps * work.prefill_tokens +
                  static_cast<int64_t>(std::nearbyint(per_attention_ps * work.prefill_pairs));
  line.growth_ps = per_kv_token_ps * work.decoding;
  return line;
}

}  // namespace kisim

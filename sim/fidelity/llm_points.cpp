#include "fidelity/llm_points.hpp"

#include "io/input.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

LlmCatalogues::LlmCatalogues()
    : gpus(read_gpu_catalogue()), llms(read_llm_catalogue()), engines(read_engine_catalogue()) {}

const GpuModel* LlmCatalogues::gpu(std::string_view name) const {
  auto found = std::find_if(gpus.begin(), gpus.end(), [&](const GpuModel& gpu) { return gpu.name == name; });
  return found == gpus.end() ? nullptr : &*found;
}

const EngineProfile* LlmCatalogues::engine(std::string_view begins) const {
  auto found = std::find_if(engines.begin(), engines.end(),
                            [&](const EngineProfile& engine) { return engine.name.starts_with(begins); });
  return found == engines.end() ? nullptr : &*found;
}

LlmModel with_weights(LlmModel model, const std::string& type) {
  constexpr double kFourBits = 0.5625;  // one byte of scale for 16 elements (NVFP4)
  if (type == "bf16" || type == "fp16") {
    model.bytes_per_parameter = model.experts.bytes_per_parameter = 2;
  } else if (type == "fp8" || type == "fp8_block") {
    model.bytes_per_parameter = model.experts.bytes_per_parameter = 1;
  } else if (type == "nvfp4" || type == "fp4" || type == "mxfp4") {
    model.bytes_per_parameter = model.experts.count > 0 ? 1 : kFourBits;
    model.experts.bytes_per_parameter = kFourBits;
  }
  return model;
}

LlmEngineModel LlmDeployment::engine(const EngineProfile& profile) const {
  LlmEngineModel model;
  model.llm = llm;
  model.profile = profile;
  model.max_num_seqs = profile.max_num_seqs;
  model.max_num_batched_tokens = profile.max_num_batched_tokens;
  model.block_size = profile.block_size;
  model.async_scheduling = profile.async_scheduling;
  model.scheduler_reserve_full_isl = profile.scheduler_reserve_full_isl;
  model.tensor_parallel = tensor_parallel;
  model.data_parallel = data_parallel;
  return model;
}

LlmCost LlmDeployment::cost(const LlmEngineModel& model) const {
  Accelerator whole;
  whole.gpus = static_cast<uint32_t>(model.gpus());
  whole.memory_bytes = gpu->memory_bytes * model.gpus();
  return llm_cost(model, *gpu, whole);
}

double decode_seconds(const LlmCost& cost, double sequences, double context) {
  StepWork work;
  work.decoding = std::llround(sequences);
  work.decode_context = std::llround(sequences * context);
  return static_cast<double>(cost.line(work).first_ps) * 1e-12;
}

double roofline_decode_seconds(const LlmCost& cost, double sequences, double context) {
  const StepTerms& ideal = cost.ideal;
  const double read = ideal.weights + ideal.experts * cost.experts.share_read(sequences);
  const double near = std::min(context, static_cast<double>(cost.window));
  const double kv = sequences * (ideal.kv_token * context + ideal.window_token * near + ideal.state);
  return std::max(read + kv, sequences * (ideal.token + ideal.attention * context));
}

double prefill_seconds(const LlmCost& cost, double tokens) {
  const double pairs = tokens * tokens / 2;
  return (static_cast<double>(cost.per_prefill_token_ps) * tokens + cost.per_attention_ps * pairs) * 1e-12;
}

}  // namespace kisim

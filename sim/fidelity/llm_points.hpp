#pragma once
// What benchmarks of LLM engines have in common: an engine of the catalogue with a model on so many GPUs, and what
// kisim and a roofline say of it.

#include "serving/llm_closed_loop.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

struct LlmCatalogues {
  LlmCatalogues();
  const GpuModel* gpu(std::string_view name) const;
  const EngineProfile* engine(std::string_view begins) const;  // the first whose name begins so

  std::vector<GpuModel> gpus;
  std::vector<LlmModel> llms;
  std::vector<EngineProfile> engines;
};

// With weights of a type as benchmarks name it (bf16, fp16, fp8, fp8_block, nvfp4, fp4, mxfp4); unknown: as published.
// Of 4-bit checkpoints of models with experts only the experts have 4 bits, and 0.5 of scales.
LlmModel with_weights(LlmModel model, const std::string& type);

struct LlmDeployment {
  LlmModel llm;
  const GpuModel* gpu = nullptr;
  int32_t tensor_parallel = 1, data_parallel = 1;

  LlmEngineModel engine(const EngineProfile& profile) const;
  LlmCost cost(const LlmEngineModel& model) const;
};

// A batch of so many sequences of some mean context, that decodes only; seconds. And the same at the peaks.
double decode_seconds(const LlmCost& cost, double sequences, double context);
double roofline_decode_seconds(const LlmCost& cost, double sequences, double context);
// A prompt, beside what the iteration takes without it.
double prefill_seconds(const LlmCost& cost, double tokens);

}  // namespace kisim

#pragma once
// Reads operator profiles as LLMServingSim's profiler of vLLM writes them: a directory per model and data type with
//   meta.yaml                        attention_grid, skew_fit
//   tp<n>/dense.csv                  layer,tokens,time_us          operators that see every token
//   tp<n>/per_sequence.csv           layer,sequences,time_us       LM head and sampler
//   tp<n>/attention.csv              prefill_chunk,kv_prefill,n_decode,kv_decode,time_us
//   tp<n>/moe.csv                    tokens,activated_experts,time_us   mixture of experts only; without it that of
//   tp1,
//                                                                       of which every rank has its share of experts
//   tp<n>/skew_fit.csv               pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha
// each CSV plain or with .gz. Times are of one layer; embedding, final norm, LM head and sampler are there once.

#include "cluster/gpu.hpp"
#include "serving/operator_tables.hpp"

#include <memory>
#include <string>
#include <vector>

namespace kisim {

// The profile's GPU must be in the catalogue: all-reduces follow from its links. Throws InputError with file:line where
// a file is not what its place says, the attention grid has holes, the profile is of another model or this degree of
// tensor parallelism was not profiled, IoError.
std::shared_ptr<const OperatorTables> read_operator_profile(const std::string& directory, int32_t tensor_parallel,
                                                            const LlmModel& llm, const std::vector<GpuModel>& gpus);

}  // namespace kisim

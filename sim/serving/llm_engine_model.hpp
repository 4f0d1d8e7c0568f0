#pragma once
// How the replicas of a language model serve it: the engine's settings, and what follows from them and the model's
// architecture before it is known on which GPUs they run.

#include "serving/catalog.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

namespace kisim {

// ITL = base + per_sequence·batch; a prompt takes prefill_base + prefill_per_token·tokens. Seconds.
struct LinearLaw {
  double base = 0, per_sequence = 0, prefill_base = 0, prefill_per_token = 0;
};

struct OperatorTables;

struct LlmEngineModel {
  enum class Detail : uint8_t { Iteration, Linear } detail = Detail::Iteration;
  int32_t max_num_seqs = 256, max_num_batched_tokens = 8192, block_size = 16;
  // vLLM's settings of the same names. async_scheduling: an iteration is put together while the one before it still
  // runs, so that who comes meanwhile is in the one after it. scheduler_reserve_full_isl: a prompt is admitted when all
  // its blocks are free, not only those of its first chunk. long_prefill_token_threshold: no chunk is longer; 0: none.
  bool async_scheduling = false, scheduler_reserve_full_isl = false;
  int32_t long_prefill_token_threshold = 0;
  int32_t max_model_len = 0;  // tokens of a prompt and its answer together, at most; 0: no limit
  bool jump = true;           // off: every iteration is an event; only to show that jumps change nothing

  // What it serves, and how; from this and its GPUs come its costs.
  LlmModel llm;
  EngineProfile profile;
  double memory_utilization = 0.9;
  int32_t tensor_parallel = 1;
  std::optional<LinearLaw> linear;               // measured, instead of the one that follows
  std::shared_ptr<const OperatorTables> tables;  // profiled, instead of the physics

  // Bytes that a replica on so many GPUs must have before the first token of KV: weights, activations, what else the
  // engine reserves.
  double fixed_bytes(int32_t gpus) const;
  // Blocks without which it does not start: one sequence must fit.
  int64_t least_blocks() const { return std::max(1, (max_model_len + block_size - 1) / block_size); }
  double block_bytes() const { return llm.kv_bytes_per_token() * block_size; }
};

}  // namespace kisim

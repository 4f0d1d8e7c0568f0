#pragma once
// How the replicas of a language model serve it: the engine's settings, and what follows from them and the model's
// architecture before it is known on which GPUs they run.

#include "core/time.hpp"
#include "serving/catalog.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// ITL = base + per_sequence·batch; a prompt takes prefill_base + prefill_per_token·tokens. Seconds.
struct LinearLaw {
  double base = 0, per_sequence = 0, prefill_base = 0, prefill_per_token = 0;
};

// Memory behind the KV cache of a replica, as vLLM's KV offloading and LMCache use it: it is given a copy of every full
// block, forgets those longest not asked for, and what it has of a prompt beyond the cache is read back before the
// request is scheduled. Writing to it disturbs nobody.
struct KvTierModel {
  std::string name;
  int64_t bytes = 0;
  double bytes_per_s = 0;  // read; one request after the other
  Duration latency;        // of each read
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
  bool prefix_caching = true;
  std::vector<KvTierModel> kv_offload;  // the first is asked first
  int32_t max_model_len = 0;            // tokens of a prompt and its answer together, at most; 0: no limit
  bool jump = true;                     // off: every iteration is an event; only to show that jumps change nothing

  // What it serves, and how; from this and its GPUs come its costs.
  LlmModel llm;
  EngineProfile profile;
  double memory_utilization = 0.9;
  int32_t tensor_parallel = 1;
  // Attention and what else is dense is there as often; each copy, split over tensor_parallel GPUs, serves its share of
  // the sequences, and the experts are split over all GPUs (vLLM's data_parallel_size).
  int32_t data_parallel = 1;
  std::optional<LinearLaw> linear;               // measured, instead of the one that follows
  std::shared_ptr<const OperatorTables> tables;  // profiled, instead of the physics

  int32_t gpus() const { return tensor_parallel * data_parallel; }
  // Bytes that a replica on so many GPUs must have before the first token of KV: weights, activations, what else the
  // engine reserves.
  double fixed_bytes(int32_t gpus) const;
  double activation_bytes() const;  // on each GPU
  // Blocks without which it does not start: one sequence must fit.
  int64_t least_blocks() const { return std::max(1, (max_model_len + block_size - 1) / block_size); }
  // Of all layers with attention: memory is kept for what is beyond a window, too.
  double block_bytes() const {
    return (llm.kv_bytes_per_token() + llm.window_bytes_per_token()) * llm.kv_copies(tensor_parallel) * block_size;
  }
};

}  // namespace kisim

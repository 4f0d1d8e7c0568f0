#pragma once
// Language models and serving engines as data: sim/serving/catalog/{models,engines}.yaml, with a source per entry.

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// Architecture numbers of a dense decoder, from its public configuration.
struct LlmModel {
  std::string name;       // "llama-3.1-8b"
  double parameters = 0;  // count
  int32_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double bytes_per_parameter = 2;
  double kv_bytes_per_element = 2;

  double weight_bytes() const { return parameters * bytes_per_parameter; }
  // Key and value of every layer, for one token.
  double kv_bytes_per_token() const { return 2.0 * layers * kv_heads * head_dim * kv_bytes_per_element; }
};

// How an engine turns ideal times into measured ones; llm_engine.hpp has the formula.
struct EngineProfile {
  std::string name;                // "vllm-0.19"
  std::string kind = "llm";        // "llm" or "batch"
  double step_ms = 0;              // per iteration
  double weight_factor = 1;        // × weight bytes / bandwidth
  double kv_factor = 1;            // × KV bytes read / bandwidth
  double per_sequence_ms = 0;      // per sequence in the batch
  double tp_layer_ms = 0;          // per layer and iteration, when tensorParallel > 1
  double prefill_mfu = 1;          // share of peak FLOP/s that prefill reaches
  double request_overhead_ms = 0;  // API and tokeniser, before the queue
  double activation_gib = 0;       // reserved beside weights and KV cache
  double non_torch_gib = 0;
  // Of a cold start, where a scenario asks for the engine's own; 0: not published.
  double compile_seconds = 0, graph_capture_seconds = 0, warmup_seconds = 0;
  int32_t block_size = 16;  // tokens per KV block
  int32_t max_num_seqs = 256;
  int32_t max_num_batched_tokens = 8192;
  // Its defaults of settings that LlmEngineModel explains.
  bool async_scheduling = false, scheduler_reserve_full_isl = false;
  std::string source;
};

}  // namespace kisim

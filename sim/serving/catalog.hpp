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
  int32_t vocabulary = 0;
  bool tied_embeddings = false;  // one matrix embeds tokens and gives the logits
  // Sliding window attention: so many layers see no further back than so many tokens; 0: every layer sees everything.
  int32_t sliding_window = 0, sliding_window_layers = 0;
  double bytes_per_parameter = 2;
  double kv_bytes_per_element = 2;

  // Of one of the two matrices beside the layers, which stay in 16 bit where the layers have 8.
  double embedding_parameters() const { return static_cast<double>(vocabulary) * hidden; }
  double embedding_bytes() const { return 2 * embedding_parameters(); }
  double layer_parameters() const { return parameters - embedding_parameters() * (tied_embeddings ? 1 : 2); }
  double weight_bytes() const {
    return layer_parameters() * bytes_per_parameter + embedding_bytes() * (tied_embeddings ? 1 : 2);
  }
  // Key and value of every layer, for one token.
  double kv_bytes_per_token() const { return kv_bytes_of(layers); }
  double kv_bytes_of(int32_t some_layers) const {
    return 2.0 * some_layers * kv_heads * head_dim * kv_bytes_per_element;
  }
};

// What the ideal times of an iteration are multiplied with, of an engine on a GPU; serving/step_cost.hpp has the
// formula.
struct StepCoefficients {
  std::string gpu;           // measured on, of the catalogue
  double bandwidth_gbs = 0;  // its peak

  double step_ms = 0;            // per iteration
  double layer_us = 0;           // per layer, in proportion to its hidden size, of 4096
  double weight_factor = 0;      // × weights / bandwidth
  double kv_factor = 0;          // × KV read / bandwidth
  double compute_factor = 0;     // × FLOP of the tokens / peak
  double sampling_us = 0;        // per sequence and 1000 tokens of vocabulary
  double all_reduce_factor = 0;  // × ideal all-reduces
  double error = 0;              // median relative error for a model that was left out
  // The measurements reached so far.
  int32_t max_sequences = 0, max_context = 0, max_tensor_parallel = 0;
};

// How an engine turns ideal times into measured ones.
struct EngineProfile {
  std::string name;                     // "vllm-0.19"
  std::string kind = "llm";             // "llm" or "batch"
  std::vector<StepCoefficients> steps;  // one per GPU that it was measured on
  double prefill_mfu = 1;               // share of peak FLOP/s that prefill reaches
  double request_overhead_ms = 0;       // API and tokeniser, before the queue
  double activation_gib = 0;            // reserved beside weights and KV cache
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

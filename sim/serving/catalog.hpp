#pragma once
// Language models and serving engines as data: sim/serving/catalog/{models,engines}.yaml, with a source per entry.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// Experts of which a router picks some for every token, in some of a model's layers. Each has a gate, an up and a down
// projection between `hidden` and `intermediate`.
struct RoutedExperts {
  int32_t count = 0;  // in each of the layers; 0: the model has none
  int32_t per_token = 0, intermediate = 0, layers = 0;
  double bytes_per_parameter = 2;

  // Of the experts of a layer, the share that some of so many tokens need, where each token's are drawn evenly:
  // 1 - (1 - per_token/count)^tokens.
  double share_read(double tokens) const;
};

// Architecture numbers of a decoder, from its public configuration.
struct LlmModel {
  std::string name;       // "llama-3.1-8b"
  double parameters = 0;  // count
  int32_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double bytes_per_parameter = 2;
  double kv_bytes_per_element = 2;
  std::vector<std::string> repositories;     // "meta-llama/Llama-3.1-8B", on its hub
  int32_t vocabulary = 0, intermediate = 0;  // of the dense MLPs; 0: none, or not in the catalogue
  bool tied_embeddings = false;              // one matrix embeds tokens and gives the logits
  RoutedExperts experts;
  // Layers whose attention is not to every earlier token. `window`: to the latest tokens only. Linear (state space,
  // gated delta) layers keep a state of fixed size instead.
  int32_t window = 0, window_layers = 0, linear_layers = 0;
  double state_bytes = 0;  // of all linear layers, for one sequence
  // Multi-head latent attention keeps one compressed vector and one rotary key per token and layer for all heads
  // (DeepSeek-V2, arXiv 2405.04434, section 2.1). 0: a key and a value per KV head.
  int32_t latent_rank = 0, latent_rope = 0;

  // Embedding of the prompt and logits: two matrices beside the layers, or one for both, which stay in 16 bit where the
  // layers have fewer.
  double embedding_parameters() const { return static_cast<double>(vocabulary) * hidden; }
  double embedding_bytes() const { return 2 * embedding_parameters(); }
  // Of the layers, experts aside.
  double layer_parameters() const {
    return parameters - expert_parameters() - embedding_parameters() * (tied_embeddings ? 1 : 2);
  }
  double expert_parameters() const { return 3.0 * hidden * experts.intermediate * experts.count * experts.layers; }
  // That a token is multiplied with.
  double active_parameters() const { return parameters - expert_parameters() + active_expert_parameters(); }
  double active_expert_parameters() const {
    return 3.0 * hidden * experts.intermediate * experts.per_token * experts.layers;
  }
  double expert_bytes() const { return expert_parameters() * experts.bytes_per_parameter; }
  // Of all that every token needs.
  double dense_bytes() const {
    return layer_parameters() * bytes_per_parameter + embedding_bytes() * (tied_embeddings ? 1 : 2);
  }
  double weight_bytes() const { return dense_bytes() + expert_bytes(); }

  int32_t full_layers() const { return layers - window_layers - linear_layers; }
  double kv_bytes_per_token_and_layer() const {
    return (latent_rank > 0 ? latent_rank + latent_rope : 2.0 * kv_heads * head_dim) * kv_bytes_per_element;
  }
  // What the context grows by with every token: that of the layers with full attention.
  double kv_bytes_per_token() const { return full_layers() * kv_bytes_per_token_and_layer(); }
  // The same of those with a window, as long as it is not full.
  double window_bytes_per_token() const { return window_layers * kv_bytes_per_token_and_layer(); }
  // Ranks of tensor parallelism that each hold and read the same KV: a KV head is not split, a latent vector neither.
  double kv_copies(int32_t tensor_parallel) const {
    return std::max(1.0, static_cast<double>(tensor_parallel) / (latent_rank > 0 ? 1 : kv_heads));
  }
  // FLOPs of attention for a pair of tokens: query times key, weights times value. With a latent vector the keys have a
  // rotary part besides.
  double attention_flops() const { return 2.0 * full_layers() * heads * (2.0 * head_dim + latent_rope); }
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
  double prefill_factor = 1;     // × the time of a prompt by the engine's prefillMfu
  double error = 0;              // median relative error for a model that was left out
  // The measurements reached so far.
  int32_t max_sequences = 0, max_context = 0, max_tensor_parallel = 0;
};

// How an engine turns ideal times into measured ones.
struct EngineProfile {
  std::string name;                     // "vllm-0.19"
  std::string kind = "llm";             // "llm" or "batch"
  std::vector<StepCoefficients> steps;  // one per GPU that it was measured on
  double step_factor = 1;               // × the times of those steps, which were measured with another engine
  double prefill_mfu = 1;               // share of peak FLOP/s that prefill reaches
  double prefill_mfu_fp8 = 0;      // of the FP8 peak, with weights of at most 8 bits; 0: such weights compute in FP16
  double prefill_mfu_fp4 = 0;      // of the FP4 peak, with weights of at most 5 bits; 0: they compute in FP8
  double moe_layer_ms = 0;         // per layer with routed experts and iteration
  double expert_factor = 1;        // × bytes of the experts read / bandwidth
  bool prefill_first = false;      // while there are prompts to compute nobody decodes; else one iteration does both
  double request_overhead_ms = 0;  // API and tokeniser, before the queue
  double reserved_gib = 0;         // on each GPU, beside weights, activations and KV cache
  // Of a cold start, where a scenario asks for the engine's own; 0: not published.
  double compile_seconds = 0, graph_capture_seconds = 0, warmup_seconds = 0;
  int32_t block_size = 16;  // tokens per KV block
  int32_t max_num_seqs = 256;
  int32_t max_num_batched_tokens = 8192;
  // Its defaults of settings that LlmEngineModel explains.
  bool async_scheduling = false, scheduler_reserve_full_isl = false;
  std::string source;
};

// A head that drafts tokens for a model (EAGLE, arXiv 2401.15077; multi-token prediction of DeepSeek-V3): one of its
// layers, with its embeddings and logits.
LlmModel draft_head(const LlmModel& model);

// The model that a repository of a hub holds, by its name there or its name here. Who published it, upper case and a
// suffix for the type of its weights (-FP8, -NVFP4) do not matter. Null: none.
const LlmModel* find_llm(const std::vector<LlmModel>& models, std::string_view repository);

}  // namespace kisim

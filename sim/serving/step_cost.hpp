#pragma once
// How long an iteration of an LLM engine takes, and how much KV memory it has, on one kind of accelerator.
//
// Work is what the scheduler has put into an iteration. Its duration is linear in the context of the sequences that
// decode as long as nothing else changes, so that an engine can take many iterations in one jump: a StepLine says how
// long the first takes, by how much each next is longer, and for how many that holds.

#include "cluster/accelerator.hpp"
#include "cluster/gpu.hpp"
#include "serving/llm_engine_model.hpp"
#include "serving/request.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

namespace kisim {

// Tokens of a prompt that one iteration computes.
struct PrefillChunk {
  RequestId request;
  int32_t tokens = 0, context = 0;  // context: before them, whose KV is there
  bool last = false;                // the prompt is computed then
};

struct StepWork {
  int64_t decoding = 0;               // sequences that get one token
  int64_t decode_context = 0;         // Σ k: their tokens so far
  int64_t shortest = 0, longest = 0;  // min k, max k
  int64_t adapters = 0;               // LoRA adapters in use
  std::span<const PrefillChunk> chunks;
  int64_t prefill_tokens = 0;   // Σ p: of the chunks
  int64_t prefill_context = 0;  // Σ c
  double prefill_pairs = 0;     // Σ p·(c + p/2): pairs of tokens in attention

  int64_t prefilling() const { return static_cast<int64_t>(chunks.size()); }
};

// Iterations that only decode; each has one more token of context per sequence than the one before.
struct StepLine {
  int64_t first_ps = 0;                                      // of work; picoseconds
  int64_t growth_ps = 0;                                     // each next iteration is longer by this
  int64_t iterations = std::numeric_limits<int64_t>::max();  // for which it holds, at least 1

  StepLine times(double factor) const;
};

inline StepLine StepLine::times(double factor) const {
  if (factor == 1) return *this;
  auto of = [factor](int64_t ps) { return static_cast<int64_t>(static_cast<double>(ps) * factor + 0.5); };
  return {of(first_ps), of(growth_ps), iterations};
}

struct OperatorTables;

// What an iteration of a model needs at the peaks of whole GPUs, in seconds where nothing else is said. With 8-bit
// weights the peak is that of FP8, where the GPU has it. Two all-reduces per layer (serving/collectives.hpp).
struct StepTerms {
  double layers = 0;            // their number · hidden/4096
  double weights = 0;           // all that every token passes, read once; not the embedding of the prompt
  double experts = 0;           // reading all experts
  double kv_token = 0;          // reading one token of KV, in the layers that see all of it
  double window_token = 0;      // the same, in those with a sliding window
  double state = 0;             // reading and writing the states of linear layers, of one sequence
  double token = 0;             // computing one token, in all layers
  double attention = 0;         // computing one pair of tokens
  double vocabulary = 0;        // in thousands of tokens
  double all_reduce = 0;        // latency of all of them
  double all_reduce_token = 0;  // sending one token
};
StepTerms step_terms(const LlmModel& llm, const GpuModel& gpu, int32_t tensor_parallel, int32_t data_parallel = 1);

// The coefficients of an engine on a GPU: those measured there, or those of the GPU whose memory bandwidth is nearest.
// Predicting B200 from the H100's, and the other way round, is off by kOtherGpuError in the median.
inline constexpr double kOtherGpuError = 0.11;
const StepCoefficients& step_coefficients(const EngineProfile& engine, const GpuModel& gpu);

// Of one (model, engine, accelerators). With operator tables they say how long an iteration takes; else, with the terms
// above and the engine's coefficients, it takes
//
//   stepFactor·(stepMs + layerUs·layers + weightFactor·weights + allReduceFactor·(all_reduce + exchanges)
//   + moeLayerMs·expert layers + expertFactor·experts·share_read(all tokens)
//   + samplingUs·vocabulary·(decoding + prefilling)
//   + (computeFactor·dense token + expert token/prefillMfu)·decoding
//   + kvFactor·(kv_token·context + window_token·context within the window + state·decoding))
//   + prefillFactor·token/prefillMfu·prefill_tokens + allReduceFactor·(all_reduce_token + exchanged token)·all tokens
//   + prefillFactor·attention/prefillMfu·prefill_pairs.
//
// Besides: hops between the stages of a pipeline, of whose batches the largest counts; drafting, after which a sequence
// counts as one more than the tokens drafted, but for its context; reading the LoRA adapters in use.
//
// A sum, not a maximum: measured iterations show no corner where computing takes over from reading (serving.md, 2.2).
// Sampling is the softmax and sorting of logits, which no GPU shares with others. The context within the window is that
// of sequences of the mean length; a prompt's attention is that of the layers that see all of it, and memory is kept
// for all of it in every layer.
struct LlmCost {
  static constexpr double kNominalContext = 1024;  // tokens; where the linear level touches the iteration level

  int64_t step_ps = 0;
  int64_t experts_ps = 0;  // reading of all experts
  RoutedExperts experts;
  int64_t per_sequence_ps = 0;
  int64_t per_decode_ps = 0;  // beside per_sequence
  int64_t per_kv_token_ps = 0;
  int64_t per_window_token_ps = 0;
  int64_t per_prefill_token_ps = 0;
  double per_attention_ps = 0;
  int64_t window = 0;  // tokens; 0: none
  // Pipeline parallelism, speculative decoding (what drafting the tokens of one iteration takes), LoRA.
  int32_t stages = 1, drafts = 0, expert_ranks = 1;
  int64_t draft_step_ps = 0, draft_sequence_ps = 0, draft_kv_token_ps = 0;
  int64_t per_adapter_ps = 0;                        // in use, per iteration
  int64_t adapter_load_ps = 0, adapter_read_ps = 0;  // from the host to the GPUs; from disk to the host
  int64_t kv_blocks = 0;                             // that fit beside the weights
  double host_bytes_per_s = 0;                       // over PCIe, from the host's memory to all its GPUs; 0: not said
  LinearLaw linear;
  std::shared_ptr<const OperatorTables> tables;

  StepTerms ideal;
  double compute_share = 1, bandwidth_share = 1;  // of each GPU that it has
  double prefill_mfu = 1;  // share of the peak that a prompt's tokens reach, with the model's types of weights
  double slowdown = 1;     // that the coefficients hold; of operator tables, still to come
  bool estimated = false;  // from another GPU's coefficients
  bool beyond_tensor_parallel = false;         // of the measurements
  int64_t max_sequences = 0, max_context = 0;  // of the measurements; 0: not known

  // Takes so many times as long from now on.
  void slow_down(double factor);
  StepLine line(const StepWork& work) const;
  // Of those that a pipeline has under way, the batch that takes longest: an equal share of who decodes, and of the
  // prompts, at least all that one of them computes.
  StepWork largest_batch(const StepWork& all) const;
  // Of the experts, the share that an iteration reads. With expert parallelism everybody waits for the rank that reads
  // most: of n ranks with E/n experts each, of which a share q is read, at most about q·(1 + sqrt(2·ln n·(1 -
  // q)/(q·E/n))) (n normal variables with the variance of the binomial one).
  double experts_read(const StepWork& work) const;
  // Of so many tokens of context of so many sequences, those within the window.
  int64_t within_window(int64_t context, int64_t sequences) const { return std::min(context, sequences * window); }
  // Is there more to it than its coefficients were fitted on?
  bool outside(const StepWork& work) const {
    return max_sequences > 0 && (work.decoding > max_sequences || work.decode_context > max_context * work.decoding);
  }
};

// The GPUs act as one with their sums; what several of them hold (dense weights under data parallelism, KV heads that
// cannot be split further) each reads for itself. On a MIG instance computing takes as much longer as it has fewer
// SMs, reading as it has fewer memory slices, and the KV cache has the memory of the instance; what the host does (the
// engine's step, sampling) takes as long as ever (serving.md section 2.4). kv_blocks <= 0: the weights do
// not fit.
LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator);

}  // namespace kisim

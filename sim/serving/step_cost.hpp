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
};

struct OperatorTables;

// Of one (model, engine, accelerators). With operator tables they say how long an iteration takes; else the time of an
// iteration is
//   step + per_sequence·(decoding + prefilling) + per_kv_token·(decode_context + prefill_context)
//   + per_prefill_token·prefill_tokens + per_attention·prefill_pairs + experts·share_read(all tokens)
// after serving.md section 2.2: ITL = step + 1.26 Tw + 1.27 Tkv + per_sequence·B + tp·L, prefill at an MFU.
struct LlmCost {
  static constexpr double kNominalContext = 1024;  // tokens; where the linear level touches the iteration level

  int64_t step_ps = 0;     // engine step and the reading of all weights, experts aside
  int64_t experts_ps = 0;  // reading of all experts
  RoutedExperts experts;
  int64_t per_sequence_ps = 0;
  int64_t per_kv_token_ps = 0;
  int64_t per_prefill_token_ps = 0;
  double per_attention_ps = 0;
  int64_t kv_blocks = 0;        // that fit beside the weights
  double host_bytes_per_s = 0;  // over PCIe, from the host's memory to all its GPUs; 0: not said
  LinearLaw linear;
  std::shared_ptr<const OperatorTables> tables;

  // The same work at the peaks of whole GPUs, in seconds: dense weights and one token of KV at peak bandwidth; one
  // token and one pair of tokens in attention at peak FLOP/s; all experts at peak bandwidth.
  struct Ideal {
    double weights = 0, kv_token = 0, token = 0, attention = 0, experts = 0;
  } ideal;
  double compute_share = 1, bandwidth_share = 1;  // of each GPU that it has
  double prefill_mfu = 1;

  StepLine line(const StepWork& work) const;
  // Of the experts, the share that an iteration reads.
  double experts_read(const StepWork& work) const {
    return experts.share_read(static_cast<double>(work.decoding + work.prefill_tokens));
  }
};

// The GPUs act as one with their sums; what several of them hold (dense weights under data parallelism, KV heads that
// cannot be split further) each reads for itself. On a MIG instance computing takes as much longer as it has fewer
// SMs, reading as it has fewer memory slices, and the KV cache has the memory of the instance; what the host does (the
// engine's step, the work per sequence) takes as long as ever (serving.md section 2.4). kv_blocks <= 0: the weights do
// not fit.
LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator);

}  // namespace kisim

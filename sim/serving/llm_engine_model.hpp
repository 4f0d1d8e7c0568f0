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

// How the KV of a prompt comes from the replica that computed it. Between nodes over their network, in one node over
// the widest path between GPUs; every GPU has a part of it and sends it on its own. Shares and latencies: serving.md
// section 2.2 (llm-d's latency profiles); 50 GB/s is a port of 400 Gb/s for each GPU.
struct KvTransferModel {
  double network_gbs = 50;  // of each GPU, one way
  double efficiency = 0.7;  // share of either that is reached
  Duration network_latency = 1_ms, link_latency = 300_us;
};

// Speculative decoding: in every iteration each sequence that decodes has so many tokens drafted, which the model
// verifies together; those that it accepts come on top of the one that it makes itself (Leviathan et al., ICML 2023).
// Whether a draft is accepted is drawn for each sequence and iteration; the last tokens of an answer are not overshot.
struct SpeculationModel {
  int32_t tokens = 0;  // vLLM's num_speculative_tokens; 0: no drafts
  // By place: the probability that the draft there and all before it are accepted, as vLLM reports them per position.
  std::vector<double> accepted;
  // What drafts, once per token; none: n-grams of what is there already.
  std::optional<LlmModel> draft;
  double draft_bytes = 0;  // of its weights, beside those of the model
  uint64_t seed = 0;
};

// LoRA adapters, as vLLM serves them: at most max_loras different ones in an iteration, whose memory is taken from the
// start, and max_cpu_loras in the host's memory. Requests for others wait, and those behind them may pass. An adapter
// that is not on the GPU is loaded while everybody waits, from the host's memory or first from disk.
struct LoraModel {
  int32_t max_loras = 0, max_cpu_loras = 0, rank = 16;
  double disk_mbs = 2000;  // megabytes per second

  // Of one adapter on all linear layers of the model, in 16 bit.
  double bytes(const LlmModel& llm) const;
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
  bool by_priority = false;             // vLLM's scheduling policies: priority, else fcfs
  std::vector<KvTierModel> kv_offload;  // the first is asked first
  KvTransferModel kv_transfer;          // to a decode replica
  int32_t max_model_len = 0;            // tokens of a prompt and its answer together, at most; 0: no limit
  bool jump = true;                     // off: every iteration is an event; only to show that jumps change nothing
  // Disaggregated serving: prefill replicas compute prompts and keep their KV until a decode replica has read it. A
  // decode replica computes a prompt's last token, which gives the first one of the answer, as vLLM's connectors do.
  enum class Role : uint8_t { Both, Prefill, Decode } role = Role::Both;

  // What it serves, and how; from this and its GPUs come its costs.
  LlmModel llm;
  EngineProfile profile;
  double memory_utilization = 0.9;
  int32_t tensor_parallel = 1;
  // Attention and what else is dense is there as often; each copy, split over tensor_parallel GPUs, serves its share of
  // the sequences, and the experts are split over all GPUs (vLLM's data_parallel_size).
  int32_t data_parallel = 1;
  // Layers are split over so many stages of tensor_parallel GPUs, and as many batches are under way.
  int32_t pipeline_parallel = 1;
  bool expert_parallel = false;  // each GPU has whole experts, and tokens are sent to them
  SpeculationModel speculation;
  LoraModel lora;
  std::optional<LinearLaw> linear;               // measured, instead of the one that follows
  std::shared_ptr<const OperatorTables> tables;  // profiled, instead of the physics

  int32_t gpus() const { return tensor_parallel * pipeline_parallel * data_parallel; }
  // Bytes that a replica on so many GPUs must have before the first token of KV: weights, activations, what else the
  // engine reserves.
  double fixed_bytes(int32_t gpus) const;
  double activation_bytes() const;  // on each GPU
  // Blocks without which it does not start: one sequence must fit.
  int64_t least_blocks() const { return std::max(1, (max_model_len + block_size - 1) / block_size); }
  // Of all layers with attention: memory is kept for what is beyond a window, too.
  double block_bytes() const {
    auto of = [&](const LlmModel& m) {
      return (m.kv_bytes_per_token() + m.window_bytes_per_token()) * m.kv_copies(tensor_parallel) * block_size;
    };
    return of(llm) + (speculation.draft ? of(*speculation.draft) : 0);
  }
};

}  // namespace kisim

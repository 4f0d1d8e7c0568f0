#pragma once
// The log of one run of vLLM: what was asked of one engine, and when it answered.
//
// A directory of, as LLMServingSim's bench writes them:
//   requests.jsonl   an object per request: input_toks, output_toks, and in seconds of one clock queued_ts,
//   scheduled_ts,
//                    first_token_ts, last_token_ts; arrival_time may be of another clock
//   meta.json        model, and what is not vLLM's default of engine_kwargs {tensor_parallel_size, data_parallel_size,
//                    max_num_seqs, max_num_batched_tokens}, kv_cache {num_gpu_blocks, block_size,
//                    gpu_memory_utilization, enable_prefix_caching}, resolved_config.scheduler_config
//                    {async_scheduling, scheduler_reserve_full_isl, long_prefill_token_threshold},
//                    hardware.device_total_memory_bytes
//   timeseries.csv   t, running, waiting, kv_cache_pct; may be absent

#include "cluster/gpu.hpp"
#include "serving/engine_replay.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

struct VllmLog {
  std::string model;  // as its hub calls it
  LlmEngineModel engine;
  int64_t kv_blocks = 0;  // as recorded; 0: not
  int32_t data_parallel = 1;
  double memory_bytes = 0;
  double started = 0;       // by the clock of arrival_time, seconds: the gauges' times count from it; 0: not recorded
  double clock_offset = 0;  // of the first request, in the gauges' time
  std::vector<EngineRequest> requests;  // ascending in `queued`
  std::vector<EngineAnswer> answers;
  std::vector<Time> instants;
  std::vector<EngineGauges> gauges;
  bool has_kv_usage = false;

  // Of the engine on whole GPUs, with the KV blocks that were recorded; else with what the memory planner leaves.
  // Precondition: the engine's model and profile are set.
  LlmCost cost(const GpuModel& gpu) const;
};

// Throws InputError with the file and the line or field, IoError.
VllmLog read_vllm_log(const std::string& directory);

}  // namespace kisim

#pragma once
// The linear law of an engine (serving/llm_engine_model.hpp) from what vLLM tells Prometheus.
//
// Between two scrapes of an engine, from the differences of its counters:
//   ITL      Σ/count of vllm:inter_token_latency_seconds, before vLLM 0.11 vllm:time_per_output_token_seconds; without
//            the sum between the ends of its buckets
//   batch    tokens that followed others per iteration (count of vllm:iteration_tokens_total); else Σ ITL / time, which
//            is how many decoded on average (Little's law); else the mean of vllm:num_requests_running
//   prompts  per iteration, and tokens of each that were not in the prefix cache: vllm:request_prompt_tokens, else
//            vllm:prompt_tokens_total; vllm:prefix_cache_hits_total
//   prefill  Σ/count of vllm:request_prefill_time_seconds; else of vllm:time_to_first_token_seconds where nobody waited
// follow the law as the linear level has it, where everybody waits for a prompt:
//   ITL = base·(1 + prompts) + perItem·batch + prefillPerToken·prompts·tokens
//   prefill = base + prefillPerToken·tokens
// by robust least squares on relative errors. prefillBase is the base: a prompt is computed in an iteration.

#include "io/coefficients.hpp"
#include "io/prometheus.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

inline constexpr size_t kLeastScrapeIntervals = 4;
// Of the largest batch to the smallest: loads that are nearer do not tell the law's two parts apart.
inline constexpr double kLeastBatchRatio = 1.5;

// What happened between two scrapes of one engine.
struct ScrapeInterval {
  double itl = 0, itl_low = 0, itl_high = 0;  // seconds; equal where the sum is known
  double batch = 0;
  double prompts = 0, prompt_tokens = 0;  // per iteration; each
  double prefill = 0;                     // seconds; 0: not to be told from waiting
};

// By engine (all labels but those of a histogram), in order of time: samples without times belong to the scrape of
// their file, in the order of the files. Intervals without ITL, with a restart in them, or at whose ends different
// loads ran are left out.
struct ScrapeIntervals {
  std::vector<ScrapeInterval> intervals;
  size_t scrapes = 0, restarts = 0, unsteady = 0, idle = 0;  // the last three: intervals that are left out
};
ScrapeIntervals intervals_of(const std::vector<std::vector<MetricSample>>& scrapes);

// Throws InputError at `source` where the intervals do not tell the law: too few, one load, no prompts alone.
LinearCoefficients fit_scrapes(const ScrapeIntervals& found, const std::string& source, uint64_t seed);

}  // namespace kisim

#pragma once
// One LLM engine and clients who send again the moment they have their answer, as the benchmarks of engines do: all at
// once at the start, then one by one. There is nothing around the engine; whole iterations are simulated.

#include "serving/llm_engine.hpp"

#include <cstdint>

namespace kisim {

struct LlmClosedLoop {
  int32_t clients = 1;
  int32_t prompt_tokens = 1, output_tokens = 2;  // the longest; output at least 2
  double shortest = 1;    // lengths are drawn evenly from this share of the longest up; 1: all are equal
  uint64_t requests = 1;  // sent in all; the first `clients` of them at once
  uint64_t seed = 1;
};

// Means over all requests, in seconds. TPOT is (end - first token) / (output - 1).
struct LlmClosedLoopResult {
  double ttft_s = 0, tpot_s = 0;
};

// Precondition: the cost has KV blocks for the longest request.
LlmClosedLoopResult simulate_llm_closed_loop(const LlmEngineModel& model, const LlmCost& cost,
                                             const LlmClosedLoop& loop);

}  // namespace kisim

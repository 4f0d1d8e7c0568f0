#pragma once
// One LLM engine alone, given requests at their times: what it does to each, and how full it is over time. For
// comparisons with logs of real engines, and for benches.

#include "serving/llm_engine.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct EngineRequest {
  Time queued;
  int32_t prompt_tokens = 0, output_tokens = 1;
};

struct EngineAnswer {
  bool refused = false;  // can never run here
  Time scheduled, first_token, finished;

  double ttft(const EngineRequest& request) const { return (first_token - request.queued).to_seconds(); }
  double e2e(const EngineRequest& request) const { return (finished - request.queued).to_seconds(); }
  // (E2E - TTFT)/(output - 1); of more than one token.
  double tpot(const EngineRequest& request) const {
    return (finished - first_token).to_seconds() / (request.output_tokens - 1);
  }
};

struct EngineGauges {
  uint32_t running = 0, waiting = 0;
  double kv_usage = 0;
};

struct EngineReplay {
  std::vector<EngineAnswer> answers;  // of the requests, in their order
  std::vector<EngineGauges> gauges;   // at the instants asked for, in their order
  uint64_t preemptions = 0, steps = 0;
};

// Preconditions: requests ascending in `queued`, instants ascending.
EngineReplay replay(const LlmEngineModel& model, const LlmCost& cost, const std::vector<EngineRequest>& requests,
                    const std::vector<Time>& instants = {});

}  // namespace kisim

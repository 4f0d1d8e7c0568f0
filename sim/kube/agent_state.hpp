#pragma once
// What an agent has seen and decided.

#include "kube/metrics_state.hpp"
#include "policy/agent.hpp"

#include <vector>

namespace kisim {

// What the gateways of an agent's Services have counted up to one instant.
struct GatewayScrape {
  Time at;
  uint64_t arrived = 0, completed = 0;
  uint64_t left = 0, in_slo = 0;        // of sources with an SLO: who left, and who met it (of those after warm-up)
  double latency_s = 0, latencies = 0;  // Σ over completed requests after warm-up, and their number
  double held = 0;
  std::optional<double> p95;  // s; since the scrape before
};

struct AgentState {
  PolicyMemoryBox memory, network;  // of the coding, and of an LSTM
  History<GatewayScrape> gateway;
  Histogram answered;  // at the last scrape; where the coding asks for a p95

  bool distrusted = false;  // at the last decision, by its shield
  AgentView view;           // at it, but for its targets
  std::vector<AgentTarget> targets;
  std::vector<float> observation;
  std::vector<uint8_t> mask;
  std::vector<float> action;
};

}  // namespace kisim

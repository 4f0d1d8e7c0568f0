#pragma once
// One replica of a batch server and one source of closed-loop traffic, in the simulator's own rooms (Traffic, Serving,
// Cluster, Engine): what a load generator measures on a test bench.

#include "calibration/least_squares.hpp"
#include "serving/serving.hpp"
#include "traffic/traffic.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct BatchRig {
  BatchServerModel server;
  ClientModel client;
  SourceModel source;  // Pattern::Users
  uint64_t seed = 1;
};

// What the clients see of one answered request.
struct AnsweredRequest {
  double answered = 0, latency = 0;  // seconds
};

// Answers in order, until there are that many or the clock has reached `until`.
std::vector<AnsweredRequest> run_rig(BatchRig rig, Time until, size_t answers);

// A server as closed-loop measurements know it.
struct ClosedLoopServer {
  int32_t instances = 1;
  int32_t max_batch_size = 1;  // samples
  int32_t samples = 1;         // of a request
  std::vector<LatencyPoint> table;
  double overlap = 0;      // k instances progress at the total speed 1 + overlap·(k - 1)
  double host = 0;         // seconds of the one host process that a request passes, half before, half after its batch
  int32_t prefetched = 0;  // formed batches that wait for an instance
};

struct ClosedLoopFigures {
  double per_second = 0;     // samples
  double mean = 0, p95 = 0;  // seconds
};

// `clients` send again the moment they have their answer. Host cost varies by ±50 % and batch time by ±3 %, evenly:
// without any, batches of unequal size keep their order for ever. Figures of the requests after a warm-up.
ClosedLoopFigures simulate_closed_loop(const ClosedLoopServer& server, int32_t clients, size_t requests);

}  // namespace kisim

#pragma once
// The coefficients of an engine's iterations (serving/step_cost.hpp) from the log of one run of it.
//
// A request's times follow from everything else that the engine did, so the engine is replayed: coefficients are those
// under which its requests take as long as in the log. Gauss-Newton steps on log TPOT and log TTFT (from the queue on)
// of every request, derivatives by central differences of replays, Huber's loss, priors around the figures of the GPU
// that the catalogue's are nearest of. One model on one kind of GPUs cannot tell all of them apart (what an iteration
// takes in any case is the sum of four): those whose prior the log narrows by less than half are named as held.

#include "io/vllm_log.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace kisim {

inline constexpr size_t kLeastLoggedRequests = 20;

// Median relative errors of the requests.
struct RequestErrors {
  double tpot = 0, ttft = 0, e2e = 0;
};

struct RequestFit {
  StepCoefficients coefficients;
  std::vector<std::string> held;  // by the names of kIterationFigures
  RequestErrors fit, left_out;    // left out: of each half of the run, in time, from the fit to the other half
};

// Preconditions: at least kLeastLoggedRequests; the engine's model and profile are set.
// Throws InputError where the engine could not have served them (its KV blocks do not hold the longest).
RequestFit fit_requests(const VllmLog& log, const GpuModel& gpu);

}  // namespace kisim

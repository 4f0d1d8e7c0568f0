#pragma once
// Measurements of Triton as NVIDIA publishes them with its models: per batch size with one client ("offline") and per
// number of clients ("online", perf_analyzer's closed loop).

#include "io/coefficients.hpp"
#include "serving/serving_rig.hpp"

#include <map>
#include <string>
#include <vector>

namespace kisim {

struct OnlinePoint {
  int32_t clients = 0;
  double per_second = 0, mean = 0, p95 = 0;  // samples; seconds
};

// A model with one runtime and precision on one GPU.
struct TritonBench {
  std::string source;               // the page that publishes it
  std::string model, gpu, runtime;  // `runtime` with precision and data set
  int32_t instances = 1;
  int32_t max_batch_size = 1;  // samples
  int32_t samples = 1;         // of a request: a power of two, as throughput · latency / clients says
  std::vector<LatencyPoint> offline;
  bool server_times = false;              // `offline` is the server's part alone; else the client's transfer is in it
  std::vector<OnlinePoint> online;        // by clients
  std::map<std::string, size_t> skipped;  // online rows, by reason
};

// Those with both tables. Throws InputError with file:line, IoError.
std::vector<TritonBench> read_triton(const std::string& path);

// How long its server takes for a batch, by samples. Where the client's transfer is in the measured time, the host's
// part is taken out of it.
std::vector<LatencyPoint> batch_times(const TritonBench& bench, double host);
// Overlap, host cost and prefetching that fit the points best: they minimise Σ |log X/X*| + |log p95/p95*|.
ServerFit fit_server(const TritonBench& bench, const std::vector<OnlinePoint>& points);
// `clients` who send again the moment they have their answer. Host cost varies by ±50 % and batch time by ±3 %, evenly:
// without any, batches of unequal size keep their order for ever.
ClosedLoopResult predict(const TritonBench& bench, const ServerFit& fit, int32_t clients);

}  // namespace kisim

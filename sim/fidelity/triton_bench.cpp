#include "fidelity/triton_bench.hpp"

#include "calibration/latency_fit.hpp"
#include "calibration/least_squares.hpp"
#include "io/data_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace kisim {

namespace {

constexpr double kMs = 1e-3;

struct Columns {
  size_t source, kind, title, size, rate, input, infer, output, mean, p95, max_batch, instances;
  explicit Columns(const DataTable& t)
      : source(t.column("source_path")),
        kind(t.column("kind")),
        title(t.column("title")),
        size(t.column("batch_or_concurrency")),
        rate(t.column("inferences_per_s")),
        input(t.column("compute_input_ms")),
        infer(t.column("compute_infer_ms")),
        output(t.column("compute_output_ms")),
        mean(t.column("avg_ms")),
        p95(t.column("p95_ms")),
        max_batch(t.column("max_batch_size")),
        instances(t.column("model_instances")) {}
};

// "Online: NVIDIA A40, ONNX Runtime TensorRT with FP16" → "NVIDIA A40", "ONNX Runtime TensorRT with FP16"
std::pair<std::string, std::string> gpu_and_runtime(const std::string& title) {
  const size_t end = std::min(title.find(", "), title.find(" with "));
  if (end == title.npos) return {title, ""};
  const size_t rest = title.find_first_not_of(", ", end);
  return {title.substr(0, end), title.substr(rest)};
}

std::string configuration(const std::string& title) {
  const size_t colon = title.find(": ");
  return colon == title.npos ? title : title.substr(colon + 2);
}

// "…/GPUNet/triton/05ms-D/README.md" → "GPUNet 05ms-D", "…/TFT/triton/README.md" → "TFT"
std::string model_of(const std::string& source) {
  constexpr std::string_view kFolder = "/triton/";
  const size_t folder = source.find(kFolder);
  if (folder == source.npos || folder == 0) return source;
  const size_t begin = source.rfind('/', folder - 1) + 1, after = folder + kFolder.size();
  const size_t slash = source.find('/', after);
  std::string out = source.substr(begin, folder - begin);
  return slash == source.npos ? out : out + " " + source.substr(after, slash - after);
}

// What the server says of itself: copies and compute, without queue, network and client.
std::optional<double> server_seconds(const DataTable& table, size_t row, const Columns& c) {
  const auto input = table.number(row, c.input), infer = table.number(row, c.infer),
             output = table.number(row, c.output);
  if (!input || !infer || !output || *input + *infer + *output <= 0) return std::nullopt;
  return (*input + *infer + *output) * kMs;
}

struct Tables {
  std::vector<LatencyPoint> server, client;
  std::vector<OnlinePoint> online;
  int32_t instances = 1, max_batch_size = 1;
  size_t incomplete = 0;
};

void read_offline(const DataTable& table, size_t row, const Columns& c, Tables& out) {
  const double batch = table.positive(row, c.size);
  if (auto seconds = server_seconds(table, row, c)) out.server.push_back({batch, *seconds});
  if (auto ms = table.number(row, c.mean); ms && *ms > 0)
    out.client.push_back({batch, *ms * kMs});
  else
    out.client.push_back({batch, batch / table.positive(row, c.rate)});
}

void read_online(const DataTable& table, size_t row, const Columns& c, Tables& out) {
  const auto mean = table.number(row, c.mean), p95 = table.number(row, c.p95), rate = table.number(row, c.rate);
  if (!mean || !p95 || !rate || *mean <= 0 || *p95 <= 0 || *rate <= 0) {
    ++out.incomplete;
    return;
  }
  out.instances = static_cast<int32_t>(table.positive(row, c.instances));
  out.max_batch_size = static_cast<int32_t>(table.positive(row, c.max_batch));
  out.online.push_back({static_cast<int32_t>(table.positive(row, c.size)), *rate, *mean * kMs, *p95 * kMs});
}

// Samples in flight per client, by Little's law.
double per_client(const OnlinePoint& p) { return p.per_second * p.mean / p.clients; }

int32_t samples_of_request(const std::vector<OnlinePoint>& online) {
  std::vector<double> logs;
  for (const OnlinePoint& p : online) logs.push_back(std::log2(per_client(p)));
  return std::max(1, static_cast<int32_t>(std::lround(std::exp2(std::round(median(logs))))));
}

TritonBench bench_of(Tables tables) {
  constexpr double kContradiction = 0.1;
  TritonBench out;
  out.instances = tables.instances;
  out.max_batch_size = tables.max_batch_size;
  out.server_times = tables.server.size() == tables.client.size();
  out.offline = out.server_times ? tables.server : tables.client;
  out.samples = samples_of_request(tables.online);
  if (tables.incomplete) out.skipped["no throughput, mean or p95"] = tables.incomplete;
  for (const OnlinePoint& p : tables.online) {
    if (std::abs(per_client(p) / out.samples - 1) > kContradiction)
      ++out.skipped["throughput × latency differs from the clients by more than 10 %"];
    else
      out.online.push_back(p);
  }
  std::stable_sort(out.online.begin(), out.online.end(),
                   [](const OnlinePoint& a, const OnlinePoint& b) { return a.clients < b.clients; });
  return out;
}

}  // namespace

std::vector<TritonBench> read_triton(const std::string& path) {
  const DataTable table = DataTable::read(path);
  const Columns c(table);
  std::vector<std::pair<std::string, std::string>> order;
  std::map<std::pair<std::string, std::string>, Tables> found;
  for (size_t row = 0; row < table.rows(); ++row) {
    const std::pair key{table.text(row, c.source), configuration(table.text(row, c.title))};
    if (!found.contains(key)) order.push_back(key);
    const std::string& kind = table.text(row, c.kind);
    if (kind == "triton_offline") read_offline(table, row, c, found[key]);
    if (kind == "triton_online") read_online(table, row, c, found[key]);
  }
  std::vector<TritonBench> out;
  for (const auto& key : order) {
    Tables& tables = found[key];
    if (tables.client.empty() || tables.online.empty()) continue;
    TritonBench bench = bench_of(std::move(tables));
    bench.source = key.first;
    bench.model = model_of(key.first);
    std::tie(bench.gpu, bench.runtime) = gpu_and_runtime(key.second);
    out.push_back(std::move(bench));
  }
  return out;
}

std::vector<LatencyPoint> batch_times(const TritonBench& bench, double host) {
  constexpr double kLeast = 0.2;  // of the measured time is the server's in any case
  std::vector<LatencyPoint> out = bench.offline;
  if (!bench.server_times)
    for (LatencyPoint& p : out) p.seconds = std::max(kLeast * p.seconds, p.seconds - host * p.samples / bench.samples);
  return isotonic(std::move(out));
}

namespace {

BatchServerModel server_of(const TritonBench& bench, const ServerFit& fit) {
  BatchServerModel out;
  out.overlap = fit.overlap;
  BatchModel& model = out.models[0];
  model.max_batch_size = std::max(bench.max_batch_size, bench.samples);
  model.instances = bench.instances;
  model.prefetched = fit.prefetched;
  model.laws[0].table = batch_times(bench, fit.host);
  model.laws[0].factor = Distribution::uniform(0.97, 1.03);
  return out;
}

ClosedLoop loop_of(const TritonBench& bench, const ServerFit& fit, int32_t clients, uint64_t completions) {
  ClosedLoop out;
  out.clients = clients;
  out.samples = bench.samples;
  out.host_in = out.host_out = Distribution::uniform(0.25 * fit.host, 0.75 * fit.host);
  out.warmup = completions / 4;
  out.completions = completions;
  return out;
}

// A few of many, evenly, the first and the last among them.
std::vector<OnlinePoint> spread(const std::vector<OnlinePoint>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<OnlinePoint> out;
  for (size_t i = 0; i < most; ++i) out.push_back(points[i * (points.size() - 1) / (most - 1)]);
  return out;
}

double loss(const TritonBench& bench, const ServerFit& fit, const std::vector<OnlinePoint>& points, size_t per_client) {
  constexpr size_t kAtLeast = 200;
  const BatchServerModel server = server_of(bench, fit);
  double out = 0;
  for (const OnlinePoint& p : points) {
    const uint64_t completions = kAtLeast + per_client * static_cast<size_t>(p.clients);
    const ClosedLoopResult f = simulate_closed_loop(server, loop_of(bench, fit, p.clients, completions));
    out += std::abs(std::log(f.samples_per_s / p.per_second)) + std::abs(std::log(f.p95_s / p.p95));
  }
  return out;
}

struct Search {
  const TritonBench& bench;
  std::vector<OnlinePoint> points;
  size_t per_client;
  ServerFit best;
  double least = std::numeric_limits<double>::infinity();

  bool offer(const ServerFit& fit) {
    const double value = loss(bench, fit, points, per_client);
    if (value >= least) return false;
    least = value;
    best = fit;
    return true;
  }
};

constexpr double kLeastOverlap = -0.5, kMostOverlap = 1;

}  // namespace

ServerFit fit_server(const TritonBench& bench, const std::vector<OnlinePoint>& points) {
  constexpr size_t kCoarsePoints = 6, kFinePoints = 16;
  constexpr int kHalvings = 5;
  constexpr double kStep = 0.125;
  // The host cannot take longer per request than requests are apart at the best throughput.
  double apart = std::numeric_limits<double>::infinity();
  for (const OnlinePoint& p : points) apart = std::min(apart, bench.samples / p.per_second);

  Search coarse{bench, spread(points, kCoarsePoints), 6, {}};
  for (int32_t prefetched : {0, 2 * bench.instances})
    for (double overlap = kLeastOverlap; overlap <= kMostOverlap; overlap += kStep)
      for (double share = 0; share <= 1; share += kStep) coarse.offer({overlap, share * apart, prefetched});

  Search fine{bench, spread(points, kFinePoints), 20, {}};
  fine.offer(coarse.best);
  double overlap_step = kStep / 2, host_step = kStep / 2 * apart;
  for (int round = 0; round < kHalvings; ++round, overlap_step /= 2, host_step /= 2) {
    const ServerFit centre = fine.best;
    for (int a = -1; a <= 1; ++a) {
      for (int b = -1; b <= 1; ++b) {
        if (a == 0 && b == 0) continue;
        fine.offer({std::clamp(centre.overlap + a * overlap_step, kLeastOverlap, kMostOverlap),
                    std::max(0.0, centre.host + b * host_step), centre.prefetched});
      }
    }
  }
  return fine.best;
}

ClosedLoopResult predict(const TritonBench& bench, const ServerFit& fit, int32_t clients) {
  constexpr uint64_t kAtLeast = 1000, kPerClient = 30;
  const uint64_t completions = kAtLeast + kPerClient * static_cast<uint64_t>(clients);
  return simulate_closed_loop(server_of(bench, fit), loop_of(bench, fit, clients, completions));
}

}  // namespace kisim

#include "calibration/latency_fit.hpp"
#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/triton_bench.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace kisim {

namespace {

// The rows of the scoreboard, told apart by the page that publishes a model: framework first.
enum Group { kResNet, kOthers, kTensorFlow, kGroups };
Group group_of(const TritonBench& bench) {
  if (bench.source.starts_with("TensorFlow/")) return kTensorFlow;
  return bench.source.find("resnet50") != bench.source.npos ? kResNet : kOthers;
}

struct Marks {
  const char* data;
  std::optional<double> pass_rate, aim_rate, pass_p95, aim_p95;
};
constexpr std::array<Marks, kGroups> kMarks = {{
    {"triton, ResNet-50 (PyTorch)", 0.08, 0.04, 0.12, 0.07},
    {"triton, other models", 0.12, 0.06, 0.20, 0.10},
    {"triton, ConvNets (TensorFlow)", {}, {}, {}, {}},
}};

std::vector<TritonBench> read_all(const std::string& directory) {
  std::vector<TritonBench> out;
  for (const std::string& file : files_of(directory + "/triton", ".csv"))
    for (TritonBench& bench : read_triton(file)) out.push_back(std::move(bench));
  return out;
}

// Seconds that the smallest measured batch takes: what a host cost is compared with across models.
double smallest_batch(const TritonBench& bench) { return batch_times(bench, 0).front().seconds; }

struct Fitted {
  const TritonBench* bench;
  ServerFit fit;
};

ServerFit middle(const TritonBench& bench, const std::vector<const Fitted*>& like) {
  std::vector<double> overlap, host, prefetched;
  for (const Fitted* f : like) {
    overlap.push_back(f->fit.overlap);
    host.push_back(f->fit.host / smallest_batch(*f->bench));
    prefetched.push_back(f->fit.prefetched > 0);
  }
  const bool prefetches = mean(prefetched) > 0.5;
  return {median(overlap), median(host) * smallest_batch(bench), prefetches ? 2 * bench.instances : 0};
}

// From the servers most like it: the same model and runtime on the same GPU, on another one, the same runtime on the
// GPU, the runtime anywhere, anything.
ServerFit fit_of_similar(const TritonBench& bench, const std::vector<Fitted>& fitted) {
  auto same_model = [&](const Fitted& f) { return f.bench->model == bench.model; };
  auto same_runtime = [&](const Fitted& f) { return f.bench->runtime == bench.runtime; };
  auto same_gpu = [&](const Fitted& f) { return f.bench->gpu == bench.gpu; };
  const std::array<std::function<bool(const Fitted&)>, 5> nearness = {
      [&](const Fitted& f) { return same_model(f) && same_runtime(f) && same_gpu(f); },
      [&](const Fitted& f) { return same_model(f) && same_runtime(f); },
      [&](const Fitted& f) { return same_runtime(f) && same_gpu(f); }, same_runtime,
      [](const Fitted&) { return true; }};
  for (const auto& near : nearness) {
    std::vector<const Fitted*> like;
    for (const Fitted& f : fitted)
      if (near(f)) like.push_back(&f);
    if (!like.empty()) return middle(bench, like);
  }
  throw InputError(Diagnostic{Severity::Error, {}, "calibration", "holds no triton tables to fit on"});
}

// Of the different numbers of clients, in order: those at even places are fitted on.
std::pair<std::vector<OnlinePoint>, std::vector<OnlinePoint>> split(const std::vector<OnlinePoint>& online) {
  std::pair<std::vector<OnlinePoint>, std::vector<OnlinePoint>> out;
  size_t place = 0;
  for (size_t i = 0; i < online.size(); ++i) {
    if (i > 0 && online[i].clients != online[i - 1].clients) ++place;
    (place % 2 ? out.second : out.first).push_back(online[i]);
  }
  return out;
}

// Without a queue model: no faster than one request at a time per client, no faster than the best offline batch, and
// every request takes as long as the mean must be.
ClosedLoopResult naive_figures(const TritonBench& bench, int32_t clients) {
  const std::vector<LatencyPoint> table = batch_times(bench, 0);
  double best = 0;
  for (const LatencyPoint& p : table) best = std::max(best, p.samples / p.seconds);
  const double samples = static_cast<double>(clients) * bench.samples;
  const double rate = std::min(samples / seconds_at(table, bench.samples), best);
  return {rate, samples / rate, samples / rate};
}

void add_points(const TritonBench& bench, const ServerFit& fit, const std::vector<OnlinePoint>& scored, ScoreRow& rate,
                ScoreRow& p95) {
  constexpr double kMs = 1e3;
  for (const OnlinePoint& p : scored) {
    const ClosedLoopResult ours = predict(bench, fit, p.clients), naive = naive_figures(bench, p.clients);
    const std::string label = fmt::format("{}, {}, {}: {} clients", bench.model, bench.gpu, bench.runtime, p.clients);
    rate.points.push_back({label, p.per_second, ours.samples_per_s, naive.samples_per_s});
    p95.points.push_back({label, p.p95 * kMs, ours.p95_s * kMs, naive.p95_s * kMs});
  }
}

}  // namespace

void compare_triton(const FidelityData& data, Scoreboard& board) {
  constexpr size_t kLeast = 2;  // points of a closed loop for two numbers
  const std::vector<TritonBench> benches = read_all(data.scored);
  const std::vector<TritonBench> others =
      data.calibrated.empty() ? std::vector<TritonBench>() : read_all(data.calibrated);
  std::vector<Fitted> fitted;
  for (const TritonBench& bench : others) {
    if (bench.online.size() < kLeast) continue;
    data.progress(fmt::format("fitting {}, {}, {}", bench.model, bench.gpu, bench.runtime));
    fitted.push_back({&bench, fit_server(bench, bench.online)});
  }

  std::array<ScoreRow, kGroups> rates, p95s;
  for (size_t g = 0; g < kGroups; ++g) {
    const char* split =
        data.calibrated.empty()
            ? "overlap, host cost and prefetching of each server fitted on every second number of "
              "clients, the others scored"
            : "overlap, host cost and prefetching from the most similar servers of the calibration data";
    constexpr const char* kNaive = "least of clients / offline latency and best offline rate; latency by Little's law";
    rates[g] = {kMarks[g].data,      "throughput",      "samples/s", split, kNaive, ScoreRow::Verdict::Median,
                kMarks[g].pass_rate, kMarks[g].aim_rate};
    p95s[g] = {kMarks[g].data,     "p95 latency",    "ms", split, kNaive, ScoreRow::Verdict::Median,
               kMarks[g].pass_p95, kMarks[g].aim_p95};
  }
  for (const TritonBench& bench : benches) {
    data.progress(fmt::format("{}, {}, {}", bench.model, bench.gpu, bench.runtime));
    ScoreRow &rate = rates[group_of(bench)], &p95 = p95s[group_of(bench)];
    auto [on, scored] = split(bench.online);
    auto skip = [&](const std::string& why, size_t count) {
      rate.skipped[why] += count;
      p95.skipped[why] += count;
    };
    for (const auto& [why, count] : bench.skipped) skip(why, count);
    if (!data.calibrated.empty()) {
      add_points(bench, fit_of_similar(bench, fitted), bench.online, rate, p95);
    } else if (on.size() < kLeast) {
      skip("too few points to fit on", bench.online.size());
    } else {
      skip("fitted on", on.size());
      add_points(bench, fit_server(bench, on), scored, rate, p95);
    }
  }
  for (size_t g = 0; g < kGroups; ++g) {
    if (rates[g].points.empty()) continue;
    board.rows.push_back(std::move(rates[g]));
    board.rows.push_back(std::move(p95s[g]));
  }
}

}  // namespace kisim

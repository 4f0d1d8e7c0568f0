#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "fidelity/comparisons.hpp"
#include "io/decimal_time.hpp"
#include "io/json_file.hpp"
#include "serving/serving_rig.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

namespace kisim {

namespace {

// Figures since the start of a run, as Locust's web interface shows them.
struct LocustSnapshot {
  double at = 0;  // seconds
  double requests = 0, mean = 0, p95 = 0;
};

struct LocustRun {
  std::string file, system, pattern;
  std::vector<UserStep> users;
  std::vector<LocustSnapshot> snapshots;
};

// What a single-threaded Locust process costs: seconds of its thread for a request that carries a tensor, for any other
// turn of its event loop, and of the server for the former.
struct LocustFit {
  double encode = 0, turn = 0, server = 0;
};

constexpr const char* kAggregated = "Aggregated";

std::vector<LocustSnapshot> read_snapshots(const std::string& path) {
  std::vector<LocustSnapshot> out;
  for (const Json& snapshot : read_json(path, Json::value_t::array)) {
    for (const Json& entry : member(snapshot, "stats")) {
      if (member(entry, "name") != kAggregated) continue;
      const double requests = number(entry, "num_requests", path), rate = number(entry, "total_rps", path);
      if (requests <= 0 || rate <= 0) continue;
      constexpr double kMs = 1e-3;
      out.push_back({requests / rate, requests, number(entry, "avg_response_time", path) * kMs,
                     number(entry, "response_time_percentile_0.95", path) * kMs});
    }
  }
  if (out.empty()) refuse(path, fmt::format("found no snapshot with requests under '{}'", kAggregated));
  return out;
}

std::vector<UserStep> read_users(const std::string& path) {
  const Json document = read_json(path);
  const Json &stamps = member(document, "timestamps"), &counts = member(document, "user_counts");
  if (!stamps.is_array() || stamps.empty() || stamps.size() != counts.size())
    refuse(path, "allowed: as many timestamps as user_counts, at least one");
  std::vector<UserStep> out;
  int64_t first = 0;
  for (size_t i = 0; i < stamps.size(); ++i) {
    const auto at = stamps[i].is_string() ? parse_time(stamps[i].get<std::string>(), TimeUnit::Datetime) : std::nullopt;
    if (!at || !counts[i].is_number_integer())
      refuse(path, "found '" + stamps[i].dump() + "', allowed: a date and time");
    if (i == 0) first = *at;
    out.push_back({Time{*at - first}, counts[i].get<int32_t>()});
  }
  return out;
}

std::vector<LocustRun> read_locust(const std::string& directory) {
  namespace fs = std::filesystem;
  constexpr std::string_view kStats = "_stats.json";
  std::vector<LocustRun> out;
  for (const std::string& system : files_of(directory + "/kisim", "")) {
    for (const std::string& stats : files_of(system, std::string(kStats))) {
      const std::string users = stats.substr(0, stats.size() - kStats.size()) + "_users.json";
      if (!fs::exists(users)) continue;
      const std::string name = fs::path(stats).filename().string();
      out.push_back({stats, fs::path(system).filename().string(), name.substr(0, name.find('_')), read_users(users),
                     read_snapshots(stats)});
    }
  }
  return out;
}

// Locust's users think for U(1, 2) s and send one inference in 5 of 8 tasks; the other three are GETs that touch no
// model (KISim, scripts/enhanced_locustfile.py). gevent runs them all on one thread, in passes of its event loop; an
// answer takes two turns, one for the headers and one for the body.
ServingRigModel locust_rig(const LocustRun& run, const LocustFit& fit, uint64_t seed) {
  ServingRigModel rig;
  rig.seed = rig.traffic.seed = rig.server.batch.seed = seed;
  rig.server.batch.models[0].laws[0].base = Distribution::constant(fit.server);
  TaskModel inference, get;
  inference.send = Distribution::constant(fit.encode);
  get.send = Distribution::constant(fit.turn);
  get.frontend = Distribution::constant(0);
  for (TaskModel* task : {&inference, &get}) {
    task->receive = Distribution::constant(fit.turn);
    task->send_turns = 1;
    task->receive_turns = 2;
  }
  ClientModel client;
  client.entity = hash_text("Traffic/locust");
  client.closed_loop = client.process = client.event_loop = true;
  client.tasks = {inference, get};
  SourceModel source;
  source.entity = client.entity;
  source.pattern = SourceModel::Pattern::Users;
  source.think = Distribution::uniform(1, 2);
  source.task_weights = {5, 8};
  source.steps = run.users;
  for (const UserStep& step : run.users) source.users = std::max(source.users, step.users);
  rig.clients = {client};
  rig.traffic.sources = {source};
  return rig;
}

// Figures of all answers so far.
class Statistics final : public RequestSink {
 public:
  void record(const RequestRecord& record) override {
    if (record.outcome == Outcome::Completed) latencies_.push_back(record.e2e_s);
  }
  LocustSnapshot at(double seconds) const {
    LocustSnapshot out{seconds, static_cast<double>(latencies_.size())};
    if (latencies_.empty()) return out;
    out.mean = mean(latencies_);
    out.p95 = quantile(latencies_, 0.95);
    return out;
  }

 private:
  std::vector<double> latencies_;
};

// The same snapshots of a simulated run.
std::vector<LocustSnapshot> simulate(const LocustRun& run, const LocustFit& fit, uint64_t seed) {
  ServingRig rig(locust_rig(run, fit, seed));
  Statistics statistics;
  rig.serving().sink = &statistics;
  std::vector<LocustSnapshot> out;
  for (const LocustSnapshot& measured : run.snapshots) {
    rig.run_until(Time{} + Duration::seconds(measured.at));
    out.push_back(statistics.at(measured.at));
  }
  return out;
}

double loss(const std::vector<const LocustRun*>& runs, const LocustFit& fit) {
  constexpr double kTooFew = 100;  // requests: before, a handful of them decides the figures
  double out = 0;
  for (const LocustRun* run : runs) {
    const std::vector<LocustSnapshot> ours = simulate(*run, fit, 1);
    for (size_t i = 0; i < ours.size(); ++i) {
      const LocustSnapshot &a = ours[i], &b = run->snapshots[i];
      if (b.requests < kTooFew) continue;
      if (a.requests == 0) return HUGE_VAL;
      out += 2 * std::abs(std::log(a.requests / b.requests)) + std::abs(std::log(a.mean / b.mean)) +
             std::abs(std::log(a.p95 / b.p95));
    }
  }
  return out;
}

// Pattern search (Hooke and Jeeves, JACM 8(2), 1961) from a first guess: the thread is never idle at the highest rate.
LocustFit fit_locust(const std::vector<const LocustRun*>& runs) {
  constexpr int kHalvings = 5;
  constexpr double kInferences = 5.0 / 8;
  double most = 0;
  for (const LocustRun* run : runs) {
    const LocustSnapshot &middle = run->snapshots[run->snapshots.size() / 2], &last = run->snapshots.back();
    if (last.at > middle.at) most = std::max(most, (last.requests - middle.requests) / (last.at - middle.at));
  }
  LocustFit best{1 / (most * kInferences), 1e-3, 5e-3};
  double least = loss(runs, best);
  std::array<double LocustFit::*, 3> parts = {&LocustFit::encode, &LocustFit::turn, &LocustFit::server};
  std::array<double, 3> steps = {best.encode / 8, 1e-3, 5e-3};
  for (int halving = 0; halving < kHalvings; ++halving) {
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t i = 0; i < parts.size(); ++i) {
        for (double sign : {-1.0, 1.0}) {
          LocustFit other = best;
          other.*parts[i] = std::max(0.0, best.*parts[i] + sign * steps[i]);
          const double value = loss(runs, other);
          if (value >= least) continue;
          least = value;
          best = other;
          moved = true;
        }
      }
    }
    for (double& step : steps) step /= 2;
  }
  return best;
}

bool is_ramp(const LocustRun& run) { return run.pattern == "ramp"; }

// Ramps of the same system; of any, where it has none.
std::vector<const LocustRun*> ramps_for(const std::string& system, const std::vector<LocustRun>& runs) {
  std::vector<const LocustRun*> same, all;
  for (const LocustRun& run : runs) {
    if (!is_ramp(run)) continue;
    all.push_back(&run);
    if (run.system == system) same.push_back(&run);
  }
  return same.empty() ? all : same;
}

// The mean of several simulated runs.
LocustSnapshot predict(const LocustRun& run, const LocustFit& fit) {
  constexpr uint64_t kSeeds = 5;
  LocustSnapshot out;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const LocustSnapshot s = simulate(run, fit, seed).back();
    out.requests += s.requests / kSeeds;
    out.mean += s.mean / kSeeds;
    out.p95 += s.p95 / kSeeds;
  }
  return out;
}

// The fitted ramps' own figures.
LocustSnapshot naive_figures(const std::vector<const LocustRun*>& ramps) {
  LocustSnapshot out;
  for (const LocustRun* ramp : ramps) {
    const LocustSnapshot& s = ramp->snapshots.back();
    const auto n = static_cast<double>(ramps.size());
    out.requests += s.requests / s.at / n;
    out.mean += s.mean / n;
    out.p95 += s.p95 / n;
  }
  return out;
}

}  // namespace

void compare_locust(const FidelityData& data, Scoreboard& board) {
  const std::vector<LocustRun> runs = read_locust(data.scored);
  const bool own = data.calibrated.empty();
  const std::vector<LocustRun> others = own ? std::vector<LocustRun>() : read_locust(data.calibrated);

  const char* split =
      own ? "three CPU times fitted on the ramps of each system; whole runs of every other pattern scored"
          : "three CPU times fitted on the ramps of the calibration data; all whole runs scored";
  constexpr const char* kNaive = "the figures of the fitted ramps";
  std::array<ScoreRow, 3> rows;
  rows[0] = {"kisim, Locust client", "throughput", "1/s", split, kNaive, ScoreRow::Verdict::Median, 0.05};
  rows[1] = {"kisim, Locust client", "mean latency", "s", split, kNaive, ScoreRow::Verdict::Median, 0.10};
  rows[2] = {"kisim, Locust client", "p95 latency", "s", split, kNaive, ScoreRow::Verdict::Median, 0.15};

  std::map<std::string, LocustFit> fits;
  for (const LocustRun& run : runs) {
    const std::vector<const LocustRun*> ramps = ramps_for(run.system, own ? runs : others);
    const char* why = own && is_ramp(run) ? "fitted on" : ramps.empty() ? "no ramp to fit on" : nullptr;
    if (why) {
      for (ScoreRow& row : rows) ++row.skipped[why];
      continue;
    }
    data.progress(fmt::format("Locust, {} {}", run.system, run.pattern));
    if (!fits.contains(run.system)) fits[run.system] = fit_locust(ramps);
    const LocustSnapshot &measured = run.snapshots.back(), naive = naive_figures(ramps),
                         ours = predict(run, fits[run.system]);
    const std::string label = std::filesystem::path(run.file).filename().string();
    rows[0].points.push_back({label, measured.requests / measured.at, ours.requests / measured.at, naive.requests});
    rows[1].points.push_back({label, measured.mean, ours.mean, naive.mean});
    rows[2].points.push_back({label, measured.p95, ours.p95, naive.p95});
  }
  for (ScoreRow& row : rows)
    if (!row.points.empty()) board.rows.push_back(std::move(row));
}

}  // namespace kisim

#include "calibration/interference.hpp"
#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "io/json_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim {

namespace {

// Two jobs on one GPU, by their places among the jobs.
struct GavelPair {
  size_t first = 0, second = 0;
  double first_speed = 0, second_speed = 0;  // shares of their rates alone
};

struct GavelTable {
  std::string gpu;
  std::vector<SharingJob> jobs;
  std::vector<std::string> names;
  std::vector<GavelPair> pairs;
  size_t did_not_run = 0;
};

// "('ResNet-18 (batch size 16)', 1)": family, batch size; nothing if it is not of scale factor 1.
bool parse_job(const std::string& key, SharingJob& job, std::string& name) {
  constexpr std::string_view kBegin = "('", kEnd = "', 1)", kBatch = " (batch size ";
  if (!key.starts_with(kBegin) || !key.ends_with(kEnd)) return false;
  name = key.substr(kBegin.size(), key.size() - kBegin.size() - kEnd.size());
  const size_t batch = name.find(kBatch);
  job.family = name.substr(0, batch);
  job.batch_size = 0;
  if (batch != name.npos)
    std::from_chars(name.data() + batch + kBatch.size(), name.data() + name.size(), job.batch_size);
  return true;
}

double rate(const Json& value, const std::string& file) {
  if (!value.is_number()) refuse(file, "found " + value.dump() + ", allowed: a number of steps per second");
  return value.get<double>();
}

void add_pairs(const Json& jobs, const std::vector<std::string>& keys, const std::string& file, GavelTable& table) {
  for (size_t i = 0; i < keys.size(); ++i) {
    for (size_t j = i; j < keys.size(); ++j) {
      const Json& both = member(jobs.at(keys[i]), keys[j]);
      if (!both.is_array() || both.size() != 2) continue;
      const double first = rate(both[0], file), second = rate(both[1], file);
      if (first <= 0 || second <= 0)
        ++table.did_not_run;
      else
        table.pairs.push_back({i, j, first / table.jobs[i].rate, second / table.jobs[j].rate});
    }
  }
}

std::vector<GavelTable> read_gavel(const std::string& directory) {
  std::vector<GavelTable> out;
  for (const std::string& file : files_of(directory + "/gavel", ".json")) {
    const Json document = read_json(file);
    for (const auto& [gpu, jobs] : document.items()) {
      GavelTable table{gpu};
      std::vector<std::string> keys;
      for (const auto& [key, rates] : jobs.items()) {
        SharingJob job;
        std::string name;
        if (!parse_job(key, job, name) || !rates.contains("null")) continue;
        job.rate = rate(rates.at("null"), file);
        if (job.rate <= 0) continue;
        keys.push_back(key);
        table.jobs.push_back(job);
        table.names.push_back(name);
      }
      add_pairs(jobs, keys, file, table);
      out.push_back(std::move(table));
    }
  }
  return out;
}

// Both views of a pair: each job beside the other.
void add_speeds(const GavelTable& table, const GavelPair& pair, std::vector<SharedSpeed>& out) {
  const SharingJob &a = table.jobs[pair.first], &b = table.jobs[pair.second];
  out.push_back({a, b, pair.first_speed});
  if (pair.first != pair.second) out.push_back({b, a, pair.second_speed});
}

ScoredPoint point_of(const GavelTable& table, const GavelPair& pair, const InterferenceModel& model) {
  const SharingJob &a = table.jobs[pair.first], &b = table.jobs[pair.second];
  return {table.names[pair.first] + " + " + table.names[pair.second], pair.first_speed + pair.second_speed,
          model.speed(a, b) + model.speed(b, a)};
}

bool has(const GavelPair& pair, size_t job) { return pair.first == job || pair.second == job; }

void leave_one_job_out(const GavelTable& table, ScoreRow& row) {
  for (size_t job = 0; job < table.jobs.size(); ++job) {
    std::vector<SharedSpeed> speeds;
    for (const GavelPair& pair : table.pairs)
      if (!has(pair, job)) add_speeds(table, pair, speeds);
    const auto left_out =
        std::count_if(table.pairs.begin(), table.pairs.end(), [&](const GavelPair& pair) { return has(pair, job); });
    if (left_out == 0) continue;
    if (speeds.size() < 2) {
      row.skipped["too few pairs without the job"] += static_cast<size_t>(left_out);
      continue;
    }
    const InterferenceModel model(std::move(speeds));
    for (const GavelPair& pair : table.pairs)
      if (has(pair, job)) row.points.push_back(point_of(table, pair, model));
  }
}

// The constant with the least mean relative error on what is scored: it knows the answers, and is one of them.
void set_naive(std::vector<ScoredPoint>& points) {
  double best = 0, least = HUGE_VAL;
  for (const ScoredPoint& candidate : points) {
    double sum = 0;
    for (const ScoredPoint& p : points) sum += std::abs(candidate.measured / p.measured - 1);
    if (sum >= least) continue;
    least = sum;
    best = candidate.measured;
  }
  for (ScoredPoint& p : points) p.naive = best;
}

}  // namespace

void compare_gavel(const FidelityData& data, Scoreboard& board) {
  std::vector<SharedSpeed> calibration;
  if (!data.calibrated.empty())
    for (const GavelTable& table : read_gavel(data.calibrated))
      for (const GavelPair& pair : table.pairs) add_speeds(table, pair, calibration);

  for (const GavelTable& table : read_gavel(data.scored)) {
    if (table.pairs.empty()) continue;
    data.progress("pairs of jobs on " + table.gpu);
    ScoreRow row;
    row.data = "gavel, pairs on " + table.gpu;
    row.metric = "combined rate";
    row.unit = "sum of shares of the rates alone";
    row.naive = "best constant for what is scored";
    row.verdict = ScoreRow::Verdict::Mean;
    row.pass = 0.22;
    row.aim = 0.15;
    row.most_of_naive = 2.0 / 3;
    if (table.did_not_run) row.skipped["one of the two did not run"] = table.did_not_run;
    if (data.calibrated.empty()) {
      row.split =
          fmt::format("{} pairs; each job in turn left out with all its pairs, which are scored", table.pairs.size());
      leave_one_job_out(table, row);
    } else {
      row.split = "fitted on all pairs of the calibration data";
      if (calibration.size() < 2)
        throw InputError(Diagnostic{Severity::Error, {data.calibrated, 0, 0}, "gavel", "holds no pairs to fit on"});
      const InterferenceModel model(calibration);
      for (const GavelPair& pair : table.pairs) row.points.push_back(point_of(table, pair, model));
    }
    if (row.points.empty()) continue;
    set_naive(row.points);
    board.rows.push_back(std::move(row));
  }
}

}  // namespace kisim

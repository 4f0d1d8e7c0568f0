#include "calibration/calibrate.hpp"

#include "calibration/interference.hpp"
#include "calibration/latency_fit.hpp"
#include "calibration/least_squares.hpp"
#include "calibration/request_fit.hpp"
#include "calibration/scrape_fit.hpp"
#include "calibration/startup_fit.hpp"
#include "calibration/step_fit.hpp"
#include "io/catalogue.hpp"
#include "io/data_table.hpp"
#include "io/input.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace kisim {

namespace {

using Groups = std::map<std::string, std::vector<size_t>>;  // rows by name

Groups group_rows(const DataTable& table, const std::vector<std::string>& by) {
  std::vector<size_t> columns;
  for (const std::string& name : by) columns.push_back(table.column(name));
  Groups out;
  for (size_t row = 0; row < table.rows(); ++row) {
    std::vector<std::string> parts;
    for (size_t column : columns) parts.push_back(table.text(row, column));
    out[parts.empty() ? "all" : fmt::format("{}", fmt::join(parts, ", "))].push_back(row);
  }
  return out;
}

SourceMark start_of(const DataTable& table, const std::vector<size_t>& rows) {
  return rows.empty() ? SourceMark{table.name(), 1, 1} : table.mark(rows[0]);
}

Coefficients calibrate_latency(const CalibrationRequest& request, const DataTable& table) {
  const double unit = seconds_of_unit(request.unit, {table.name(), 1, 1});
  const size_t size = table.column(request.size), time = table.column(request.time);
  Coefficients out;
  out.provenance.method = "isotonic table; bootstrap intervals; Huber line";
  const Groups groups = group_rows(table, request.by);
  if (groups.empty()) need_points(0, kLeastLatencyPoints, request.time, {table.name(), 1, 1});
  for (const auto& [name, rows] : groups) {
    std::vector<LatencyPoint> points;
    std::set<double> sizes;
    for (size_t row : rows) {
      points.push_back({table.positive(row, size), table.positive(row, time) * unit});
      sizes.insert(points.back().samples);
    }
    need_points(sizes.size(), kLeastLatencyPoints, name + ": batch sizes", start_of(table, rows));
    out.latency.push_back({name, fit_latency(std::move(points), request.seed), std::nullopt});
  }
  return out;
}

Coefficients calibrate_startup(const CalibrationRequest& request, const DataTable& table) {
  const double unit = seconds_of_unit(request.unit, {table.name(), 1, 1});
  const size_t time = table.column(request.time);
  Coefficients out;
  out.provenance.method = "lognormal by quantiles; bootstrap intervals";
  const Groups groups = group_rows(table, request.by);
  if (groups.empty()) need_points(0, kLeastStartupPoints, request.time, {table.name(), 1, 1});
  for (const auto& [name, rows] : groups) {
    std::vector<double> seconds;
    for (size_t row : rows) seconds.push_back(table.positive(row, time) * unit);
    need_points(seconds.size(), kLeastStartupPoints, name + ": durations", start_of(table, rows));
    out.startup.push_back({name, fit_startup(seconds, request.seed)});
  }
  return out;
}

template <class Entry>
const Entry& named(const DataTable& table, size_t row, const char* what, const std::vector<Entry>& entries,
                   const std::string& name) {
  for (const Entry& entry : entries)
    if (entry.name == name) return entry;
  throw InputError(Diagnostic{Severity::Error, table.mark(row), what,
                              fmt::format("found '{}', allowed: see `kisim list {}s`", name, what)});
}

IterationCoefficients fit_iterations(const std::string& name, const std::vector<StepPoint>& points,
                                     const GpuModel& gpu) {
  IterationCoefficients out{name, fit_steps(points, gpu), 0, {}};
  std::vector<double> errors;
  for (const StepPoint& p : points) errors.push_back(std::abs(p.predicted(out.fit, gpu) / p.seconds - 1));
  out.fit_error = median(errors);
  out.fit.error = left_out_error(points, gpu);
  return out;
}

Coefficients calibrate_iterations(const CalibrationRequest& request, const DataTable& table) {
  const double unit = seconds_of_unit(request.unit, {table.name(), 1, 1});
  const size_t model = table.column("model"), gpu = table.column("gpu"), gpus = table.column("tensor_parallel");
  const size_t size = table.column(request.size), context = table.column("context"), time = table.column(request.time);
  const std::vector<LlmModel> models = read_llm_catalogue();
  const std::vector<GpuModel> catalogue = read_gpu_catalogue();
  Coefficients out;
  out.provenance.method = "Huber and priors, relative errors; each model left out in turn";
  std::vector<std::string> by = request.by;
  by.push_back("gpu");
  const Groups groups = group_rows(table, by);
  if (groups.empty()) need_points(0, kLeastStepPoints, request.time, {table.name(), 1, 1});
  for (const auto& [name, rows] : groups) {
    std::vector<StepPoint> points;
    for (size_t row : rows) {
      StepPoint p;
      p.llm = named(table, row, "model", models, table.text(row, model));
      if (p.llm.experts.count > 0 || p.llm.linear_layers > 0)
        throw InputError(
            Diagnostic{Severity::Error, table.mark(row), "model",
                       "found " + p.llm.name + ", allowed: a dense model whose layers all have attention"});
      if (table.positive(row, gpus) < 1)
        throw InputError(Diagnostic{Severity::Error, table.mark(row), "tensor_parallel", "allowed: at least 1"});
      p.tensor_parallel = static_cast<int32_t>(table.positive(row, gpus));
      p.sequences = table.positive(row, size);
      p.context = table.positive(row, context);
      p.window_context = std::min<double>(p.context, p.llm.window);
      p.seconds = table.positive(row, time) * unit;
      points.push_back(std::move(p));
    }
    need_points(points.size(), kLeastStepPoints, name + ": iterations", start_of(table, rows));
    out.iterations.push_back(
        fit_iterations(name, points, named(table, rows[0], "gpu", catalogue, table.text(rows[0], gpu))));
  }
  return out;
}

// A log's engine is of the kind that the request names, on its GPU.
Coefficients calibrate_requests(const CalibrationRequest& request, size_t& rows) {
  const SourceMark mark{request.file, 0, 0};
  VllmLog log = read_vllm_log(request.file);
  rows = log.requests.size();
  const std::vector<LlmModel> models = read_llm_catalogue();
  const std::vector<GpuModel> gpus = read_gpu_catalogue();
  const std::vector<EngineProfile> engines = read_engine_catalogue();
  const LlmModel* model = find_llm(models, log.model);
  const GpuModel* gpu = find_alike(gpus, request.gpu);
  const EngineProfile* engine = find_alike(engines, request.engine);
  auto refuse = [&](const std::string& field, const std::string& message) {
    throw InputError(Diagnostic{Severity::Error, mark, field, message});
  };
  if (!model) refuse("model", fmt::format("found '{}', allowed: see `kisim list models`", log.model));
  if (!gpu) refuse("--gpu", fmt::format("found '{}', allowed: see `kisim list gpus`", request.gpu));
  if (!engine || engine->kind != "llm")
    refuse("--engine", fmt::format("found '{}', allowed: an engine of `kisim list engines`", request.engine));
  if (log.data_parallel > 1) refuse("data_parallel_size", "allowed: 1");
  need_points(rows, kLeastLoggedRequests, "requests", mark);
  log.engine.llm = *model;
  log.engine.profile = *engine;
  const std::vector<EngineAnswer> answers = replay(log.engine, log.cost(*gpu), log.requests).answers;
  if (std::any_of(answers.begin(), answers.end(), [](const EngineAnswer& a) { return a.refused; }))
    refuse("kv_cache", "its KV blocks do not hold its longest request");

  const RequestFit fit = fit_requests(log, *gpu);
  Coefficients out;
  auto errors = [](const RequestErrors& e) {
    return fmt::format("TPOT {:.1f} %, TTFT {:.1f} %, E2E {:.1f} %", 100 * e.tpot, 100 * e.ttft, 100 * e.e2e);
  };
  out.provenance.method =
      fmt::format("replays of {} with {}, Huber and priors; medians of requests: fit {}; each half from the other {}",
                  engine->name, model->name, errors(fit.fit), errors(fit.left_out));
  out.iterations.push_back({gpu->name, fit.coefficients, fit.fit.tpot, fit.held});
  return out;
}

Coefficients calibrate_scrapes(const CalibrationRequest& request, size_t& rows) {
  std::vector<std::vector<MetricSample>> scrapes = {read_metrics(request.file)};
  for (const std::string& file : request.more_files) scrapes.push_back(read_metrics(file));
  const ScrapeIntervals found = intervals_of(scrapes);
  rows = found.intervals.size();
  Coefficients out;
  out.linear.push_back(fit_scrapes(found, request.file, request.seed));
  out.linear[0].name = "vllm";
  out.provenance.method = fmt::format(
      "differences of counters between scrapes, Huber line; bootstrap intervals, widened to the ends of buckets where "
      "no "
      "sum is told; {} scrapes; intervals left out: {} unsteady, {} without tokens, {} with a restart; prefillBase is "
      "base",
      found.scrapes, found.unsteady, found.idle, found.restarts);
  return out;
}

SharingJob job_of(const DataTable& table, size_t row, size_t family, size_t batch_size, size_t rate) {
  return {table.text(row, family), table.number(row, batch_size).value_or(0), table.positive(row, rate)};
}

std::string name_of(const SharingJob& job) {
  return job.batch_size > 0 ? fmt::format("{} (batch size {:g})", job.family, job.batch_size) : job.family;
}

// Median relative error of a job's speed where no pair with the job was seen.
double left_out_error(const std::vector<SharedSpeed>& pairs, const std::map<std::string, SharingJob>& jobs) {
  std::vector<double> errors;
  for (const auto& [name, job] : jobs) {
    std::vector<SharedSpeed> kept, left_out;
    for (const SharedSpeed& p : pairs)
      (name_of(p.job) == name || name_of(p.neighbour) == name ? left_out : kept).push_back(p);
    if (kept.size() < 2) continue;
    const InterferenceModel model(std::move(kept));
    for (const SharedSpeed& p : left_out) errors.push_back(std::abs(model.speed(p.job, p.neighbour) / p.speed - 1));
  }
  return median(errors);
}

Coefficients calibrate_interference(const DataTable& table) {
  constexpr size_t kLeastPairs = 10;
  const size_t family = table.column("family"), batch = table.column("batch_size"), rate = table.column("rate");
  const size_t n_family = table.column("neighbour_family"), n_batch = table.column("neighbour_batch_size");
  const size_t n_rate = table.column("neighbour_rate"), speed = table.column("speed");
  std::vector<SharedSpeed> pairs;
  std::map<std::string, SharingJob> jobs;
  for (size_t row = 0; row < table.rows(); ++row) {
    SharedSpeed p{job_of(table, row, family, batch, rate), job_of(table, row, n_family, n_batch, n_rate),
                  table.positive(row, speed)};
    for (const SharingJob& job : {p.job, p.neighbour}) jobs.emplace(name_of(job), job);
    pairs.push_back(std::move(p));
  }
  need_points(pairs.size(), kLeastPairs, "pairs", {table.name(), 1, 1});
  need_points(jobs.size(), 3, "jobs", {table.name(), 1, 1});

  Coefficients out;
  out.provenance.method =
      fmt::format("Gaussian process; median error of a job never seen: {:.1f} %", 100 * left_out_error(pairs, jobs));
  const InterferenceModel model(std::move(pairs));
  for (const auto& [name, job] : jobs)
    for (const auto& [other, neighbour] : jobs) out.interference.push_back({name, other, model.speed(job, neighbour)});
  return out;
}

std::string ms(double seconds) { return fmt::format("{:.3g}", seconds * 1e3); }
std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

}  // namespace

std::vector<std::string> calibration_kinds() {
  return {"latency", "startup", "iterations", "requests", "scrapes", "interference"};
}

Coefficients calibrate(const CalibrationRequest& request) {
  Coefficients out;
  size_t rows = 0;
  if (request.kind == "requests") {
    out = calibrate_requests(request, rows);
  } else if (request.kind == "scrapes") {
    out = calibrate_scrapes(request, rows);
  } else {
    const DataTable table = DataTable::read(request.file);
    rows = table.rows();
    out = request.kind == "latency"      ? calibrate_latency(request, table)
          : request.kind == "startup"    ? calibrate_startup(request, table)
          : request.kind == "iterations" ? calibrate_iterations(request, table)
                                         : calibrate_interference(table);
  }
  out.provenance.source = request.file;
  if (!request.more_files.empty())
    out.provenance.source += fmt::format(" to {} ({} files)", request.more_files.back(), request.more_files.size() + 1);
  out.provenance.rows = rows;
  return out;
}

std::string calibration_table(const Coefficients& c, const TextStyle& style) {
  std::string out;
  if (!c.latency.empty()) {
    TextTable table(
        {{"LATENCY"}, {"SIZES", true}, {"BASE ms", true}, {"PER SAMPLE ms", true}, {"FIT", true}, {"LEFT OUT", true}});
    for (const LatencyCoefficients& l : c.latency)
      table.row({l.name, fmt::format("{:g}–{:g}", l.fit.table.front().samples, l.fit.table.back().samples),
                 ms(l.fit.base), ms(l.fit.per_sample), percent(l.fit.fit_error), percent(l.fit.leave_one_out_error)});
    out += table.text(style);
  }
  if (!c.startup.empty()) {
    TextTable table(
        {{"STARTUP"}, {"MEDIAN s", true}, {"95 %", true}, {"SIGMA", true}, {"FIT", true}, {"LEFT OUT", true}});
    for (const StartupCoefficients& s : c.startup)
      table.row({s.name, fmt::format("{:.4g}", s.fit.median),
                 fmt::format("{:.4g}–{:.4g}", s.fit.median_interval.low, s.fit.median_interval.high),
                 fmt::format("{:.3f}", s.fit.sigma), percent(s.fit.fit_error), percent(s.fit.left_out_error)});
    out += table.text(style);
  }
  if (!c.iterations.empty()) {
    TextTable table({{"ITERATIONS"},
                     {"STEP ms", true},
                     {"LAYER us", true},
                     {"WEIGHTS", true},
                     {"KV", true},
                     {"COMPUTE", true},
                     {"SAMPLING us", true},
                     {"ALL-REDUCE", true},
                     {"PREFILL", true},
                     {"FIT", true},
                     {"LEFT OUT", true}});
    for (const IterationCoefficients& i : c.iterations) {
      std::vector<std::string> cells{i.name};
      for (const IterationFigure& figure : kIterationFigures)
        cells.push_back(fmt::format("{:.3g}", i.fit.*figure.value));
      cells.push_back(percent(i.fit_error));
      cells.push_back(percent(i.fit.error));
      table.row(cells);
    }
    out += table.text(style);
    for (const IterationCoefficients& i : c.iterations)
      if (!i.held.empty())
        out += fmt::format("{}: near what was assumed, as the measurements say little of them: {}\n", i.name,
                           fmt::join(i.held, ", "));
  }
  if (!c.linear.empty()) {
    TextTable table({{"LINE"},
                     {"BATCHES", true},
                     {"BASE ms", true},
                     {"95 %", true},
                     {"PER SEQUENCE ms", true},
                     {"95 %", true},
                     {"PREFILL us/token", true},
                     {"FIT", true},
                     {"LEFT OUT", true}});
    for (const LinearCoefficients& l : c.linear)
      table.row({l.name, fmt::format("{:.3g}–{:.3g}", l.min_batch, l.max_batch), ms(l.law.base),
                 ms(l.base.low) + "–" + ms(l.base.high), ms(l.law.per_sequence),
                 ms(l.per_sequence.low) + "–" + ms(l.per_sequence.high), ms(l.law.prefill_per_token * 1e3),
                 percent(l.fit_error), percent(l.left_out_error)});
    out += table.text(style);
  }
  if (!c.interference.empty()) out += fmt::format("{} pairs of jobs\n", c.interference.size());
  return out + fmt::format("{} rows; {}\n", c.provenance.rows, c.provenance.method);
}

std::vector<std::string> split_columns(const std::string& text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace kisim

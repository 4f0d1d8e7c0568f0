#include "io/run_file.hpp"

#include "core/error.hpp"
#include "core/hash.hpp"
#include "io/output.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace kisim {
namespace {

constexpr uint64_t kFormatVersion = 1;

// Injective, so that two metrics never meet in one group.
std::string group_name(const std::string& text) {
  std::string out;
  for (char c : text) {
    bool safe = std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_-.=,").find(c) != std::string::npos;
    out += safe ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string series_path(const Series& series) {
  std::string labels;
  for (const auto& [name, value] : series.labels) labels += (labels.empty() ? "" : ",") + name + '=' + value;
  return "/series/" + group_name(series.metric) + '/' + (labels.empty() ? "all" : group_name(labels));
}

std::string labels_json(const Series& series) {
  nlohmann::ordered_json labels = nlohmann::ordered_json::object();
  for (const auto& [name, value] : series.labels) labels[name] = value;
  return labels.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class Row, class Field>
auto column_of(const std::vector<Row>& rows, Field Row::*field) {
  std::vector<Field> values;
  values.reserve(rows.size());
  for (const Row& row : rows) values.push_back(row.*field);
  return values;
}

}  // namespace

struct RunFile::RequestColumns {
  explicit RequestColumns(h5::File& file)
      : source(file, "/requests/source"),
        ordinal(file, "/requests/ordinal"),
        outcome(file, "/requests/outcome"),
        attempts(file, "/requests/attempts"),
        replica_pod(file, "/requests/replica_pod"),
        prompt_tokens(file, "/requests/prompt_tokens"),
        output_tokens(file, "/requests/output_tokens"),
        arrival_s(file, "/requests/arrival_s"),
        queue_s(file, "/requests/queue_s"),
        ttft_s(file, "/requests/ttft_s"),
        tpot_s(file, "/requests/tpot_s"),
        e2e_s(file, "/requests/e2e_s") {}

  void flush() {
    source.flush();
    ordinal.flush();
    outcome.flush();
    attempts.flush();
    replica_pod.flush();
    prompt_tokens.flush();
    output_tokens.flush();
    for (auto* seconds : {&arrival_s, &queue_s, &ttft_s, &tpot_s, &e2e_s}) seconds->flush();
  }

  h5::Column<uint32_t> source;
  h5::Column<uint64_t> ordinal;
  h5::Column<uint8_t> outcome;
  h5::Column<uint32_t> attempts, replica_pod;
  h5::Column<int32_t> prompt_tokens, output_tokens;
  h5::Column<double> arrival_s, queue_s, ttft_s, tpot_s, e2e_s;
};

RunFile::RunFile(std::string path)
    : part_(std::move(path)),
      file_(part_.part_path(), part_.final_path()),
      requests_(std::make_unique<RequestColumns>(file_)) {}

RunFile::~RunFile() = default;

void RunFile::record(const RequestRecord& record) {
  if (!failure_.empty()) return;
  try {
    append(record);
  } catch (const IoError& error) {
    failure_ = error.what();
  }
}

void RunFile::append(const RequestRecord& record) {
  RequestColumns& c = *requests_;
  c.source.append(record.source);
  c.ordinal.append(record.ordinal);
  c.outcome.append(static_cast<uint8_t>(record.outcome));
  c.attempts.append(record.attempts);
  c.replica_pod.append(record.replica_pod);
  c.prompt_tokens.append(record.prompt_tokens);
  c.output_tokens.append(record.output_tokens);
  c.arrival_s.append(record.arrival_s);
  c.queue_s.append(record.queue_s);
  c.ttft_s.append(record.ttft_s);
  c.tpot_s.append(record.tpot_s);
  c.e2e_s.append(record.e2e_s);
}

void RunFile::finish(const Scenario& scenario, const Summary& summary, const Recorder& recorder) {
  if (!failure_.empty()) throw IoError(failure_);
  write_meta(scenario, summary);
  write_series(recorder.series);
  write_requests(recorder);
  write_pods(recorder.pods);
  write_scalings(recorder.scalings);
  write_gpus(recorder.gpus);
  write_starts(recorder.starts);
  file_.close();
  part_.commit();
}

void RunFile::write_meta(const Scenario& scenario, const Summary& summary) {
  file_.group("/meta");
  file_.attribute("/meta", "format_version", kFormatVersion);
  file_.attribute("/meta", "kisim_version", version());
  file_.attribute("/meta", "scenario", summary.scenario);
  file_.attribute("/meta", "scenario_hash", signature_text(hash_text(scenario.text)));
  file_.attribute("/meta", "seed", summary.seed);
  file_.attribute("/meta", "signature", signature_text(summary.signature));
  file_.text("/scenario", scenario.text);
  file_.text("/summary", summary_json(summary, Measured::Without));
}

template <class T>
void RunFile::write_column(const std::string& path, const std::vector<T>& values, const std::string& unit) {
  file_.create_column<T>(path, std::clamp<size_t>(values.size(), 1, h5::kChunk));
  if (!values.empty()) file_.append(path, values);
  if (!unit.empty()) file_.attribute(path, "unit", unit);
}

void RunFile::write_series(const std::vector<Series>& all) {
  file_.group("/series");
  for (const Series& series : all) {
    const std::string path = series_path(series);
    file_.group(path);
    file_.attribute(path, "metric", series.metric);
    file_.attribute(path, "unit", series.unit);
    file_.attribute(path, "labels", labels_json(series));
    write_column(path + "/t", series.t, "s");
    write_column(path + "/value", series.value, series.unit);
  }
}

void RunFile::write_requests(const Recorder& recorder) {
  for (const RequestRecord& row : recorder.requests) append(row);
  RequestColumns& c = *requests_;
  c.flush();
  file_.attribute(c.source.path(), "names", recorder.sources);
  // in the order of enum Outcome
  file_.attribute(c.outcome.path(), "names", std::vector<std::string>{"completed", "failed", "dropped", "timed_out"});
  for (const auto* seconds : {&c.arrival_s, &c.queue_s, &c.ttft_s, &c.tpot_s, &c.e2e_s})
    file_.attribute(seconds->path(), "unit", std::string("s"));
}

void RunFile::write_pods(const std::vector<PodRecord>& pods) {
  file_.group("/pods");
  file_.texts("/pods/name", column_of(pods, &PodRecord::name));
  file_.texts("/pods/workload", column_of(pods, &PodRecord::workload));
  file_.texts("/pods/node", column_of(pods, &PodRecord::node));
  file_.texts("/pods/phase", column_of(pods, &PodRecord::phase));
  write_column("/pods/created", column_of(pods, &PodRecord::created), "s");
  write_column("/pods/scheduled", column_of(pods, &PodRecord::scheduled), "s");
  write_column("/pods/started", column_of(pods, &PodRecord::started), "s");
  write_column("/pods/ready", column_of(pods, &PodRecord::ready), "s");
  write_column("/pods/deleted", column_of(pods, &PodRecord::deleted), "s");
}

void RunFile::write_gpus(const std::vector<GpuRecord>& gpus) {
  file_.group("/gpus");
  file_.texts("/gpus/node", column_of(gpus, &GpuRecord::node));
  file_.texts("/gpus/model", column_of(gpus, &GpuRecord::model));
  write_column("/gpus/index", column_of(gpus, &GpuRecord::index), "");
  write_column("/gpus/hours_allocated", column_of(gpus, &GpuRecord::hours_allocated), "h");
  write_column("/gpus/hours_busy", column_of(gpus, &GpuRecord::hours_busy), "h");
  write_column("/gpus/energy", column_of(gpus, &GpuRecord::energy_kwh), "kWh");
}

void RunFile::write_starts(const std::vector<StartRecord>& starts) {
  file_.group("/starts");
  file_.texts("/starts/pod", column_of(starts, &StartRecord::pod));
  file_.texts("/starts/workload", column_of(starts, &StartRecord::workload));
  file_.texts("/starts/weights_from", column_of(starts, &StartRecord::weights_from));
  write_column("/starts/restarts", column_of(starts, &StartRecord::restarts), "");
  write_column("/starts/began", column_of(starts, &StartRecord::began), "s");
  for (size_t p = 0; p < kStartPhases; ++p) {
    std::vector<double> seconds;
    for (const StartRecord& start : starts) seconds.push_back(start.seconds[p]);
    write_column(fmt::format("/starts/{}", to_string(static_cast<StartPhase>(p))), seconds, "s");
  }
}

void RunFile::write_scalings(const std::vector<ScalingRecord>& scalings) {
  file_.group("/scalings");
  write_column("/scalings/t", column_of(scalings, &ScalingRecord::t), "s");
  file_.texts("/scalings/workload", column_of(scalings, &ScalingRecord::workload));
  write_column("/scalings/from", column_of(scalings, &ScalingRecord::from), "");
  write_column("/scalings/to", column_of(scalings, &ScalingRecord::to), "");
  file_.texts("/scalings/reason", column_of(scalings, &ScalingRecord::reason));
}

}  // namespace kisim

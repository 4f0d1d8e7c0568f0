#include "io/vllm_log.hpp"

#include "core/error.hpp"
#include "io/csv.hpp"
#include "io/data_table.hpp"
#include "io/decimal_time.hpp"
#include "io/json_file.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace kisim {

namespace {

int32_t whole(const std::string& path, const Json& object, const char* key, int32_t otherwise) {
  const Json& value = member(object, key);
  if (!value.is_number_integer()) return otherwise;
  const auto x = value.get<int64_t>();
  if (x < 0 || x > INT32_MAX) refuse(path, fmt::format("{}: found {}, allowed: from 0 to {}", key, x, INT32_MAX));
  return static_cast<int32_t>(x);
}

// vLLM V1 schedules asynchronously and reserves whole prompts unless told otherwise.
void read_settings(const std::string& path, VllmLog& log) {
  const Json meta = read_json(path);
  const Json& given = member(meta, "engine_kwargs");
  const Json& scheduler = member(member(meta, "resolved_config"), "scheduler_config");
  const Json& cache = member(meta, "kv_cache");
  log.model = member(meta, "model").is_string() ? meta.at("model").get<std::string>() : "";
  LlmEngineModel& engine = log.engine;
  engine.max_num_seqs = whole(path, given, "max_num_seqs", 256);
  engine.max_num_batched_tokens = whole(path, given, "max_num_batched_tokens", 2048);
  engine.tensor_parallel = whole(path, given, "tensor_parallel_size", 1);
  engine.block_size = whole(path, cache, "block_size", 16);
  log.data_parallel = whole(path, given, "data_parallel_size", 1);
  for (int32_t setting :
       {engine.max_num_seqs, engine.max_num_batched_tokens, engine.tensor_parallel, engine.block_size})
    if (setting < 1) refuse(path, fmt::format("found a size of {}, allowed: at least 1", setting));
  auto flag = [&](const char* key) { return !member(scheduler, key).is_boolean() || scheduler.at(key).get<bool>(); };
  engine.async_scheduling = flag("async_scheduling");
  engine.scheduler_reserve_full_isl = flag("scheduler_reserve_full_isl");
  engine.long_prefill_token_threshold = whole(path, scheduler, "long_prefill_token_threshold", 0);
  const Json& caching = member(cache, "enable_prefix_caching");
  engine.prefix_caching = !caching.is_boolean() || caching.get<bool>();
  const Json& utilization = member(cache, "gpu_memory_utilization");
  if (utilization.is_number()) engine.memory_utilization = utilization.get<double>();
  log.kv_blocks = whole(path, cache, "num_gpu_blocks", 0);
  const Json& started = member(meta, "started_at");
  if (started.is_string())
    if (auto ns = parse_time(started.get<std::string>(), TimeUnit::Datetime))
      log.started = static_cast<double>(*ns) * 1e-9;
  const Json& memory = member(member(meta, "hardware"), "device_total_memory_bytes");
  if (memory.is_number()) log.memory_bytes = memory.get<double>();
}

constexpr double kLatest = 4e9;  // seconds; of the clocks that engines have

struct Row {
  double arrival, queued, scheduled, first, last;
  int32_t in, out;
};

Row row_of(const Json& object, const SourceMark& mark) {
  auto figure = [&](const char* key) {
    const Json& value = member(object, key);
    if (value.is_number() && std::abs(value.get<double>()) <= kLatest) return value.get<double>();
    throw InputError(Diagnostic{Severity::Error, mark, key, fmt::format("found {}, allowed: a number", value.dump())});
  };
  auto tokens = [&](const char* key) {
    const double found = figure(key);
    if (found >= 1 && found <= 1e9) return static_cast<int32_t>(found);
    throw InputError(Diagnostic{Severity::Error, mark, key, fmt::format("found {}, allowed: 1 to 1e9", found)});
  };
  Row row{0,
          figure("queued_ts"),
          figure("scheduled_ts"),
          figure("first_token_ts"),
          figure("last_token_ts"),
          tokens("input_toks"),
          tokens("output_toks")};
  row.arrival = member(object, "arrival_time").is_null() ? row.queued : figure("arrival_time");
  if (row.queued > row.scheduled || row.scheduled > row.first || row.first > row.last)
    throw InputError(Diagnostic{Severity::Error, mark, "",
                                "allowed: queued_ts, scheduled_ts, first_token_ts, "
                                "last_token_ts in this order"});
  return row;
}

void read_requests(const std::string& path, VllmLog& log) {
  const std::string text = read_text(path);
  std::vector<Row> rows;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const SourceMark mark{path, ++number, 1};
    if (line.find_first_not_of(" \r\t") == line.npos) continue;
    const Json row = Json::parse(line, nullptr, false);
    if (!row.is_object())
      throw InputError(
          Diagnostic{Severity::Error, mark, "", fmt::format("found {}, allowed: a JSON object per line", shown(line))});
    rows.push_back(row_of(row, mark));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.queued < b.queued; });
  // Both clocks at the first request.
  if (log.started > 0 && !rows.empty()) log.clock_offset = rows.front().arrival - log.started;
  for (const Row& row : rows) {
    auto time = [&](double ts) { return Time{} + Duration::seconds(ts - rows.front().queued); };
    log.requests.push_back({time(row.queued), row.in, row.out});
    log.answers.push_back({false, time(row.scheduled), time(row.first), time(row.last)});
  }
}

void read_gauges(const std::string& path, VllmLog& log) {
  if (!std::filesystem::exists(path)) return;
  DataTable table = DataTable::read(path);
  size_t t = table.column("t"), running = table.column("running"), waiting = table.column("waiting"),
         kv = table.column("kv_cache_pct");
  for (size_t r = 0; r < table.rows(); ++r) {
    auto figure = [&](size_t column) { return table.number(r, column).value_or(0); };
    double at = figure(t) - log.clock_offset;
    if (at < 0) continue;
    for (size_t column : {running, waiting, kv})
      if (figure(column) < 0 || figure(column) > 1e9)
        refuse(path, fmt::format("line {}: found {}, allowed: 0 to 1e9", table.mark(r).line, figure(column)));
    log.instants.push_back(Time{} + Duration::seconds(at));
    log.gauges.push_back(
        {static_cast<uint32_t>(figure(running)), static_cast<uint32_t>(figure(waiting)), figure(kv) / 100});
    log.has_kv_usage = log.has_kv_usage || figure(kv) > 0;
  }
}

}  // namespace

LlmCost VllmLog::cost(const GpuModel& gpu) const {
  Accelerator whole_gpus;
  whole_gpus.gpus = static_cast<uint32_t>(engine.tensor_parallel);
  // What the driver leaves of a nominal GB: 24,081 of 24,576 MiB of an RTX 4090.
  const double memory = memory_bytes > 0 ? memory_bytes : 0.98 * static_cast<double>(gpu.memory_bytes);
  whole_gpus.memory_bytes = static_cast<int64_t>(memory) * engine.tensor_parallel;
  LlmCost out = llm_cost(engine, gpu, whole_gpus);
  if (kv_blocks > 0) out.kv_blocks = kv_blocks;
  return out;
}

VllmLog read_vllm_log(const std::string& directory) {
  VllmLog log;
  read_settings(directory + "/meta.json", log);
  read_requests(directory + "/requests.jsonl", log);
  read_gauges(directory + "/timeseries.csv", log);
  return log;
}

}  // namespace kisim

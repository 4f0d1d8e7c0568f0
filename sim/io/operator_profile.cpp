#include "io/operator_profile.hpp"

#include "core/math.hpp"
#include "io/catalogue.hpp"
#include "io/data_table.hpp"
#include "io/value.hpp"
#include "serving/collectives.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

namespace kisim {

namespace {

using Row = std::array<double, 4>;

[[noreturn]] void refuse(const SourceMark& mark, const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, mark, field, message});
}

std::string csv_of(const std::string& directory, const std::string& name) {
  std::string path = directory + "/" + name + ".csv";
  return std::filesystem::exists(path) ? path : path + ".gz";
}

bool has_csv(const std::string& directory, const std::string& name) {
  return std::filesystem::exists(csv_of(directory, name));
}

double number_of(const DataTable& table, size_t row, size_t column) {
  std::optional<double> value = table.number(row, column);
  if (!value || *value < 0)
    refuse(table.mark(row), table.header()[column], "found nothing or less, allowed: a number from 0 on");
  return *value;
}

// The sum of the curves of all layers in a file, each as often as it is in the model.
Curve sum_of_layers(const std::string& path, const std::string& argument, int32_t layers) {
  DataTable table = DataTable::read(path);
  size_t name = table.column("layer"), x = table.column(argument), us = table.column("time_us");
  std::map<std::string, std::map<double, double>> curves;
  for (size_t r = 0; r < table.rows(); ++r)
    curves[table.text(r, name)][number_of(table, r, x)] = number_of(table, r, us);
  Curve out;
  for (const auto& [layer, points] : curves) {
    // The norms before attention and before the MLP are one entry.
    double times = layer == "layernorm" ? 2 * layers : layers;
    if (layer == "embedding" || layer == "final_layernorm" || layer == "lm_head" || layer == "sampler") times = 1;
    if (out.empty())
      for (const auto& [at, _] : points) {
        out.x.push_back(at);
        out.y.push_back(0);
      }
    bool same = points.size() == out.x.size() && std::equal(points.begin(), points.end(), out.x.begin(),
                                                            [](const auto& p, double at) { return p.first == at; });
    if (!same)
      refuse(table.mark(0), argument,
             fmt::format("found {} points of {}, allowed: the {} of the other layers", points.size(), layer,
                         out.x.size()));
    size_t i = 0;
    for (const auto& [at, time] : points) out.y[i++] += times * time;
  }
  if (out.empty()) refuse({path, 1, 1}, "", "found no rows");
  return out;
}

// Of experts that are each as likely as any other; the profile has times by how many of them are asked.
// Each of `ranks` computes its share of them.
Curve moe_curve(const std::string& path, int32_t ranks) {
  DataTable table = DataTable::read(path);
  size_t tokens = table.column("tokens"), experts = table.column("activated_experts"), us = table.column("time_us");
  std::map<double, Curve> by_tokens;
  double each = HUGE_VAL, all = 0;
  for (size_t r = 0; r < table.rows(); ++r) {
    double asked = number_of(table, r, experts);
    Curve& curve = by_tokens[number_of(table, r, tokens)];
    curve.x.push_back(asked);
    curve.y.push_back(number_of(table, r, us));
    each = std::min(each, asked);
    all = std::max(all, asked);
  }
  if (by_tokens.empty()) refuse({path, 1, 1}, "", "found no rows");
  Curve out;
  for (const auto& [t, curve] : by_tokens) {
    if (!std::is_sorted(curve.x.begin(), curve.x.end()))
      refuse(table.mark(0), "activated_experts",
             "found them out of order, allowed: ascending for each number of tokens");
    out.x.push_back(t);
    out.y.push_back(curve.at(std::min(all * (1 - math::pow(1 - each / all, t)) / ranks, curve.x.back())));
  }
  return out;
}

double scalar(const Value& document, std::initializer_list<const char*> path, double otherwise) {
  const Value* at = &document;
  for (const char* key : path)
    if (!(at = at->find(key))) return otherwise;
  return std::strtod(at->text.c_str(), nullptr);
}

// A profile may hold the points of several grids. The one that meta.yaml declares is complete.
std::vector<double> axis(const std::vector<Row>& rows, size_t column, double factor) {
  std::vector<double> found;
  for (const Row& row : rows) found.push_back(row[column]);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::vector<double> out;
  for (double value : found) {
    if (value > 0 && !out.empty() && out.back() > 0 && value < out.back() * factor * 0.999) continue;
    out.push_back(value);
  }
  if (out.empty() || out.front() > 0) out.insert(out.begin(), 0);
  return out;
}

AttentionTable attention_table(const std::string& path, const Value& meta) {
  DataTable table = DataTable::read(path);
  std::array<size_t, 4> columns;
  const char* names[] = {"prefill_chunk", "kv_prefill", "n_decode", "kv_decode"};
  for (size_t a = 0; a < 4; ++a) columns[a] = table.column(names[a]);
  size_t us = table.column("time_us");
  std::vector<Row> rows;
  std::map<Row, double> times;
  for (size_t r = 0; r < table.rows(); ++r) {
    Row row;
    for (size_t a = 0; a < 4; ++a) row[a] = number_of(table, r, columns[a]);
    rows.push_back(row);
    times[row] = number_of(table, r, us);
  }
  AttentionTable out;
  double chunk_factor = scalar(meta, {"attention_grid", "chunk_factor"}, 2);
  double kv_factor = scalar(meta, {"attention_grid", "kv_factor"}, 2);
  out.axes = {axis(rows, 0, chunk_factor), axis(rows, 1, kv_factor), axis(rows, 2, 2), axis(rows, 3, kv_factor)};
  for (size_t a = 0; a < 4; ++a)
    if (out.axes[a].size() < (a == 1 ? 2 : 3))  // nothing before the chunk is a point of its own
      refuse({path, 1, 1}, names[a],
             fmt::format("found {} values beside 0, allowed: at least 2", out.axes[a].size() - 1));
  const std::vector<double>& sequences = out.axes[2];
  // The engine's limit on sequences leaves no room for a chunk beside the most that decode: along the line of the two
  // numbers before.
  auto time = [&](double chunk, double before, size_t n, double context, const auto& self) -> double {
    if (chunk == 0 && n == 0) return 0;
    Row row{chunk, chunk > 0 ? before : 0, sequences[n], n > 0 ? std::max(context, out.axes[3][1]) : 0};
    if (auto found = times.find(row); found != times.end()) return found->second;
    if (n + 1 == sequences.size() && n > 2) {
      double last = self(chunk, before, n - 1, context, self), other = self(chunk, before, n - 2, context, self);
      return last + (last - other) / (sequences[n - 1] - sequences[n - 2]) * (sequences[n] - sequences[n - 1]);
    }
    refuse(table.mark(0), "",
           fmt::format("found no row with prefill_chunk {}, kv_prefill {}, n_decode {}, kv_decode {}, allowed: a "
                       "complete grid",
                       row[0], row[1], row[2], row[3]));
  };
  for (double chunk : out.axes[0])
    for (double before : out.axes[1])
      for (size_t n = 0; n < sequences.size(); ++n)
        for (double context : out.axes[3]) out.us.push_back(time(chunk, before, n, context, time));
  return out;
}

// "n<=128", "sr<=15%", "kvB<=16k", "kp=0": the upper end of a bucket; none: it has no end ("n>256").
std::optional<double> edge_of(const std::string& label) {
  size_t digits = label.find_first_of("0123456789");
  if (digits == label.npos || label.find('>') != label.npos) return std::nullopt;
  double value = std::strtod(label.c_str() + digits, nullptr);
  if (label.ends_with('k')) value *= 1024;
  if (label.ends_with('%')) value /= 100;
  return value;
}

SkewTable skew_table(const std::string& path, double otherwise) {
  DataTable table = DataTable::read(path);
  size_t chunk = table.column("pc"), alpha = table.column("alpha");
  const char* names[] = {"n_label", "skew_rate_label", "kv_big_label", "kp_label"};
  SkewTable out;
  out.otherwise = otherwise;
  std::vector<double>* edges[] = {&out.sequences, &out.rates, &out.longest, &out.before};
  auto add = [](std::vector<double>& to, double value) {
    auto at = std::lower_bound(to.begin(), to.end(), value);
    if (at == to.end() || *at != value) to.insert(at, value);
  };
  for (size_t r = 0; r < table.rows(); ++r) {
    add(out.chunks, number_of(table, r, chunk));
    for (size_t a = 0; a < 4; ++a)
      if (auto edge = edge_of(table.text(r, table.column(names[a])))) add(*edges[a], *edge);
  }
  out.alpha.assign(out.size(), std::numeric_limits<double>::quiet_NaN());
  for (size_t r = 0; r < table.rows(); ++r) {
    std::array<size_t, 4> places;
    for (size_t a = 0; a < 4; ++a) {
      auto edge = edge_of(table.text(r, table.column(names[a])));
      places[a] =
          edge ? static_cast<size_t>(std::lower_bound(edges[a]->begin(), edges[a]->end(), *edge) - edges[a]->begin())
               : edges[a]->size();
    }
    auto at = std::lower_bound(out.chunks.begin(), out.chunks.end(), number_of(table, r, chunk)) - out.chunks.begin();
    out.alpha[out.place(static_cast<size_t>(at), places[0], places[1], places[2], places[3])] =
        table.number(r, alpha).value_or(otherwise);
  }
  return out;
}

const Value& member_of(const Value& meta, const char* key, const std::string& directory) {
  if (const Value* value = meta.find(key)) return *value;
  refuse({directory + "/meta.yaml", 1, 1}, key, "missing");
}

const GpuModel& gpu_of(const Value& meta, const std::vector<GpuModel>& gpus, const std::string& directory) {
  const Value& hardware = member_of(meta, "hardware", directory);
  if (const GpuModel* gpu = find_alike(gpus, hardware.text)) return *gpu;
  refuse(hardware.mark(), "hardware",
         fmt::format("found '{}', allowed: a GPU of the catalogue, see `kisim list gpus`", hardware.text));
}

void check_model(const Value& meta, const LlmModel& llm) {
  const Value* model = meta.find("model");
  if (!model) return;
  if (find_llm({llm}, model->text)) return;
  refuse(model->mark(), "model", fmt::format("found a profile of {}, allowed: one of {}", model->text, llm.name));
}

}  // namespace

std::shared_ptr<const OperatorTables> read_operator_profile(const std::string& directory, int32_t tensor_parallel,
                                                            const LlmModel& llm, const std::vector<GpuModel>& gpus) {
  const std::string degree = fmt::format("tp{}", tensor_parallel), path = directory + "/" + degree;
  if (!std::filesystem::is_directory(path))
    refuse({directory, 0, 0}, "tensorParallel",
           fmt::format("found no profile {}, allowed: a degree that has one", degree));
  std::vector<Value> documents = read_yaml(directory + "/meta.yaml");
  const Value meta = documents.empty() ? Value{} : documents.front();
  const GpuModel& gpu = gpu_of(meta, gpus, directory);
  check_model(meta, llm);
  auto out = std::make_shared<OperatorTables>();
  out->gpu = gpu.name;
  out->source = directory;
  out->layers = llm.layers;
  out->tokens = sum_of_layers(csv_of(path, "dense"), "tokens", llm.layers);
  out->sequences = sum_of_layers(csv_of(path, "per_sequence"), "sequences", llm.layers);
  out->attention = attention_table(csv_of(path, "attention"), meta);
  if (has_csv(path, "moe"))
    out->moe = moe_curve(csv_of(path, "moe"), 1);
  else if (has_csv(directory + "/tp1", "moe"))
    out->moe = moe_curve(csv_of(directory + "/tp1", "moe"), tensor_parallel);
  else if (llm.experts.count > 0)
    refuse({path, 0, 0}, "moe.csv", fmt::format("missing, needed: {} has experts", llm.name));
  const Value* skew = meta.find("skew_fit");
  const Value* enabled = skew ? skew->find("enabled") : nullptr;
  if (enabled && enabled->text == "true" && has_csv(path, "skew_fit")) {
    std::string at = std::to_string(tensor_parallel);
    out->skew = skew_table(csv_of(path, "skew_fit"), scalar(*skew, {"per_tp", at.c_str(), "alpha_default"}, 0));
  }
  if (tensor_parallel > 1)
    for (double tokens : out->tokens.x) {
      out->all_reduce.x.push_back(tokens);
      out->all_reduce.y.push_back(1e6 * all_reduce_seconds(gpu, tensor_parallel, tokens * llm.hidden * 2));
    }
  return out;
}

}  // namespace kisim

#include "io/coefficients.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>

namespace kisim {

namespace {

constexpr double kMs = 1e3;

// ---- writing

// Six significant digits: more would claim what no measurement gives.
std::string number(double value) { return fmt::format("{:.6g}", value); }
std::string range(double low, double high) { return fmt::format("[{}, {}]", number(low), number(high)); }

std::string written(const LatencyCoefficients& law) {
  std::string table, intervals;
  for (size_t i = 0; i < law.fit.table.size(); ++i) {
    const char* comma = i ? ", " : "";
    const LatencyPoint& point = law.fit.table[i];
    const Interval& interval = law.fit.intervals[i];
    table += fmt::format("{}{}: {}", comma, number(point.samples), number(point.seconds * kMs));
    intervals += fmt::format("{}{}: {}", comma, number(point.samples), range(interval.low * kMs, interval.high * kMs));
  }
  std::string out = fmt::format("  - name: {}\n    unit: ms\n    table: {{{}}}\n    interval: {{{}}}\n    range: {}\n",
                                quote(law.name), table, intervals,
                                range(law.fit.table.front().samples, law.fit.table.back().samples));
  out += fmt::format("    line: {{base: {}, perItem: {}}}\n    error: {{fit: {:.4f}, leaveOneOut: {:.4f}}}\n",
                     number(law.fit.base * kMs), number(law.fit.per_sample * kMs), law.fit.fit_error,
                     law.fit.leave_one_out_error);
  if (law.server)
    out += fmt::format("    overlap: {}\n    hostCost: {}\n    prefetched: {}\n", number(law.server->overlap),
                       number(law.server->host * kMs), law.server->prefetched);
  return out;
}

std::string written(const StartupCoefficients& phase) {
  const StartupFit& fit = phase.fit;
  return fmt::format(
      "  - name: {}\n    unit: s\n    median: {}\n    sigma: {}\n    interval: {{median: {}, sigma: {}}}\n"
      "    range: {}\n    error: {{fit: {:.4f}, leftOut: {:.4f}}}\n",
      quote(phase.name), number(fit.median), number(fit.sigma),
      range(fit.median_interval.low, fit.median_interval.high), range(fit.sigma_interval.low, fit.sigma_interval.high),
      range(fit.min, fit.max), fit.fit_error, fit.left_out_error);
}

std::string written(const IterationCoefficients& iterations) {
  const StepCoefficients& fit = iterations.fit;
  std::string figures;
  for (const IterationFigure& figure : kIterationFigures)
    figures += fmt::format("    {}: {}\n", figure.name, number(fit.*figure.value));
  return fmt::format(
      "  - name: {}\n    gpu: {}\n{}    range: {{sequences: {}, context: {}, tensorParallel: {}}}\n"
      "    error: {{fit: {:.4f}, leftOut: {:.4f}}}\n    held: [{}]\n",
      quote(iterations.name), fit.gpu, figures, fit.max_sequences, fit.max_context, fit.max_tensor_parallel,
      iterations.fit_error, fit.error, fmt::join(iterations.held, ", "));
}

std::string written(const LinearCoefficients& linear) {
  const LinearLaw& law = linear.law;
  auto ms = [](double seconds) { return number(seconds * kMs); };
  auto interval = [](const Interval& i) { return range(i.low * kMs, i.high * kMs); };
  return fmt::format(
      "  - name: {}\n    unit: ms\n    base: {}\n    perItem: {}\n    prefillBase: {}\n    prefillPerToken: {}\n"
      "    interval: {{base: {}, perItem: {}}}\n    range: {}\n    error: {{fit: {:.4f}, leaveOneOut: {:.4f}}}\n",
      quote(linear.name), ms(law.base), ms(law.per_sequence), ms(law.prefill_base), ms(law.prefill_per_token),
      interval(linear.base), interval(linear.per_sequence), range(linear.min_batch, linear.max_batch), linear.fit_error,
      linear.left_out_error);
}

std::string written(const InterferenceCoefficients& pair) {
  return fmt::format("  - {{job: {}, neighbour: {}, speed: {}}}\n", quote(pair.job), quote(pair.neighbour),
                     number(pair.speed));
}

template <class Entry>
std::string section(const char* name, const std::vector<Entry>& entries) {
  if (entries.empty()) return "";
  std::string out = fmt::format("{}:\n", name);
  for (const Entry& entry : entries) out += written(entry);
  return out;
}

// ---- reading

// A mapping whose fields are all known, as numbers and texts.
class Reader {
 public:
  Reader(const Value& value, std::string path, Diagnostics& diagnostics, std::initializer_list<const char*> known)
      : value_(value), path_(std::move(path)), diagnostics_(diagnostics) {
    if (value.kind != Value::Kind::Mapping) error(value.mark(), path_, "allowed: a mapping");
    for (const Value::Member& member : value.members)
      if (std::find(known.begin(), known.end(), member.key) == known.end())
        error(member.value.mark(), at(member.key),
              "unknown field, allowed: " + fmt::format("{}", fmt::join(known, ", ")));
  }

  const Value* find(const char* key, bool required = true) {
    const Value* found = value_.find(key);
    if (!found && required) error(value_.mark(), at(key), "missing");
    return found;
  }
  std::string text(const char* key, bool required = true) {
    const Value* found = find(key, required);
    if (found && found->kind == Value::Kind::Scalar) return found->text;
    if (found) error(found->mark(), at(key), "found " + found->describe() + ", allowed: text");
    return "";
  }
  double number(const char* key, double least, bool required = true) {
    const Value* found = find(key, required);
    return found ? number(*found, at(key), least) : 0;
  }
  double number(const Value& value, const std::string& path, double least) {
    double out = 0;
    const char* end = value.text.data() + value.text.size();
    auto [stop, problem] = std::from_chars(value.text.data(), end, out);
    const bool read = value.kind == Value::Kind::Scalar && problem == std::errc{} && stop == end && std::isfinite(out);
    if (read && out >= least) return out;
    error(value.mark(), path, fmt::format("found {}, allowed: a number from {} on", value.describe(), least));
    return least;
  }
  Interval interval(const char* key) {
    const Value* found = find(key);
    return found ? interval(*found, at(key)) : Interval();
  }
  Interval interval(const Value& value, const std::string& path) {
    if (value.items.size() != 2) {
      error(value.mark(), path, "found " + value.describe() + ", allowed: [low, high]");
      return {};
    }
    const double low = number(value.items[0], path, 0);
    return {low, number(value.items[1], path, low)};
  }
  void unit(const char* allowed) {
    const Value* found = find("unit");
    if (found && found->text != allowed)
      error(found->mark(), at("unit"), fmt::format("found {}, allowed: {}", found->describe(), allowed));
  }

  std::string at(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  void error(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics_.error(mark, field, message);
  }

 private:
  const Value& value_;
  std::string path_;
  Diagnostics& diagnostics_;
};

void read_table(Reader& reader, LatencyFit& fit) {
  const Value* table = reader.find("table");
  if (!table) return;
  const std::string path = reader.at("table");
  for (const Value::Member& member : table->members) {
    Value size = member.value;
    size.text = member.key;
    const double samples = reader.number(size, path, 1);
    const double seconds = reader.number(member.value, path + "." + member.key, 0) / kMs;
    if (!fit.table.empty() && (samples <= fit.table.back().samples || seconds < fit.table.back().seconds))
      reader.error(member.value.mark(), path + "." + member.key,
                   "allowed: larger batches that take as long or longer than those before");
    fit.table.push_back({samples, seconds});
  }
  if (fit.table.size() < kLeastLatencyPoints)
    reader.error(table->mark(), path,
                 fmt::format("found {} points, allowed: {} or more", fit.table.size(), kLeastLatencyPoints));
}

void read_intervals(Reader& reader, LatencyFit& fit) {
  const Value* intervals = reader.find("interval");
  if (!intervals) return;
  for (const Value::Member& member : intervals->members) {
    Interval interval = reader.interval(member.value, reader.at("interval"));
    fit.intervals.push_back({interval.low / kMs, interval.high / kMs});
  }
  if (fit.intervals.size() != fit.table.size())
    reader.error(intervals->mark(), reader.at("interval"), "allowed: one for every size of the table");
}

LatencyCoefficients read_latency(const Value& value, const std::string& path, Diagnostics& diagnostics) {
  Reader reader(value, path, diagnostics,
                {"name", "unit", "table", "interval", "range", "line", "error", "overlap", "hostCost", "prefetched"});
  LatencyCoefficients out;
  out.name = reader.text("name");
  reader.unit("ms");
  read_table(reader, out.fit);
  read_intervals(reader, out.fit);
  const Interval range = reader.interval("range");
  if (!out.fit.table.empty() &&
      (range.low != out.fit.table.front().samples || range.high != out.fit.table.back().samples))
    reader.error(value.mark(), reader.at("range"), "allowed: the first and the last size of the table");
  if (const Value* line = reader.find("line")) {
    Reader inner(*line, reader.at("line"), diagnostics, {"base", "perItem"});
    out.fit.base = inner.number("base", -HUGE_VAL) / kMs;
    out.fit.per_sample = inner.number("perItem", -HUGE_VAL) / kMs;
  }
  if (const Value* error = reader.find("error")) {
    Reader inner(*error, reader.at("error"), diagnostics, {"fit", "leaveOneOut"});
    out.fit.fit_error = inner.number("fit", 0);
    out.fit.leave_one_out_error = inner.number("leaveOneOut", 0);
  }
  if (reader.find("overlap", false))
    out.server = ServerFit{reader.number("overlap", -1), reader.number("hostCost", 0) / kMs,
                           static_cast<int32_t>(reader.number("prefetched", 0))};
  return out;
}

StartupCoefficients read_startup(const Value& value, const std::string& path, Diagnostics& diagnostics) {
  Reader reader(value, path, diagnostics, {"name", "unit", "median", "sigma", "interval", "range", "error"});
  StartupCoefficients out;
  out.name = reader.text("name");
  reader.unit("s");
  out.fit.median = reader.number("median", 0);
  out.fit.sigma = reader.number("sigma", 0);
  const Interval range = reader.interval("range");
  out.fit.min = range.low;
  out.fit.max = range.high;
  if (const Value* intervals = reader.find("interval")) {
    Reader inner(*intervals, reader.at("interval"), diagnostics, {"median", "sigma"});
    out.fit.median_interval = inner.interval("median");
    out.fit.sigma_interval = inner.interval("sigma");
  }
  if (const Value* error = reader.find("error")) {
    Reader inner(*error, reader.at("error"), diagnostics, {"fit", "leftOut"});
    out.fit.fit_error = inner.number("fit", 0);
    out.fit.left_out_error = inner.number("leftOut", 0);
  }
  return out;
}

IterationCoefficients read_iterations(const Value& value, const std::string& path, Diagnostics& diagnostics) {
  Reader reader(value, path, diagnostics,
                {"name", "gpu", "stepMs", "layerUs", "weightFactor", "kvFactor", "computeFactor", "samplingUs",
                 "allReduceFactor", "prefillFactor", "range", "error", "held"});
  IterationCoefficients out;
  out.name = reader.text("name");
  out.fit.gpu = reader.text("gpu");
  for (const IterationFigure& figure : kIterationFigures)
    if (figure.value != &StepCoefficients::prefill_factor || reader.find(figure.name, false))
      out.fit.*figure.value = reader.number(figure.name, 0);
  if (const Value* range = reader.find("range")) {
    Reader inner(*range, reader.at("range"), diagnostics, {"sequences", "context", "tensorParallel"});
    out.fit.max_sequences = static_cast<int32_t>(inner.number("sequences", 0));
    out.fit.max_context = static_cast<int32_t>(inner.number("context", 0));
    out.fit.max_tensor_parallel = static_cast<int32_t>(inner.number("tensorParallel", 1));
  }
  if (const Value* error = reader.find("error")) {
    Reader inner(*error, reader.at("error"), diagnostics, {"fit", "leftOut"});
    out.fit_error = inner.number("fit", 0);
    out.fit.error = inner.number("leftOut", 0);
  }
  if (const Value* held = reader.find("held", false))
    for (const Value& figure : held->items) out.held.push_back(figure.text);
  return out;
}

LinearCoefficients read_linear(const Value& value, const std::string& path, Diagnostics& diagnostics) {
  Reader reader(value, path, diagnostics,
                {"name", "unit", "base", "perItem", "prefillBase", "prefillPerToken", "interval", "range", "error"});
  auto seconds = [&](const char* key) { return reader.number(key, 0) / kMs; };
  LinearCoefficients out;
  out.name = reader.text("name");
  reader.unit("ms");
  out.law = {seconds("base"), seconds("perItem"), seconds("prefillBase"), seconds("prefillPerToken")};
  if (const Value* interval = reader.find("interval")) {
    Reader inner(*interval, reader.at("interval"), diagnostics, {"base", "perItem"});
    const Interval base = inner.interval("base"), item = inner.interval("perItem");
    out.base = {base.low / kMs, base.high / kMs};
    out.per_sequence = {item.low / kMs, item.high / kMs};
  }
  const Interval range = reader.interval("range");
  out.min_batch = range.low;
  out.max_batch = range.high;
  if (const Value* error = reader.find("error")) {
    Reader inner(*error, reader.at("error"), diagnostics, {"fit", "leaveOneOut"});
    out.fit_error = inner.number("fit", 0);
    out.left_out_error = inner.number("leaveOneOut", 0);
  }
  return out;
}

InterferenceCoefficients read_pair(const Value& value, const std::string& path, Diagnostics& diagnostics) {
  Reader reader(value, path, diagnostics, {"job", "neighbour", "speed"});
  return {reader.text("job"), reader.text("neighbour"), reader.number("speed", 0)};
}

template <class Entry>
void read_section(Reader& reader, const char* name, Diagnostics& diagnostics,
                  Entry (*read)(const Value&, const std::string&, Diagnostics&), std::vector<Entry>& out) {
  const Value* list = reader.find(name, false);
  if (!list) return;
  for (size_t i = 0; i < list->items.size(); ++i)
    out.push_back(read(list->items[i], fmt::format("{}[{}]", name, i), diagnostics));
}

}  // namespace

std::string coefficients_yaml(const Coefficients& c) {
  return fmt::format(
             "apiVersion: kisim.dev/v1\nkind: Coefficients\n"
             "provenance: {{source: {}, rows: {}, method: {}, kisim: {}}}\n",
             quote(c.provenance.source), c.provenance.rows, quote(c.provenance.method), quote(c.provenance.version)) +
         section("latency", c.latency) + section("startup", c.startup) + section("iterations", c.iterations) +
         section("linear", c.linear) + section("interference", c.interference);
}

Coefficients parse_coefficients(const Value& document) {
  Diagnostics diagnostics;
  Reader reader(document, "", diagnostics,
                {"apiVersion", "kind", "provenance", "latency", "startup", "iterations", "linear", "interference"});
  if (reader.text("kind") != "Coefficients") reader.error(document.mark(), "kind", "allowed: Coefficients");
  Coefficients out;
  if (const Value* provenance = reader.find("provenance")) {
    Reader inner(*provenance, "provenance", diagnostics, {"source", "rows", "method", "kisim"});
    out.provenance = {inner.text("source"), inner.text("method"), inner.text("kisim"),
                      static_cast<size_t>(inner.number("rows", 0))};
  }
  read_section(reader, "latency", diagnostics, read_latency, out.latency);
  read_section(reader, "startup", diagnostics, read_startup, out.startup);
  read_section(reader, "iterations", diagnostics, read_iterations, out.iterations);
  read_section(reader, "linear", diagnostics, read_linear, out.linear);
  read_section(reader, "interference", diagnostics, read_pair, out.interference);
  if (out.latency.empty() && out.startup.empty() && out.iterations.empty() && out.linear.empty() &&
      out.interference.empty())
    reader.error(document.mark(), "",
                 "holds no coefficients: allowed are latency, startup, iterations, linear, interference");
  diagnostics.throw_if_errors();
  return out;
}

Coefficients read_coefficients(const std::string& path) {
  std::vector<Value> documents = read_yaml(path);
  if (documents.size() != 1)
    throw InputError(Diagnostic{Severity::Error, {path, 1, 1}, "", "allowed: one document of kind Coefficients"});
  return parse_coefficients(documents[0]);
}

}  // namespace kisim

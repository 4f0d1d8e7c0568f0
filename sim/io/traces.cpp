// Trace readers: CSV and JSON Lines, plain or gzip. Times are read as decimal text into whole nanoseconds.

#include "io/csv.hpp"
#include "io/decimal_time.hpp"
#include "io/input.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace kisim {

namespace {

constexpr std::string_view kAzureHeader[] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};

// The three values of a row, each checked where it stands.
class RowReader {
 public:
  RowReader(const TraceFormat& format, TimeUnit unit, Complaints& complaints)
      : format_(format), unit_(unit), complaints_(complaints) {}

  void time(std::string_view cell, int line, int column, int64_t& out) {
    if (std::optional<int64_t> ns = parse_time(cell, unit_)) return void(out = *ns);
    complaints_.add(line, column, format_.time, "found " + shown(cell) + ", allowed: " + allowed_times(unit_));
  }

  void tokens(std::string_view cell, const std::string& name, int line, int column, int32_t& out) {
    const char* end = cell.data() + cell.size();
    auto [stop, error] = std::from_chars(cell.data(), end, out);
    if (error == std::errc{} && stop == end && out >= 0) return;
    out = 0;
    complaints_.add(line, column, name, "found " + shown(cell) + ", allowed: a whole number from 0 to 2147483647");
  }

 private:
  const TraceFormat& format_;
  TimeUnit unit_;
  Complaints& complaints_;
};

bool is_azure(const std::vector<CsvCell>& header) {
  return std::equal(header.begin(), header.end(), std::begin(kAzureHeader), std::end(kAzureHeader),
                    [](const CsvCell& cell, std::string_view name) { return trimmed(cell.text) == name; });
}

TraceFormat azure_format() {
  return {"azure", std::string(kAzureHeader[0]), std::string(kAzureHeader[1]), std::string(kAzureHeader[2]),
          "datetime"};
}

// kvcache-ai/Mooncake: blocks of 512 tokens, whose ids stand for the whole prefix.
TraceFormat mooncake_format() { return {"mooncake", "timestamp", "input_length", "output_length", "ms", "hash_ids"}; }

bool is_mooncake(std::string_view text) {
  std::string_view line = text.substr(0, text.find('\n'));
  const TraceFormat format = mooncake_format();
  return line.find('"' + format.prompt + '"') != line.npos && line.find('"' + format.ids + '"') != line.npos;
}

TimeUnit time_unit(const TraceFormat& format, const SourceMark& mark) {
  if (std::optional<TimeUnit> unit = find_time_unit(format.time_unit)) return *unit;
  throw InputError({Severity::Error, mark, "timeUnit",
                    fmt::format("found '{}', allowed: s, ms, us, ns, datetime", format.time_unit)});
}

TraceColumns read_csv(std::string_view text, TraceFormat format, const SourceMark& mark, Complaints& complaints) {
  CsvReader csv(text, complaints);
  std::vector<CsvCell> cells;
  if (!csv.next(cells)) complaints.fail(1, 1, "", "empty: a trace needs a header and at least one row");
  if (format.name == "azure" || (format.name == "auto" && is_azure(cells))) format = azure_format();
  const std::array<const std::string*, 3> names{&format.time, &format.prompt, &format.output};
  std::array<size_t, 3> columns{};
  for (size_t i = 0; i < 3; ++i) columns[i] = find_column(cells, *names[i], complaints);
  size_t width = cells.size();

  TraceColumns out;
  size_t rows = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  out.time_ns.reserve(rows), out.prompt_tokens.reserve(rows), out.output_tokens.reserve(rows);
  RowReader row(format, time_unit(format, mark), complaints);
  while (csv.next(cells)) {
    if (cells.size() != width) {
      complaints.add(cells[0].line, 1, "", fmt::format("found {} cells, the header has {}", cells.size(), width));
      continue;
    }
    int64_t time = 0;
    int32_t prompt = 0, output = 0;
    const CsvCell &t = cells[columns[0]], &p = cells[columns[1]], &o = cells[columns[2]];
    row.time(trimmed(t.text), t.line, t.column, time);
    row.tokens(trimmed(p.text), format.prompt, p.line, p.column, prompt);
    row.tokens(trimmed(o.text), format.output, o.line, o.column, output);
    out.time_ns.push_back(time);
    out.prompt_tokens.push_back(prompt);
    out.output_tokens.push_back(output);
  }
  return out;
}

// Picks the wanted members of one JSON object as the text of their scalars, so that numbers stay exact.
class JsonRow : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonRow(const std::array<const std::string*, 3>& names, const std::string& ids) : names_(names), ids_name_(ids) {}

  std::array<std::optional<std::string>, 3> values;
  std::optional<std::vector<uint32_t>> ids;
  std::string problem;
  size_t problem_at = 0;
  bool is_object = false, bad_id = false;

  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ == 2 && in_ids_ && value <= UINT32_MAX) return ids->push_back(static_cast<uint32_t>(value)), true;
    return scalar(std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool string(string_t& text) override { return scalar(text); }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object = true;
    return no_id(), open();
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override {
    no_id();
    if (depth_ == 1 && in_ids_) ids.emplace();
    return open();
  }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    wanted_ = -1;
    in_ids_ = !ids_name_.empty() && name == ids_name_;
    for (size_t i = 0; i < 3; ++i)
      if (*names_[i] == name) wanted_ = static_cast<int>(i);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem = "found text that is no JSON object";
    problem_at = position;
    return false;
  }

 private:
  bool scalar(std::string text) {
    no_id();
    if (depth_ == 1 && wanted_ >= 0) values[static_cast<size_t>(wanted_)] = std::move(text);
    return true;
  }
  bool open() {
    if (depth_ == 1 && wanted_ >= 0) values[static_cast<size_t>(wanted_)] = "a list or an object";
    return ++depth_, true;
  }
  bool close() { return --depth_, true; }
  // Something that is no id stands where one should.
  void no_id() { bad_id |= in_ids_ && depth_ == 2; }

  const std::array<const std::string*, 3>& names_;
  const std::string& ids_name_;
  int depth_ = 0, wanted_ = -1;
  bool in_ids_ = false;
};

// Where the value of a member stands in its line, from 1; the line's start if it cannot be told.
int member_column(std::string_view line, const std::string& name) {
  size_t at = line.find('"' + name + '"');
  if (at == line.npos) return 1;
  at = line.find_first_not_of(" \t:", at + name.size() + 2);
  return at == line.npos ? 1 : static_cast<int>(at) + 1;
}

TraceColumns read_jsonl(std::string_view text, TraceFormat format, const SourceMark& mark, Complaints& complaints) {
  if (format.name == "mooncake" || (format.name == "auto" && is_mooncake(text))) format = mooncake_format();
  const std::array<const std::string*, 3> names{&format.time, &format.prompt, &format.output};
  RowReader reader(format, time_unit(format, mark), complaints);
  TraceColumns out;
  if (!format.ids.empty()) {
    out.first_id = {0};
    out.id_tokens = format.id_tokens;
  }
  int number = 0;
  while (!text.empty()) {
    ++number;
    size_t length = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;

    JsonRow row(names, format.ids);
    bool valid = nlohmann::json::sax_parse(line.begin(), line.end(), &row);
    if (!valid || !row.is_object) {
      complaints.add(number, static_cast<int>(std::max<size_t>(row.problem_at, 1)), "",
                     row.problem.empty() ? "found no JSON object" : row.problem);
      continue;
    }
    auto missing = std::find(row.values.begin(), row.values.end(), std::nullopt);
    if (missing != row.values.end()) {
      complaints.add(number, 1, *names[static_cast<size_t>(missing - row.values.begin())],
                     "missing: required in every row");
      continue;
    }
    const int id_column = format.ids.empty() ? 1 : member_column(line, format.ids);
    if (!format.ids.empty() && (!row.ids || row.bad_id)) {
      complaints.add(number, id_column, format.ids, "found no list of block ids, allowed: whole numbers below 2^32");
      continue;
    }
    int64_t time = 0;
    int32_t prompt = 0, output = 0;
    reader.time(*row.values[0], number, member_column(line, format.time), time);
    reader.tokens(*row.values[1], format.prompt, number, member_column(line, format.prompt), prompt);
    reader.tokens(*row.values[2], format.output, number, member_column(line, format.output), output);
    if (row.ids) {
      const int64_t blocks = (int64_t{prompt} + format.id_tokens - 1) / format.id_tokens;
      if (static_cast<int64_t>(row.ids->size()) > blocks)
        complaints.add(
            number, id_column, format.ids,
            fmt::format("found {} ids of {} tokens for a prompt of {}", row.ids->size(), format.id_tokens, prompt));
      out.ids.insert(out.ids.end(), row.ids->begin(), row.ids->end());
      out.first_id.push_back(static_cast<uint32_t>(out.ids.size()));
    }
    out.time_ns.push_back(time);
    out.prompt_tokens.push_back(prompt);
    out.output_tokens.push_back(output);
  }
  return out;
}

template <class T>
void permute(std::vector<T>& values, const std::vector<uint32_t>& order) {
  std::vector<T> sorted(values.size());
  for (size_t i = 0; i < order.size(); ++i) sorted[i] = values[order[i]];
  values = std::move(sorted);
}

void permute_ids(TraceColumns& trace, const std::vector<uint32_t>& order) {
  std::vector<uint32_t> ids, first{0};
  for (uint32_t row : order) {
    ids.insert(ids.end(), trace.ids.begin() + trace.first_id[row], trace.ids.begin() + trace.first_id[row + 1]);
    first.push_back(static_cast<uint32_t>(ids.size()));
  }
  trace.ids = std::move(ids);
  trace.first_id = std::move(first);
}

void sort_by_time(TraceColumns& trace) {
  if (!std::is_sorted(trace.time_ns.begin(), trace.time_ns.end())) {
    std::vector<uint32_t> order(trace.time_ns.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return trace.time_ns[a] < trace.time_ns[b]; });
    permute(trace.time_ns, order);
    permute(trace.prompt_tokens, order);
    permute(trace.output_tokens, order);
    if (!trace.first_id.empty()) permute_ids(trace, order);
  }
  // Times are not negative, so the difference cannot overflow.
  int64_t first = trace.time_ns.front();
  for (int64_t& t : trace.time_ns) t -= first;
}

bool is_jsonl(std::string_view text, std::string_view name) {
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return true;
  size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{';
}

}  // namespace

std::shared_ptr<const TraceColumns> parse_trace(std::string_view text, const std::string& name,
                                                const TraceFormat& format, const SourceMark& mark) {
  constexpr std::string_view kFormats[] = {"auto", "azure", "csv", "jsonl", "mooncake"};
  if (std::find(std::begin(kFormats), std::end(kFormats), format.name) == std::end(kFormats))
    throw InputError({Severity::Error, mark, "format",
                      fmt::format("found '{}', allowed: auto, azure, csv, jsonl, mooncake", format.name)});
  Complaints complaints(name);
  if (size_t at = text.find('\0'); at != text.npos)
    complaints.fail(line_after(text.substr(0, at)), 1, "",
                    "found a binary file, allowed: CSV or JSON Lines, plain or gzip");
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());

  bool jsonl = format.name == "jsonl" || format.name == "mooncake" || (format.name == "auto" && is_jsonl(text, name));
  TraceColumns trace = jsonl ? read_jsonl(text, format, mark, complaints) : read_csv(text, format, mark, complaints);
  complaints.throw_if_any();
  if (trace.time_ns.empty()) complaints.fail(1, 1, "", "no rows: a trace needs at least one request");
  if (trace.time_ns.size() > UINT32_MAX) complaints.fail(0, 0, "", "more than 4294967295 rows");
  sort_by_time(trace);
  return std::make_shared<const TraceColumns>(std::move(trace));
}

std::shared_ptr<const TraceColumns> read_trace(const std::string& path, const TraceFormat& format,
                                               const SourceMark& mark) {
  return parse_trace(read_text(path, mark), path, format, mark);
}

}  // namespace kisim

// Trace readers: CSV and JSON Lines, plain or gzip. Times are read as decimal text into whole nanoseconds.

#include "io/decimal_time.hpp"
#include "io/input.hpp"

#include <zlib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <numeric>

namespace kisim {

namespace {

constexpr size_t kMaxComplaints = 10;
constexpr size_t kChunk = 1 << 20;
constexpr std::string_view kAzureHeader[] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};

// Complaints about one trace. Throws after a few: a file of another format would have one per row.
class Complaints {
 public:
  explicit Complaints(std::string file) : file_(std::move(file)) {}

  void add(int line, int column, const std::string& field, const std::string& message) {
    diagnostics_.push_back({Severity::Error, {file_, line, column}, field, message});
    if (diagnostics_.size() == kMaxComplaints) throw InputError(std::move(diagnostics_));
  }
  [[noreturn]] void fail(int line, int column, const std::string& field, const std::string& message) {
    diagnostics_.push_back({Severity::Error, {file_, line, column}, field, message});
    throw InputError(std::move(diagnostics_));
  }
  void throw_if_any() {
    if (!diagnostics_.empty()) throw InputError(std::move(diagnostics_));
  }

 private:
  std::string file_;
  std::vector<Diagnostic> diagnostics_;
};

// What was found, short enough for a message and without control characters.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, 40)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 40 ? "…'" : "'");
}

// The three values of a row, each checked where it stands.
class RowReader {
 public:
  RowReader(const TraceFormat& format, TimeUnit unit, Complaints& complaints)
      : format_(format), unit_(unit), complaints_(complaints) {}

  void time(std::string_view cell, int line, int column, int64_t& out) {
    if (std::optional<int64_t> ns = parse_time(cell, unit_)) return void(out = *ns);
    complaints_.add(line, column, format_.time, "found " + quoted(cell) + ", allowed: " + allowed_times(unit_));
  }

  void tokens(std::string_view cell, const std::string& name, int line, int column, int32_t& out) {
    const char* end = cell.data() + cell.size();
    auto [stop, error] = std::from_chars(cell.data(), end, out);
    if (error == std::errc{} && stop == end && out >= 0) return;
    out = 0;
    complaints_.add(line, column, name, "found " + quoted(cell) + ", allowed: a whole number from 0 to 2147483647");
  }

 private:
  const TraceFormat& format_;
  TimeUnit unit_;
  Complaints& complaints_;
};

struct Cell {
  std::string_view text;
  int line = 0, column = 0;
};

// Splits CSV text into rows: quoted cells with "" for a quote, LF or CRLF, '#' comments, empty lines skipped.
class CsvReader {
 public:
  CsvReader(std::string_view text, Complaints& complaints)
      : at_(text.data()), end_(at_ + text.size()), line_start_(at_), complaints_(complaints) {}

  // The next row, in `cells`; false at the end of the text.
  bool next(std::vector<Cell>& cells) {
    skip_comments();
    if (at_ == end_) return false;
    unescaped_.clear();
    cells.clear();
    do {
      cells.push_back(at_ != end_ && *at_ == '"' ? quoted_cell() : plain_cell());
    } while (take(','));
    take_line_end();
    return true;
  }

 private:
  bool at_line_end() const {
    return at_ == end_ || *at_ == '\n' || (*at_ == '\r' && (at_ + 1 == end_ || at_[1] == '\n'));
  }

  void take_line_end() {
    if (at_ != end_ && *at_ == '\r') ++at_;
    if (at_ == end_) return;
    ++at_;
    ++line_;
    line_start_ = at_;
  }

  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void skip_comments() {
    while (at_ != end_) {
      if (*at_ == '#')
        while (!at_line_end()) ++at_;
      if (!at_line_end() || at_ == end_) return;
      take_line_end();
    }
  }

  int column() const { return static_cast<int>(std::min<ptrdiff_t>(at_ - line_start_ + 1, INT32_MAX)); }

  Cell plain_cell() {
    Cell cell{{}, line_, column()};
    const char* begin = at_;
    while (at_ != end_ && *at_ != ',' && *at_ != '\n') ++at_;
    bool line_ends = at_ == end_ || *at_ == '\n';
    if (line_ends && at_ != begin && at_[-1] == '\r') --at_;
    cell.text = {begin, static_cast<size_t>(at_ - begin)};
    return cell;
  }

  Cell quoted_cell() {
    Cell cell{{}, line_, column()};
    const char* begin = ++at_;
    std::string* copy = nullptr;
    while (true) {
      const char* stop = at_;
      while (stop != end_ && *stop != '"') {
        if (*stop == '\n') ++line_, line_start_ = stop + 1;
        ++stop;
      }
      if (stop == end_) complaints_.fail(cell.line, cell.column, "", "found a quoted cell without its closing quote");
      bool doubled = stop + 1 != end_ && stop[1] == '"';
      if (doubled && !copy) copy = &unescaped_.emplace_back();
      if (copy) copy->append(at_, stop + doubled);
      at_ = stop + 1 + doubled;
      if (doubled) continue;
      cell.text = copy ? std::string_view(*copy) : std::string_view(begin, static_cast<size_t>(stop - begin));
      if (!at_line_end() && *at_ != ',')
        complaints_.fail(line_, column(), "", "found text after a closing quote, allowed: a comma or the line's end");
      return cell;
    }
  }

  const char* at_;
  const char* end_;
  const char* line_start_;
  int line_ = 1;
  std::deque<std::string> unescaped_;
  Complaints& complaints_;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

size_t find_column(const std::vector<Cell>& header, const std::string& name, Complaints& complaints) {
  std::string found;
  for (size_t i = 0; i < header.size(); ++i) {
    if (trimmed(header[i].text) == name) return i;
    found += (i ? ", " : "") + quoted(trimmed(header[i].text));
  }
  complaints.fail(header[0].line, 1, name, fmt::format("no such column; found {}", found));
}

bool is_azure(const std::vector<Cell>& header) {
  return std::equal(header.begin(), header.end(), std::begin(kAzureHeader), std::end(kAzureHeader),
                    [](const Cell& cell, std::string_view name) { return trimmed(cell.text) == name; });
}

TraceFormat azure_format() {
  return {"azure", std::string(kAzureHeader[0]), std::string(kAzureHeader[1]), std::string(kAzureHeader[2]),
          "datetime"};
}

TimeUnit time_unit(const TraceFormat& format, const SourceMark& mark) {
  if (std::optional<TimeUnit> unit = find_time_unit(format.time_unit)) return *unit;
  throw InputError({Severity::Error, mark, "timeUnit",
                    fmt::format("found '{}', allowed: s, ms, us, ns, datetime", format.time_unit)});
}

TraceColumns read_csv(std::string_view text, TraceFormat format, const SourceMark& mark, Complaints& complaints) {
  CsvReader csv(text, complaints);
  std::vector<Cell> cells;
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
    const Cell &t = cells[columns[0]], &p = cells[columns[1]], &o = cells[columns[2]];
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
  JsonRow(const std::array<const std::string*, 3>& names) : names_(names) {}

  std::array<std::optional<std::string>, 3> values;
  std::string problem;
  size_t problem_at = 0;
  bool is_object = false;

  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool string(string_t& text) override { return scalar(text); }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object = true;
    return open();
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    wanted_ = -1;
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
    if (depth_ == 1 && wanted_ >= 0) values[static_cast<size_t>(wanted_)] = std::move(text);
    return true;
  }
  bool open() {
    if (depth_ == 1 && wanted_ >= 0) values[static_cast<size_t>(wanted_)] = "a list or an object";
    return ++depth_, true;
  }
  bool close() { return --depth_, true; }

  const std::array<const std::string*, 3>& names_;
  int depth_ = 0, wanted_ = -1;
};

// Where the value of a member stands in its line, from 1; the line's start if it cannot be told.
int member_column(std::string_view line, const std::string& name) {
  size_t at = line.find('"' + name + '"');
  if (at == line.npos) return 1;
  at = line.find_first_not_of(" \t:", at + name.size() + 2);
  return at == line.npos ? 1 : static_cast<int>(at) + 1;
}

TraceColumns read_jsonl(std::string_view text, const TraceFormat& format, const SourceMark& mark,
                        Complaints& complaints) {
  const std::array<const std::string*, 3> names{&format.time, &format.prompt, &format.output};
  RowReader reader(format, time_unit(format, mark), complaints);
  TraceColumns out;
  int number = 0;
  while (!text.empty()) {
    ++number;
    size_t length = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;

    JsonRow row(names);
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
    int64_t time = 0;
    int32_t prompt = 0, output = 0;
    reader.time(*row.values[0], number, member_column(line, format.time), time);
    reader.tokens(*row.values[1], format.prompt, number, member_column(line, format.prompt), prompt);
    reader.tokens(*row.values[2], format.output, number, member_column(line, format.output), output);
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

void sort_by_time(TraceColumns& trace) {
  if (!std::is_sorted(trace.time_ns.begin(), trace.time_ns.end())) {
    std::vector<uint32_t> order(trace.time_ns.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return trace.time_ns[a] < trace.time_ns[b]; });
    permute(trace.time_ns, order);
    permute(trace.prompt_tokens, order);
    permute(trace.output_tokens, order);
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

std::string read_bytes(const std::string& path, const SourceMark& mark) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  auto fail = [&] {
    const std::string message = fmt::format("cannot read trace '{}': {}", path, std::strerror(errno));
    throw IoError(Diagnostic{Severity::Error, mark, "", message}.text());
  };
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) fail();
  std::string bytes;
  size_t size = 0;
  do {
    size = bytes.size();
    bytes.resize(size + kChunk);
    bytes.resize(size + std::fread(bytes.data() + size, 1, kChunk, file.get()));
  } while (bytes.size() > size);
  if (std::ferror(file.get())) fail();
  return bytes;
}

int line_after(std::string_view text) { return 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

// One or more gzip members and nothing else (RFC 1952).
class Gunzip {
 public:
  Gunzip(std::string_view bytes, Complaints& complaints) : bytes_(bytes), complaints_(complaints) {
    KISIM_INVARIANT(inflateInit2(&stream_, kWindowBits + kGzipOnly) == Z_OK, "zlib does not start");
  }
  ~Gunzip() { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  static bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

  std::string text() {
    while (!bytes_.empty()) {
      if (!is_gzip(bytes_)) fail("found other data after the end of the gzip file");
      member();
    }
    return std::move(text_);
  }

 private:
  static constexpr int kWindowBits = 15, kGzipOnly = 16;

  void member() {
    inflateReset(&stream_);
    for (int code = Z_OK; code != Z_STREAM_END;) {
      const size_t size = text_.size(), given = std::min(bytes_.size(), kChunk);
      text_.resize(size + kChunk);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes_.data()));
      stream_.avail_in = static_cast<uInt>(given);
      stream_.next_out = reinterpret_cast<Bytef*>(text_.data() + size);
      stream_.avail_out = static_cast<uInt>(kChunk);
      code = inflate(&stream_, Z_NO_FLUSH);
      text_.resize(size + kChunk - stream_.avail_out);
      bytes_.remove_prefix(given - stream_.avail_in);
      if (code != Z_OK && code != Z_STREAM_END)
        fail(fmt::format("the gzip file is damaged or cut off after {} bytes of text ({})", text_.size(),
                         code == Z_BUF_ERROR ? "unexpected end of file" : zError(code)));
    }
  }

  [[noreturn]] void fail(const std::string& message) { complaints_.fail(line_after(text_), 1, "", message); }

  std::string_view bytes_;
  Complaints& complaints_;
  z_stream stream_{};
  std::string text_;
};

std::string read_all(const std::string& path, const SourceMark& mark) {
  std::string bytes = read_bytes(path, mark);
  if (!Gunzip::is_gzip(bytes)) return bytes;
  Complaints complaints(path);
  return Gunzip(bytes, complaints).text();
}

}  // namespace

std::shared_ptr<const TraceColumns> parse_trace(std::string_view text, const std::string& name,
                                                const TraceFormat& format, const SourceMark& mark) {
  constexpr std::string_view kFormats[] = {"auto", "azure", "csv", "jsonl"};
  if (std::find(std::begin(kFormats), std::end(kFormats), format.name) == std::end(kFormats))
    throw InputError(
        {Severity::Error, mark, "format", fmt::format("found '{}', allowed: auto, azure, csv, jsonl", format.name)});
  Complaints complaints(name);
  if (size_t at = text.find('\0'); at != text.npos)
    complaints.fail(line_after(text.substr(0, at)), 1, "",
                    "found a binary file, allowed: CSV or JSON Lines, plain or gzip");
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());

  bool jsonl = format.name == "jsonl" || (format.name == "auto" && is_jsonl(text, name));
  TraceColumns trace = jsonl ? read_jsonl(text, format, mark, complaints) : read_csv(text, format, mark, complaints);
  complaints.throw_if_any();
  if (trace.time_ns.empty()) complaints.fail(1, 1, "", "no rows: a trace needs at least one request");
  if (trace.time_ns.size() > UINT32_MAX) complaints.fail(0, 0, "", "more than 4294967295 rows");
  sort_by_time(trace);
  return std::make_shared<const TraceColumns>(std::move(trace));
}

std::shared_ptr<const TraceColumns> read_trace(const std::string& path, const TraceFormat& format,
                                               const SourceMark& mark) {
  return parse_trace(read_all(path, mark), path, format, mark);
}

}  // namespace kisim

#include "io/csv.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

namespace kisim {

namespace {

constexpr size_t kMaxComplaints = 10;
constexpr size_t kChunk = 1 << 20;

std::string read_bytes(const std::string& path, const SourceMark& mark) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  auto fail = [&] {
    const std::string message = fmt::format("cannot read '{}': {}", path, std::strerror(errno));
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

}  // namespace

void Complaints::add(int line, int column, const std::string& field, const std::string& message) {
  diagnostics_.push_back({Severity::Error, {file_, line, column}, field, message});
  if (diagnostics_.size() == kMaxComplaints) throw InputError(std::move(diagnostics_));
}

void Complaints::fail(int line, int column, const std::string& field, const std::string& message) {
  diagnostics_.push_back({Severity::Error, {file_, line, column}, field, message});
  throw InputError(std::move(diagnostics_));
}

void Complaints::throw_if_any() {
  if (!diagnostics_.empty()) throw InputError(std::move(diagnostics_));
}

bool CsvReader::next(std::vector<CsvCell>& cells) {
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

bool CsvReader::at_line_end() const {
  return at_ == end_ || *at_ == '\n' || (*at_ == '\r' && (at_ + 1 == end_ || at_[1] == '\n'));
}

void CsvReader::take_line_end() {
  if (at_ != end_ && *at_ == '\r') ++at_;
  if (at_ == end_) return;
  ++at_;
  ++line_;
  line_start_ = at_;
}

bool CsvReader::take(char c) {
  if (at_ == end_ || *at_ != c) return false;
  ++at_;
  return true;
}

void CsvReader::skip_comments() {
  while (at_ != end_) {
    if (*at_ == '#')
      while (!at_line_end()) ++at_;
    if (!at_line_end() || at_ == end_) return;
    take_line_end();
  }
}

int CsvReader::column() const { return static_cast<int>(std::min<ptrdiff_t>(at_ - line_start_ + 1, INT32_MAX)); }

CsvCell CsvReader::plain_cell() {
  CsvCell cell{{}, line_, column()};
  const char* begin = at_;
  while (at_ != end_ && *at_ != ',' && *at_ != '\n') ++at_;
  bool line_ends = at_ == end_ || *at_ == '\n';
  if (line_ends && at_ != begin && at_[-1] == '\r') --at_;
  cell.text = {begin, static_cast<size_t>(at_ - begin)};
  return cell;
}

CsvCell CsvReader::quoted_cell() {
  CsvCell cell{{}, line_, column()};
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

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

size_t find_column(const std::vector<CsvCell>& header, const std::string& name, Complaints& complaints) {
  std::string found;
  for (size_t i = 0; i < header.size(); ++i) {
    if (trimmed(header[i].text) == name) return i;
    found += (i ? ", " : "") + shown(trimmed(header[i].text));
  }
  complaints.fail(header[0].line, 1, name, fmt::format("no such column; found {}", found));
}

std::string shown(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, 40)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 40 ? "…'" : "'");
}

int line_after(std::string_view text) { return 1 + static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

std::string read_text(const std::string& path, const SourceMark& mark) {
  std::string bytes = read_bytes(path, mark);
  if (!Gunzip::is_gzip(bytes)) return bytes;
  Complaints complaints(path);
  return Gunzip(bytes, complaints).text();
}

}  // namespace kisim

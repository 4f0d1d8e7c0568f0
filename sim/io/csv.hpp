#pragma once
// Files of data, plain or gzip, and CSV in them. Every complaint has file:line:column.

#include "core/error.hpp"

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// Complaints about one file of data. Throws after a few: a file of another format would have one per row.
class Complaints {
 public:
  explicit Complaints(std::string file) : file_(std::move(file)) {}

  void add(int line, int column, const std::string& field, const std::string& message);
  [[noreturn]] void fail(int line, int column, const std::string& field, const std::string& message);
  void throw_if_any();

 private:
  std::string file_;
  std::vector<Diagnostic> diagnostics_;
};

struct CsvCell {
  std::string_view text;
  int line = 0, column = 0;
};

// Splits CSV text into rows: quoted cells with "" for a quote, LF or CRLF, '#' comments, empty lines skipped.
class CsvReader {
 public:
  CsvReader(std::string_view text, Complaints& complaints)
      : at_(text.data()), end_(at_ + text.size()), line_start_(at_), complaints_(complaints) {}

  // The next row, in `cells`; false at the end of the text. The cells last until the next call.
  bool next(std::vector<CsvCell>& cells);

 private:
  bool at_line_end() const;
  void take_line_end();
  bool take(char c);
  void skip_comments();
  int column() const;
  CsvCell plain_cell();
  CsvCell quoted_cell();

  const char* at_;
  const char* end_;
  const char* line_start_;
  int line_ = 1;
  std::deque<std::string> unescaped_;
  Complaints& complaints_;
};

// Without spaces and tabs around it.
std::string_view trimmed(std::string_view text);
// What was found, short enough for a message and without control characters.
std::string shown(std::string_view text);
// The place of the column in a header. Throws InputError that tells which there are.
size_t find_column(const std::vector<CsvCell>& header, const std::string& name, Complaints& complaints);

// A whole file, plain or gzip (RFC 1952). `mark` is where the file was named. Throws IoError, InputError.
std::string read_text(const std::string& path, const SourceMark& mark = {});
// The number of the line that comes after this text.
int line_after(std::string_view text);

}  // namespace kisim

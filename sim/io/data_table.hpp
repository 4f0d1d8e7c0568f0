#pragma once
// A CSV table of measurements: named columns, and numbers that know where they stand.

#include "core/error.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

class DataTable {
 public:
  // Plain or gzip. Throws IoError, InputError with file:line:column.
  static DataTable read(const std::string& path);
  static DataTable parse(std::string_view text, const std::string& name);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& header() const { return header_; }
  size_t rows() const { return rows_.size(); }
  SourceMark mark(size_t row) const { return {name_, rows_[row].line, 1}; }
  // Throws InputError that tells the columns there are.
  size_t column(const std::string& name) const;

  const std::string& text(size_t row, size_t column) const { return rows_[row].cells[column]; }
  // Empty cells are measurements that nobody made. Throws InputError on text that is no finite number.
  std::optional<double> number(size_t row, size_t column) const;
  // The same where there must be one, above 0.
  double positive(size_t row, size_t column) const;

 private:
  struct Row {
    int line = 0;
    std::vector<std::string> cells;
  };
  [[noreturn]] void refuse(size_t row, size_t column, const std::string& allowed) const;

  std::string name_;
  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

// Seconds in one of a unit of time: s, ms, us or ns. Throws InputError at the mark.
double seconds_of_unit(const std::string& unit, const SourceMark& mark);

// Refuses a fit with fewer points than it needs.
void need_points(size_t found, size_t needed, const std::string& of, const SourceMark& mark);

}  // namespace kisim

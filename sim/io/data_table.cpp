#include "io/data_table.hpp"

#include "io/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim {

DataTable DataTable::read(const std::string& path) { return parse(read_text(path), path); }

DataTable DataTable::parse(std::string_view text, const std::string& name) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Complaints complaints(name);
  CsvReader csv(text, complaints);
  std::vector<CsvCell> cells;
  if (!csv.next(cells)) complaints.fail(1, 1, "", "empty: a table needs a header and at least one row");
  DataTable out;
  out.name_ = name;
  for (const CsvCell& cell : cells) out.header_.emplace_back(trimmed(cell.text));
  while (csv.next(cells)) {
    if (cells.size() != out.header_.size()) {
      complaints.add(cells[0].line, 1, "",
                     fmt::format("found {} cells, the header has {}", cells.size(), out.header_.size()));
      continue;
    }
    Row& row = out.rows_.emplace_back();
    row.line = cells[0].line;
    for (const CsvCell& cell : cells) row.cells.emplace_back(trimmed(cell.text));
  }
  complaints.throw_if_any();
  return out;
}

size_t DataTable::column(const std::string& name) const {
  auto found = std::find(header_.begin(), header_.end(), name);
  if (found != header_.end()) return static_cast<size_t>(found - header_.begin());
  throw InputError(Diagnostic{
      Severity::Error, {name_, 1, 1}, name, fmt::format("no such column; found {}", fmt::join(header_, ", "))});
}

std::optional<double> DataTable::number(size_t row, size_t column) const {
  const std::string& cell = text(row, column);
  if (cell.empty()) return std::nullopt;
  double value = 0;
  auto [stop, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || stop != cell.data() + cell.size() || !std::isfinite(value))
    refuse(row, column, "a number");
  return value;
}

double DataTable::positive(size_t row, size_t column) const {
  std::optional<double> value = number(row, column);
  if (!value || *value <= 0) refuse(row, column, "a number above 0");
  return *value;
}

void DataTable::refuse(size_t row, size_t column, const std::string& allowed) const {
  const std::string& cell = text(row, column);
  throw InputError(Diagnostic{Severity::Error, mark(row), header_[column],
                              fmt::format("found {}, allowed: {}", cell.empty() ? "nothing" : shown(cell), allowed)});
}

double seconds_of_unit(const std::string& unit, const SourceMark& mark) {
  if (unit == "s") return 1;
  if (unit == "ms") return 1e-3;
  if (unit == "us") return 1e-6;
  if (unit == "ns") return 1e-9;
  throw InputError(
      Diagnostic{Severity::Error, mark, "unit", fmt::format("found {}, allowed: s, ms, us, ns", shown(unit))});
}

void need_points(size_t found, size_t needed, const std::string& of, const SourceMark& mark) {
  if (found >= needed) return;
  throw InputError(
      Diagnostic{Severity::Error, mark, of,
                 fmt::format("found {} point{}, allowed: {} or more", found, found == 1 ? "" : "s", needed)});
}

}  // namespace kisim

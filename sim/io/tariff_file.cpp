#include "io/tariff_file.hpp"

#include "io/csv.hpp"
#include "io/decimal_time.hpp"

#include <charconv>

namespace kisim {

namespace {

// Dates count from the first of them; seconds from the start of the run.
std::optional<int64_t> time_of(std::string_view text, std::optional<int64_t>& first_date) {
  std::optional<int64_t> date = parse_time(text, TimeUnit::Datetime);
  if (!date) return parse_time(text, TimeUnit::Seconds);
  if (!first_date) first_date = *date;
  return *date - *first_date;
}

std::optional<double> figure_of(std::string_view text) {
  double value = 0;
  auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  bool ok = result.ec == std::errc() && result.ptr == text.data() + text.size() && value >= 0 && value < 1e9;
  return ok ? std::optional(value) : std::nullopt;
}

}  // namespace

std::vector<TariffSpec::Step> read_tariff(const std::string& path, const std::string& figure, const SourceMark& mark) {
  const std::string text = read_text(path, mark);
  Complaints complaints(path);
  CsvReader reader(text, complaints);
  std::vector<CsvCell> cells;
  if (!reader.next(cells)) complaints.fail(1, 1, "", fmt::format("no rows, needed: a header with at and {}", figure));
  const size_t at = find_column(cells, "at", complaints), value = find_column(cells, figure, complaints);
  const size_t columns = cells.size();
  std::vector<TariffSpec::Step> out;
  std::optional<int64_t> first_date;
  while (reader.next(cells)) {
    if (cells.size() != columns) {
      complaints.add(cells[0].line, 1, "", fmt::format("found {}, allowed: {} cells", cells.size(), columns));
      continue;
    }
    auto then = time_of(trimmed(cells[at].text), first_date);
    auto is = figure_of(trimmed(cells[value].text));
    if (!then)
      complaints.add(
          cells[at].line, cells[at].column, "at",
          fmt::format("found {}, allowed: seconds, or {}", shown(cells[at].text), allowed_times(TimeUnit::Datetime)));
    if (!is)
      complaints.add(cells[value].line, cells[value].column, figure,
                     fmt::format("found {}, allowed: a number from 0", shown(cells[value].text)));
    if (!then || !is) continue;
    if (out.empty() && *then != 0)
      complaints.add(cells[at].line, cells[at].column, "at", "is not 0, so nothing is known of the start");
    if (!out.empty() && *then <= out.back().at.ns)
      complaints.add(cells[at].line, cells[at].column, "at", "is not after the row before it");
    out.push_back({Duration{*then}, *is});
  }
  complaints.throw_if_any();
  if (out.empty()) complaints.fail(1, 1, "", "no rows, needed: at least one");
  return out;
}

}  // namespace kisim

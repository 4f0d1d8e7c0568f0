// The scoreboard as one HTML page, its plots as SVG.

#include "core/error.hpp"
#include "fidelity/published.hpp"
#include "fidelity/scoreboard.hpp"
#include "io/report_page.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace kisim {

namespace embedded {
extern const std::string_view report_css;
}

namespace {

constexpr double kWidth = 460, kHeight = 260, kLeft = 58, kRight = 12, kTop = 12, kBottom = 34;

// An axis from `low` to `high`, maybe of logarithms.
struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;

  double share(double value) const {
    if (logarithmic) return (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low));
    return (value - low) / (high - low);
  }
  double at(double share) const { return logarithmic ? low * std::pow(high / low, share) : low + share * (high - low); }
};

double x_of(const Axis& axis, double value) { return kLeft + (kWidth - kLeft - kRight) * axis.share(value); }
double y_of(const Axis& axis, double value) {
  return kHeight - kBottom - (kHeight - kTop - kBottom) * axis.share(value);
}

std::string tick(double value) { return fmt::format("{:.3g}", value); }

std::string axes(const Axis& x, const Axis& y, const std::string& x_name, const std::string& y_name) {
  constexpr int kTicks = 4;
  std::string out;
  for (int i = 0; i <= kTicks; ++i) {
    const double share = static_cast<double>(i) / kTicks;
    const double left = x_of(x, x.at(share)), top = y_of(y, y.at(share));
    out += fmt::format("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
                       kWidth - kRight, top, top);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 5, top + 4,
                       tick(y.at(share)));
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", left, kHeight - kBottom + 14,
                       tick(x.at(share)));
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", (kLeft + kWidth) / 2,
                     kHeight - 4, escape_html(x_name));
  return out + fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", kLeft + 4, kTop + 8, escape_html(y_name));
}

std::string dot(const Axis& x, const Axis& y, double at_x, double at_y, const ScoredPoint& point) {
  return fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"var(--c0)\" fill-opacity=\"0.6\"><title>{}: measured {}, "
      "predicted {} ({:+.1f} %)</title></circle>",
      x_of(x, at_x), y_of(y, at_y), escape_html(point.label), tick(point.measured), tick(point.predicted),
      100 * (point.predicted / point.measured - 1));
}

std::string line(const Axis& x, const Axis& y, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"mark\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", x_of(x, x1),
                     y_of(y, y1), x_of(x, x2), y_of(y, y2));
}

std::string figure(const std::string& title, const std::string& note, const std::string& drawing) {
  return fmt::format(
      "<figure><figcaption>{} <span>{}</span></figcaption><svg role=\"img\" viewBox=\"0 0 {} {}\" "
      "style=\"height: auto\">{}</svg></figure>\n",
      escape_html(title), escape_html(note), kWidth, kHeight, drawing);
}

Axis measured_axis(const std::vector<ScoredPoint>& points) {
  double low = HUGE_VAL, high = 0;
  for (const ScoredPoint& p : points) {
    low = std::min({low, p.measured, p.predicted});
    high = std::max({high, p.measured, p.predicted});
  }
  if (low <= 0) return {std::min(low, 0.0), std::max(high, 1.0), false};
  return {low / 1.1, high * 1.1, true};
}

std::string scatter(const ScoreRow& row) {
  const Axis axis = measured_axis(row.points);
  std::string drawing = axes(axis, axis, "measured, " + row.unit, "predicted");
  drawing += line(axis, axis, axis.low, axis.low, axis.high, axis.high);
  for (const ScoredPoint& p : row.points) drawing += dot(axis, axis, p.measured, p.predicted, p);
  return figure(row.data + ", " + row.metric, "predicted against measured", drawing);
}

// Of what was measured as nothing there is no relative error.
std::string residuals(const ScoreRow& row) {
  const Axis x = measured_axis(row.points);
  double most = 0.05;
  for (const ScoredPoint& p : row.points)
    if (p.measured != 0) most = std::max(most, std::abs(p.predicted / p.measured - 1));
  const Axis y{-100 * most * 1.1, 100 * most * 1.1, false};
  std::string drawing = axes(x, y, "measured, " + row.unit, "error, %");
  drawing += line(x, y, x.low, 0, x.high, 0);
  for (const ScoredPoint& p : row.points)
    if (p.measured != 0) drawing += dot(x, y, p.measured, 100 * (p.predicted / p.measured - 1), p);
  return figure(row.data + ", " + row.metric, "residuals", drawing);
}

std::string table_row(const ScoreRow& row) {
  const ErrorStatistics e = row.errors();
  const auto naive = row.naive_errors();
  std::string cells = fmt::format("<td>{}</td><td>{}</td>", escape_html(row.data), escape_html(row.metric));
  size_t skipped = 0;
  for (const auto& [why, count] : row.skipped) skipped += count;
  for (const std::string& cell :
       {std::to_string(row.points.size()), std::to_string(skipped), fmt::format("{:.1f}", 100 * e.median),
        fmt::format("{:.1f}", 100 * e.mean), fmt::format("{:.1f}", 100 * e.p90), fmt::format("{:.1f}", 100 * e.worst),
        fmt::format("{:+.1f}", 100 * e.bias), fmt::format("{:.1f}", 100 * row.verdict_of(e)),
        naive ? fmt::format("{:.1f}", 100 * row.verdict_of(*naive)) : "–"})
    cells += fmt::format("<td class=\"number\">{}</td>", cell);
  return fmt::format("<tr>{}<td>{}</td></tr>\n", cells, to_string(row.mark()));
}

// What belongs to all rows of one data set, under them.
std::string split_row(const ScoreRow& row) {
  return fmt::format("<tr><td class=\"reason\" colspan=\"12\">{}</td></tr>\n", escape_html(row.split));
}

std::string published_section(const Scoreboard& board) {
  std::string rows;
  for (const PublishedError& p : published_errors()) {
    std::string cells;
    for (const std::string& cell : {std::string(p.simulator), std::string(p.metric)})
      cells += fmt::format("<td>{}</td>", escape_html(cell));
    for (const std::string& cell : {std::string(p.percent), our_medians(board, p)})
      cells += fmt::format("<td class=\"number\">{}</td>", cell.empty() ? "–" : escape_html(cell));
    rows += fmt::format("<tr>{}<td>{}</td><td class=\"reason\">{}</td></tr>\n", cells, escape_html(p.conditions),
                        escape_html(p.source));
  }
  return fmt::format(
      "<section class=\"panel\"><div class=\"card\"><table><thead><tr><th>Others</th><th>Metric</th>"
      "<th class=\"number\">Published %</th><th class=\"number\">Ours, median %</th><th>Conditions</th><th>Source</th>"
      "</tr></thead><tbody>\n{}</tbody></table></div></section>\n",
      rows);
}

}  // namespace

std::string scoreboard_page(const Scoreboard& board) {
  std::string head;
  for (const char* name : {"Data", "Metric"}) head += fmt::format("<th>{}</th>", name);
  for (const char* name :
       {"Used", "Skipped", "Median %", "Mean %", "p90 %", "Worst %", "Bias %", "Judged %", "Naive %"})
    head += fmt::format("<th class=\"number\">{}</th>", name);
  head += "<th>Mark</th>";
  std::string rows, plots;
  for (size_t i = 0; i < board.rows.size(); ++i) {
    const ScoreRow& row = board.rows[i];
    rows += table_row(row);
    if (i + 1 == board.rows.size() || board.rows[i + 1].data != row.data) rows += split_row(row);
    plots += scatter(row) + residuals(row);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>kisim fidelity</title>\n<style>\n{}</style>\n"
      "</head>\n<body>\n<main>\n<header><p class=\"eyebrow\"><strong>kisim fidelity</strong></p><h1>{}</h1></header>\n"
      "<section class=\"panel\"><div class=\"card\"><table><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>"
      "</section>\n{}<section class=\"panel charts\">\n{}</section>\n</main>\n</body>\n</html>\n",
      embedded::report_css, escape_html(board.verdict()), head, rows, published_section(board), plots);
}

}  // namespace kisim

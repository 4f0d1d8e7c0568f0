#include "io/report_page.hpp"

#include "io/humanize.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string_view>

namespace kisim {

namespace embedded {
extern const std::string_view report_html, report_css, report_js;
}

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxPoints = 2000;      // per line
constexpr size_t kMaxAllPoints = 40000;  // of the page: about 600 kB
constexpr size_t kMaxLines = 12;         // per plot
constexpr size_t kMaxText = 300;         // of cut_text

double round_digits(double value, int digits) {
  if (!std::isfinite(value)) return value;
  std::string text = fmt::format("{:.{}g}", value, digits);
  double rounded = value;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

Json numbers(const std::vector<double>& values, int digits) {
  Json out = Json::array();
  for (double value : values) {
    if (std::isfinite(value))
      out.push_back(round_digits(value, digits));
    else
      out.push_back(nullptr);
  }
  return out;
}

// An interval in which nothing happened has no sample. Where samples are further apart than usual, a NaN between them
// keeps the line from bridging the gap.
Series with_gaps(const Series& series) {
  constexpr double kGap = 1.5;  // usual distances
  const size_t n = series.t.size();
  if (n < 3) return series;
  std::vector<double> distances;
  for (size_t i = 1; i < n; ++i) distances.push_back(series.t[i] - series.t[i - 1]);
  std::nth_element(distances.begin(), distances.begin() + n / 2 - 1, distances.end());
  const double usual = distances[n / 2 - 1];

  Series out{series.metric, series.unit, series.labels, {}, {}};
  for (size_t i = 0; i < n; ++i) {
    if (i > 0 && series.t[i] - series.t[i - 1] > kGap * usual) {
      out.t.push_back(series.t[i - 1] + usual);
      out.value.push_back(std::numeric_limits<double>::quiet_NaN());
    }
    out.t.push_back(series.t[i]);
    out.value.push_back(series.value[i]);
  }
  return out;
}

Json chart_json(const Plot& chart, bool over_time, size_t points) {
  Json lines = Json::array(), marks = Json::array();
  size_t shown = std::min(chart.lines.size(), kMaxLines);
  for (size_t i = 0; i < shown; ++i) {
    const PlotLine& line = chart.lines[i];
    const Series thinned = thin(over_time ? with_gaps(*line.series) : *line.series, points);
    lines.push_back({{"name", line.name},
                     {"color", line.color},
                     {"dash", line.dash},
                     {"step", line.step},
                     {"fill", line.fill},
                     {"faint", line.faint},
                     {"t", numbers(thinned.t, 8)},
                     {"v", numbers(thinned.value, 5)}});
  }
  for (const PlotMark& mark : chart.marks) marks.push_back({{"name", mark.name}, {"y", mark.y}});
  return {{"title", chart.title},
          {"note", chart.note},
          {"unit", chart.unit},
          {"whole", chart.whole},
          {"fromZero", chart.from_zero},
          {"small", chart.small},
          {"lines", lines},
          {"marks", marks},
          {"omitted", chart.lines.size() - shown}};
}

// Inside <script>, so that no text can end the element.
std::string script_safe(std::string json) {
  for (size_t at = 0; (at = json.find('<', at)) != std::string::npos;) json.replace(at, 1, "\\u003c");
  return json;
}

std::string data_json(const ReportPage& page) {
  size_t lines = 1;
  for (const Plot& plot : page.plots) lines += std::min(plot.lines.size(), kMaxLines);
  const size_t points = std::min(kMaxPoints, kMaxAllPoints / lines);

  Json data = {
      {"over", page.over}, {"end", page.end}, {"warmup", page.warmup}, {"rest", page.rest}, {"charts", Json::array()}};
  for (const Plot& plot : page.plots) data["charts"].push_back(chart_json(plot, page.over == "time", points));
  return script_safe(data.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Fills {{name}} in one pass, so that no text of a scenario is taken for a placeholder.
std::string fill_template(std::string_view text, const std::map<std::string_view, std::string>& values) {
  std::string out;
  while (true) {
    size_t open = text.find("{{"), close = text.find("}}", open);
    if (open == std::string_view::npos || close == std::string_view::npos) return out.append(text);
    out.append(text.substr(0, open));
    out.append(values.at(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Series thin(const Series& series, size_t points) {
  const size_t n = series.t.size(), buckets = std::max<size_t>(points / 2, 1);
  if (n <= 2 * buckets) return series;
  Series out{series.metric, series.unit, series.labels, {}, {}};
  auto add = [&](size_t i) {
    out.t.push_back(series.t[i]);
    out.value.push_back(series.value[i]);
  };
  for (size_t b = 0; b < buckets; ++b) {
    const size_t begin = b * n / buckets, end = (b + 1) * n / buckets;
    size_t least = end, most = end;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(series.value[i])) continue;
      if (least == end || series.value[i] < series.value[least]) least = i;
      if (most == end || series.value[i] > series.value[most]) most = i;
    }
    if (least == end) {
      add(begin);
      continue;
    }
    add(std::min(least, most));
    if (least != most) add(std::max(least, most));
  }
  return out;
}

std::string cut_text(const std::string& text) {
  if (text.size() <= kMaxText) return text;
  size_t end = kMaxText;
  while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // between two characters
  return text.substr(0, end) + "…";
}

std::string plural(uint64_t count, const std::string& noun) {
  return human_count(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string keep_units(std::string text) {
  for (const char* unit : {" %", " s", " ms", " µs"}) {
    for (size_t at = 0; (at = text.find(unit, at)) != std::string::npos; ++at) {
      const size_t end = at + std::strlen(unit);
      const bool whole = end == text.size() || text[end] == ' ' || text[end] == ',';
      if (at > 0 && std::isdigit(static_cast<unsigned char>(text[at - 1])) && whole) text.replace(at, 1, "\u00a0");
    }
  }
  return text;
}

void Tiles::add(const std::string& name, const std::string& value, const std::string& note) {
  out_ += fmt::format(
      "<div class=\"tile\"><div class=\"name\">{}</div><div class=\"value\">{}</div><div "
      "class=\"note\">{}</div></div>\n",
      escape_html(name), escape_html(value), escape_html(keep_units(note)));
}

void HtmlTable::row(const std::vector<std::string>& cells) {
  if (++rows_ > kMaxReportRows) return;
  body_ += "<tr>";
  for (size_t c = 0; c < cells.size(); ++c)
    body_ += fmt::format("<td class=\"{}\">{}</td>", columns_[c].css, escape_html(cells[c]));
  body_ += "</tr>\n";
}

std::string HtmlTable::html() const {
  if (rows_ == 0) return "";
  std::string head;
  for (const HtmlColumn& column : columns_)
    head += fmt::format("<th class=\"{}\">{}</th>", column.css, escape_html(column.header));
  std::string after = rows_ <= kMaxReportRows ? ""
                                              : fmt::format("<p class=\"after\">The first {} of {}; {}.</p>\n",
                                                            kMaxReportRows, human_count(rows_), rest_);
  return fmt::format(
      "<section class=\"panel\"><h2>{}</h2>\n<div class=\"card\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}"
      "</tbody></table></div>\n{}</section>\n",
      escape_html(title_), head, body_, after);
}

std::string render_page(const ReportPage& page) {
  return fill_template(embedded::report_html, {{"title", escape_html(page.title)},
                                               {"css", std::string(embedded::report_css)},
                                               {"eyebrow", page.eyebrow},
                                               {"headline", escape_html(keep_units(page.headline))},
                                               {"findings", page.findings},
                                               {"tiles", page.tiles},
                                               {"over", page.over},
                                               {"tables", page.tables},
                                               {"footer", escape_html(page.footer)},
                                               {"data", data_json(page)},
                                               {"js", std::string(embedded::report_js)}});
}

}  // namespace kisim

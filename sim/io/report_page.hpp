#pragma once
// What all reports are made of: one HTML page that needs nothing beside it, neither files nor a network, below 1 MB.

#include "stats/series.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

inline constexpr size_t kMaxReportRows = 200;  // of a table or list

// Text for HTML, in an element or a quoted attribute.
std::string escape_html(const std::string& text);
// Cut to a few hundred characters, with an ellipsis.
std::string cut_text(const std::string& text);
// "1,234 pods"
std::string plural(uint64_t count, const std::string& noun);
// No line break between a number and its unit.
std::string keep_units(std::string text);

// At most `points` samples (at least 2) that keep the smallest and the largest value of every stretch, and the gaps
// (NaN) that fill one.
Series thin(const Series& series, size_t points);

// A curve; its colour is one of report.css. NaN is a gap. `faint`: one of many, behind the one that counts. The series
// must outlive the page.
struct PlotLine {
  std::string name, color, dash;
  bool step = false, fill = false;
  const Series* series = nullptr;
  bool faint = false;
};

// A horizontal line, such as a limit.
struct PlotMark {
  std::string name;
  double y = 0;
};

struct Plot {
  std::string title, note, unit;  // unit: s, share, 1/s, count, W or number
  bool whole = false;             // counts of things: no fractions on the axis
  bool from_zero = true;          // otherwise the axis holds the values, whatever they are
  bool small = false;             // three beside each other, below the others
  std::vector<PlotLine> lines;
  std::vector<PlotMark> marks;
};

// Key figures in boxes.
class Tiles {
 public:
  void add(const std::string& name, const std::string& value, const std::string& note);
  const std::string& html() const { return out_; }

 private:
  std::string out_;
};

struct HtmlColumn {
  std::string header, css;  // class of the cells: "", number or reason
};

// Long ones are cut and say so; `rest`: where all rows are.
class HtmlTable {
 public:
  HtmlTable(std::string title, std::vector<HtmlColumn> columns, std::string rest = "all are in run.h5")
      : title_(std::move(title)), columns_(std::move(columns)), rest_(std::move(rest)) {}

  // Precondition: one cell per column.
  void row(const std::vector<std::string>& cells);
  // Nothing where there are no rows.
  std::string html() const;

 private:
  std::string title_;
  std::vector<HtmlColumn> columns_;
  std::string rest_, body_;
  size_t rows_ = 0;
};

struct ReportPage {
  std::string title, headline, footer;           // text
  std::string eyebrow, findings, tiles, tables;  // HTML
  std::string over = "time";                     // what the plots are drawn over: time (s; a gap between samples
                                                 // is one in the line) or steps
  double end = 0;                                // of that axis
  double warmup = 0;                             // the part of it that statistics leave out
  std::vector<Plot> plots;
  std::string rest = "run.h5";  // where lines are that have no room
};
// Plots are thinned to what a page of 1 MB holds.
std::string render_page(const ReportPage& page);

}  // namespace kisim

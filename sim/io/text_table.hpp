#pragma once
// Tables of text for a terminal, in kubectl's manner: capital headers, columns apart by spaces, no rules.

#include <string>
#include <vector>

namespace kisim {

struct TextStyle {
  bool colour = false;
  size_t width = 80;
};

struct TextColumn {
  std::string header;
  bool right = false;    // numbers
  size_t min_width = 0;  // to align several tables
};

// The last column, if left-aligned, is wrapped at style.width.
class TextTable {
 public:
  explicit TextTable(std::vector<TextColumn> columns) : columns_(std::move(columns)) {}

  // Precondition: one cell per column.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  std::string text(const TextStyle& style) const;

 private:
  std::vector<size_t> widths() const;

  std::vector<TextColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Breaks at spaces so that no line is wider than `width`, a longer word excepted.
std::vector<std::string> wrap_text(const std::string& text, size_t width);

std::string bold(const std::string& text, const TextStyle& style);
std::string dim(const std::string& text, const TextStyle& style);

}  // namespace kisim

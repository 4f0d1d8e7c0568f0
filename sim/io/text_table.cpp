#include "io/text_table.hpp"

#include "io/humanize.hpp"

#include <algorithm>
#include <sstream>

namespace kisim {
namespace {

constexpr size_t kGap = 2, kNarrowestText = 20;

std::string pad(const std::string& text, size_t width, bool right) {
  size_t used = display_width(text);
  std::string spaces(used < width ? width - used : 0, ' ');
  return right ? spaces + text : text + spaces;
}

void trim_right(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

std::string bold(const std::string& text, const TextStyle& style) {
  return style.colour ? "\x1b[1m" + text + "\x1b[0m" : text;
}

std::string dim(const std::string& text, const TextStyle& style) {
  return style.colour ? "\x1b[2m" + text + "\x1b[0m" : text;
}

std::vector<std::string> wrap_text(const std::string& text, size_t width) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  std::string word, line;
  while (words >> word) {
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      lines.push_back(line);
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  if (!line.empty() || lines.empty()) lines.push_back(line);
  return lines;
}

std::vector<size_t> TextTable::widths() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = std::max(columns_[c].min_width, display_width(columns_[c].header));
    for (const auto& row : rows_) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
  }
  return widths;
}

std::string TextTable::text(const TextStyle& style) const {
  std::vector<size_t> width = widths();
  const size_t last = columns_.size() - 1;
  size_t indent = 0;
  for (size_t c = 0; c < last; ++c) indent += width[c] + kGap;
  const bool wrap = !columns_[last].right;
  const size_t room = style.width > indent + kNarrowestText ? style.width - indent : kNarrowestText;

  std::string out, line;
  for (size_t c = 0; c <= last; ++c) {
    line += pad(columns_[c].header, width[c], columns_[c].right);
    if (c < last) line += std::string(kGap, ' ');
  }
  trim_right(line);
  out += dim(line, style) + '\n';

  for (const auto& row : rows_) {
    line.clear();
    for (size_t c = 0; c < last; ++c) line += pad(row[c], width[c], columns_[c].right) + std::string(kGap, ' ');
    if (!wrap) {
      out += line + pad(row[last], width[last], true) + '\n';
      continue;
    }
    for (const std::string& part : wrap_text(row[last], room)) {
      line += part;
      trim_right(line);
      out += line + '\n';
      line = std::string(indent, ' ');
    }
  }
  return out;
}

}  // namespace kisim

#include "core/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>

namespace kisim {
namespace {

// Insertions, deletions, replacements and swaps of neighbours: optimal string alignment.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); i++) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      row[j] = std::min({above[j - 1] + (a[i - 1] != b[j - 1]), above[j] + 1, row[j - 1] + 1});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Of a long list those that are written most alike.
std::string near_ones(const std::string& found, std::vector<std::string> allowed) {
  constexpr size_t kNear = 5;
  const size_t all = allowed.size();
  // Alike as a whole, or in the beginning: "lama" is a slip of "llama-3.1-8b".
  auto distance = [&](const std::string& candidate) {
    const std::string wanted = lower(found), known = lower(candidate);
    return std::min(edit_distance(wanted, known), edit_distance(wanted, known.substr(0, wanted.size() + 1)));
  };
  std::stable_sort(allowed.begin(), allowed.end(),
                   [&](const std::string& a, const std::string& b) { return distance(a) < distance(b); });
  allowed.resize(kNear);
  return fmt::format("one of {}, the nearest are {}", all, fmt::join(allowed, ", "));
}

}  // namespace

std::string shown(const std::string& text) {
  constexpr size_t kShownText = 60;
  std::string out;
  for (char c : text) {
    bool new_character = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (out.size() >= kShownText && new_character) return out + "…";
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string closest(const std::string& text, const std::vector<std::string>& candidates) {
  if (text.empty() || text.size() > 64) return {};
  const std::string wanted = lower(text);
  size_t limit = std::max<size_t>(1, text.size() / 3), best_distance = limit + 1;
  std::string best;
  bool tie = false;
  for (const std::string& candidate : candidates) {
    // A beginning is as good as a slip: h100 for h100-80gb.
    const std::string known = lower(candidate);
    bool begins = wanted != known && wanted.size() > 2 && known.rfind(wanted, 0) == 0;
    size_t distance = begins ? 1 : edit_distance(wanted, known);
    if (distance > limit || distance > best_distance) continue;
    tie = distance == best_distance;
    best = candidate;
    best_distance = distance;
  }
  return tie ? "" : best;
}

std::string not_allowed(const std::string& found, const std::vector<std::string>& allowed) {
  constexpr size_t kMany = 24;
  std::string hint = closest(found, allowed);
  if (allowed.size() > kMany && found.size() <= 64)
    return fmt::format("found '{}', allowed: {}", shown(found), near_ones(found, allowed));
  std::string list = allowed.empty() ? "none" : fmt::format("{}", fmt::join(allowed, ", "));
  return fmt::format("found '{}', allowed: {}{}", shown(found), list,
                     hint.empty() ? "" : fmt::format(" (did you mean '{}'?)", hint));
}

}  // namespace kisim

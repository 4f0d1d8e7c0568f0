#include "fidelity/model_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace kisim {

namespace {

bool is_digit(unsigned char c) { return std::isdigit(c) != 0; }

// "2507" is a date, "v0.3" a version.
bool changes_nothing(std::string_view part) {
  constexpr std::array<std::string_view, 12> kTunings = {"instruct", "chat", "it",   "hf",   "base", "thinking",
                                                         "meta",     "fp8",  "bf16", "fp16", "awq",  "dynamic"};
  if (std::find(kTunings.begin(), kTunings.end(), part) != kTunings.end()) return true;
  if (part.size() > 1 && part[0] == 'v' && is_digit(part[1]) && part.find('.') != part.npos) return true;
  return part.size() == 4 && std::all_of(part.begin(), part.end(), is_digit);
}

}  // namespace

std::string catalogue_name(const std::string& repository) {
  std::string name = repository.substr(repository.find('/') + 1), out;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('-', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (!changes_nothing(part)) out += (out.empty() ? "" : "-") + part;
    begin = end + 1;
  }
  return out;
}

}  // namespace kisim

#pragma once
// Label selectors as kubectl takes them: "gpu-type=a100,zone in (a, b),!spot" (apimachinery, labels.Parse).

#include "cluster/objects.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace kisim {

// Requirements key, !key, key=value (or ==), key!=value, key in (…), key notin (…), key>n and key<n, joined by commas;
// an empty text selects everything. Nothing, with the problem, if the text is none of it.
std::optional<LabelSelector> parse_label_selector(std::string_view text, std::string& problem);

}  // namespace kisim

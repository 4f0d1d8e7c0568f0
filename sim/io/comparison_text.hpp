#pragma once
// What a comparison shows, for people and for programs.

#include "io/text_table.hpp"
#include "run/comparison.hpp"

#include <string>

namespace kisim {

// A table of figures, then one of differences from the baseline. `by_family`: both for each family, too.
std::string comparison_text(const Comparison& comparison, bool by_family, const TextStyle& style);
// {policies: [{name, metrics}], pairs: [{policy, baseline, family, metric, difference, interval, verdict}]}
std::string comparison_json(const Comparison& comparison);

}  // namespace kisim

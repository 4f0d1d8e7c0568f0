#pragma once
// The explanation of a pod, for people and for programs.

#include "io/text_table.hpp"
#include "run/explain.hpp"

#include <string>

namespace kisim {

// `wide`: every node and every score; otherwise the best and the first few.
std::string explanation_text(const PodExplanation& explanation, bool wide, const TextStyle& style);
// One JSON object with every field of PodExplanation, times in seconds; what does not apply is null.
std::string explanation_json(const PodExplanation& explanation);

}  // namespace kisim

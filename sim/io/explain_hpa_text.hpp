#pragma once
// The explanation of an autoscaler, for people and for programs.

#include "io/text_table.hpp"
#include "run/explain_hpa.hpp"

#include <string>

namespace kisim {

// What each metric asked for and, in a sentence, what became of it; the conditions; the last changes of the replicas,
// or with `wide` all of them.
std::string hpa_explanation_text(const HpaExplanation& explanation, bool wide, const TextStyle& style);
// One JSON object with every field of HpaExplanation, times in seconds; what does not apply is null.
std::string hpa_explanation_json(const HpaExplanation& explanation);
// The same as YAML.
std::string hpa_explanation_yaml(const HpaExplanation& explanation);

}  // namespace kisim

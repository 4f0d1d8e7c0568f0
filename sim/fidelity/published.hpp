#pragma once
// What other simulators of LLM serving say, or others say of them, beside our rows of the same metric. Each figure has
// its own models, loads and GPUs: they are not of one race.

#include "fidelity/scoreboard.hpp"

#include <span>
#include <string>

namespace kisim {

struct PublishedError {
  const char *simulator, *metric, *percent, *conditions, *source;
  const char* ours;  // how the metric of our rows begins
};
std::span<const PublishedError> published_errors();

// The medians of our rows of that metric in percent, "3.1" or "3.1–5.7"; nothing without such rows.
std::string our_medians(const Scoreboard& board, const PublishedError& published);

}  // namespace kisim

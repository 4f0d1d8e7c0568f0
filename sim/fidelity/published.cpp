#include "fidelity/published.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace kisim {

namespace {

constexpr PublishedError kPublished[] = {
    {"BLIS", "E2E", "6.7", "H100, vLLM 0.15, 36 held-out runs, median", "inference-sim, trained-physics", "E2E"},
    {"BLIS", "ITL", "7.1", "the same runs", "inference-sim, trained-physics", "median ITL"},
    {"BLIS", "TTFT", "17.6", "the same runs", "inference-sim, trained-physics", "TTFT"},
    {"Vidur", "E2E", "< 9", "A100, its own runs and operator profiles", "arXiv 2405.05465", "E2E"},
    {"LLMServingSim", "E2E", "<= 2.2", "its own four configurations", "LLMServingSim 2.0, validation", "E2E"},
    {"LLMServingSim", "E2E", "18.8", "H100, vLLM 0.15, 32 runs, by BLIS' authors", "inference-sim, sim-to-real", "E2E"},
};

}  // namespace

std::span<const PublishedError> published_errors() { return kPublished; }

std::string our_medians(const Scoreboard& board, const PublishedError& published) {
  double least = HUGE_VAL, most = 0;
  for (const ScoreRow& row : board.rows) {
    if (!row.metric.starts_with(published.ours) || row.points.empty()) continue;
    const double median = 100 * row.errors().median;
    least = std::min(least, median);
    most = std::max(most, median);
  }
  if (least > most) return "";
  const std::string low = fmt::format("{:.1f}", least), high = fmt::format("{:.1f}", most);
  return low == high ? low : low + "–" + high;
}

}  // namespace kisim

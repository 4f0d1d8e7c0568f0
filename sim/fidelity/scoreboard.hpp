#pragma once
// The scoreboard: what kisim predicts beside what was measured, one row per data set and metric. Nothing is fitted on
// what is scored.

#include "io/text_table.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct ScoredPoint {
  std::string label;
  double measured = 0, predicted = 0;
  std::optional<double> naive;  // what somebody without a model would have said
};

// Relative errors, predicted/measured - 1.
struct ErrorStatistics {
  double median = 0, mean = 0, p90 = 0, worst = 0;  // of their sizes
  double bias = 0;                                  // mean of them with their signs
  double weighted = 0;                              // Σ|predicted - measured| / Σ|measured|: WAPE
};

struct ScoreRow {
  // Wape is for series over time, where nothing is a fine value to measure: points of 0 count in it alone.
  enum class Verdict { Median, Mean, Exact, Wape };

  std::string data, metric, unit;
  std::string split;  // what was fitted on what, what is scored
  std::string naive;  // who the naive predictor is; empty: there is none
  Verdict verdict = Verdict::Median;
  std::optional<double> pass, aim;  // of the verdict; without them the row is reported, not judged
  double most_of_naive = 0;         // 0: no such mark; else the verdict must be within this share of the naive's too
  std::vector<ScoredPoint> points;
  std::map<std::string, size_t> skipped;  // why, how many

  ErrorStatistics errors() const;
  std::optional<ErrorStatistics> naive_errors() const;
  double verdict_of(const ErrorStatistics& errors) const;
  enum class Mark { Aim, Pass, Miss, Reported };
  Mark mark() const;
};
const char* to_string(ScoreRow::Mark mark);

struct Scoreboard {
  std::vector<ScoreRow> rows;
  bool passed() const;
  // "fidelity: 9 of 9 judged rows pass, 5 of 6 reach their aim"
  std::string verdict() const;
};

// Not wider than 80 columns; `wide`: 160, with splits, marks and the naive predictors by name.
std::string scoreboard_table(const Scoreboard& board, bool wide, const TextStyle& style);
// {"rows": [...], "published": [...], "passed": ..., "verdict": "..."}; errors as shares. `published` are errors that
// others have published, in percent, as below the tables of all formats. Ends with a newline.
std::string scoreboard_json(const Scoreboard& board);
// One HTML page that needs nothing beside it: the table, and per row predicted against measured and the residuals.
std::string scoreboard_page(const Scoreboard& board);
// The same table for a Markdown page.
std::string scoreboard_markdown(const Scoreboard& board);

}  // namespace kisim

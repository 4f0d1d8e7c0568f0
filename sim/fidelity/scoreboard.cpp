#include "fidelity/scoreboard.hpp"

#include "calibration/least_squares.hpp"
#include "core/error.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// Where nothing was measured there is no relative error; being right is none all the same.
double relative_error(double predicted, double measured) {
  if (predicted == measured) return 0;
  return measured == 0 ? HUGE_VAL : predicted / measured - 1;
}

// Of the predictions that `of` picks.
template <class Of>
ErrorStatistics statistics(const std::vector<ScoredPoint>& points, bool without_zeros, Of of) {
  std::vector<double> errors, sizes;
  double off = 0, all = 0;
  for (const ScoredPoint& p : points) {
    off += std::abs(of(p) - p.measured);
    all += std::abs(p.measured);
    if (without_zeros && p.measured == 0) continue;
    errors.push_back(relative_error(of(p), p.measured));
    sizes.push_back(std::abs(errors.back()));
  }
  if (errors.empty()) return {};
  return {median(sizes),      mean(sizes),  quantile(sizes, 0.9),
          quantile(sizes, 1), mean(errors), all > 0 ? off / all : off > 0 ? HUGE_VAL : 0};
}

}  // namespace

ErrorStatistics ScoreRow::errors() const {
  return statistics(points, verdict == Verdict::Wape, [](const ScoredPoint& p) { return p.predicted; });
}

std::optional<ErrorStatistics> ScoreRow::naive_errors() const {
  if (!std::all_of(points.begin(), points.end(), [](const ScoredPoint& p) { return p.naive.has_value(); }))
    return std::nullopt;
  return statistics(points, verdict == Verdict::Wape, [](const ScoredPoint& p) { return *p.naive; });
}

double ScoreRow::verdict_of(const ErrorStatistics& errors) const {
  switch (verdict) {
    case Verdict::Median:
      return errors.median;
    case Verdict::Mean:
      return errors.mean;
    case Verdict::Exact:
      return errors.worst;
    case Verdict::Wape:
      return errors.weighted;
  }
  return 0;
}

ScoreRow::Mark ScoreRow::mark() const {
  const double value = verdict_of(errors());
  if (!pass) return aim && value <= *aim ? Mark::Aim : Mark::Reported;
  if (!(value <= *pass)) return Mark::Miss;
  if (most_of_naive > 0 && value > most_of_naive * verdict_of(*naive_errors())) return Mark::Miss;
  return aim && value <= *aim ? Mark::Aim : Mark::Pass;
}

const char* to_string(ScoreRow::Mark mark) {
  switch (mark) {
    case ScoreRow::Mark::Aim:
      return "aim";
    case ScoreRow::Mark::Pass:
      return "pass";
    case ScoreRow::Mark::Miss:
      return "MISS";
    case ScoreRow::Mark::Reported:
      return "–";
  }
  return "";
}

namespace {

size_t rows_with(const Scoreboard& board, ScoreRow::Mark mark) {
  return static_cast<size_t>(
      std::count_if(board.rows.begin(), board.rows.end(), [&](const ScoreRow& row) { return row.mark() == mark; }));
}

}  // namespace

bool Scoreboard::passed() const { return !rows.empty() && rows_with(*this, ScoreRow::Mark::Miss) == 0; }

std::string Scoreboard::verdict() const {
  if (rows.empty()) return "fidelity: no data found";
  const size_t aims = rows_with(*this, ScoreRow::Mark::Aim);
  const auto judged = std::count_if(rows.begin(), rows.end(), [](const ScoreRow& row) { return row.pass.has_value(); });
  const auto passes = static_cast<size_t>(judged) - rows_with(*this, ScoreRow::Mark::Miss);
  const auto aiming = std::count_if(rows.begin(), rows.end(), [](const ScoreRow& row) { return row.aim.has_value(); });
  return fmt::format("fidelity: {} of {} judged rows pass, {} of {} reach their aim", passes, judged, aims, aiming);
}

}  // namespace kisim

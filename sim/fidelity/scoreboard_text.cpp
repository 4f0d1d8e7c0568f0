// The scoreboard as tables of text, JSON and Markdown.

#include "core/error.hpp"
#include "fidelity/published.hpp"
#include "fidelity/scoreboard.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

namespace kisim {

namespace {

std::string percent(double share) {
  if (!std::isfinite(share)) return "inf";
  return fmt::format("{:.1f}", 100 * share);
}

std::string signed_percent(double share) {
  if (!std::isfinite(share)) return "inf";
  return fmt::format("{:+.1f}", 100 * share);
}

std::string limits(const ScoreRow& row) {
  if (row.verdict == ScoreRow::Verdict::Exact && row.pass) return "exact";
  if (!row.pass) return row.aim ? fmt::format("– / {:g}", 100 * *row.aim) : "";
  std::string out = fmt::format("{:g}", 100 * *row.pass);
  if (row.aim) out += fmt::format(" / {:g}", 100 * *row.aim);
  return out;
}

size_t skipped(const ScoreRow& row) {
  size_t out = 0;
  for (const auto& [why, count] : row.skipped) out += count;
  return out;
}

std::string naive_verdict(const ScoreRow& row) {
  auto errors = row.naive_errors();
  return errors ? percent(row.verdict_of(*errors)) : "–";
}

const char* name(ScoreRow::Verdict verdict) {
  switch (verdict) {
    case ScoreRow::Verdict::Median:
      return "median";
    case ScoreRow::Verdict::Mean:
      return "mean";
    case ScoreRow::Verdict::Exact:
      return "exact";
    case ScoreRow::Verdict::Wape:
      return "WAPE";
  }
  return "";
}

// What belongs to all rows of one data set, under its name.
std::string notes(const ScoreRow& row, const TextStyle& style) {
  std::string out = row.split;
  for (const auto& [why, count] : row.skipped) out += fmt::format("; {} skipped: {}", count, why);
  std::string lines;
  for (const std::string& line : wrap_text(out, style.width - 2)) lines += "  " + dim(line, style) + "\n";
  return lines;
}

std::string section(const std::vector<const ScoreRow*>& rows, bool wide, const TextStyle& style) {
  std::vector<TextColumn> columns = {
      {"  METRIC", false, 13}, {"USED", true, 4}, {"SKIPPED", true, 7}, {"MEDIAN", true, 6}, {"MEAN", true, 5},
      {"WORST", true, 6},      {"BIAS", true, 5}, {"VERDICT", true, 7}, {"NAIVE", true, 5},  {"MARK", true, 4}};
  if (wide)
    columns.insert(columns.end(),
                   {{"P90", true, 5}, {"PASS / AIM", true, 10}, {"JUDGED BY", false, 9}, {"NAIVE PREDICTOR"}});
  TextTable table(columns);
  for (const ScoreRow* row : rows) {
    const ErrorStatistics e = row->errors();
    std::vector<std::string> cells = {"  " + row->metric,
                                      std::to_string(row->points.size()),
                                      std::to_string(skipped(*row)),
                                      percent(e.median),
                                      percent(e.mean),
                                      percent(e.worst),
                                      signed_percent(e.bias),
                                      percent(row->verdict_of(e)),
                                      naive_verdict(*row),
                                      to_string(row->mark())};
    if (wide) cells.insert(cells.end(), {percent(e.p90), limits(*row), name(row->verdict), row->naive});
    table.row(cells);
  }
  return bold(rows[0]->data, style) + "\n" + table.text(style) + notes(*rows[0], style);
}

nlohmann::ordered_json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

nlohmann::ordered_json json_of(const ErrorStatistics& e) {
  return {{"median", number(e.median)}, {"mean", number(e.mean)}, {"p90", number(e.p90)},
          {"worst", number(e.worst)},   {"bias", number(e.bias)}, {"wape", number(e.weighted)}};
}

nlohmann::ordered_json json_of(const ScoreRow& row) {
  nlohmann::ordered_json out = {{"data", row.data},
                                {"metric", row.metric},
                                {"split", row.split},
                                {"points_used", row.points.size()},
                                {"points_skipped", skipped(row)},
                                {"skipped", row.skipped}};
  out.update(json_of(row.errors()));
  auto naive = row.naive_errors();
  out["naive"] = nullptr;
  if (naive) {
    out["naive"] = json_of(*naive);
    out["naive"]["predictor"] = row.naive;
  }
  out["judged_by"] = name(row.verdict);
  out["verdict"] = number(row.verdict_of(row.errors()));
  out["pass"] = row.pass ? nlohmann::ordered_json(*row.pass) : nullptr;
  out["aim"] = row.aim ? nlohmann::ordered_json(*row.aim) : nullptr;
  out["mark"] = row.mark() == ScoreRow::Mark::Reported ? "reported"
                : row.mark() == ScoreRow::Mark::Miss   ? "miss"
                                                       : to_string(row.mark());
  return out;
}

std::string or_dash(const std::string& text) { return text.empty() ? "–" : text; }

std::string published_table(const Scoreboard& board, const TextStyle& style) {
  TextTable table(
      {{"  SIMULATOR", false, 15}, {"METRIC", false, 6}, {"ERROR", true, 6}, {"OURS", true, 9}, {"CONDITIONS"}});
  for (const PublishedError& p : published_errors())
    table.row({std::string("  ") + p.simulator, p.metric, p.percent, or_dash(our_medians(board, p)), p.conditions});
  return bold("published errors of others, beside the medians of our rows", style) + "\n" + table.text(style);
}

}  // namespace

std::string scoreboard_table(const Scoreboard& board, bool wide, const TextStyle& style) {
  std::string out = "Errors in percent: of the points' absolute relative errors; bias with its sign.\n\n";
  for (size_t i = 0; i < board.rows.size();) {
    std::vector<const ScoreRow*> rows;
    for (; i < board.rows.size() && (rows.empty() || board.rows[i].data == rows[0]->data); ++i)
      rows.push_back(&board.rows[i]);
    out += section(rows, wide, style) + "\n";
  }
  if (!board.rows.empty()) out += published_table(board, style) + "\n";
  return out + board.verdict() + "\n";
}

std::string scoreboard_json(const Scoreboard& board) {
  nlohmann::ordered_json out = {{"rows", nlohmann::ordered_json::array()}};
  for (const ScoreRow& row : board.rows) out["rows"].push_back(json_of(row));
  for (const PublishedError& p : published_errors()) {
    const std::string ours = our_medians(board, p);
    out["published"].push_back({{"simulator", p.simulator},
                                {"metric", p.metric},
                                {"percent", p.percent},
                                {"ours", ours.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(ours)},
                                {"conditions", p.conditions},
                                {"source", p.source}});
  }
  out["passed"] = board.passed();
  out["verdict"] = board.verdict();
  return out.dump(2) + "\n";
}

std::string scoreboard_markdown(const Scoreboard& board) {
  std::string out =
      "| data | metric | points | skipped | median | mean | p90 | worst | bias | judged | naive | pass / aim | mark |\n"
      "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
  for (const ScoreRow& row : board.rows) {
    const ErrorStatistics e = row.errors();
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} {} | {} | {} | {} |\n", row.data, row.metric,
                       row.points.size(), skipped(row), percent(e.median), percent(e.mean), percent(e.p90),
                       percent(e.worst), signed_percent(e.bias), name(row.verdict), percent(row.verdict_of(e)),
                       naive_verdict(row), limits(row), to_string(row.mark()));
  }
  out += "\n| simulator | metric | published | ours | conditions | source |\n|---|---|--:|--:|---|---|\n";
  for (const PublishedError& p : published_errors())
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", p.simulator, p.metric, p.percent,
                       or_dash(our_medians(board, p)), p.conditions, p.source);
  return out;
}

}  // namespace kisim

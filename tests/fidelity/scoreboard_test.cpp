// The arithmetic of the scoreboard, and what it prints.

#include "fidelity/scoreboard.hpp"
#include "io/humanize.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sstream>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

ScoreRow row_of(std::vector<double> predicted) {
  ScoreRow row;
  row.data = "bench, made up";
  row.metric = "throughput";
  row.unit = "1/s";
  row.split = "nothing fitted";
  row.naive = "always 80";
  row.pass = 0.1;
  row.aim = 0.05;
  for (double p : predicted) row.points.push_back({"point", 100, p, 80});
  return row;
}

}  // namespace

TEST_CASE("Errors are relative to what was measured; the bias keeps its sign") {
  const ScoreRow row = row_of({98, 104, 90});
  const ErrorStatistics e = row.errors();
  CHECK(e.median == Approx(0.04));
  CHECK(e.mean == Approx(0.16 / 3));
  CHECK(e.p90 == Approx(0.1));
  CHECK(e.worst == Approx(0.1));
  CHECK(e.bias == Approx(-0.08 / 3));
  CHECK(row.naive_errors()->median == Approx(0.2));
}

TEST_CASE("Marks: aim, pass, miss; a row without a mark is reported; one that must beat the naive must") {
  CHECK(row_of({104}).mark() == ScoreRow::Mark::Aim);
  CHECK(row_of({92}).mark() == ScoreRow::Mark::Pass);
  CHECK(row_of({111}).mark() == ScoreRow::Mark::Miss);

  ScoreRow row = row_of({111});
  row.pass = std::nullopt;
  CHECK(row.mark() == ScoreRow::Mark::Reported);

  row = row_of({92});
  row.most_of_naive = 2.0 / 3;  // 8 % against 20 %
  CHECK(row.mark() == ScoreRow::Mark::Pass);
  row.points[0].naive = 91;  // 8 % against 9 %
  CHECK(row.mark() == ScoreRow::Mark::Miss);

  row = row_of({100});
  row.verdict = ScoreRow::Verdict::Exact;
  row.pass = 0;
  row.aim = std::nullopt;
  CHECK(row.mark() == ScoreRow::Mark::Pass);
  row.points[0].predicted = 101;
  CHECK(row.mark() == ScoreRow::Mark::Miss);
}

TEST_CASE("A board passes if nothing misses; an empty one does not") {
  Scoreboard board;
  CHECK_FALSE(board.passed());
  board.rows = {row_of({104}), row_of({92})};
  CHECK(board.passed());
  CHECK(board.verdict() == "fidelity: 2 of 2 judged rows pass, 1 of 2 reach their aim");
  board.rows.push_back(row_of({150}));
  CHECK_FALSE(board.passed());
  CHECK(board.verdict() == "fidelity: 2 of 3 judged rows pass, 1 of 3 reach their aim");
}

TEST_CASE("The table keeps to 80 columns and ends with the verdict; reasons of skipping are told") {
  Scoreboard board{{row_of({104, 97})}};
  board.rows[0].skipped["the row contradicts itself, which is a long reason to give in a table"] = 3;
  const std::string text = scoreboard_table(board, false, {});
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line); last = line) CHECK(display_width(line) <= 80);
  CHECK(last == board.verdict());
  CHECK_THAT(text, Contains("3 skipped: the row contradicts"));
  CHECK_THAT(scoreboard_table(board, true, {false, 160}), Contains("10 / 5") && Contains("always 80"));
}

TEST_CASE("JSON, Markdown and the page hold every row, and no text breaks out of them") {
  Scoreboard board{{row_of({104})}};
  board.rows[0].points[0].label = "<script>";
  const auto json = nlohmann::json::parse(scoreboard_json(board));
  REQUIRE(json["rows"].size() == 1);
  CHECK(json["rows"][0]["median"] == Approx(0.04));
  CHECK(json["rows"][0]["naive"]["median"] == Approx(0.2));
  CHECK(json["rows"][0]["mark"] == "aim");
  CHECK(json["passed"] == true);
  CHECK_THAT(scoreboard_markdown(board), Contains("| bench, made up | throughput | 1 | 0 | 4.0 |"));
  // What others have published stands below, beside our rows of the metric where there are any.
  REQUIRE(json["published"].size() >= 6);
  CHECK(json["published"][0]["simulator"] == "BLIS");
  CHECK(json["published"][0]["ours"].is_null());
  board.rows[0].metric = "E2E mean";
  CHECK(nlohmann::json::parse(scoreboard_json(board))["published"][0]["ours"] == "4.0");
  board.rows.push_back(row_of({101}));
  board.rows[1].metric = "E2E, each";
  CHECK_THAT(scoreboard_markdown(board), Contains("| BLIS | E2E | 6.7 | 1.0–4.0 |"));
  board.rows.pop_back();
  board.rows[0].metric = "throughput";
  const std::string page = scoreboard_page(board);
  CHECK_THAT(page, Contains("<svg") && Contains("&lt;script&gt;"));
  CHECK(page.find("<script>") == page.npos);
}

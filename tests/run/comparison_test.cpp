#include "run/comparison.hpp"

#include "io/comparison_text.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sstream>

using namespace kisim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

const ComparedFigure& figure(std::string_view name) {
  for (const ComparedFigure& f : compared_figures())
    if (f.name == name) return f;
  throw std::logic_error("no such figure");
}

Contestant servers(const std::string& name, int32_t n) {
  return {name, {{compile(test::queue(Distribution::exponential(1), n, 3, 1_s * 600, 1))}}};
}

Comparison compare_servers(const std::vector<std::pair<std::string, int32_t>>& sides,
                           const std::vector<uint64_t>& seeds, size_t threads) {
  const std::atomic<bool> stop = false;
  std::vector<Contestant> contestants;
  for (const auto& [name, n] : sides) contestants.push_back(servers(name, n));
  return compare(contestants, {"queue"}, seeds, {}, threads, stop);
}

// Costs by training, then by family and seed.
Comparison::Side side(const std::string& name, const std::vector<std::vector<double>>& costs) {
  Comparison::Side out{name, costs.size(), {}};
  for (const auto& training : costs)
    for (double cost : training) {
      Summary& run = out.runs.emplace_back();
      run.cost = cost;
      run.slo.emplace().attainment = 0.5 + cost / 100;
    }
  return out;
}

}  // namespace

TEST_CASE("More servers are better, and as many make no difference", "[comparison]") {
  const std::vector<std::pair<std::string, int32_t>> sides{{"four", 4}, {"same", 4}, {"six", 6}};
  const Comparison c = compare_servers(sides, {1, 2, 3, 4, 5}, 2);
  const ComparedFigure& p95 = figure("P95");
  const Estimate same = *c.difference(p95, 1), six = *c.difference(p95, 2);
  // Common random numbers: equal contestants differ by nothing in any run.
  CHECK(same.interval.low == 0);
  CHECK(same.interval.high == 0);
  CHECK(c.verdict(p95, 1, same) == Verdict::NoDifferenceShown);
  CHECK(c.verdict(p95, 2, six) == Verdict::Better);
  CHECK(six.mean == Approx(c.estimate(p95, 2)->mean - c.estimate(p95, 0)->mean));
  CHECK_FALSE(c.estimate(figure("COST"), 0));

  const Comparison alone = compare_servers(sides, {1, 2, 3, 4, 5}, 1);
  for (size_t i = 0; i < c.contestants.size(); ++i)
    for (size_t r = 0; r < c.contestants[i].runs.size(); ++r)
      CHECK(alone.contestants[i].runs[r].signature == c.contestants[i].runs[r].signature);
}

TEST_CASE("One run shows nothing", "[comparison]") {
  const Comparison c = compare_servers({{"four", 4}, {"six", 6}}, {1}, 1);
  CHECK(c.verdict(figure("P95"), 1, *c.difference(figure("P95"), 1)) == Verdict::NoDifferenceShown);
}

// Two seeds, of which either is drawn twice in one resample of four: the middle 95 % reaches from one to the other.
TEST_CASE("Seeds are drawn with their runs of all families, and differences by pairs", "[comparison]") {
  Comparison c;
  c.families = {"calm", "busy"};
  c.seeds = {1, 2};
  c.contestants = {side("base", {{10, 20, 100, 300}}), side("other", {{9, 18, 90, 280}})};
  const ComparedFigure& cost = figure("COST");
  // By seed over both families: base (10 + 100) / 2 and (20 + 300) / 2, other 49.5 and 149.
  CHECK(c.estimate(cost, 0)->mean == Approx(107.5));
  CHECK(c.estimate(cost, 0)->interval.low == Approx(55));
  CHECK(c.estimate(cost, 0)->interval.high == Approx(160));
  const Estimate less = *c.difference(cost, 1), calm = *c.difference(cost, 1, 0);
  CHECK(less.mean == Approx(-8.25));
  CHECK(less.interval.low == Approx(-11));
  CHECK(less.interval.high == Approx(-5.5));
  // However clear it looks.
  CHECK(c.verdict(cost, 1, less) == Verdict::NoDifferenceShown);
  CHECK(calm.mean == Approx(-1.5));
  CHECK(calm.interval.low == Approx(-2));
  CHECK(calm.interval.high == Approx(-1));
}

// One training is 4 cheaper and one 1 dearer, on each of five seeds. With two trainings, either is drawn twice in one
// resample of four, so that the interval holds both; with one alone there is no such doubt.
TEST_CASE("Trainings of one name are one contestant, and drawn, too", "[comparison]") {
  Comparison c;
  c.families = {"only"};
  c.seeds = {1, 2, 3, 4, 5};
  c.contestants = {side("base", {{10, 11, 12, 13, 14}}), side("learned", {{6, 7, 8, 9, 10}, {11, 12, 13, 14, 15}}),
                   side("good one", {{6, 7, 8, 9, 10}}), side("two good", {{6, 7, 8, 9, 10}, {5, 6, 7, 8, 9}})};
  const ComparedFigure& cost = figure("COST");
  const Estimate both = *c.difference(cost, 1), good = *c.difference(cost, 2);
  CHECK(both.mean == Approx(-1.5));
  CHECK(both.interval.low == Approx(-4));
  CHECK(both.interval.high == Approx(1));
  CHECK(c.verdict(cost, 1, both) == Verdict::NoDifferenceShown);
  CHECK(good.interval.low == Approx(-4));
  CHECK(good.interval.high == Approx(-4));
  CHECK(c.verdict(cost, 2, good) == Verdict::Better);
  // Two trainings are too few to speak for the third.
  CHECK(c.difference(cost, 3)->interval.high < 0);
  CHECK(c.verdict(cost, 3, *c.difference(cost, 3)) == Verdict::NoDifferenceShown);
  // As the baseline it is drawn likewise.
  c.baseline = 1;
  CHECK(c.difference(cost, 0)->interval.high == Approx(4));
  CHECK(c.difference(cost, 0)->interval.low == Approx(-1));
}

TEST_CASE("What a comparison shows: findings with the cost first, 80 columns, and every figure with its unit",
          "[comparison]") {
  Comparison c;
  c.families = {"calm", "busy"};
  c.seeds = {1, 2, 3, 4, 5};
  c.contestants = {side("hpa", {{10, 11, 12, 11, 11, 20, 21, 22, 21, 21}}),
                   side("learned", std::vector<std::vector<double>>(5, {8, 9, 10, 9, 9, 18, 19, 20, 19, 19}))};
  const std::string text = comparison_text(c, true, {});
  CHECK_THAT(text, StartsWith("learned (5 trainings) against hpa: SLO worse by 2.00 points; cost better by 2.00\n"
                              "(-12 %)\n"));
  CHECK_THAT(text, Contains("In busy"));
  CHECK_THAT(text, Contains("Fewer than 5 seeds, or from 2 to 4"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);

  const auto json = nlohmann::json::parse(comparison_json(c, {"careful"}));
  CHECK(json["policies"][1]["trainings"] == 5);
  CHECK(json["policies"][1]["metrics"]["COST"]["mean"] == 14);
  CHECK(json["policies"][0]["families"]["busy"]["SLO"]["mean"] == Approx(0.71));
  CHECK(json["pairs"][0]["metric"] == "SLO");
  CHECK(json["pairs"][0]["difference"] == Approx(-0.02));
  CHECK(json["pairs"][0]["verdict"] == "worse");
  CHECK(json["warnings"][0] == "careful");
}

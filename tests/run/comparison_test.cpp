#include "run/comparison.hpp"

#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

const ComparedFigure& figure(std::string_view name) {
  for (const ComparedFigure& f : compared_figures())
    if (f.name == name) return f;
  throw std::logic_error("no such figure");
}

Contestant servers(const std::string& name, int32_t n) {
  return {name, {test::queue(Distribution::exponential(1), n, 3, 1_s * 600, 1)}};
}

}  // namespace

TEST_CASE("More servers are better, and as many make no difference", "[comparison]") {
  std::atomic<size_t> done = 0;
  const std::atomic<bool> stop = false;
  const Comparison c = compare({servers("four", 4), servers("same", 4), servers("six", 6)}, {"queue"}, {1, 2, 3, 4, 5},
                               {}, 2, done, stop);
  CHECK(done == 15);
  const ComparedFigure& p95 = figure("P95");
  const Estimate same = *c.difference(p95, 1), six = *c.difference(p95, 2);
  // Common random numbers: equal contestants differ by nothing in any run.
  CHECK(same.interval.low == 0);
  CHECK(same.interval.high == 0);
  CHECK(c.verdict(p95, same) == Verdict::NoDifferenceShown);
  CHECK(c.verdict(p95, six) == Verdict::Better);
  CHECK(six.mean == Approx(c.estimate(p95, 2)->mean - c.estimate(p95, 0)->mean));
  CHECK_FALSE(c.estimate(figure("COST"), 0));

  std::atomic<size_t> again = 0;
  const Comparison alone = compare({servers("four", 4), servers("same", 4), servers("six", 6)}, {"queue"},
                                   {1, 2, 3, 4, 5}, {}, 1, again, stop);
  for (size_t i = 0; i < c.runs.size(); ++i) CHECK(alone.runs[i].signature == c.runs[i].signature);
}

TEST_CASE("One run shows nothing", "[comparison]") {
  std::atomic<size_t> done = 0;
  const std::atomic<bool> stop = false;
  const Comparison c = compare({servers("four", 4), servers("six", 6)}, {"queue"}, {1}, {}, 1, done, stop);
  CHECK(c.verdict(figure("P95"), *c.difference(figure("P95"), 1)) == Verdict::NoDifferenceShown);
}

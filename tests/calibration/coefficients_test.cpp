// Coefficient files: what was written reads back; what cannot be right is refused with its place and reason.

#include "calibration/calibrate.hpp"
#include "calibration/latency_fit.hpp"
#include "calibration/startup_fit.hpp"
#include "io/data_table.hpp"

#include <catch2/catch.hpp>

#include <functional>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

// The complaints of an InputError, one a line.
std::string complaints(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    std::string out;
    for (const Diagnostic& d : error.diagnostics()) out += d.text() + "\n";
    return out;
  }
  return "nothing";
}

Coefficients parsed(const std::string& text) { return parse_coefficients(parse_yaml(text, "c.yaml").at(0)); }

Coefficients some() {
  Coefficients out;
  out.provenance = {"bench.csv", "by hand", "0.1.0", 5};
  LatencyCoefficients law{"resnet, A100", fit_latency({{1, 0.002}, {2, 0.0025}, {8, 0.005}}, 1),
                          ServerFit{0.25, 0.0001, 4}};
  out.latency = {law};
  out.interference = {{"a", "b", 0.75}};
  std::vector<double> seconds;
  for (int i = 1; i <= 40; ++i) seconds.push_back(i);
  out.startup = {{"weights", fit_startup(seconds, 1)}};
  return out;
}

std::string changed(const std::string& from, const std::string& to) {
  std::string text = coefficients_yaml(some());
  const size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("Coefficients: what was written reads back") {
  const Coefficients a = some(), b = parsed(coefficients_yaml(a));
  CHECK(b.provenance.source == "bench.csv");
  CHECK(b.provenance.rows == 5);
  REQUIRE(b.latency.size() == 1);
  CHECK(b.latency[0].name == "resnet, A100");
  REQUIRE(b.latency[0].fit.table.size() == 3);
  CHECK(b.latency[0].fit.table[2].samples == 8);
  CHECK(b.latency[0].fit.table[2].seconds == Approx(0.005));
  CHECK(b.latency[0].fit.intervals.size() == 3);
  REQUIRE(b.latency[0].server);
  CHECK(b.latency[0].server->overlap == 0.25);
  CHECK(b.latency[0].server->host == Approx(0.0001));
  CHECK(b.latency[0].server->prefetched == 4);
  CHECK(b.startup[0].fit.median == a.startup[0].fit.median);
  CHECK(b.interference[0].speed == 0.75);
  CHECK(coefficients_yaml(b) == coefficients_yaml(a));
}

TEST_CASE("Coefficients: a wrong unit, too few points, a table that falls and unknown fields are refused") {
  CHECK_THAT(complaints([] { parsed(changed("unit: ms", "unit: s")); }),
             Contains("c.yaml:6") && Contains("latency[0].unit") && Contains("allowed: ms"));
  CHECK_THAT(complaints([] { parsed(changed("table: {1: 2, 2: 2.5, 8: 5}", "table: {1: 2, 8: 5}")); }),
             Contains("latency[0].table") && Contains("found 2 points, allowed: 3 or more"));
  CHECK_THAT(complaints([] { parsed(changed("table: {1: 2, 2: 2.5, 8: 5}", "table: {1: 2, 2: 2.5, 8: 1}")); }),
             Contains("latency[0].table.8"));
  CHECK_THAT(complaints([] { parsed(changed("range: [1, 8]", "range: [1, 64]")); }), Contains("latency[0].range"));
  CHECK_THAT(complaints([] { parsed(changed("    unit: ms\n", "")); }), Contains("latency[0].unit: missing"));
  CHECK_THAT(complaints([] { parsed(changed("hostCost", "hostcost")); }),
             Contains("latency[0].hostcost: unknown field"));
  CHECK_THAT(complaints([] { parsed("kind: Coefficients\nprovenance: {source: a, rows: 1, method: b, kisim: c}\n"); }),
             Contains("holds no coefficients"));
}

TEST_CASE("Tables: a missing column, a cell that is no number and a ragged row name their place") {
  const DataTable table = DataTable::parse("batch,ms\n1,2\n2,x\n4,\n", "t.csv");
  CHECK(table.positive(0, table.column("ms")) == 2);
  CHECK_FALSE(table.number(2, 1));
  CHECK_THAT(complaints([&] { table.column("latency"); }),
             Contains("t.csv:1:1: latency: no such column; found batch, ms"));
  CHECK_THAT(complaints([&] { table.number(1, 1); }), Contains("t.csv:3") && Contains("found 'x', allowed: a number"));
  CHECK_THAT(complaints([&] { table.positive(2, 1); }), Contains("t.csv:4") && Contains("found nothing"));
  CHECK_THAT(complaints([] { DataTable::parse("a,b\n1\n", "t.csv"); }),
             Contains("t.csv:2:1: found 1 cells, the header has 2"));
  CHECK_THAT(complaints([] {
               seconds_of_unit("hours", {"t.csv", 1, 1});
             }),
             Contains("found 'hours', allowed: s, ms, us, ns"));
  CHECK_THAT(complaints([] {
               need_points(2, 3, "sizes", {"t.csv", 2, 1});
             }),
             Contains("t.csv:2:1: sizes: found 2 points"));
}

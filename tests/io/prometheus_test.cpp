// What exporters and Prometheus answer.

#include "io/prometheus.hpp"

#include "core/error.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace kisim;
using Catch::Contains;

TEST_CASE("metrics as text: labels, escapes, times in milliseconds, or in seconds where it is OpenMetrics") {
  const auto samples = parse_metrics(
      "# HELP a_total made\n# TYPE a_total counter\n\na_total 3\n"
      "b{le=\"+Inf\",x=\"a\\\\b\\\"c\\nd\",} 1.5e3 1700000000500\r\nvllm:c{} +Inf\nd NaN -5\n",
      "m");
  REQUIRE(samples.size() == 4);
  CHECK(samples[0].name == "a_total");
  CHECK(samples[0].value == 3);
  CHECK_FALSE(samples[0].time);
  CHECK(samples[1].value == 1500);
  CHECK(*samples[1].label("x") == "a\\b\"c\nd");
  CHECK(samples[1].label("y") == nullptr);
  CHECK(*samples[1].time == Approx(1700000000.5));
  CHECK(samples[2].name == "vllm:c");
  CHECK(std::isinf(samples[2].value));
  CHECK(std::isnan(samples[3].value));
  const auto open = parse_metrics("a_bucket{le=\"1\"} 4 12.5 # {trace=\"x\"} 0.5\n# EOF\n", "m");
  REQUIRE(open.size() == 1);
  CHECK(*open[0].time == 12.5);
}

TEST_CASE("metrics that are none are refused with file, line and column") {
  auto complaint = [](const std::string& text) -> std::string {
    try {
      parse_metrics(text, "m.prom");
    } catch (const InputError& e) {
      return e.what();
    }
    return "none";
  };
  CHECK_THAT(complaint("a 1\nb{x=1} 2\n"), Contains("m.prom:2:5"));
  CHECK_THAT(complaint("a one\n"), Contains("m.prom:1:3") && Contains("a number"));
  CHECK_THAT(complaint("a 1 2 3\n"), Contains("m.prom:1:7"));
  CHECK_THAT(complaint("{x=\"1\"} 2\n"), Contains("m.prom:1:1"));
  CHECK_THAT(complaint("a{x=\"1\" y=\"2\"} 2\n"), Contains("m.prom:1:9"));
  CHECK_THAT(complaint("a{x=\"1\n"), Contains("m.prom:1:7") && Contains("closing quote"));
  CHECK_THAT(complaint("a\n"), Contains("m.prom:1:2"));
  for (const char* text : {"", "[]", "{\"data\": {\"result\": [{\"metric\": {}, \"value\": [1]}]}}"})
    CHECK_THROWS_AS(parse_query_result(text, "q"), InputError);
}

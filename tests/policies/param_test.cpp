#include "policy/param.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Type = ParamSpec::Type;

TEST_CASE("durations follow Go's grammar", "[param]") {
  const std::vector<std::pair<std::string, double>> right{
      {"90s", 90},   {"1.5h", 5400},       {"250ms", 0.25},  {"1m30s", 90}, {"1h30m", 5400}, {"2us", 2e-6},
      {"2µs", 2e-6}, {"7ns", 7e-9},        {"0", 0},         {"15", 15},    {"0.5", 0.5},    {".5s", 0.5},
      {"1.s", 1},    {"1h0m0.5s", 3600.5}, {"100h", 360000}, {"1e3", 1000},
  };
  for (const auto& [text, seconds] : right) {
    INFO(text);
    REQUIRE(parse_duration_seconds(text));
    CHECK(*parse_duration_seconds(text) == Approx(seconds).epsilon(1e-15));
  }
}

TEST_CASE("what is no duration is refused", "[param]") {
  for (const char* text : {"",    "s",   "-5s",   "-1",  "+1s", "5 s",   "5d",           "1h30", "1..5s", ".s",   "1hh",
                           "nan", "inf", "1e400", "5m ", " 5m", "1e30s", "99999999999h", "0x10", "1,5s",  "1h-5m"}) {
    INFO(text);
    CHECK_FALSE(parse_duration_seconds(text));
  }
}

namespace {

const std::vector<ParamSpec> kSpecs{
    {"tolerance", Type::Number, "0.1", "relative", 0.0, 1.0, {}},
    {"window", Type::Duration, "5m", "how far back", 0.0, {}, {}},
    {"replicas", Type::Integer, "3", "at most", 1.0, {}, {}},
    {"enabled", Type::Bool, "true", "on or off", {}, {}, {}},
    {"select", Type::Text, "Max", "which", {}, {}, {"Max", "Min", "Disabled"}},
    {"label", Type::Text, "", "free text", {}, {}, {}},
};

std::string complaint(const std::map<std::string, std::string>& given) {
  Params params;
  return fill_params(kSpecs, given, params).value_or("none");
}

}  // namespace

TEST_CASE("defaults are filled in, given values win", "[param]") {
  Params params;
  REQUIRE_FALSE(fill_params(kSpecs, {{"window", "1m30s"}, {"enabled", "false"}, {"label", "a b"}}, params));
  CHECK(params.number("tolerance") == 0.1);
  CHECK(params.duration("window") == 90_s);
  CHECK(params.integer("replicas") == 3);
  CHECK_FALSE(params.flag("enabled"));
  CHECK(params.text("select") == "Max");
  CHECK(params.text("label") == "a b");
}

TEST_CASE("complaints say what was found and what is allowed", "[param]") {
  CHECK(complaint({}) == "none");
  CHECK(complaint({{"foo", "1"}}) ==
        "unknown parameter 'foo', allowed: tolerance, window, replicas, enabled, select, label");
  CHECK(complaint({{"select", "max"}}) == "parameter 'select': found 'max', allowed: Max, Min, Disabled");
  CHECK(complaint({{"tolerance", "2"}}) == "parameter 'tolerance': found '2', allowed: a number from 0 to 1");
  CHECK(complaint({{"tolerance", "nan"}}) == "parameter 'tolerance': found 'nan', allowed: a number from 0 to 1");
  CHECK(complaint({{"replicas", "1.5"}}) == "parameter 'replicas': found '1.5', allowed: an integer of at least 1");
  CHECK(complaint({{"replicas", "0"}}) == "parameter 'replicas': found '0', allowed: an integer of at least 1");
  CHECK(complaint({{"enabled", "yes"}}) == "parameter 'enabled': found 'yes', allowed: true, false");
  CHECK(complaint({{"window", "-5s"}}) ==
        "parameter 'window': found '-5s', allowed: a duration such as 90s or 1h30m of at least 0s");
  Params params;
  CHECK(*fill_params({}, {{"foo", "1"}}, params) == "unknown parameter 'foo', allowed: none");
}

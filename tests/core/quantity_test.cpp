#include "core/quantity.hpp"

#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>

using kisim::Quantity;

namespace {

constexpr int64_t kMax = INT64_MAX;

Quantity parsed(const std::string& text) {
  INFO("text: '" << text << "'");
  std::optional<Quantity> quantity = Quantity::parse(text);
  REQUIRE(quantity);
  return *quantity;
}

}  // namespace

TEST_CASE("a quantity has a value and a milli-value, rounded up") {
  struct Row {
    const char* text;
    int64_t value, milli;
  };
  const Row rows[] = {
      {"0", 0, 0},
      {"000", 0, 0},
      {"0Ki", 0, 0},
      {"1", 1, 1000},
      {"+1", 1, 1000},
      {"-1", -1, -1000},
      {"100m", 1, 100},
      {"-100m", -1, -100},
      {"1500m", 2, 1500},
      {"0.5", 1, 500},
      {".5", 1, 500},
      {"1.", 1, 1000},
      {"1.G", 1'000'000'000, 1'000'000'000'000},
      {".", 0, 0},
      {"1n", 1, 1},
      {"1u", 1, 1},
      {"999999999n", 1, 1000},
      {"1000000001n", 2, 1001},
      {"0.1n", 1, 1},
      {"3.001n", 1, 1},
      {"0.0000000001", 1, 1},
      {"0.000000000001Ki", 1, 1},
      {"1k", 1000, 1'000'000},
      {"1M", 1'000'000, 1'000'000'000},
      {"1T", 1'000'000'000'000, 1'000'000'000'000'000},
      {"1P", 1'000'000'000'000'000, 1'000'000'000'000'000'000},
      {"1E", 1'000'000'000'000'000'000, kMax},
      {"1e3", 1000, 1'000'000},
      {"1E3", 1000, 1'000'000},
      {"1E+3", 1000, 1'000'000},
      {"1E-3", 1, 1},
      {"1.3E+6", 1'300'000, 1'300'000'000},
      {"0.5e-9", 1, 1},
      {"1e-1000000", 1, 1},
      {"0e1000000", 0, 0},
      {"1Ki", 1024, 1'024'000},
      {"1Mi", 1 << 20, 1'048'576'000},
      {"16Gi", 17'179'869'184, 17'179'869'184'000},
      {"1.5Gi", 1'610'612'736, 1'610'612'736'000},
      {"0.5Mi", 524'288, 524'288'000},
      {"100.035Ki", 102'436, 102'435'840},
      {"0.025Ti", 27'487'790'695, 27'487'790'694'400},
      {"1Ti", 1ll << 40, 1000 * (1ll << 40)},
      {"4Pi", 4ll << 50, 1000 * (4ll << 50)},
      {"3Ei", 3ll << 60, kMax},
      {"7Ei", 7ll << 60, kMax},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(parsed(row.text).value() == row.value);
    CHECK(parsed(row.text).milli_value() == row.milli);
  }
}

TEST_CASE("a quantity beyond 2^63-1 is capped") {
  for (const char* text : {"9Ei", "8Ei", "9223372036854775807", "9223372036854775807Ki", "9223372036854775808", "12E",
                           "1e1000000", "99999999999999999999999999999999999999999999999999Ei"}) {
    CAPTURE(text);
    CHECK(parsed(text).value() == kMax);
    CHECK(parsed(text).milli_value() == kMax);
    CHECK(parsed(std::string("-") + text).value() == -kMax);
  }
  CHECK(parsed("9223372036854775806").value() == kMax - 1);
  CHECK(parsed("9223372036854775806.1").value() == kMax);
}

TEST_CASE("what is no quantity is refused in Kubernetes' words") {
  const char* const expression =
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  const char* const suffix = "unable to parse quantity's suffix";
  struct Row {
    const char* text;
    const char* problem;
  };
  const Row rows[] = {{"", expression},
                      {"-", expression},
                      {"+", expression},
                      {"Ki", expression},
                      {"1.1.M", expression},
                      {"1+1.0M", expression},
                      {"0.1am", expression},
                      {"aoeu", expression},
                      {" 1", expression},
                      {"1 ", expression},
                      {"--1", expression},
                      {"1 Gi", expression},
                      {"1GB", expression},
                      {"0x10", expression},
                      {"NaN", expression},
                      {"1_000", expression},
                      {"1e3.5", expression},
                      {"0.1mi", suffix},
                      {".5i", suffix},
                      {"1i", suffix},
                      {"-3.01i", suffix},
                      {"-3.01e-", suffix},
                      {"1e", suffix},
                      {"1k3", suffix},
                      {"1ki", suffix},
                      {"1KiKi", suffix},
                      {"1K", suffix},
                      {"1ee3", suffix},
                      {"1e99999999999999999999", suffix}};
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const char* problem = "";
    CHECK_FALSE(Quantity::parse(row.text, &problem));
    CHECK(std::string(problem) == row.problem);
  }
}

TEST_CASE("quantities compare by their exact amount") {
  CHECK(parsed("1Ki") == parsed("1024"));
  CHECK(parsed("1E") == parsed("1e18"));
  CHECK(parsed("1000m") == parsed("1"));
  CHECK(parsed("100.5m") > parsed("100m"));
  CHECK(parsed("1G") < parsed("1Gi"));
  CHECK(parsed("-1") < Quantity());
  CHECK(parsed("2.50").is_integer() == false);
  CHECK(parsed("2500m") == parsed("2.5"));
  CHECK(parsed("2000m").is_integer());
  CHECK(Quantity::units(7) == parsed("7"));
}

TEST_CASE("random quantities agree with integer arithmetic") {
  kisim::Stream random(1, 1, kisim::Purpose::Policy);
  struct Suffix {
    const char* text;
    int64_t nano;  // 1 in nano-units; below 2^63
  };
  const Suffix suffixes[] = {{"n", 1},
                             {"u", 1000},
                             {"m", 1'000'000},
                             {"", 1'000'000'000},
                             {"e-3", 1'000'000},
                             {"k", 1'000'000'000'000},
                             {"Ki", 1'024'000'000'000},
                             {"e3", 1'000'000'000'000},
                             {"Mi", 1'048'576'000'000'000}};
  __extension__ using Wide = __int128;
  for (int i = 0; i < 20000; ++i) {
    const Suffix& suffix = suffixes[random.below(std::size(suffixes))];
    int64_t whole = random.below(1u << 30), micro = random.below(1'000'000);
    std::string digits = std::to_string(micro);
    std::string text = std::to_string(whole) + "." + std::string(6 - digits.size(), '0') + digits + suffix.text;
    Wide scaled = (static_cast<Wide>(whole) * 1'000'000 + micro) * suffix.nano;  // in 1e-15
    auto ceil = [&](int64_t step) { return static_cast<int64_t>((scaled + step - 1) / step); };
    CAPTURE(text);
    Quantity quantity = parsed(text);
    // Rounding to nano-units first never changes a later rounding up.
    REQUIRE(quantity.value() == ceil(1'000'000'000'000'000));
    REQUIRE(quantity.milli_value() == ceil(1'000'000'000'000));
    REQUIRE(parsed("-" + text).milli_value() == -quantity.milli_value());
    REQUIRE(parsed("+000" + text) == quantity);
  }
}

// Prices and carbon intensity that change in time: steps, and CSV files of them.
#include "scenario_text.hpp"

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

using Steps = std::vector<std::pair<int64_t, double>>;  // seconds, figure

Steps steps_of(const TariffSpec& tariff) {
  Steps out;
  for (const TariffSpec::Step& step : tariff.steps) out.emplace_back(step.at.ns / 1'000'000'000, step.value);
  return out;
}

Scenario with_intensity(const Folder& folder, const std::string& csv) {
  folder.write("intensity.csv", csv);
  return read_scenario({folder.write(
      "s.yaml", document("  duration: 1h\n  carbon: {intensity: {file: intensity.csv}, pue: 1.2}\n") + kNode)});
}

}  // namespace

TEST_CASE("prices and intensity in steps") {
  Scenario s = read(
      "  duration: 1h\n  prices: {t4: {steps: [{at: 0s, price: 1/h}, {at: 30m, price: 24/d}]}}\n"
      "  carbon: {intensity: 400}\n");
  CHECK(steps_of(s.prices.at("t4")) == Steps{{0, 1}, {1800, 1}});
  CHECK(s.carbon_intensity->value == 400);
  const std::string late = "  duration: 1h\n  carbon: {intensity: {steps: [{at: 1s, gPerKwh: 1}]}}\n";
  CHECK_THAT(complaint_of(late), Contains("the first step is not at 0"));
}

TEST_CASE("a file of intensities, in seconds or dates, is read and kept with the scenario") {
  Folder folder;
  Scenario s = with_intensity(folder, "at,zone,gPerKwh\n0,DE,410.5\n900,DE,300\n");
  CHECK(steps_of(*s.carbon_intensity) == Steps{{0, 410.5}, {900, 300}});
  CHECK(s.pue == 1.2);
  Scenario again = read_scenario_text(s.text, "again.yaml");
  CHECK(steps_of(*again.carbon_intensity) == steps_of(*s.carbon_intensity));

  Scenario dates = with_intensity(folder, "at,gPerKwh\n2024-03-01T00:00:00Z,1\n2024-03-01 01:00:00,2\n");
  CHECK(steps_of(*dates.carbon_intensity) == Steps{{0, 1}, {3600, 2}});
}

TEST_CASE("what is wrong with a file of intensities is told where it stands") {
  Folder folder;
  auto wrong = [&](const std::string& csv) { return complaint([&] { with_intensity(folder, csv); }); };
  CHECK_THAT(wrong("at,price\n0,1\n"), Contains("intensity.csv:1") && Contains("gPerKwh"));
  CHECK_THAT(wrong("at,gPerKwh\n0,-1\n"), Contains("intensity.csv:2:3: gPerKwh: found '-1', allowed: a number from 0"));
  CHECK_THAT(wrong("at,gPerKwh\nnoon,1\n"), Contains("intensity.csv:2:1: at: found 'noon'"));
  CHECK_THAT(wrong("at,gPerKwh\n0,1\n0,2\n"), Contains("intensity.csv:3:1: at: is not after the row before it"));
  CHECK_THAT(wrong("at,gPerKwh\n5,1\n"), Contains("intensity.csv:2:1: at: is not 0, so nothing is known of the start"));
  CHECK_THAT(wrong("at,gPerKwh\n0\n"), Contains("found 1, allowed: 2 cells"));
  CHECK_THAT(wrong("at,gPerKwh\n"), Contains("no rows"));
  const std::string both = "  duration: 1h\n  prices: {t4: {price: 1/h, file: p.csv}}\n";
  CHECK_THAT(complaint_of(both), Contains("found 2 of price, steps and file, allowed: one"));
}

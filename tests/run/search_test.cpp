// Searched settings, and the bound of who knows the load to come.

#include "run/search.hpp"

#include "io/scenario_text.hpp"
#include "run/clairvoyant.hpp"
#include "run/world.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace kisim;

namespace {

const std::string kFleet = std::string(KISIM_ROOT) + "/scenarios/kis-s/fleet";

Scenario fleet(const std::string& pattern, std::vector<std::pair<std::string, std::string>> overrides) {
  overrides.emplace_back("duration", "20m");
  overrides.emplace_back("slo.images.penalty", "0.00003");
  return read_scenario({kFleet + "-" + pattern + ".yaml"}, test::with(std::move(overrides)));
}

std::vector<std::pair<std::string, std::string>> constants(const std::string& t4, const std::string& a100) {
  return {{"policies.autoscaler.triton-t4.name", "constant"},
          {"policies.autoscaler.triton-t4.replicas", t4},
          {"policies.autoscaler.triton-a100.name", "constant"},
          {"policies.autoscaler.triton-a100.replicas", a100}};
}

ClairvoyantBound bound_of(const std::string& pattern, const std::string& rate, uint64_t seed) {
  std::vector<std::pair<std::string, std::string>> overrides{
      {"policies.agents.fleet.coding", "kiscaler"}, {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"}};
  if (!rate.empty()) overrides.emplace_back("traffic.images.pattern", "{constant: " + rate + "}");
  Scenario scenario = fleet(pattern, overrides);
  scenario.trains_agents = true;
  return Clairvoyant(scenario).bound(seed, {});
}

double total(const Summary& s) { return *s.cost + *s.slo_penalty; }

}  // namespace

TEST_CASE("Candidates are all of a small space, or drawn from a large one", "[search]") {
  SearchSpec spec;
  spec.parameters = {{"a", 1, 3, true, {}}, {"b", 0, 0, false, {"x", "y"}}};
  const std::vector<Settings> all = candidates_of(spec, 6);
  CHECK(std::set<Settings>(all.begin(), all.end()).size() == 6);
  CHECK(all[0] == Settings{{"a", "1"}, {"b", "x"}});
  CHECK(all[5] == Settings{{"a", "3"}, {"b", "y"}});

  CHECK(candidates_of(spec, 5).size() == 5);
  spec.parameters.push_back({"c", 0.2, 0.4, false, {}});
  const std::vector<Settings> drawn = candidates_of(spec, 1000);
  CHECK(drawn.size() == 1000);
  CHECK(drawn == candidates_of(spec, 1000));
  double sum = 0;
  int ones = 0;
  for (const Settings& settings : drawn) {
    const double c = std::stod(settings.at("c"));
    REQUIRE((c >= 0.2 && c <= 0.4));
    sum += c;
    ones += settings.at("a") == "1";
  }
  CHECK(sum / 1000 == Approx(0.3).margin(0.01));
  CHECK(ones == Approx(333).margin(60));
}

TEST_CASE("A budget lasts for as many candidates as its rounds cost", "[search]") {
  // 9 once, 3 twice more, 1 six times more: 9 + 6 + 6.
  CHECK(first_round(21, 1) == 9);
  CHECK(first_round(20, 1) == 8);
  CHECK(first_round(4 * 21, 4) == 9);
  CHECK(first_round(1, 4) == 1);
}

TEST_CASE("A search finds what trying everything finds", "[search]") {
  SearchSpec spec;
  spec.parameters = {{"t4", 2, 6, true, {}}, {"a100", 1, 2, true, {}}};
  spec.budget = 60;
  auto compiled = [&](const Settings& settings) {
    return std::vector<std::shared_ptr<const Model>>{
        compile(fleet("spike", constants(settings.at("t4"), settings.at("a100"))))};
  };
  const std::atomic<bool> stop = false;
  const SearchResult one = search(spec, compiled, 1, 1, stop), two = search(spec, compiled, 1, 2, stop);
  REQUIRE(one.candidates.size() == 10);
  CHECK(one.runs <= 60);
  CHECK(one.simulated_hours == Approx(static_cast<double>(one.runs) / 3));
  for (size_t i = 0; i < 10; ++i) CHECK(one.candidates[i].settings == two.candidates[i].settings);
  const Settings& best = one.candidates.front().settings;
  double least = 1e9;
  Settings by_hand;
  for (int t4 = 2; t4 <= 6; ++t4)
    for (int a100 = 1; a100 <= 2; ++a100) {
      const double cost = total(run(compile(fleet("spike", constants(std::to_string(t4), std::to_string(a100))))));
      if (cost >= least) continue;
      least = cost;
      by_hand = {{"t4", std::to_string(t4)}, {"a100", std::to_string(a100)}};
    }
  CHECK(best == by_hand);
  CHECK(one.candidates.front().total == Approx(least));
}

TEST_CASE("Nobody who scales the fleet is below the clairvoyant bound", "[clairvoyant]") {
  for (const char* pattern : {"ramp", "spike", "periodic", "random"}) {
    const double bound = bound_of(pattern, "", 7).total();
    INFO(pattern);
    CHECK(bound > 0);
    Scenario hpa = fleet(pattern, {});
    hpa.seed = 7;
    CHECK(bound <= total(run(compile(hpa))));
    for (const char* t4 : {"1", "3", "5", "8"})
      for (const char* a100 : {"1", "2", "4"}) {
        Scenario constant = fleet(pattern, constants(t4, a100));
        constant.seed = 7;
        CHECK(bound <= total(run(compile(constant))));
      }
  }
}

// Nothing is gained by knowing a load that stays as it is.
TEST_CASE("Under a steady load the bound is the best constant", "[clairvoyant]") {
  const ClairvoyantBound bound = bound_of("ramp", "500/s", 3);
  double least = 1e9;
  for (int t4 = 1; t4 <= 8; ++t4)
    for (int a100 = 1; a100 <= 4; ++a100) {
      auto overrides = constants(std::to_string(t4), std::to_string(a100));
      overrides.emplace_back("traffic.images.pattern", "{constant: 500/s}");
      Scenario scenario = fleet("ramp", overrides);
      scenario.seed = 3;
      least = std::min(least, total(run(compile(scenario))));
    }
  CHECK(bound.total() <= least * (1 + 1e-6));
  CHECK(bound.total() >= 0.95 * least);
}

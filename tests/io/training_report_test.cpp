#include "io/training_report.hpp"

#include "core/error.hpp"
#include "folder.hpp"
#include "rl/policy_file.hpp"
#include "rl/random_network.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <iterator>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

nlohmann::json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t from = page.find(open) + open.size();
  return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
}

// What a training of two seeds left: one has finished, one was interrupted after two of its three rows.
class Left : public test::Folder {
 public:
  Left() {
    write("training.json", R"({"file": "/home/me/fleet.yaml", "environment": "fleet-01", "algorithm": "ppo",
                              "steps": 300, "parameters": {"gamma": "0.97"}, "seeds": [3, 4]})");
    write("seed-3/curves.csv",
          "global_step,charts/episodic_return,losses/approx_kl,eval/episodic_return\n"
          "100,-10,0.01,\n200,,0.02,-5\n300,-4,0.03,\n");
    write("seed-4/curves.csv",
          "global_step,charts/episodic_return,losses/approx_kl,eval/episodic_return\n"
          "100,-20,inf,\n200,-12,0.04,-7\n");
    score("seed-3/last.safetensors", "-3.5", "300");
    score("seed-3/best.safetensors", "-3.25", "200");
  }

 private:
  void score(const std::string& file, const std::string& evaluation, const std::string& steps) {
    PolicyFile policy;
    policy.name = "fleet";
    policy.algorithm = "ppo";
    policy.observation = {{"x", -1, 1}};
    ActionSpace actions;
    actions.choices = {2};
    policy.network = test::RandomNetwork("report").mlp(1, 4, Activation::Tanh, actions);
    policy.provenance = {{"evaluation", evaluation}, {"steps", steps}};
    write_policy_file(path(file), policy);
  }
};

}  // namespace

TEST_CASE("training report: the result first, every seed's curves and their median") {
  const Left left;
  const std::string page = text_of(write_training_report(left.path("")));
  CHECK_THAT(page, Contains("<h1>A return of -3.50 at the end; 1 of 2 seeds have finished</h1>"));
  CHECK_THAT(page, Contains("<td class=\"\">gamma</td><td class=\"reason\">0.97</td>"));
  CHECK_THAT(page, Contains("fleet-01 of fleet.yaml"));
  CHECK(page.find("/home/me") == std::string::npos);
  CHECK(page.find("{{") == std::string::npos);

  const auto data = data_of(page);
  CHECK(data["over"] == "steps");
  CHECK(data["end"] == 300);
  REQUIRE(data["charts"].size() == 3);
  const auto &returns = data["charts"][0], &evaluations = data["charts"][1], &kl = data["charts"][2];
  CHECK(returns["title"] == "Return of training episodes");
  CHECK(returns["fromZero"] == false);
  CHECK(returns["lines"][0]["name"] == "median");
  // At 200 one of them has none, at 300 the other.
  CHECK(returns["lines"][0]["t"] == nlohmann::json({100.0}));
  CHECK(returns["lines"][0]["v"] == nlohmann::json({-15.0}));
  CHECK(returns["lines"][1]["name"] == "seed 3");
  CHECK(returns["lines"][1]["t"] == nlohmann::json({100.0, 300.0}));
  CHECK(returns["lines"][1]["faint"] == true);
  // The last evaluation stands in the policy alone.
  CHECK(evaluations["lines"][1]["v"] == nlohmann::json({-5.0, -3.5}));
  CHECK(evaluations["lines"][0]["v"] == nlohmann::json({-6.0}));
  CHECK(kl["small"] == true);
  CHECK(kl["lines"][2]["v"] == nlohmann::json({0.04}));

  CHECK(text_of(write_training_report(left.path(""))) == page);
}

TEST_CASE("training report: one seed alone has no median, and one that has not begun no curve") {
  const Left left;
  std::filesystem::remove_all(left.path("seed-3"));
  const std::string page = text_of(write_training_report(left.path("")));
  CHECK_THAT(page, Contains("<h1>Not finished: 1 of 2 seeds have begun</h1>"));
  const auto data = data_of(page);
  REQUIRE(data["charts"][0]["lines"].size() == 1);
  CHECK(data["charts"][0]["lines"][0]["name"] == "seed 4");
  CHECK(data["charts"][0]["lines"][0]["faint"] == false);
}

TEST_CASE("training report: below 1 MB however long and of however many seeds") {
  const Left left;
  std::string rows = "global_step", seeds;
  for (int tag = 0; tag < 12; ++tag) rows += fmt::format(",losses/made_{}", tag);
  rows += '\n';
  for (int step = 1; step <= 5000; ++step) {
    rows += std::to_string(1024 * step);
    for (int tag = 0; tag < 12; ++tag) rows += fmt::format(",{}", (step * (7919 + tag)) % 100'003 / 7.0);
    rows += '\n';
  }
  for (int seed = 0; seed < 15; ++seed) {
    left.write(fmt::format("seed-{}/curves.csv", seed), rows);
    seeds += fmt::format("{}{}", seed ? "," : "", seed);
  }
  left.write("training.json", fmt::format(R"({{"file": "", "environment": "CartPole-v1", "algorithm": "ppo", "steps": 1,
                                             "parameters": {{}}, "seeds": [{}]}})",
                                          seeds));
  const std::string page = text_of(write_training_report(left.path("")));
  CHECK(page.size() < 1'000'000);
  const auto data = data_of(page);
  CHECK(data["charts"][1]["title"] == "losses/made_0");
  CHECK(data["charts"][1]["lines"][0]["name"] == "median");
  CHECK(data["charts"][1]["omitted"] == 4);
}

TEST_CASE("training report: what is no training") {
  const test::Folder empty;
  CHECK_THROWS_AS(write_training_report(empty.path("")), IoError);
  const Left left;
  left.write("training.json", R"({"file": "", "environment": "x", "algorithm": "ppo", "steps": 1, "seeds": [1]})");
  CHECK_THROWS_WITH(write_training_report(left.path("")), Contains("training.json") && Contains("parameters"));
  CHECK_FALSE(std::filesystem::exists(left.path("report.html")));
}

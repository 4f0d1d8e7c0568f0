#include "io/training_file.hpp"

#include "gym/autoscaling.hpp"
#include "io/coding_text.hpp"
#include "io/scenario_text.hpp"
#include "rl/policy_file.hpp"
#include "rl/random_network.hpp"

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

const std::string kScenarios = std::string(KISIM_ROOT) + "/scenarios/kis-s/";

std::string scenarios(const std::string& text) { return "  scenarios: [" + text + "]\n"; }
const std::string kBoth = scenarios(kScenarios + "fleet-ramp.yaml, " + kScenarios + "fleet-spike.yaml");
const std::string kAgent = "  agent: {name: fleet, workloads: [triton-t4, triton-a100]}\n";

class Files : public test::Folder {
 public:
  std::string document(const std::string& kind, const std::string& spec) const {
    return write(kind + ".yaml", "apiVersion: kisim.dev/v1\nkind: " + kind + "\nmetadata: {name: t}\nspec:\n" + spec);
  }
  EvaluationFile evaluation(const std::string& spec, bool strict = false) const {
    return read_evaluation(document("Evaluation", spec), strict);
  }
  std::string complaint(const std::string& spec, bool strict = false) const {
    return test::complaint([&] { compile_evaluation(evaluation(spec, strict)); });
  }
  // Of a training of the fleet's agent.
  std::string policy(const std::string& name, const std::string& training) const {
    const TrainingFile fleet = read_training(kScenarios + "fleet/training.yaml");
    AutoscalingEnv env(std::make_shared<const AutoscalingSpec>(fleet.environment));
    PolicyFile out;
    out.name = "random";
    out.algorithm = "none";
    out.observation = env.spec().observation;
    out.network = test::RandomNetwork(name).mlp(out.observation.size(), 4, Activation::Tanh, env.spec().actions);
    out.coding = fleet.coding;
    out.provenance = {{"training", training}};
    write_policy_file(path(name), out);
    return path(name);
  }
};

}  // namespace

TEST_CASE("An evaluation tells what it and its scenarios hold that nobody reads", "[training]") {
  const Files files;
  const std::string odd = files.write(
      "odd.yaml", "apiVersion: kisim.dev/v1\nkind: Scenario\nmetadata: {name: odd}\nspec:\n  include: " + kScenarios +
                      "fleet-ramp.yaml\n  oddity: 1\n");
  const std::string spec = scenarios(odd) + "  policies: {hpa: {}, again: {}}\n  sedes: 1..2\n";
  const CompiledEvaluation compiled = compile_evaluation(files.evaluation(spec));
  REQUIRE(compiled.warnings.size() == 2);  // each once, though two contestants run the scenario
  CHECK_THAT(compiled.warnings[0], Contains("Evaluation.yaml:7:3: spec.sedes: "));
  CHECK_THAT(compiled.warnings[1], Contains("odd.yaml:6:3: spec.oddity: "));
  CHECK_THAT(files.complaint(spec, true), Contains("spec.sedes: "));
  CHECK_THAT(files.complaint(scenarios(odd) + "  policies: {hpa: {}}\n", true), Contains("spec.oddity: "));

  const TrainingFile training = read_training(files.document(
      "Training", scenarios(odd) + "  set: {policies.agents.fleet.coding: kiscaler, policies.agents.fleet.workloads: "
                                   "'[triton-t4, triton-a100]'}\n  steps: 10\n  reword: {}\n"));
  REQUIRE(training.warnings.size() == 2);
  CHECK_THAT(training.warnings[0], Contains("Training.yaml:8:3: spec.reword: "));
  CHECK_THAT(training.warnings[1], Contains("odd.yaml:6:3: spec.oddity: "));
}

TEST_CASE("What an evaluation does not compare", "[training]") {
  const Files files;
  CHECK_THAT(files.complaint(scenarios(kScenarios + "fleet-ramp.yaml, " + kScenarios + "fleet-ramp.yaml") +
                             "  policies: {hpa: {}}\n"),
             Contains("Evaluation.yaml:5:") &&
                 Contains("spec.scenarios[1]: found a second scenario that is named 'kis-s-fleet-ramp'"));
  CHECK_THAT(files.complaint(kBoth + "  policies: {}\n"), Contains(":6:13: spec.policies: found none"));
  CHECK_THAT(files.complaint("  scenarios: []\n  policies: {hpa: {}}\n"), Contains("spec.scenarios: found none"));
  CHECK_THAT(files.complaint(kBoth + "  policies: {hpa: {}}\n  baseline: hp\n"),
             Contains(":7:13: spec.baseline: found 'hp', allowed: hpa"));
  CHECK_THAT(files.complaint(kBoth + "  policies: {hpa: {}}\n  variation: {load: {min: 2, max: 1}}\n"),
             Contains(":7:21: spec.variation.load: found min 2 above max 1"));
  CHECK_THAT(files.complaint(kBoth + "  policies: {hpa: {}}\n  seeds: 3..1\n"), Contains(":7:10: spec.seeds: "));
}

TEST_CASE("Policy files of one name are trainings of one contestant, each once", "[training]") {
  const Files files;
  const std::string first = files.policy("a", "seed 1"), second = files.policy("b", "seed 2"),
                    best_of_first = files.policy("c", "seed 1");
  EvaluationFile evaluation = files.evaluation(kBoth + kAgent + "  policies: {hpa: {}}\n");
  add_policy(evaluation, "learned", first);
  add_policy(evaluation, "learned", second);
  add_policy(evaluation, "another", first);
  const CompiledEvaluation compiled = compile_evaluation(evaluation);
  CHECK(compiled.families == std::vector<std::string>{"kis-s-fleet-ramp", "kis-s-fleet-spike"});
  REQUIRE(compiled.contestants.size() == 3);
  CHECK(compiled.contestants[0].trainings.size() == 1);
  CHECK(compiled.contestants[1].name == "learned");
  REQUIRE(compiled.contestants[1].trainings.size() == 2);
  CHECK(compiled.contestants[1].trainings[1].size() == 2);
  CHECK(compiled.contestants[2].trainings.size() == 1);

  CHECK_THROWS_WITH(add_policy(evaluation, "learned", files.path("./a")), Contains("allowed: one of each training"));
  CHECK_THROWS_WITH(add_policy(evaluation, "learned", best_of_first),
                    Contains("policy learned: found ") && Contains("allowed: one of each training"));
  CHECK_THROWS_WITH(add_policy(evaluation, "hpa", first), Contains("policy hpa: ") && Contains("has one of this name"));
  CHECK_THROWS_AS(add_policy(evaluation, "none", files.path("none")), IoError);
  EvaluationFile without = files.evaluation(kBoth + "  policies: {hpa: {}}\n");
  CHECK_THROWS_WITH(add_policy(without, "learned", first), Contains("has no agent, needed: spec.agent"));
}

TEST_CASE("A search puts its settings into objects and settings", "[training]") {
  const Files files;
  const std::string hpa = files.write("hpa.yaml", R"(apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: triton-t4}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: triton-t4}
  minReplicas: "${least}"
  maxReplicas: 8
  metrics:
  - type: Pods
    pods: {metric: {name: nv_gpu_utilization}, target: {type: AverageValue, averageValue: "${target}m"}}
)");
  const std::string spec = scenarios(kScenarios + "fleet-ramp.yaml") + "  manifests: [" + hpa + "]\n" +
                           "  set: {policies.autoscaler.triton-t4: \"{name: hpa, tolerance: ${tolerance}}\"}\n" +
                           "  parameters: {least: {min: 1, max: 4, integer: true}, target: {min: 100, max: 900}, " +
                           "tolerance: {values: [0.1, 0.2]}}\n  budget: 20h\n  seeds: 7\n";
  const SearchFile file = read_search(files.document("Search", spec));
  CHECK(file.spec.budget == 18);  // runs of 65 minutes
  CHECK(file.spec.seed == 7);
  CHECK(file.spec.parameters.size() == 3);
  const auto models = compile_candidate(file, {{"least", "3"}, {"target", "250"}, {"tolerance", "0.2"}});
  REQUIRE(models.size() == 1);
  bool found = false;
  for (const AutoscalerBinding& binding : models[0]->kube.autoscalers) {
    if (!binding.object || binding.object->meta.name != "triton-t4") continue;
    CHECK_FALSE(found);  // in place of the scenario's own
    found = true;
    CHECK(binding.min_replicas == 3);
    CHECK(binding.object->metrics.at(0).target.milli_value == 250);
  }
  CHECK(found);

  auto complaint = [&](const std::string& parameters, const std::string& budget = "20h") {
    return test::complaint([&] {
      read_search(files.document("Search", scenarios(kScenarios + "fleet-ramp.yaml") + "  parameters: {a: {" +
                                               parameters + "}}\n  budget: " + budget + "\n"));
    });
  };
  CHECK_THAT(complaint("min: 2, max: 1"), Contains("Search.yaml:6:19: spec.parameters.a: found min 2 above max 1"));
  CHECK_THAT(complaint("min: 2"), Contains("spec.parameters.a: needed: min and max, or values"));
  CHECK_THAT(complaint("min: 2, values: [1]"), Contains("spec.parameters.a: needed: min and max, or values"));
  CHECK_THAT(complaint("min: 1, max: 2", "1h"), Contains("spec.budget: found 3600s, allowed: at least one run"));
}

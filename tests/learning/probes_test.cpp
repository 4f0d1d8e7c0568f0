// What algorithms learn in environments whose answer is known.

#include "algorithm.hpp"
#include "evaluate.hpp"
#include "gym/registry.hpp"
#include "tensor.hpp"

#include "learning/catch.hpp"

namespace kisim::learning {
namespace {

using Values = std::map<std::string, std::string>;

struct Learned {
  std::unique_ptr<Algorithm> algorithm;
  double evaluation = 0;
};

Learned learn(const std::string& algorithm, const std::string& environment, int64_t steps, const Values& values,
              uint64_t seed = 1) {
  use_one_thread();
  const VectorEnv::Factory make = [environment] { return make_env(environment); };
  Learned out;
  out.algorithm = make_algorithm(
      algorithm, make, {.params = train_params(find_algorithm(algorithm), "", values), .steps = steps, .seed = seed});
  Metrics metrics;
  for (int64_t done = 0; done < steps;) done += out.algorithm->iterate(metrics);
  out.evaluation = evaluate(out.algorithm->policy(), make, 99, 100);
  return out;
}

double value(const Learned& learned, std::vector<float> observation) { return learned.algorithm->value(observation); }

const Values kFastPpo = {{"numEnvs", "8"},      {"numSteps", "32"},       {"minibatchSize", "256"},
                         {"updateEpochs", "4"}, {"learningRate", "1e-2"}, {"hidden", "16"}};
const Values kFastDqn = {{"learningRate", "2e-3"},  {"bufferSize", "2000"},  {"batchSize", "64"},
                         {"learningStarts", "200"}, {"trainFrequency", "2"}, {"targetNetworkFrequency", "50"},
                         {"hidden", "32"}};

Values with(Values values, const Values& changes) {
  for (const auto& [name, value] : changes) values[name] = value;
  return values;
}

}  // namespace

TEST_CASE("Values of the first probes: the loss, backpropagation, the discount") {
  const std::string algorithm = GENERATE("ppo", "dqn");
  const Values values = algorithm == "ppo" ? kFastPpo : kFastDqn;
  const int64_t steps = 5000;
  CAPTURE(algorithm);
  CHECK(value(learn(algorithm, "ConstantReward-v0", steps, values), {0}) == Approx(1).margin(.05));
  const Learned observed = learn(algorithm, "ObservedReward-v0", steps, values);
  CHECK(value(observed, {-1}) == Approx(-1).margin(.05));
  CHECK(value(observed, {1}) == Approx(1).margin(.05));
  const Learned delayed = learn(algorithm, "DelayedReward-v0", steps, with(values, {{"gamma", "0.5"}}));
  CHECK(value(delayed, {0}) == Approx(.5).margin(.05));
  CHECK(value(delayed, {1}) == Approx(1).margin(.05));
}

TEST_CASE("Choices: without an observation, by the observation, where not all are allowed") {
  const std::string algorithm = GENERATE("ppo", "a2c", "reinforce", "dqn");
  const Values values = algorithm == "ppo"   ? kFastPpo
                        : algorithm == "dqn" ? kFastDqn
                                             : Values{{"learningRate", "3e-3"}};
  CAPTURE(algorithm);
  CHECK(learn(algorithm, "ChosenReward-v0", 10'000, values).evaluation == 1);
  CHECK(learn(algorithm, "ObservedChoice-v0", 15'000, values).evaluation == 1);
  // Action 3 unless it is the forbidden one, then action 2: 27.5 for ten steps on average; 27 with some luck.
  CHECK(learn(algorithm, "MaskedActions-v0", 20'000, with(values, {{"gamma", "0.5"}})).evaluation > 27);
}

// Three steps without effect, which are right by chance in half of the phases, then all 21 right.
TEST_CASE("An action that takes effect three steps later") {
  CHECK(learn("ppo", "DelayedAction-v0", 60'000, with(kFastPpo, {{"gamma", "0.9"}})).evaluation > 22);
}

TEST_CASE("What is seen only once needs a memory") {
  const Values memory = with(kFastPpo, {{"lstm", "8"},
                                        {"hidden", "8"},
                                        {"numEnvs", "32"},
                                        {"numSteps", "8"},
                                        {"minibatchSize", "128"},
                                        {"learningRate", "3e-3"}});
  CHECK(learn("ppo", "BlinkingLight-v0", 10'000, memory).evaluation == 1);
  CHECK(learn("ppo", "BlinkingLight-v0", 10'000, with(memory, {{"sharedNetwork", "true"}})).evaluation == 1);
  CHECK(learn("ppo", "BlinkingLight-v0", 10'000, kFastPpo).evaluation < .5);
}

TEST_CASE("Without a limit on costs the action that pays most wins") {
  CHECK(learn("ppo", "TwoConstraints-v0", 15'000, kFastPpo).evaluation == 15);
}

// As Stable-Baselines3's test of time limits: reward 1 for ever, cut every 8 steps, γ = 0.98.
TEST_CASE("A cut episode is worth 1/(1 − γ) only if it is taken to go on") {
  const Values ring = with(
      kFastPpo, {{"gamma", "0.98"}, {"gaeLambda", "0.95"}, {"numSteps", "64"}, {"vfCoef", "1"}, {"maxGradNorm", "0"}});
  const double goes_on = value(learn("ppo", "InfiniteHorizon-v0", 100'000, ring), {1, 0, 0, 0});
  CHECK(std::fabs(goes_on - 50) < 1);
  const double ends =
      value(learn("ppo", "InfiniteHorizon-v0", 100'000, with(ring, {{"truncation", "terminate"}})), {1, 0, 0, 0});
  CHECK(std::fabs(ends - 50) > 1);
}

TEST_CASE("The action that is observed, of every kind") {
  const std::string algorithm = GENERATE("ppo", "a2c", "dqn");
  const Values values = with(algorithm == "ppo"   ? kFastPpo
                             : algorithm == "dqn" ? kFastDqn
                                                  : Values{{"learningRate", "5e-3"}},
                             {{"gamma", "0.4"}});
  CAPTURE(algorithm);
  CHECK(learn(algorithm, "Identity-v0", 20'000, values).evaluation >= 90);
  if (algorithm == "dqn") {
    CHECK_THROWS_WITH(learn(algorithm, "IdentityBox-v0", 1000, values), Catch::Contains("another kind than Discrete"));
    return;
  }
  CHECK(learn(algorithm, "IdentityMultiDiscrete-v0", 60'000, values).evaluation >= 90);
  const Values narrow = with(values, {{"logStd", "-1"}, {"learningRate", algorithm == "ppo" ? "3e-3" : "1e-3"}});
  CHECK(learn(algorithm, "IdentityBox-v0", 100'000, narrow).evaluation >= 90);
}

TEST_CASE("A squashed policy keeps within its bounds and learns as well") {
  const Learned learned =
      learn("ppo", "IdentityBox-v0", 100'000,
            with(kFastPpo, {{"gamma", "0.4"}, {"logStd", "-1"}, {"learningRate", "3e-3"}, {"squash", "true"}}));
  CHECK(learned.evaluation >= 60);
  CHECK_THROWS_WITH(learn("ppo", "Identity-v0", 1000, {{"squash", "true"}}), Catch::Contains("no actions of kind Box"));
}

TEST_CASE("Returns of n steps and both kinds of Q-learning") {
  const auto values = with(kFastDqn, GENERATE(Values{{"nStep", "1"}, {"doubleQ", "true"}, {"loss", "huber"}},
                                              Values{{"nStep", "3"}, {"doubleQ", "false"}, {"loss", "mse"}},
                                              Values{{"nStep", "3"}, {"doubleQ", "true"}, {"loss", "huber"}}));
  const Learned learned = learn("dqn", "InfiniteHorizon-v0", 12'000, with(values, {{"gamma", "0.9"}, {"tau", "0.5"}}));
  CHECK(value(learned, {1, 0, 0, 0}) == Approx(10).margin(.5));
}

}  // namespace kisim::learning

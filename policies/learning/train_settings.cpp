#include "train_settings.hpp"

#include "core/error.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace kisim::learning {
namespace {

using Type = ParamSpec::Type;
using Specs = std::vector<ParamSpec>;

constexpr double kMany = 1e9;

ParamSpec integer(std::string name, std::string value, double min, std::string doc, double max = kMany) {
  return {.name = std::move(name),
          .type = Type::Integer,
          .default_text = std::move(value),
          .doc = std::move(doc),
          .min = min,
          .max = max};
}

ParamSpec number(std::string name, std::string value, double min, double max, std::string doc) {
  return {.name = std::move(name),
          .type = Type::Number,
          .default_text = std::move(value),
          .doc = std::move(doc),
          .min = min,
          .max = max};
}

ParamSpec flag(std::string name, std::string value, std::string doc) {
  return {.name = std::move(name), .type = Type::Bool, .default_text = std::move(value), .doc = std::move(doc)};
}

ParamSpec text(std::string name, std::string value, std::string doc, std::vector<std::string> allowed = {}) {
  return {.name = std::move(name),
          .type = Type::Text,
          .default_text = std::move(value),
          .doc = std::move(doc),
          .allowed = std::move(allowed)};
}

Specs evaluation_params() {
  return {
      integer("evaluationEpisodes", "100", 1, "deterministic episodes of an evaluation"),
      integer("evaluationInterval", "0", 0, "steps from one evaluation to the next; 0: only at the end"),
      integer("checkpointInterval", "0", 0, "steps from one checkpoint to the next; 0: only at the end"),
      integer("keepCheckpoints", "2", 1, "how many of the latest checkpoints stay"),
  };
}

// What policy gradients share. `values` are the defaults by name, of which each algorithm has its own.
Specs policy_gradient_params() {
  Specs out = {
      integer("numEnvs", "8", 1, "environments stepped side by side"),
      integer("numSteps", "256", 1, "steps of each environment between updates"),
      number("learningRate", "3e-4", 0, 1, "of Adam"),
      text("learningRateSchedule", "linear", "constant, or linear to 0 over the training", {"constant", "linear"}),
      number("gamma", "0.99", 0, 1, "discount by step"),
      number("gaeLambda", "0.95", 0, 1, "λ of generalised advantage estimation"),
      integer("minibatchSize", "1024", 0, "rows of a minibatch; 0: all that were collected"),
      integer("updateEpochs", "4", 1, "passes over what was collected"),
      flag("normAdv", "true", "advantages to mean 0 and deviation 1, by minibatch"),
      number("clipCoef", "0.2", 0, 10, "ε of the clipped objective"),
      text("clipSchedule", "constant", "of clipCoef", {"constant", "linear"}),
      flag("clipVloss", "false", "clip the change of values as well"),
      number("entCoef", "0", 0, 10, "weight of the entropy"),
      number("vfCoef", "0.5", 0, 100, "weight of the value's loss"),
      number("maxGradNorm", "0.5", 0, 1e6, "gradients are scaled down to this norm; 0: never"),
      number("targetKl", "0", 0, 10, "no further epoch beyond this approximate KL divergence; 0: no limit"),
      number("adamEpsilon", "1e-5", 1e-12, 1, "ε of Adam"),
      text("truncation", "bootstrap",
           "a cut episode goes on as the value says (bootstrap), or has ended as by itself (terminate)",
           {"bootstrap", "terminate"}),
      text("hidden", "64,64", "sizes of the hidden layers, separated by commas"),
      text("activation", "tanh", "after hidden layers", {"tanh", "relu"}),
      integer("lstm", "0", 0, "size of an LSTM before the heads; 0: none", 4096),
      flag("sharedNetwork", "false", "one trunk for policy and value instead of one each"),
      number("logStd", "0", -20, 5, "Box: logarithm of the first standard deviation"),
      flag("squash", "false", "Box: actions are tanh of a Gaussian, scaled to the bounds; otherwise clipped to them"),
      flag("normalizeObservations", "false", "to mean 0 and deviation 1 as seen so far, clipped to ±10"),
      flag("normalizeRewards", "false", "by the deviation of the discounted return so far, clipped to ±10"),
  };
  for (ParamSpec& spec : evaluation_params()) out.push_back(std::move(spec));
  return out;
}

Specs with_defaults(Specs specs, const std::map<std::string, std::string>& values) {
  for (ParamSpec& spec : specs) {
    if (auto it = values.find(spec.name); it != values.end()) spec.default_text = it->second;
  }
  return specs;
}

// PPO with one epoch over one minibatch is A2C: all ratios are 1 (Huang et al., arXiv 2205.09123). vfCoef is twice
// that of Stable-Baselines3 since the value's loss here has its ½.
const std::map<std::string, std::string> kA2c = {
    {"numEnvs", "8"},       {"numSteps", "8"},      {"learningRate", "7e-4"}, {"learningRateSchedule", "constant"},
    {"gaeLambda", "1"},     {"minibatchSize", "0"}, {"updateEpochs", "1"},    {"normAdv", "false"},
    {"clipVloss", "false"}, {"vfCoef", "1"},
};

// Monte Carlo returns (λ = 1) over long stretches, with the value as baseline (Williams, Machine Learning 8, 1992).
const std::map<std::string, std::string> kReinforce = {
    {"numEnvs", "8"},   {"numSteps", "256"},    {"learningRate", "1e-3"}, {"learningRateSchedule", "constant"},
    {"gaeLambda", "1"}, {"minibatchSize", "0"}, {"updateEpochs", "1"},    {"normAdv", "true"},
    {"vfCoef", "1"},
};

Specs dqn_params() {
  Specs out = {
      integer("numEnvs", "1", 1, "environments stepped side by side"),
      number("learningRate", "2.5e-4", 0, 1, "of Adam"),
      number("gamma", "0.99", 0, 1, "discount by step"),
      integer("bufferSize", "10000", 1, "transitions to remember"),
      integer("batchSize", "128", 1, "transitions of an update"),
      integer("learningStarts", "10000", 0, "steps before the first update"),
      integer("trainFrequency", "10", 1, "steps from update to update"),
      integer("gradientSteps", "1", 1, "batches of an update"),
      integer("targetNetworkFrequency", "500", 1, "steps from one change of the target network to the next"),
      number("tau", "1", 0, 1, "share of the new weights in that change"),
      number("startE", "1", 0, 1, "share of random actions at first"),
      number("endE", "0.05", 0, 1, "share of random actions at last"),
      number("explorationFraction", "0.5", 0, 1, "part of the training over which it falls"),
      flag("doubleQ", "true", "the online network chooses the next action, the target network says its worth"),
      integer("nStep", "1", 1, "rewards summed before the bootstrap", 1000),
      text("loss", "mse", "of the TD error", {"mse", "huber"}),
      number("maxGradNorm", "0", 0, 1e6, "gradients are scaled down to this norm; 0: never"),
      number("adamEpsilon", "1e-8", 1e-12, 1, "ε of Adam"),
      text("hidden", "120,84", "sizes of the hidden layers, separated by commas"),
      text("activation", "relu", "after hidden layers", {"tanh", "relu"}),
      flag("normalizeObservations", "false", "to mean 0 and deviation 1 as seen so far, clipped to ±10"),
      flag("normalizeRewards", "false", "by the deviation of the discounted return so far, clipped to ±10"),
  };
  for (ParamSpec& spec : evaluation_params()) out.push_back(std::move(spec));
  return out;
}

// Parameter values over the defaults, as the preset and the user want them.
std::map<std::string, std::string> merged(const AlgorithmSpec& algorithm, const std::string& preset,
                                          const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> out = given;
  if (preset.empty()) return out;
  std::vector<std::string> names;
  for (const TrainPreset& candidate : train_presets()) {
    if (candidate.algorithm != algorithm.name) continue;
    names.push_back(candidate.name);
    if (candidate.name != preset) continue;
    out.insert(candidate.values.begin(), candidate.values.end());
    return out;
  }
  if (names.empty()) names.push_back("none");
  throw UsageError(
      fmt::format("--preset: found '{}', allowed for {}: {}", preset, algorithm.name, fmt::join(names, ", ")));
}

}  // namespace

const std::vector<AlgorithmSpec>& algorithms() {
  static const std::vector<AlgorithmSpec> all = {
      {"ppo", "proximal policy optimisation (Schulman et al., 2017)", policy_gradient_params()},
      {"a2c", "advantage actor-critic: PPO with one epoch over one minibatch",
       with_defaults(policy_gradient_params(), kA2c)},
      {"reinforce", "policy gradient of Monte Carlo returns with the value as baseline",
       with_defaults(policy_gradient_params(), kReinforce)},
      {"dqn", "deep Q-learning with a target network and replay (Mnih et al., 2015)", dqn_params()},
  };
  return all;
}

const AlgorithmSpec& find_algorithm(const std::string& name) {
  std::vector<std::string> names;
  for (const AlgorithmSpec& algorithm : algorithms()) {
    if (algorithm.name == name) return algorithm;
    names.push_back(algorithm.name);
  }
  throw UsageError(fmt::format("--algorithm: found '{}', allowed: {}", name, fmt::join(names, ", ")));
}

const std::vector<TrainPreset>& train_presets() {
  static const std::vector<TrainPreset> presets = {
      {"cleanrl",
       "ppo",
       "CleanRL's ppo.py",
       500'000,
       {{"numEnvs", "4"},
        {"numSteps", "128"},
        {"minibatchSize", "128"},
        {"updateEpochs", "4"},
        {"learningRate", "2.5e-4"},
        {"learningRateSchedule", "linear"},
        {"gamma", "0.99"},
        {"gaeLambda", "0.95"},
        {"clipCoef", "0.2"},
        {"clipVloss", "true"},
        {"entCoef", "0.01"},
        {"vfCoef", "0.5"},
        {"maxGradNorm", "0.5"},
        {"truncation", "terminate"}}},
      {"zoo-cartpole",
       "ppo",
       "RL Baselines3 Zoo, CartPole-v1",
       100'000,
       {{"numEnvs", "8"},
        {"numSteps", "32"},
        {"minibatchSize", "256"},
        {"updateEpochs", "20"},
        {"learningRate", "1e-3"},
        {"learningRateSchedule", "linear"},
        {"gamma", "0.98"},
        {"gaeLambda", "0.8"},
        {"clipCoef", "0.2"},
        {"clipSchedule", "linear"},
        {"vfCoef", "1"},
        {"entCoef", "0"}}},
      {"zoo-acrobot",
       "ppo",
       "RL Baselines3 Zoo, Acrobot-v1",
       1'000'000,
       {{"numEnvs", "16"},
        {"numSteps", "256"},
        {"minibatchSize", "64"},
        {"updateEpochs", "4"},
        {"learningRate", "3e-4"},
        {"learningRateSchedule", "constant"},
        {"gamma", "0.99"},
        {"gaeLambda", "0.94"},
        {"vfCoef", "1"},
        {"entCoef", "0"},
        {"normalizeObservations", "true"},
        {"normalizeRewards", "true"}}},
      {"zoo-pendulum",
       "ppo",
       "RL Baselines3 Zoo, Pendulum-v1, with plain Gaussian noise instead of gSDE",
       100'000,
       {{"numEnvs", "4"},
        {"numSteps", "1024"},
        {"minibatchSize", "64"},
        {"updateEpochs", "10"},
        {"learningRate", "1e-3"},
        {"learningRateSchedule", "constant"},
        {"gamma", "0.9"},
        {"gaeLambda", "0.95"},
        {"vfCoef", "1"},
        {"entCoef", "0"}}},
      {"cleanrl",
       "dqn",
       "CleanRL's dqn.py",
       500'000,
       {{"numEnvs", "1"},
        {"learningRate", "2.5e-4"},
        {"bufferSize", "10000"},
        {"batchSize", "128"},
        {"learningStarts", "10000"},
        {"trainFrequency", "10"},
        {"targetNetworkFrequency", "500"},
        {"explorationFraction", "0.5"},
        {"endE", "0.05"},
        {"doubleQ", "false"},
        {"hidden", "120,84"}}},
      {"zoo-cartpole",
       "dqn",
       "RL Baselines3 Zoo, CartPole-v1",
       50'000,
       {{"numEnvs", "1"},
        {"learningRate", "2.3e-3"},
        {"bufferSize", "100000"},
        {"batchSize", "64"},
        {"learningStarts", "1000"},
        {"trainFrequency", "256"},
        {"gradientSteps", "128"},
        {"targetNetworkFrequency", "10"},
        {"explorationFraction", "0.16"},
        {"endE", "0.04"},
        {"doubleQ", "false"},
        {"loss", "huber"},
        {"maxGradNorm", "10"},
        {"hidden", "256,256"}}},
  };
  return presets;
}

Params train_params(const AlgorithmSpec& algorithm, const std::string& preset,
                    const std::map<std::string, std::string>& given) {
  Params out;
  if (auto complaint = fill_params(algorithm.params, merged(algorithm, preset, given), out))
    throw UsageError(*complaint);
  if (layer_sizes(out.text("hidden")).size() > 16) throw UsageError("parameter 'hidden': allowed: at most 16 layers");
  return out;
}

std::map<std::string, std::string> train_values(const AlgorithmSpec& algorithm, const std::string& preset,
                                                const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> out = merged(algorithm, preset, given);
  for (const ParamSpec& spec : algorithm.params) out.emplace(spec.name, spec.default_text);
  return out;
}

std::vector<int64_t> layer_sizes(const std::string& text) {
  constexpr int64_t kMost = 4096;
  std::vector<int64_t> out;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    int64_t size = 0;
    auto [next, error] = std::from_chars(at, end, size);
    const bool more = next != end && *next == ',' && next + 1 != end;
    if (error != std::errc() || size < 1 || size > kMost || (next != end && !more))
      throw UsageError(
          fmt::format("parameter 'hidden': found '{}', allowed: numbers from 1 to {} with commas", text, kMost));
    out.push_back(size);
    at = more ? next + 1 : next;
  }
  return out;
}

}  // namespace kisim::learning

// Policies with random weights as ONNX models, beside what the Actor makes of 10,000 observations: what onnx_test.py
// compares. Run with KISIM_ONNX_DIRECTORY set; a check of the bytes alone is in here too.

#include "core/atomic_file.hpp"
#include "rl/policy_file.hpp"
#include "rl/random_network.hpp"
#include "rl/safetensors.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>

using namespace kisim;

namespace {

constexpr size_t kEpisodes = 100, kSteps = 100;

PolicyFile policy(const std::string& name, size_t inputs, PolicyNetwork network, bool masked) {
  PolicyFile out;
  out.name = name;
  out.algorithm = "ppo";
  out.masked = masked;
  for (size_t i = 0; i < inputs; ++i) out.observation.push_back({fmt::format("feature {}", i)});
  out.network = std::move(network);
  return out;
}

std::vector<PolicyFile> policies() {
  std::vector<PolicyFile> out;
  test::RandomNetwork random("onnx");
  PolicyNetwork normalised = random.mlp(7, 64, Activation::Tanh, ActionSpace::discrete(5));
  normalised.normaliser = random.normaliser(7);
  normalised.normaliser.clip = 3;  // some observations are clipped
  out.push_back(policy("normalised", 7, normalised, false));
  out.push_back(policy("masked", 4, random.mlp(4, 32, Activation::Relu, ActionSpace::multi_discrete({3, 2, 5})), true));
  out.push_back(policy("one_masked", 4, random.mlp(4, 8, Activation::Tanh, ActionSpace::discrete(6)), true));
  out.push_back(
      policy("box", 3, random.mlp(3, 64, Activation::Tanh, ActionSpace::box({-0.1f, -INFINITY}, {0.1f, 0})), false));
  PolicyNetwork lstm;
  lstm.normaliser = random.normaliser(6);
  lstm.layers = {random.linear(6, 32, Activation::Tanh), random.lstm(32, 24), random.lstm(24, 16),
                 random.linear(16, 4, Activation::None)};
  lstm.actions = ActionSpace::discrete(4);
  out.push_back(policy("lstm", 6, lstm, true));
  PolicyNetwork bare;
  bare.layers = {random.lstm(3, 2)};
  bare.actions = ActionSpace::discrete(2);
  out.push_back(policy("bare_lstm", 3, bare, false));
  return out;
}

// Observations [steps, episodes, n], masks, outputs and actions, step by step; the states after the last step.
std::string reference(const PolicyFile& file) {
  const PolicyNetwork& network = file.network;
  const size_t n = file.observation.size(), outputs = network.actions.outputs(), size = network.actions.size();
  test::RandomNetwork random(file.name);
  const ObservationNormaliser& normaliser = network.normaliser;
  std::vector<float> observations = random.normals(kSteps * kEpisodes * n, 1.5);
  for (size_t i = 0; normaliser.on() && i < observations.size(); ++i)
    observations[i] = static_cast<float>(normaliser.mean[i % n] +
                                         static_cast<double>(observations[i]) * std::sqrt(normaliser.variance[i % n]));
  std::vector<int32_t> masks;
  std::vector<float> found(kSteps * kEpisodes * outputs), actions(kSteps * kEpisodes * size);
  Stream stream(1, 0, Purpose::Policy);
  Actor actor(network);
  std::vector<RecurrentState> states(kEpisodes, actor.initial_state());
  std::vector<uint8_t> allowed;
  for (size_t row = 0; row < kSteps * kEpisodes; ++row) {
    const std::span<float> out = std::span(found).subspan(row * outputs, outputs);
    actor.forward(std::span(observations).subspan(row * n, n), states[row % kEpisodes], out);
    if (file.masked) {
      allowed.clear();
      for (int32_t choices : network.actions.choices) {
        const uint32_t kept = stream.below(static_cast<uint32_t>(choices));
        for (uint32_t i = 0; i < static_cast<uint32_t>(choices); ++i) allowed.push_back(i == kept || stream.below(2));
      }
      masks.insert(masks.end(), allowed.begin(), allowed.end());
    }
    likeliest_action(network.actions, out, allowed, std::span(actions).subspan(row * size, size));
  }
  SafetensorsWriter arrays;
  arrays.add("observations", observations);
  arrays.add("masks", masks);
  arrays.add("outputs", found);
  arrays.add("actions", actions);
  for (size_t l = 0; l < states[0].hidden.size(); ++l) {
    std::vector<float> hidden, cell;
    for (const RecurrentState& state : states) {
      hidden.insert(hidden.end(), state.hidden[l].begin(), state.hidden[l].end());
      cell.insert(cell.end(), state.cell[l].begin(), state.cell[l].end());
    }
    arrays.add(fmt::format("next_hidden_{}", l), hidden);
    arrays.add(fmt::format("next_cell_{}", l), cell);
  }
  return arrays.bytes({{"steps", std::to_string(kSteps)}, {"episodes", std::to_string(kEpisodes)}});
}

}  // namespace

TEST_CASE("policies as ONNX models with a reference", "[.onnx]") {
  const char* directory = std::getenv("KISIM_ONNX_DIRECTORY");
  REQUIRE(directory);
  for (const PolicyFile& file : policies()) {
    const std::string path = fmt::format("{}/{}", directory, file.name);
    write_onnx(path + ".onnx", file);
    write_policy_file(path + ".policy", file);
    write_file(path + ".reference", reference(file));
  }
}

TEST_CASE("equal policies are equal ONNX models") {
  const std::vector<PolicyFile> once = policies(), again = policies();
  for (size_t i = 0; i < once.size(); ++i) CHECK(onnx_bytes(once[i]) == onnx_bytes(again[i]));
}

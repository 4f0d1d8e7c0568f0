#include "networks.hpp"

#include "learning/catch.hpp"

#include <torch/optim/adam.h>

#include <cmath>
#include <numeric>

namespace kisim::learning {
namespace {

EnvSpec spec_of(size_t features, ActionSpace actions) {
  EnvSpec spec;
  spec.observation.resize(features);
  spec.actions = std::move(actions);
  return spec;
}

// Numbers within ±1 that look like none in particular.
Tensor some_rows(int64_t rows, int64_t columns) {
  return torch::sin(torch::arange(rows * columns, torch::kFloat32) * 1.7).view({rows, columns}).contiguous();
}

std::span<const float> span_of(const Tensor& t) { return {t.data_ptr<float>(), static_cast<size_t>(t.numel())}; }

}  // namespace

TEST_CASE("Adam is torch.optim.Adam") {
  Parameters parameters;
  const Tensor ours = parameters.add({3, 2});
  parameters.join();
  Adam adam(parameters, 1e-5);
  Tensor theirs = torch::zeros({3, 2}, torch::requires_grad());
  torch::optim::Adam reference({theirs}, torch::optim::AdamOptions(1e-2).eps(1e-5));
  const Tensor goal = some_rows(3, 2);
  for (int i = 0; i < 50; ++i) {
    parameters.clear_gradients();
    (ours - goal).square().sum().backward();
    adam.step(1e-2);
    reference.zero_grad();
    (theirs - goal).square().sum().backward();
    reference.step();
  }
  CHECK(torch::allclose(ours, theirs, 1e-5, 1e-7));
  CHECK(ours.abs().max().item<float>() > .1);
}

TEST_CASE("Gradients are clipped by their joint norm") {
  Parameters parameters;
  const Tensor a = parameters.add({2}), b = parameters.add({1});
  parameters.join();
  (3 * a.sum() + 4 * b.sum()).backward();
  const double norm = std::sqrt(9 + 9 + 16);
  CHECK(parameters.clip_gradients(0) == Approx(norm));
  CHECK(parameters.clip_gradients(100) == Approx(norm));
  CHECK(b.grad().item<float>() == 4);
  CHECK(parameters.clip_gradients(1) == Approx(norm));
  CHECK(b.grad().item<double>() == Approx(4 / norm).epsilon(1e-6));
}

TEST_CASE("Weights begin orthogonal, with the gains of their layers, and depend on the seed") {
  const EnvSpec spec = spec_of(5, ActionSpace::discrete(3));
  const ActorCritic network(spec, {.hidden = {64, 32}}, 0, 7), same(spec, {.hidden = {64, 32}}, 0, 7),
      other(spec, {.hidden = {64, 32}}, 0, 8);
  CHECK(std::ranges::equal(network.parameters().values(), same.parameters().values()));
  CHECK_FALSE(std::ranges::equal(network.parameters().values(), other.parameters().values()));

  PolicyNetwork policy;
  network.copy_to(policy);
  REQUIRE(policy.layers.size() == 3);
  CHECK((policy.layers[0].weight.transpose() * policy.layers[0].weight)
            .isApprox(2 * Eigen::MatrixXf::Identity(5, 5), 1e-5f));
  CHECK((policy.layers[1].weight * policy.layers[1].weight.transpose())
            .isApprox(2 * Eigen::MatrixXf::Identity(32, 32), 1e-5f));
  CHECK((policy.layers[2].weight * policy.layers[2].weight.transpose())
            .isApprox(1e-4f * Eigen::MatrixXf::Identity(3, 3), 1e-5f));
  CHECK(policy.layers[1].bias.isZero());
}

TEST_CASE("A fresh policy knows nothing: its entropy is that of a fair choice") {
  const ActorCritic network(spec_of(4, ActionSpace::discrete(6)), {}, 0, 1);
  const Tensor logits = network.forward({.rows = some_rows(10, 4)}).outputs;
  const Tensor log_probs = torch::log_softmax(logits, 1);
  CHECK(-(log_probs.exp() * log_probs).sum(1).mean().item<double>() == Approx(std::log(6)).margin(1e-3));
}

TEST_CASE("The actor computes what libtorch computes") {
  const auto activation = GENERATE(Activation::Tanh, Activation::Relu);
  ActorCritic network(spec_of(8, ActionSpace::discrete(3)), {.hidden = {64, 64}, .activation = activation}, 0, 3);
  for (float& x : network.parameters().values()) x *= 3;  // so that outputs are not all near 0
  PolicyNetwork policy{.actions = ActionSpace::discrete(3)};
  network.copy_to(policy);
  const Tensor rows = some_rows(100, 8), wanted = network.forward({.rows = rows}).outputs.contiguous();
  std::vector<float> found(300);
  Actor(policy).forward(span_of(rows), 100, found);
  const float largest = wanted.abs().max().item<float>();
  CHECK(largest > .05f);
  for (size_t i = 0; i < found.size(); ++i)
    CHECK(std::fabs(found[i] - span_of(wanted)[i]) < 1e-6f * std::max(1.f, largest));
}

TEST_CASE("An LSTM unrolled by steps, by stretches and by the actor is one and the same") {
  constexpr int64_t kSteps = 12, kEnvs = 3, kFeatures = 4;
  const bool shared = GENERATE(false, true);
  const ActorCritic network(spec_of(kFeatures, ActionSpace::discrete(2)), {.hidden = {16}, .lstm = 8, .shared = shared},
                            0, 5);
  const Tensor rows = some_rows(kSteps * kEnvs, kFeatures);
  Tensor starts = torch::zeros({kSteps, kEnvs});
  starts[0].fill_(1);
  starts[5][1] = 1;
  starts[7][1] = 1;
  starts[11][2] = 1;
  const LstmState zero = network.zero_state(kEnvs);
  const NetworkOutput whole = network.forward({rows, starts, zero, zero});
  const Tensor by_env = whole.outputs.view({kSteps, kEnvs, 2});

  SECTION("each episode alone, from nothing in mind") {
    auto check = [&](int64_t env, int64_t begin, int64_t end) {
      const Tensor own = rows.view({kSteps, kEnvs, kFeatures}).select(1, env).slice(0, begin, end).contiguous();
      const LstmState fresh = network.zero_state(1);
      const NetworkOutput alone = network.forward({own, torch::zeros({end - begin, 1}), fresh, fresh});
      CHECK(torch::allclose(alone.outputs, by_env.select(1, env).slice(0, begin, end), 1e-5, 1e-7));
      CHECK(torch::allclose(alone.values, whole.values.view({kSteps, kEnvs}).select(1, env).slice(0, begin, end), 1e-5,
                            1e-6));
    };
    check(0, 0, 12);
    check(1, 0, 5);
    check(1, 5, 7);
    check(1, 7, 12);
    check(2, 0, 11);
    check(2, 11, 12);
  }
  SECTION("in two halves") {
    const int64_t half = 6 * kEnvs;
    const NetworkOutput first = network.forward({rows.slice(0, 0, half), starts.slice(0, 0, 6), zero, zero});
    const NetworkOutput second =
        network.forward({rows.slice(0, half), starts.slice(0, 6), first.actor.last(), first.critic.last()});
    CHECK(torch::allclose(torch::cat({first.values, second.values}), whole.values, 1e-5, 1e-6));
  }
  SECTION("by the actor") {
    PolicyNetwork policy{.actions = ActionSpace::discrete(2)};
    network.copy_to(policy);
    Actor actor(policy);
    for (int64_t env = 0; env < kEnvs; ++env) {
      RecurrentState state = actor.initial_state();
      for (int64_t t = 0; t < kSteps; ++t) {
        if (starts[t][env].item<float>() == 1) state = actor.initial_state();
        std::vector<float> found(2);
        actor.forward(span_of(rows[t * kEnvs + env].contiguous()), state, found);
        for (int64_t k = 0; k < 2; ++k)
          CHECK(found[static_cast<size_t>(k)] == Approx(by_env[t][env][k].item<float>()).margin(1e-6));
      }
    }
  }
}

TEST_CASE("Gradients flow back through an LSTM to the beginning of the episode and no further") {
  const ActorCritic network(spec_of(2, ActionSpace::discrete(2)), {.hidden = {}, .lstm = 4}, 0, 5);
  Tensor rows = some_rows(6, 2).requires_grad_(true);
  Tensor starts = torch::zeros({6, 1});
  starts[3] = 1;
  const LstmState zero = network.zero_state(1);
  network.forward({rows, starts, zero, zero}).values[5].backward();
  const Tensor by_step = rows.grad().abs().sum(1);
  for (int64_t t = 0; t < 6; ++t) CHECK((by_step[t].item<float>() > 0) == (t >= 3));
}

}  // namespace kisim::learning

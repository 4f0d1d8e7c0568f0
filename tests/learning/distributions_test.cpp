#include "distributions.hpp"

#include "learning/catch.hpp"

#include <cmath>
#include <functional>

namespace kisim::learning {
namespace {

using Scalar = std::function<Tensor(const Tensor&)>;

// Central differences in float64 against autograd.
void check_gradient(const Scalar& f, Tensor x) {
  constexpr double kStep = 1e-5;
  x = x.to(torch::kFloat64).contiguous().requires_grad_(true);
  f(x).backward();
  const Tensor gradient = x.grad().flatten();
  torch::NoGradGuard guard;
  for (int64_t i = 0; i < x.numel(); ++i) {
    auto moved = [&](double by) {
      Tensor y = x.detach().clone();
      y.flatten()[i] += by;
      return f(y).item<double>();
    };
    const double wanted = (moved(kStep) - moved(-kStep)) / (2 * kStep);
    CHECK(gradient[i].item<double>() == Approx(wanted).margin(1e-7));
  }
}

// Weights that tell the rows apart.
Tensor mixed(const Tensor& rows) {
  return (rows * torch::arange(1, rows.numel() + 1, torch::kFloat64).view(rows.sizes())).sum();
}

const Tensor kLogits = torch::tensor({.3, -1.2, .8, 2., .1, -.4, .9, .5, -2., 1.1, .2, .7}).view({3, 4});

}  // namespace

TEST_CASE("Gradients of categorical log-probabilities and entropies") {
  const Tensor chosen = torch::tensor({2, 0, 3}).unsqueeze(1);
  const Tensor allowed = GENERATE(false, true)
                             ? torch::tensor({1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1}).view({3, 4}).to(torch::kBool)
                             : Tensor();
  check_gradient([&](const Tensor& x) { return mixed(categorical_log_probs(x, allowed).gather(1, chosen)); }, kLogits);
  check_gradient([&](const Tensor& x) { return mixed(categorical_entropy(categorical_log_probs(x, allowed))); },
                 kLogits);
}

TEST_CASE("What is not allowed has the probability 0 and no part in the entropy") {
  const Tensor allowed = torch::tensor({1, 0, 1, 0}).view({1, 4}).to(torch::kBool);
  const Tensor log_probs = categorical_log_probs(kLogits.narrow(0, 0, 1), allowed);
  CHECK(log_probs.exp()[0][1].item<float>() == 0);
  CHECK(log_probs.exp()[0][3].item<float>() == 0);
  const double p = 1 / (1 + std::exp(.8 - .3));
  CHECK(log_probs[0][0].item<double>() == Approx(std::log(p)));
  CHECK(categorical_entropy(log_probs).item<double>() == Approx(-p * std::log(p) - (1 - p) * std::log(1 - p)));
  const Tensor one = torch::tensor({0, 1, 0, 0}).view({1, 4}).to(torch::kBool);
  CHECK(categorical_entropy(categorical_log_probs(kLogits.narrow(0, 0, 1), one)).item<double>() == 0);
}

TEST_CASE("Components of a MultiDiscrete action add up") {
  const ActionSpace space = ActionSpace::multi_discrete({3, 1});
  const Tensor actions = torch::tensor({2.f, 0.f, 0.f, 0.f, 1.f, 0.f}).view({3, 2});
  const ActionOdds odds = action_odds(space, kLogits, {}, false, {}, actions);
  const Tensor first = torch::log_softmax(kLogits.narrow(1, 0, 3), 1);
  CHECK(odds.log_prob[0].item<float>() == first[0][2].item<float>());
  CHECK(odds.log_prob[2].item<float>() == first[2][1].item<float>());
  CHECK(torch::allclose(odds.entropy, -(first * first.exp()).sum(1)));
  check_gradient(
      [&](const Tensor& x) {
        const ActionOdds at = action_odds(ActionSpace::multi_discrete({2, 2}), x, {}, false, {},
                                          torch::tensor({1.f, 0.f, 0.f, 1.f, 1.f, 1.f}).view({3, 2}));
        return mixed(at.log_prob) + mixed(at.entropy.square());
      },
      kLogits);
}

TEST_CASE("Gradients of a Gaussian's log-probability and entropy, squashed or not") {
  const ActionSpace space = ActionSpace::box({-1, -1, -1, -1}, {1, 1, 1, 1});
  const Tensor log_std = torch::tensor({.1, -.5, .3, -1.}, torch::kFloat64);
  const Tensor actions =
      torch::tensor({.5, -.2, .9, 1.5, 0., .3, -3., .2, 5., -.1, .6, .4}, torch::kFloat64).view({3, 4});
  const bool squashed = GENERATE(false, true);
  auto odds = [&](const Tensor& mean, const Tensor& deviations) {
    const ActionOdds at = action_odds(space, mean, deviations, squashed, {}, actions);
    return mixed(at.log_prob) + 2 * at.entropy.sum();
  };
  check_gradient([&](const Tensor& x) { return odds(x, log_std); }, kLogits);
  check_gradient([&](const Tensor& x) { return odds(kLogits.to(torch::kFloat64), x); }, log_std);
}

TEST_CASE("A Gaussian's figures, and what tanh takes") {
  const Tensor mean = torch::zeros({1, 1}, torch::kFloat64), log_std = torch::full({1}, std::log(2.), torch::kFloat64);
  const Tensor x = torch::full({1, 1}, 1., torch::kFloat64);
  constexpr double kTwoPi = 6.283185307179586;
  CHECK(gaussian_log_prob(mean, log_std, x).item<double>() == Approx(-.125 - std::log(2.) - .5 * std::log(kTwoPi)));
  CHECK(gaussian_entropy(log_std).item<double>() == Approx(.5 * std::log(kTwoPi * std::exp(1.) * 4)));
  CHECK(squash_correction(x).item<double>() == Approx(std::log(1 - std::tanh(1.) * std::tanh(1.))));
  // Far out, where 1 − tanh² is 0 in floating point.
  CHECK(squash_correction(30 * x).item<double>() == Approx(2 * (std::log(2.) - 30)));
  check_gradient([](const Tensor& y) { return squash_correction(y).sum(); }, kLogits);
}

}  // namespace kisim::learning

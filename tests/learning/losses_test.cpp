#include "dqn.hpp"
#include "gae.hpp"
#include "ppo.hpp"

#include "learning/catch.hpp"

#include <cmath>
#include <vector>

namespace kisim::learning {
namespace {

struct Estimate {
  std::vector<double> advantages, returns;
};

Estimate estimate(const std::vector<double>& rewards, const std::vector<double>& values,
                  const std::vector<uint8_t>& ended, double last_value, double gamma, double lambda) {
  Estimate out{std::vector<double>(rewards.size()), std::vector<double>(rewards.size())};
  compute_gae({.rewards = rewards, .values = values, .ended = ended, .last_values = {&last_value, 1}}, gamma, lambda,
              out.advantages, out.returns);
  return out;
}

void check_close(const std::vector<double>& found, const std::vector<double>& wanted) {
  REQUIRE(found.size() == wanted.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(wanted[i]).margin(1e-8));
}

Tensor row(std::vector<double> values) { return torch::tensor(values, torch::kFloat64); }

PpoBatch batch_of_four() {
  PpoBatch batch;
  batch.log_probs = row({.3, -.4, .05, -.1});
  batch.old_log_probs = torch::zeros({4}, torch::kFloat64);
  batch.advantages = row({1, 1, -2, -.5});
  batch.old_values = row({.5, .4, .3, .2});
  batch.values = row({.9, .35, .6, -.3});
  batch.returns = row({1, .5, .1, 0});
  batch.entropy = torch::zeros({4}, torch::kFloat64);
  return batch;
}

}  // namespace

TEST_CASE("Advantages and returns of six steps, whole, ended and cut") {
  const std::vector<double> rewards = {1, 0, -1, 2, .5, 1}, values = {.5, .4, .3, .2, .1, .6};
  SECTION("no episode ends") {
    const Estimate found = estimate(rewards, values, {0, 0, 0, 0, 0, 0}, .7, .99, .95);
    check_close(found.advantages, {2.986172183, 2.222405298, 2.472520253, 3.800659493, 2.0219665, 1.093});
    check_close(found.returns, {3.486172183, 2.622405298, 2.772520253, 4.000659493, 2.1219665, 1.693});
  }
  SECTION("one ends with the third step") {
    const Estimate found = estimate(rewards, values, {0, 0, 1, 0, 0, 0}, .7, .99, .95);
    check_close(found.advantages, {-.350773825, -1.32565, -1.3, 3.800659493, 2.0219665, 1.093});
    check_close(found.returns, {.149226175, -.92565, -1, 4.000659493, 2.1219665, 1.693});
  }
  SECTION("one is cut there, and would have been worth 0.9") {
    std::vector<double> bootstrapped = rewards;
    bootstrapped[2] += .99 * .9;
    const Estimate found = estimate(bootstrapped, values, {0, 0, 1, 0, 0, 0}, .7, .99, .95);
    check_close(found.advantages, {.437351538, -.4876645, -.409, 3.800659493, 2.0219665, 1.093});
    check_close(found.returns, {.937351538, -.0876645, -.109, 4.000659493, 2.1219665, 1.693});
  }
}

// As Stable-Baselines3's test_gae: a reward of 1 with the last of 64 steps, the same value everywhere.
TEST_CASE("Advantages follow the closed recursion where the value is constant") {
  constexpr size_t kLength = 64;
  const double gamma = GENERATE(1.0, .99), lambda = GENERATE(1.0, .9), value = GENERATE(0.0, 1.0);
  const size_t episodes = GENERATE(1u, 3u);
  std::vector<double> rewards(kLength * episodes), wanted(kLength * episodes);
  std::vector<uint8_t> ended(kLength * episodes);
  for (size_t e = 0; e < episodes; ++e) {
    const size_t end = (e + 1) * kLength - 1;
    rewards[end] = 1;
    ended[end] = 1;
    wanted[end] = 1 - value;
    for (size_t t = 1; t < kLength; ++t) wanted[end - t] = (gamma - 1) * value + gamma * lambda * wanted[end - t + 1];
  }
  const Estimate found = estimate(rewards, std::vector<double>(rewards.size(), value), ended, 5, gamma, lambda);
  check_close(found.advantages, wanted);
}

TEST_CASE("λ = 1 gives discounted returns, λ = 0 TD errors; environments do not mix") {
  const std::vector<double> rewards = {1, 10, 2, 20, 3, 30}, values = {1, 2, 3, 4, 5, 6}, last = {7, 8};
  const std::vector<uint8_t> ended(6, 0);
  std::vector<double> advantages(6), returns(6);
  const Trajectories in{.environments = 2, .rewards = rewards, .values = values, .ended = ended, .last_values = last};
  compute_gae(in, .5, 1, advantages, returns);
  check_close(returns, {1 + .5 * (2 + .5 * (3 + .5 * 7)), 10 + .5 * (20 + .5 * (30 + .5 * 8)), 2 + .5 * (3 + .5 * 7),
                        20 + .5 * (30 + .5 * 8), 3 + .5 * 7, 30 + .5 * 8});
  compute_gae(in, .5, 0, advantages, returns);
  check_close(advantages,
              {1 + .5 * 3 - 1, 10 + .5 * 4 - 2, 2 + .5 * 5 - 3, 20 + .5 * 6 - 4, 3 + .5 * 7 - 5, 30 + .5 * 8 - 6});
}

TEST_CASE("Explained variance") {
  const std::vector<double> returns = {1, 2, 3, 4}, same = {2, 2, 2, 2};
  CHECK(explained_variance(returns, returns) == 1);
  CHECK(explained_variance(same, returns) == Approx(0));
  CHECK(std::isnan(explained_variance(returns, same)));
}

TEST_CASE("PPO's losses of four rows") {
  PpoCoefficients coefficients{.clip = .2, .entropy = 0, .value = 0, .normalise_advantages = false};
  const PpoLoss raw = ppo_loss(batch_of_four(), coefficients);
  CHECK(raw.policy == Approx(.171160213934).epsilon(1e-10));
  CHECK(raw.old_approx_kl == Approx(.0375).epsilon(1e-10));
  CHECK(raw.approx_kl == Approx(.031571842006).epsilon(1e-9));
  CHECK(raw.clip_fraction == .5);
  CHECK(raw.value == Approx(.0465625).epsilon(1e-10));

  coefficients.normalise_advantages = true;
  CHECK(ppo_loss(batch_of_four(), coefficients).policy == Approx(.035918710777).epsilon(1e-7));
  coefficients.clip_values = true;
  CHECK(ppo_loss(batch_of_four(), coefficients).value == Approx(.0565625).epsilon(1e-10));

  coefficients = {.clip = .2, .entropy = .5, .value = 2, .normalise_advantages = false};
  PpoBatch batch = batch_of_four();
  batch.entropy = row({.1, .2, .3, .4});
  CHECK(ppo_loss(batch, coefficients).total.item<double>() ==
        Approx(.171160213934 - .5 * .25 + 2 * .0465625).epsilon(1e-10));
}

TEST_CASE("Rows clipped on the side that got worse have no gradient") {
  PpoBatch batch = batch_of_four();
  batch.log_probs.requires_grad_(true);
  ppo_loss(batch, {.clip = .2, .value = 0, .normalise_advantages = false}).total.backward();
  const Tensor gradient = batch.log_probs.grad();
  CHECK(gradient[0].item<double>() == 0);  // ρ = 1.35 with A > 0
  CHECK(gradient[1].item<double>() == Approx(-std::exp(-.4) / 4));
  CHECK(gradient[2].item<double>() == Approx(2 * std::exp(.05) / 4));
  CHECK(gradient[3].item<double>() == Approx(.5 * std::exp(-.1) / 4));
}

TEST_CASE("At ratios of 1 PPO's gradient is A2C's") {
  PpoBatch batch = batch_of_four();
  batch.old_log_probs = batch.log_probs.clone();
  batch.log_probs.requires_grad_(true);
  const PpoLoss loss = ppo_loss(batch, {.clip = .2, .value = 0, .normalise_advantages = false});
  CHECK(loss.ratio_error == 0);
  CHECK(loss.approx_kl == 0);
  loss.total.backward();
  CHECK(torch::allclose(batch.log_probs.grad(), -batch.advantages / 4));
}

TEST_CASE("Targets of Q-learning: plain, double, ended, masked") {
  ReplayBuffer::Batch batch;
  batch.rewards = row({1, 1, 1});
  batch.discounts = row({.9, .9, 0});
  const Tensor target = torch::tensor({1., 2., 3., 1., 2., 3., 1., 2., 3.}, torch::kFloat64).view({3, 3});
  const Tensor online = torch::tensor({9., 0., 0., 0., 9., 0., 0., 0., 9.}, torch::kFloat64).view({3, 3});
  CHECK(torch::allclose(td_targets(batch, target, {}), row({1 + .9 * 3, 1 + .9 * 3, 1})));
  CHECK(torch::allclose(td_targets(batch, target, online), row({1 + .9 * 1, 1 + .9 * 2, 1})));
  batch.next_masks = torch::tensor({1, 1, 0, 0, 0, 1, 1, 1, 1}).view({3, 3}).to(torch::kBool);
  CHECK(torch::allclose(td_targets(batch, target, {}), row({1 + .9 * 2, 1 + .9 * 3, 1})));
  CHECK(torch::allclose(td_targets(batch, target, online), row({1 + .9 * 1, 1 + .9 * 3, 1})));
}

}  // namespace kisim::learning

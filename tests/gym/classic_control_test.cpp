#include "gym/classic_control.hpp"

#include "core/random.hpp"
#include "core/statistics.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace kisim;

namespace {

// Steps from a given state; returns the sum of the rewards.
template <class T>
double walk(T& env, const typename T::State& from, const std::vector<float>& actions, Transition* last = nullptr) {
  std::vector<float> observation(env.spec().observation.size());
  env.reset(0, 0, observation);
  env.state() = from;
  double sum = 0;
  for (float action : actions) {
    Transition t = env.step({&action, 1}, observation);
    sum += t.reward;
    if (last) *last = t;
  }
  return sum;
}

template <class T>
void check_state(T& env, const typename T::State& expected, double margin = 1e-12) {
  for (size_t i = 0; i < expected.size(); ++i) CHECK(env.state()[i] == Approx(expected[i]).epsilon(0).margin(margin));
}

std::vector<float> pattern(size_t n) {
  std::vector<float> out;
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<float>((i * 7 + i * i) % 3));
  return out;
}

}  // namespace

// Trajectories from Gymnasium 1.4.0, computed there in double precision.
TEST_CASE("CartPole moves as Gymnasium's") {
  CartPole env;
  CHECK(walk(env, {.01, .02, .03, .04}, {1, 0, 1, 1, 0, 0, 1, 0, 1, 0}) == 10);
  check_state(env, {0.04100839042892074, 0.017408812414579228, 0.0038214652462337543, 0.09714176712333428}, 1e-15);

  Transition last;
  walk(env, {0, 0, 0, 0}, std::vector<float>(8, 1), &last);
  CHECK_FALSE(last.terminated);
  walk(env, {0, 0, 0, 0}, std::vector<float>(9, 1), &last);
  CHECK(last.terminated);
  check_state(env, {0.14065097203306187, 1.7603811257683097, -0.21518604988500967, -2.777886494012814});
}

TEST_CASE("Acrobot moves as Gymnasium's") {
  Acrobot env;
  CHECK(walk(env, {.05, -.03, .02, -.08}, pattern(40)) == -40);
  check_state(env, {-0.009816422607037384, -0.13216237967907252, 0.06595016271908918, -0.27699044840750786});
  // Fast, over the top: angles wrap around, and the episode ends with the reward 0.
  Transition last;
  CHECK(walk(env, {2.9, .4, 11, 20}, {0, 2}, &last) == -1);
  CHECK(last.terminated);
  check_state(env, {3.080499835421027, 1.3831493689635481, 9.069855842630268, -22.721895115423294});
}

TEST_CASE("Acrobot keeps its energy without a torque") {
  // Links of 1 m and 1 kg as the dynamics has them; kinetic energy of both, height of both middles.
  auto energy = [](const std::array<double, 4>& s) {
    const double c2 = std::cos(s[1]), w1 = s[2], w2 = s[3], g = 9.8;
    const double m11 = 0.25 + 1 + 0.25 + c2 + 2, m12 = 0.25 + 0.5 * c2 + 1, m22 = 0.25 + 1;
    return 0.5 * (m11 * w1 * w1 + 2 * m12 * w1 * w2 + m22 * w2 * w2) - 1.5 * g * std::cos(s[0]) -
           0.5 * g * std::cos(s[0] + s[1]);
  };
  Acrobot env;
  const std::array<double, 4> from{0.3, -0.2, 0, 0};
  walk(env, from, std::vector<float>(50, 1));
  CHECK(energy(env.state()) == Approx(energy(from)).epsilon(1e-3));
}

TEST_CASE("MountainCar moves as Gymnasium's") {
  MountainCar env;
  CHECK(walk(env, {-.5, 0}, pattern(40)) == -40);
  check_state(env, {-0.6333593244239479, 0.0010429974140282645});

  // Pushed along its velocity it is over the hill after 124 steps.
  std::vector<float> observation(2);
  env.reset(0, 0, observation);
  env.state() = {-.5, 0};
  Transition t;
  int steps = 0;
  for (; !t.terminated; ++steps) {
    float push = env.state()[1] >= 0 ? 2 : 0;
    t = env.step({&push, 1}, observation);
  }
  CHECK(steps == 124);
  check_state(env, {0.5349499825655736, 0.04819097792866507});

  // The wall on the left takes its velocity.
  walk(env, {-1.15, -.06}, {0});
  check_state(env, {-1.2, 0}, 0);
}

TEST_CASE("Pendulum moves as Gymnasium's") {
  std::vector<float> torques;
  for (int i = 0; i < 60; ++i) torques.push_back(static_cast<float>(i * 5 % 13 - 6) / 2);
  Pendulum env;
  CHECK(walk(env, {1, -.5}, torques) == Approx(-323.8922506364686).epsilon(1e-12));
  check_state(env, {4.017562792001609, 6.499082324886538});
  CHECK(walk(env, {3, 7.9}, std::vector<float>(5, 3)) == Approx(-61.61840130647404).epsilon(1e-12));
  check_state(env, {4.918989944929347, 7.048325745007312});
}

TEST_CASE("a random policy holds the pole for 22 steps") {
  CartPole env;
  std::vector<float> observation(4);
  Stream stream(1, 0, Purpose::Policy);
  constexpr int kEpisodes = 20'000;
  double sum = 0, squares = 0;
  for (int e = 0; e < kEpisodes; ++e) {
    env.reset(1, static_cast<uint64_t>(e), observation);
    int steps = 0;
    for (Transition t; !t.terminated; ++steps) {
      float action = static_cast<float>(stream.below(2));
      t = env.step({&action, 1}, observation);
    }
    sum += steps;
    squares += steps * steps;
  }
  // 400,000 episodes of the same equations in numpy: mean 22.246 (standard error 0.019), deviation 11.85.
  const double mean = sum / kEpisodes, deviation = std::sqrt(squares / kEpisodes - mean * mean);
  CHECK(std::abs(mean - 22.246) < kNormalLimit * std::hypot(0.019, 11.85 / std::sqrt(kEpisodes)));
  CHECK(deviation == Approx(11.85).epsilon(0.05));
}

TEST_CASE("episodes are cut where Gymnasium cuts them") {
  auto cut_after = [](Env& env, float action) {
    std::vector<float> observation(env.spec().observation.size());
    env.reset(3, 0, observation);
    int steps = 0;
    for (Transition t; !t.truncated; ++steps) {
      REQUIRE_FALSE(t.terminated);
      t = env.step({&action, 1}, observation);
    }
    return steps;
  };
  MountainCar car;
  Pendulum pendulum;
  Acrobot acrobot;
  CHECK(cut_after(car, 1) == 200);
  CHECK(cut_after(pendulum, 0) == 200);
  CHECK(cut_after(acrobot, 1) == 500);

  // The cart drives on without ever losing its pole when we put it back: 500 steps, and the last may do both.
  CartPole pole;
  std::vector<float> observation(4);
  pole.reset(3, 0, observation);
  float action = 1;
  Transition t;
  for (int step = 1; step <= 500; ++step) {
    pole.state() = {step == 500 ? 2.5 : 0.0, 0, 0, 0};
    t = pole.step({&action, 1}, observation);
    REQUIRE(t.truncated == (step == 500));
  }
  CHECK(t.terminated);
}

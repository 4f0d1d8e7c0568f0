#include "gym/classic_control.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kisim {
namespace {

constexpr double kPi = math::kPi;
constexpr double kTurn = 2 * kPi;

double square(double x) { return x * x; }

double uniform(Stream& stream, double low, double high) { return low + (high - low) * stream.uniform(); }

// Each within its ± bound.
template <size_t N>
std::array<double, N> start_within(uint64_t seed, uint64_t episode, const std::array<double, N>& bound) {
  Stream stream(seed, episode, Purpose::Episode);
  std::array<double, N> out;
  for (size_t i = 0; i < N; ++i) out[i] = uniform(stream, -bound[i], bound[i]);
  return out;
}

Feature within(const char* name, double bound) { return {name, static_cast<float>(-bound), static_cast<float>(bound)}; }

void write(std::initializer_list<double> values, std::span<float> out) {
  std::transform(values.begin(), values.end(), out.begin(), [](double x) { return static_cast<float>(x); });
}

}  // namespace

namespace {
constexpr double kCartLimit = 2.4, kPoleLimit = 12 * kTurn / 360;
}

const EnvSpec& CartPole::spec() const {
  constexpr double kAny = std::numeric_limits<double>::infinity();
  static const EnvSpec spec{"CartPole-v1",
                            {within("position [m]", 2 * kCartLimit), within("velocity [m/s]", kAny),
                             within("angle [rad]", 2 * kPoleLimit), within("angular velocity [rad/s]", kAny)},
                            ActionSpace::discrete(2),
                            500,
                            475};
  return spec;
}

void CartPole::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  state_ = start_within<4>(seed, episode, {0.05, 0.05, 0.05, 0.05});
  std::copy(state_.begin(), state_.end(), observation.begin());
}

Transition CartPole::advance(std::span<const float> action, std::span<float> observation) {
  constexpr double kGravity = 9.8, kCart = 1, kPole = 0.1, kTotal = kCart + kPole, kHalfLength = 0.5, kForce = 10,
                   kStep = 0.02;
  auto& [x, v, theta, omega] = state_;
  const double force = action[0] == 1 ? kForce : -kForce, cos = math::cos(theta), sin = math::sin(theta);
  const double push = (force + kPole * kHalfLength * square(omega) * sin) / kTotal;
  const double turn = (kGravity * sin - cos * push) / (kHalfLength * (4.0 / 3 - kPole * square(cos) / kTotal));
  const double acceleration = push - kPole * kHalfLength * turn * cos / kTotal;
  // Euler's explicit method: positions move with the old velocities.
  x += kStep * v;
  v += kStep * acceleration;
  theta += kStep * omega;
  omega += kStep * turn;

  std::copy(state_.begin(), state_.end(), observation.begin());
  return {.reward = 1, .terminated = std::abs(x) > kCartLimit || std::abs(theta) > kPoleLimit};
}

namespace {

constexpr double kFastest1 = 4 * kPi, kFastest2 = 9 * kPi;

using AcrobotState = Acrobot::State;

// d state / dt. Links of 1 m and 1 kg, their mass in the middle, their moment of inertia 1 kg·m².
AcrobotState acrobot_change(const AcrobotState& s, double torque) {
  constexpr double kMass = 1, kLength = 1, kMiddle = 0.5, kInertia = 1, kGravity = 9.8;
  const auto& [theta1, theta2, omega1, omega2] = s;
  const double cos2 = math::cos(theta2), sin2 = math::sin(theta2);
  const double d1 = kMass * square(kMiddle) +
                    kMass * (square(kLength) + square(kMiddle) + 2 * kLength * kMiddle * cos2) + 2 * kInertia;
  const double d2 = kMass * (square(kMiddle) + kLength * kMiddle * cos2) + kInertia;
  const double phi2 = kMass * kMiddle * kGravity * math::cos(theta1 + theta2 - kPi / 2);
  const double phi1 = -kMass * kLength * kMiddle * square(omega2) * sin2 -
                      2 * kMass * kLength * kMiddle * omega2 * omega1 * sin2 +
                      (kMass * kMiddle + kMass * kLength) * kGravity * math::cos(theta1 - kPi / 2) + phi2;
  const double turn2 = (torque + d2 / d1 * phi1 - kMass * kLength * kMiddle * square(omega1) * sin2 - phi2) /
                       (kMass * square(kMiddle) + kInertia - square(d2) / d1);
  return {omega1, omega2, -(d2 * turn2 + phi1) / d1, turn2};
}

AcrobotState moved(const AcrobotState& from, const AcrobotState& change, double time) {
  AcrobotState out;
  for (size_t i = 0; i < 4; ++i) out[i] = from[i] + time * change[i];
  return out;
}

// The classical method of Runge and Kutta, of fourth order.
AcrobotState acrobot_after(const AcrobotState& s, double torque, double time) {
  const AcrobotState k1 = acrobot_change(s, torque), k2 = acrobot_change(moved(s, k1, time / 2), torque),
                     k3 = acrobot_change(moved(s, k2, time / 2), torque),
                     k4 = acrobot_change(moved(s, k3, time), torque);
  AcrobotState out;
  for (size_t i = 0; i < 4; ++i) out[i] = s[i] + time / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  return out;
}

double in_half_turns(double angle) {
  while (angle > kPi) angle -= kTurn;
  while (angle < -kPi) angle += kTurn;
  return angle;
}

void observe_acrobot(const AcrobotState& s, std::span<float> observation) {
  write({math::cos(s[0]), math::sin(s[0]), math::cos(s[1]), math::sin(s[1]), s[2], s[3]}, observation);
}

}  // namespace

const EnvSpec& Acrobot::spec() const {
  static const EnvSpec spec{
      "Acrobot-v1",
      {within("cos θ1", 1), within("sin θ1", 1), within("cos θ2", 1), within("sin θ2", 1),
       within("angular velocity 1 [rad/s]", kFastest1), within("angular velocity 2 [rad/s]", kFastest2)},
      ActionSpace::discrete(3),
      500,
      -100};
  return spec;
}

void Acrobot::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  state_ = start_within<4>(seed, episode, {0.1, 0.1, 0.1, 0.1});
  observe_acrobot(state_, observation);
}

Transition Acrobot::advance(std::span<const float> action, std::span<float> observation) {
  constexpr double kStep = 0.2, kHeight = 1;
  state_ = acrobot_after(state_, static_cast<double>(action[0]) - 1, kStep);
  auto& [theta1, theta2, omega1, omega2] = state_;
  theta1 = in_half_turns(theta1);
  theta2 = in_half_turns(theta2);
  omega1 = std::clamp(omega1, -kFastest1, kFastest1);
  omega2 = std::clamp(omega2, -kFastest2, kFastest2);

  observe_acrobot(state_, observation);
  const bool high = -math::cos(theta1) - math::cos(theta2 + theta1) > kHeight;
  return {.reward = high ? 0.0 : -1.0, .terminated = high};
}

namespace {
constexpr double kLeftEnd = -1.2, kRightEnd = 0.6, kFastestCar = 0.07;
}

const EnvSpec& MountainCar::spec() const {
  static const EnvSpec spec{
      "MountainCar-v0",
      {{"position", static_cast<float>(kLeftEnd), static_cast<float>(kRightEnd)}, within("velocity", kFastestCar)},
      ActionSpace::discrete(3),
      200,
      -110};
  return spec;
}

void MountainCar::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  Stream stream(seed, episode, Purpose::Episode);
  state_ = {uniform(stream, -0.6, -0.4), 0};
  std::copy(state_.begin(), state_.end(), observation.begin());
}

Transition MountainCar::advance(std::span<const float> action, std::span<float> observation) {
  constexpr double kForce = 0.001, kGravity = 0.0025, kGoal = 0.5;
  auto& [position, velocity] = state_;
  velocity += (static_cast<double>(action[0]) - 1) * kForce - math::cos(3 * position) * kGravity;
  velocity = std::clamp(velocity, -kFastestCar, kFastestCar);
  position = std::clamp(position + velocity, kLeftEnd, kRightEnd);
  if (position == kLeftEnd && velocity < 0) velocity = 0;

  std::copy(state_.begin(), state_.end(), observation.begin());
  return {.reward = -1, .terminated = position >= kGoal && velocity >= 0};
}

namespace {

constexpr double kFastestPendulum = 8, kStrongest = 2;

void observe_pendulum(const Pendulum::State& s, std::span<float> observation) {
  write({math::cos(s[0]), math::sin(s[0]), s[1]}, observation);
}

// In [-π, π).
double from_upright(double angle) { return angle - kTurn * std::floor((angle + kPi) / kTurn); }

}  // namespace

const EnvSpec& Pendulum::spec() const {
  static const EnvSpec spec{
      "Pendulum-v1",
      {within("cos θ", 1), within("sin θ", 1), within("angular velocity [rad/s]", kFastestPendulum)},
      ActionSpace::box({static_cast<float>(-kStrongest)}, {static_cast<float>(kStrongest)}),
      200,
      {}};
  return spec;
}

void Pendulum::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  state_ = start_within<2>(seed, episode, {kPi, 1});
  observe_pendulum(state_, observation);
}

Transition Pendulum::advance(std::span<const float> action, std::span<float> observation) {
  constexpr double kGravity = 10, kMass = 1, kLength = 1, kStep = 0.05;
  auto& [theta, omega] = state_;
  const double torque = std::clamp(static_cast<double>(action[0]), -kStrongest, kStrongest);
  const double cost = square(from_upright(theta)) + 0.1 * square(omega) + 0.001 * square(torque);
  omega += (3 * kGravity / (2 * kLength) * math::sin(theta) + 3 / (kMass * square(kLength)) * torque) * kStep;
  omega = std::clamp(omega, -kFastestPendulum, kFastestPendulum);
  theta += omega * kStep;

  observe_pendulum(state_, observation);
  return {.reward = -cost};
}

}  // namespace kisim

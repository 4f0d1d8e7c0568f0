#pragma once
// The classic control problems with the dynamics, bounds, rewards and limits of Gymnasium's versions of them, so that
// published scores hold here. Random streams are our own: the same seed gives other starts than there.

#include "core/random.hpp"
#include "rl/env.hpp"

#include <array>

namespace kisim {

// A cart to push left or right so that its pole stays up: +1 for each step (Barto, Sutton, Anderson, IEEE SMC-13,
// 1983).
class CartPole final : public Env {
 public:
  // x in m, ẋ in m/s, θ in rad from upright, θ̇ in rad/s.
  using State = std::array<double, 4>;
  const EnvSpec& spec() const override;
  State& state() { return state_; }  // to start from anywhere

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;

  State state_{};
};

// Two links, a torque of -1, 0 or 1 N·m at the joint between them: −1 for each step until the tip is high enough
// (Sutton, NIPS 8, 1996; dynamics of Sutton, Barto, "Reinforcement Learning", with θ₁ = 0 hanging down).
class Acrobot final : public Env {
 public:
  // θ₁, θ₂ (of the second link to the first), θ̇₁, θ̇₂.
  using State = std::array<double, 4>;
  const EnvSpec& spec() const override;
  State& state() { return state_; }

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;

  State state_{};
};

// A car too weak for the hill before it: −1 for each step until it is over it (Moore, thesis, Cambridge 1990).
class MountainCar final : public Env {
 public:
  // Position, velocity.
  using State = std::array<double, 2>;
  const EnvSpec& spec() const override;
  State& state() { return state_; }

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;

  State state_{};
};

// A pendulum to swing up by a torque within ±2 N·m: −(θ² + 0.1 θ̇² + 0.001 u²) for each step.
class Pendulum final : public Env {
 public:
  // θ in rad from upright, θ̇ in rad/s.
  using State = std::array<double, 2>;
  const EnvSpec& spec() const override;
  State& state() { return state_; }

 private:
  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;

  State state_{};
};

}  // namespace kisim

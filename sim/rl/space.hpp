#pragma once
// What an agent sees and what it may do, as Gymnasium's spaces: observations are Boxes of float32, actions Discrete,
// MultiDiscrete or Boxes of float32.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace kisim {

// One element of an observation: its name with the unit, and its bounds, inclusive.
struct Feature {
  std::string name;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  bool operator==(const Feature&) const = default;
};

// An action is a vector of floats whatever its kind, so that one buffer serves all: a choice is written as its index.
struct ActionSpace {
  enum class Kind : uint8_t { Discrete, MultiDiscrete, Box } kind = Kind::Discrete;
  std::vector<int32_t> choices;  // Discrete, MultiDiscrete: by component
  std::vector<float> low, high;  // Box: by component

  static ActionSpace discrete(int32_t n) { return {Kind::Discrete, {n}, {}, {}}; }
  static ActionSpace multi_discrete(std::vector<int32_t> n) { return {Kind::MultiDiscrete, std::move(n), {}, {}}; }
  static ActionSpace box(std::vector<float> low, std::vector<float> high) {
    return {Kind::Box, {}, std::move(low), std::move(high)};
  }

  bool continuous() const { return kind == Kind::Box; }
  // Components of an action.
  size_t size() const { return continuous() ? low.size() : choices.size(); }
  // What a network puts out for it: a logit for each choice of each component, or a mean for each component.
  size_t outputs() const;
  bool operator==(const ActionSpace&) const = default;
};

inline size_t ActionSpace::outputs() const {
  if (continuous()) return size();
  size_t n = 0;
  for (int32_t c : choices) n += static_cast<size_t>(c);
  return n;
}

}  // namespace kisim

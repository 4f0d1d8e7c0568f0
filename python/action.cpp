#include "action.hpp"

#include "core/error.hpp"

#include <cmath>

namespace kisim::python {
namespace {

using Numbers = py::array_t<double, py::array::c_style | py::array::forcecast>;

void check(const ActionSpace& space, size_t component, double value) {
  if (space.continuous()) {
    if (!std::isfinite(value)) throw UsageError(fmt::format("action: found {}, allowed: finite numbers", value));
    return;
  }
  const int32_t n = space.choices[component];
  if (!(value >= 0 && value < n && value == std::floor(value)))
    throw UsageError(fmt::format("action: found {}, allowed: integers from 0 to {}", value, n - 1));
}

}  // namespace

const char* kind_name(const ActionSpace& space) {
  switch (space.kind) {
    case ActionSpace::Kind::Discrete:
      return "discrete";
    case ActionSpace::Kind::MultiDiscrete:
      return "multi_discrete";
    case ActionSpace::Kind::Box:
      return "box";
  }
  return "";
}

void append_action(const ActionSpace& space, py::handle action, std::vector<float>& out) {
  append_actions(space, 1, action, out);
}

void append_actions(const ActionSpace& space, size_t n, py::handle actions, std::vector<float>& out) {
  const Numbers numbers = Numbers::ensure(actions);
  if (!numbers) {
    PyErr_Clear();
    throw UsageError(
        fmt::format("action: found {}, allowed: numbers", py::cast<std::string>(py::repr(py::type::of(actions)))));
  }
  const auto found = static_cast<size_t>(numbers.size());
  if (found != n * space.size())
    throw UsageError(fmt::format("action: found {} numbers, allowed: {}", found, n * space.size()));
  for (size_t i = 0; i < found; ++i) {
    check(space, i % space.size(), numbers.data()[i]);
    out.push_back(static_cast<float>(numbers.data()[i]));
  }
}

py::array_t<bool> bools(std::span<const uint8_t> values) {
  py::array_t<bool> out(static_cast<py::ssize_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) out.mutable_at(static_cast<py::ssize_t>(i)) = values[i] != 0;
  return out;
}

}  // namespace kisim::python

#pragma once

#include "bind.hpp"
#include "rl/space.hpp"

#include <span>
#include <vector>

namespace kisim::python {

// "discrete", "multi_discrete" or "box".
const char* kind_name(const ActionSpace& space);
// What Python gives as an action (a number, a sequence or an array), appended to `out` as the simulator takes it.
// Throws UsageError where it is not in the space.
void append_action(const ActionSpace& space, py::handle action, std::vector<float>& out);
// So many of them, row by row.
void append_actions(const ActionSpace& space, size_t n, py::handle actions, std::vector<float>& out);

py::array_t<bool> bools(std::span<const uint8_t> values);

}  // namespace kisim::python

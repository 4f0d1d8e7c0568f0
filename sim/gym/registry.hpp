#pragma once
// The environments that kisim brings along, by name.

#include "rl/env.hpp"

#include <memory>
#include <string>
#include <vector>

namespace kisim {

// Throws UsageError for an unknown name, telling those that are known.
std::unique_ptr<Env> make_env(const std::string& name);
// In alphabetical order.
std::vector<std::string> env_names();

}  // namespace kisim

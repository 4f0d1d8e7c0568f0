#pragma once
// Every registered policy of every role, for `kisim list` and `kisim describe`.

#include "policy/param.hpp"

#include <string>
#include <vector>

namespace kisim::app {

struct PolicyDoc {
  std::string role, name, doc;
  std::vector<ParamSpec> params;
};

// By role, then by name.
std::vector<PolicyDoc> policy_docs();

}  // namespace kisim::app

#pragma once
// The part of compiling a scenario that is about services whose requests are followed as rates (detail: fluid).

#include "run/model.hpp"
#include "run/scenario.hpp"

#include <string>
#include <vector>

namespace kisim {

// Fills ServiceModel::fluid and marks their sources. What rates cannot express is an error that names the field and
// what to use instead. `routers`: names of their policies, by service. Models, workloads and traffic are there already.
void compile_flows(const Scenario& scenario, const std::vector<std::string>& routers, Model& model,
                   std::vector<Diagnostic>& diagnostics);

}  // namespace kisim

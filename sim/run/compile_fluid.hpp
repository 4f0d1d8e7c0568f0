#pragma once
// The part of compiling a scenario that is about services whose requests are followed as rates (detail: fluid).

#include "run/model.hpp"
#include "run/scenario.hpp"

#include <string>
#include <vector>

namespace kisim {

// Of a Service: the policy's name, and where and under which key the scenario chose it.
struct ChosenRouter {
  std::string name, key;
  SourceMark mark;
};

// Fills ServiceModel::fluid and marks their sources. What rates cannot express is an error that names the field and
// what to use instead. `routers`: by service. Models, workloads and traffic are there already.
void compile_flows(const Scenario& scenario, const std::vector<ChosenRouter>& routers, Model& model,
                   std::vector<Diagnostic>& diagnostics);

}  // namespace kisim

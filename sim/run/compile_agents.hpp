#pragma once
// The part of compiling a scenario that is about agents, which scale several workloads together.

#include "run/compile_cluster.hpp"
#include "run/model.hpp"
#include "run/scenario.hpp"

#include <vector>

namespace kisim {

// Fills KubeModel::agents. Their workloads are theirs alone: autoscalers of these are taken away. Models, workloads,
// traffic and autoscalers are there already.
void compile_agents(const Scenario& scenario, const ClusterCompiler& cluster, Model& model,
                    std::vector<Diagnostic>& diagnostics);

}  // namespace kisim

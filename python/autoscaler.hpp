#pragma once
// An autoscaler that is written in Python.

#include "bind.hpp"
#include "run/model.hpp"

#include <string>
#include <utility>
#include <vector>

namespace kisim::python {

// By workload: what makes an object with decide(observation) for each run.
using Autoscalers = std::vector<std::pair<std::string, SharedObject>>;

// Puts them in the place of the autoscalers that the workloads have. Throws UsageError for an unknown workload.
void set_autoscalers(Model& model, const Autoscalers& autoscalers);

}  // namespace kisim::python

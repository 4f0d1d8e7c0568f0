#pragma once
// The two kinds of kube-scheduler's records. Both return how many decisions were compared.

#include "conformance/records.hpp"

namespace kisim::conformance {

// Sets decisions, strategies, sampling and preemption.
size_t compare_scheduling_cycles(const Json& record, std::vector<std::string>& differences);
// Set queue.
size_t compare_scheduling_queue(const Json& record, std::vector<std::string>& differences);

}  // namespace kisim::conformance

#pragma once
// A made-up run, every field different from its default, for the tests of the writers.

#include "run/recorder.hpp"
#include "run/scenario.hpp"
#include "run/summary.hpp"

namespace kisim {

Summary sample_summary();
Scenario sample_scenario();
// Two hours of one diurnal source on one workload; writes no rows of requests by itself.
Recorder sample_recorder();

}  // namespace kisim

#pragma once
// The report of a run, as io/report_page.hpp makes it.

#include "run/recorder.hpp"
#include "run/scenario.hpp"
#include "run/summary.hpp"

#include <string>

namespace kisim {

// Headline, key figures, charts over time, scalings, pods, decisions and warnings. Below 1 MB: series are thinned,
// long tables are cut and say so. Holds nothing measured on the wall clock: equal runs give equal pages.
std::string render_report(const Scenario& scenario, const Summary& summary, const Recorder& recorder);

// Throws IoError; `path` is whole or untouched.
void write_report(const std::string& path, const Scenario& scenario, const Summary& summary, const Recorder& recorder);

}  // namespace kisim

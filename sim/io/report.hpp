#pragma once
// The report of a run: one HTML page that needs nothing beside it, neither files nor a network.

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

// At most `points` samples (at least 2) that keep the smallest and the largest value of every stretch, and the gaps
// (NaN) that fill one.
Series thin(const Series& series, size_t points);

// Text for HTML, in an element or a quoted attribute.
std::string escape_html(const std::string& text);

}  // namespace kisim

#pragma once
// What a comparison shows, for people and for programs.

#include "io/text_table.hpp"
#include "run/comparison.hpp"

#include <string>
#include <vector>

namespace kisim {

// The findings first, SLO and cost of each contestant against the baseline, in a sentence. Then a table for each: a row
// per figure with its mean, the DIFFERENCE from the baseline in the figure's unit (of the SLO: in points of per cent),
// positive where the contestant has more, each with its 95 % interval, and the verdict. `by_family`: the tables of each
// family, too. Not wider than 80 columns, names excepted.
std::string comparison_text(const Comparison& comparison, bool by_family, const TextStyle& style);

// One object:
//   families, seeds    names of the scenarios, and what each ran with
//   policies           [{name, trainings, metrics, families: {name: metrics}}]; `trainings`: how many were pooled;
//                      metrics: {metric: {mean, interval: [low, high]}}, null where a run lacks it
//   pairs              [{policy, baseline, family, metric, difference, interval: [low, high], verdict}]; `family` null:
//                      all of them; `difference`: of the policy less the baseline; `verdict`: better, worse or
//                      no difference shown
//   bound              {name, level, metrics, families}: who knows the load to come (run/clairvoyant.hpp), at the
//                      fluid level; null where nobody asked
//   warnings           texts
// Metrics and their units, differences alike: SLO a share, 0 to 1; COST and TOTAL (with what missed SLOs cost) in
// the scenario's currency; GPU-HOURS;
// P95 and P95-TTFT in seconds; ENERGY in kWh; RESCALES and UNANSWERED counts of a run.
std::string comparison_json(const Comparison& comparison, const std::vector<std::string>& warnings);

}  // namespace kisim

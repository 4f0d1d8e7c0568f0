#pragma once
// What a search has found, for people and for programs.

#include "io/text_table.hpp"
#include "run/search.hpp"

#include <string>

namespace kisim {

// The best ten candidates: their settings, runs, and means of total cost, cost and SLO attainment.
std::string search_text(const SearchResult& result, const TextStyle& style);
// {runs, simulated_hours, candidates: [{settings, runs, total, cost, attainment}]}, the best first; costs in the unit
// of the prices, of one run.
std::string search_json(const SearchResult& result);

}  // namespace kisim

#include "io/search_text.hpp"

#include "io/humanize.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

std::string settings_text(const Settings& settings) {
  std::string out;
  for (const auto& [name, value] : settings) out += fmt::format("{}{}={}", out.empty() ? "" : " ", name, value);
  return out;
}

}  // namespace

std::string search_text(const SearchResult& result, const TextStyle& style) {
  constexpr size_t kShown = 10;
  if (result.candidates.empty()) return "No candidate was run.\n";
  const SearchedCandidate& best = result.candidates.front();
  std::string out;
  for (const std::string& line :
       wrap_text(fmt::format("{}: {:.2f} a run, {:.2f} of it for GPUs; {} of requests met their SLO.",
                             settings_text(best.settings), best.total, best.cost, human_percent(best.attainment)),
                 style.width))
    out += bold(line, style) + '\n';
  for (const std::string& line : wrap_text(
           fmt::format("{} candidates in {} runs, {} simulated hours. The best third of each round goes on to more "
                       "seeds: only rows with as many runs compare.",
                       result.candidates.size(), result.runs, human_number(result.simulated_hours)),
           style.width))
    out += line + '\n';
  out += '\n';
  TextTable table({{"RUNS", true}, {"TOTAL", true}, {"COST", true}, {"SLO", true}, {"SETTINGS"}});
  for (size_t i = 0; i < std::min(kShown, result.candidates.size()); ++i) {
    const SearchedCandidate& c = result.candidates[i];
    table.row({fmt::format("{}", c.runs), fmt::format("{:.2f}", c.total), fmt::format("{:.2f}", c.cost),
               human_percent(c.attainment), settings_text(c.settings)});
  }
  return out + table.text(style);
}

std::string search_json(const SearchResult& result) {
  Json candidates = Json::array();
  for (const SearchedCandidate& c : result.candidates)
    candidates.push_back({{"settings", c.settings},
                          {"runs", c.runs},
                          {"total", c.total},
                          {"cost", c.cost},
                          {"attainment", c.attainment}});
  return Json{{"runs", result.runs}, {"simulated_hours", result.simulated_hours}, {"candidates", candidates}}.dump(2) +
         '\n';
}

}  // namespace kisim

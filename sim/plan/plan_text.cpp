#include "io/humanize.hpp"
#include "plan/plan.hpp"

#include <nlohmann/json.hpp>

namespace kisim {

namespace {

constexpr size_t kWideFrom = 110;  // columns

// Without an interval where one run was plenty to tell.
std::string share(const PlanFigures& f) {
  if (f.interval.low == f.interval.high) return fmt::format("{:.1f}", 100 * f.attainment);
  return fmt::format("{:.1f} ({:.1f}-{:.1f})", 100 * f.attainment, 100 * f.interval.low, 100 * f.interval.high);
}

std::string cost(const PlanChoice& choice, int32_t replicas) { return fmt::format("{:.2f}", choice.cost(replicas)); }

std::string name(const PlanChoice& choice) {
  return choice.tensor_parallel > 1 ? fmt::format("{} TP{}", choice.gpu, choice.tensor_parallel) : choice.gpu;
}

std::string fewer(const PlanChoice& choice) {
  if (!choice.fewer) return "-";
  return fmt::format("{}: {}", choice.fewer->replicas, share(*choice.fewer));
}

nlohmann::ordered_json json_of(const PlanFigures& f) {
  return {{"replicas", f.replicas},
          {"attainment", f.attainment},
          {"attainment_interval", {f.interval.low, f.interval.high}},
          {"ttft_p95_s", f.ttft_p95},
          {"tpot_p95_s", f.tpot_p95},
          {"e2e_p95_s", f.e2e_p95}};
}

}  // namespace

std::string plan_table(const Plan& plan, const PlanRequest& request, const TextStyle& style) {
  const bool wide = style.width >= kWideFrom;
  std::vector<TextColumn> columns = {{"GPU", false, 3},
                                     {"REPLICAS", true, 8},
                                     {"GPUS", true, 4},
                                     {plan.priced ? "COST/H" : "GPU-H/H", true, 6},
                                     {"% WITHIN SLO", true, 12}};
  if (wide) columns.insert(columns.end(), {{"TTFT P95", true, 8}, {"TPOT P95", true, 8}});
  columns.push_back({"NOT ENOUGH", false, 10});
  TextTable table(columns);
  std::string cannot;
  for (const PlanChoice& choice : plan.choices) {
    if (!choice.meets) {
      for (const std::string& line : wrap_text(name(choice) + ": " + choice.why, style.width - 2))
        cannot += "  " + line + "\n";
      continue;
    }
    const PlanFigures& f = *choice.meets;
    std::vector<std::string> cells = {name(choice), std::to_string(f.replicas),
                                      std::to_string(f.replicas * choice.tensor_parallel), cost(choice, f.replicas),
                                      share(f)};
    if (wide) cells.insert(cells.end(), {human_duration(f.ttft_p95), human_duration(f.tpot_p95)});
    cells.push_back(fewer(choice));
    table.row(cells);
  }
  std::string out;
  if (const PlanChoice* best = plan.best()) {
    out = bold(fmt::format("{} replica{} on {}{}", best->meets->replicas, best->meets->replicas > 1 ? "s" : "",
                           best->tensor_parallel > 1 ? fmt::format("{} x ", best->tensor_parallel) : "", best->gpu),
               style);
    out += fmt::format(": {} {}, {:.1f} % of the requests within the SLO (95 %: {:.1f} to {:.1f}; needed {:g}).\n\n",
                       cost(*best, best->meets->replicas), plan.priced ? "per hour" : "GPUs",
                       100 * best->meets->attainment, 100 * best->meets->interval.low, 100 * best->meets->interval.high,
                       100 * request.slo.target);
    out += table.text(style);
  } else {
    out = bold("Nothing that was asked for serves this within the SLO.", style) + "\n";
  }
  if (!cannot.empty()) out += "\n" + bold("NOT CHOSEN", style) + "\n" + cannot;
  return out;
}

std::string plan_json(const Plan& plan, const PlanRequest& request) {
  nlohmann::ordered_json out = {{"model", request.model}, {"engine", request.engine}, {"target", request.slo.target}};
  out["choices"] = nlohmann::ordered_json::array();
  for (const PlanChoice& choice : plan.choices) {
    nlohmann::ordered_json row = {{"gpu", choice.gpu}, {"tensor_parallel", choice.tensor_parallel}};
    row["cost_per_hour"] = choice.meets ? nlohmann::ordered_json(choice.cost(choice.meets->replicas)) : nullptr;
    row["meets"] = choice.meets ? json_of(*choice.meets) : nullptr;
    row["fewer"] = choice.fewer ? json_of(*choice.fewer) : nullptr;
    row["why"] = choice.why.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(choice.why);
    out["choices"].push_back(row);
  }
  out["priced"] = plan.priced;
  out["warnings"] = plan.warnings;
  return out.dump(2) + "\n";
}

}  // namespace kisim

#include "io/comparison_text.hpp"

#include "io/humanize.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

using Family = std::optional<size_t>;  // of all families together, or of one

// Three digits; shares in hundredths of a per cent, of which the last ones matter near 100.
std::string number(const ComparedFigure& figure, double value, bool sign) {
  const double size = std::abs(figure.per_cent ? 100 * value : value);
  if (size == 0) return "0";
  const int digits = figure.per_cent ? 2 : size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  const std::string text = size >= 10'000 ? human_number(size) : fmt::format("{:.{}f}", size, digits);
  return (value < 0 ? "-" : sign ? "+" : "") + text;
}

// Without an interval where nothing varies.
std::string cell(const ComparedFigure& figure, const Estimate& estimate, bool sign) {
  const std::string mean = number(figure, estimate.mean, sign), low = number(figure, estimate.interval.low, sign),
                    high = number(figure, estimate.interval.high, sign);
  return low == high ? mean : fmt::format("{} [{}, {}]", mean, low, high);
}

std::string heading(const ComparedFigure& figure) {
  return figure.unit.empty() ? std::string(figure.name) : fmt::format("{} ({})", figure.name, figure.unit);
}

const ComparedFigure& figure_named(std::string_view name) {
  const auto all = compared_figures();
  return *std::find_if(all.begin(), all.end(), [&](const ComparedFigure& f) { return f.name == name; });
}

std::string trained(const Comparison::Side& side) {
  return side.trainings > 1 ? fmt::format("{} ({} trainings)", side.name, side.trainings) : side.name;
}

// "cost better by 2.31 (-11 %)"
std::string finding(const Comparison& c, std::string_view name, const std::string& what, size_t contestant) {
  const ComparedFigure& figure = figure_named(name);
  const std::optional<Estimate> less = c.difference(figure, contestant);
  if (!less) return "";
  const Verdict verdict = c.verdict(figure, contestant, *less);
  if (verdict == Verdict::NoDifferenceShown) return fmt::format("{}: no difference shown", what);
  const std::string by = number(figure, std::abs(less->mean), false);
  if (figure.per_cent) return fmt::format("{} {} by {} points", what, to_string(verdict), by);
  const double base = c.estimate(figure, c.baseline)->mean;
  const std::string relative = base == 0 ? "" : fmt::format(" ({:+.0f} %)", 100 * less->mean / base);
  return fmt::format("{} {} by {}{}", what, to_string(verdict), by, relative);
}

// Cost is always told; where there are no prices, GPU-hours stand for it.
std::string findings(const Comparison& c, size_t contestant) {
  const std::string slo = finding(c, "SLO", "SLO", contestant), cost = finding(c, "COST", "cost", contestant);
  std::vector<std::string> parts;
  if (!slo.empty()) parts.push_back(slo);
  parts.push_back(!cost.empty() ? cost : finding(c, "GPU-HOURS", "no prices, GPU-hours", contestant));
  if (const std::string total = finding(c, "TOTAL", "both together", contestant); !total.empty())
    parts.push_back(total);
  return fmt::format("{} against {}: {}", trained(c.contestants[contestant]), c.contestants[c.baseline].name,
                     fmt::join(parts, "; "));
}

std::string contestant_text(const Comparison& c, size_t contestant, Family family, const TextStyle& style) {
  const bool base = contestant == c.baseline;
  TextTable table({{"", false, 14},
                   {"MEAN [95 %]", true, 22},
                   {base ? "" : "DIFFERENCE [95 %]", true, 23},
                   {base ? "" : "VERDICT"}});
  for (const ComparedFigure& figure : compared_figures()) {
    const std::optional<Estimate> is = c.estimate(figure, contestant, family);
    if (!is) continue;
    const std::optional<Estimate> less = base ? std::nullopt : c.difference(figure, contestant, family);
    const Verdict verdict = less ? c.verdict(figure, contestant, *less) : Verdict::NoDifferenceShown;
    table.row({"  " + heading(figure), cell(figure, *is, false), less ? cell(figure, *less, true) : "",
               verdict == Verdict::NoDifferenceShown ? "" : std::string(to_string(verdict))});
  }
  return bold(trained(c.contestants[contestant]), style) + (base ? ", the baseline" : "") + '\n' + table.text(style);
}

std::string family_text(const Comparison& c, Family family, const TextStyle& style) {
  std::string out = contestant_text(c, c.baseline, family, style);
  for (size_t i = 0; i < c.contestants.size(); ++i)
    if (i != c.baseline) out += '\n' + contestant_text(c, i, family, style);
  return out;
}

// "10 seeds (1000..1009)": they follow each other.
std::string seeds_text(const std::vector<uint64_t>& seeds) {
  if (seeds.size() == 1) return fmt::format("seed {}", seeds[0]);
  return fmt::format("{} seeds ({}..{})", seeds.size(), seeds.front(), seeds.back());
}

Json estimate_json(const Estimate& e) { return {{"mean", e.mean}, {"interval", {e.interval.low, e.interval.high}}}; }

Json pairs_json(const Comparison& c, Family family) {
  Json out = Json::array();
  for (const ComparedFigure& figure : compared_figures())
    for (size_t i = 0; i < c.contestants.size(); ++i) {
      const bool paired = i != c.baseline && !c.contestants[i].bound;
      const std::optional<Estimate> less = paired ? c.difference(figure, i, family) : std::nullopt;
      if (!less) continue;
      out.push_back({{"policy", c.contestants[i].name},
                     {"baseline", c.contestants[c.baseline].name},
                     {"family", family ? Json(c.families[*family]) : Json()},
                     {"metric", figure.name},
                     {"difference", less->mean},
                     {"interval", {less->interval.low, less->interval.high}},
                     {"verdict", to_string(c.verdict(figure, i, *less))}});
    }
  return out;
}

Json metrics_json(const Comparison& c, size_t contestant, Family family) {
  Json out = Json::object();
  for (const ComparedFigure& figure : compared_figures()) {
    const std::optional<Estimate> is = c.estimate(figure, contestant, family);
    out[std::string(figure.name)] = is ? estimate_json(*is) : Json();
  }
  return out;
}

}  // namespace

std::string comparison_text(const Comparison& c, bool by_family, const TextStyle& style) {
  std::string out;
  for (size_t i = 0; i < c.contestants.size(); ++i)
    if (i != c.baseline)
      for (const std::string& line : wrap_text(findings(c, i), style.width)) out += bold(line, style) + '\n';
  std::string about = fmt::format(
      "Over {} of {}. Differences are those of runs of one scenario and seed; without a verdict none is shown.",
      seeds_text(c.seeds), fmt::join(c.families, ", "));
  about += fmt::format(" Fewer than {0} seeds, or from 2 to {1} trainings, are too few for one.",
                       Comparison::kFewestPoints, Comparison::kFewestPoints - 1);
  for (const std::string& line : wrap_text(about, style.width)) out += line + '\n';
  out += '\n' + family_text(c, {}, style);
  if (by_family && c.families.size() > 1)
    for (size_t f = 0; f < c.families.size(); ++f)
      out += fmt::format("\n{}\n\n", bold("In " + c.families[f], style)) + family_text(c, f, style);
  return out;
}

std::string comparison_json(const Comparison& c, const std::vector<std::string>& warnings) {
  Json policies = Json::array(), bound;
  for (size_t i = 0; i < c.contestants.size(); ++i) {
    Json families = Json::object();
    for (size_t f = 0; f < c.families.size(); ++f) families[c.families[f]] = metrics_json(c, i, f);
    if (c.contestants[i].bound)
      bound = {{"name", c.contestants[i].name},
               {"level", "fluid"},
               {"metrics", metrics_json(c, i, {})},
               {"families", families}};
    else
      policies.push_back({{"name", c.contestants[i].name},
                          {"trainings", c.contestants[i].trainings},
                          {"metrics", metrics_json(c, i, {})},
                          {"families", families}});
  }
  Json pairs = pairs_json(c, {});
  for (size_t f = 0; f < c.families.size(); ++f)
    for (Json& pair : pairs_json(c, f)) pairs.push_back(std::move(pair));
  return Json{{"families", c.families}, {"seeds", c.seeds}, {"policies", policies},
              {"pairs", pairs},         {"bound", bound},   {"warnings", warnings}}
             .dump(2) +
         '\n';
}

}  // namespace kisim

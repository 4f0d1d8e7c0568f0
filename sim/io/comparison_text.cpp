#include "io/comparison_text.hpp"

#include "io/humanize.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

std::string number(double value, bool sign) {
  const int digits = std::abs(value) >= 100 ? 0 : std::abs(value) >= 10 ? 1 : std::abs(value) >= 1 ? 2 : 3;
  return sign ? fmt::format("{:+.{}f}", value, digits) : fmt::format("{:.{}f}", value, digits);
}

double shown(const ComparedFigure& figure, double value) { return figure.per_cent ? 100 * value : value; }

std::string cell(const ComparedFigure& figure, const Estimate& estimate, bool sign) {
  auto text = [&](double value) { return number(shown(figure, value), sign); };
  return fmt::format("{} [{}, {}]", text(estimate.mean), text(estimate.interval.low), text(estimate.interval.high));
}

std::string heading(const ComparedFigure& figure) {
  return figure.unit.empty() ? std::string(figure.name) : fmt::format("{} ({})", figure.name, figure.unit);
}

// Of all families together, or of one.
std::string family_text(const Comparison& c, std::optional<size_t> family, const TextStyle& style) {
  TextTable figures({{"FIGURE"}, {"POLICY"}, {"MEAN [95 %]", true}, {"LESS THE BASELINE", true}, {"VERDICT"}});
  for (const ComparedFigure& figure : compared_figures()) {
    bool first = true;
    for (size_t i = 0; i < c.contestants.size(); ++i) {
      const std::optional<Estimate> is = c.estimate(figure, i, family);
      if (!is) continue;
      const std::optional<Estimate> less = i == c.baseline ? std::nullopt : c.difference(figure, i, family);
      const bool judged = less && figure.better != ComparedFigure::Better::Neither;
      figures.row({first ? heading(figure) : "", c.contestants[i], cell(figure, *is, false),
                   less ? cell(figure, *less, true) : "baseline",
                   judged ? std::string(to_string(c.verdict(figure, *less))) : ""});
      first = false;
    }
  }
  return figures.text(style);
}

Json estimate_json(const Estimate& e) { return {{"mean", e.mean}, {"interval", {e.interval.low, e.interval.high}}}; }

Json pairs_json(const Comparison& c, std::optional<size_t> family) {
  Json out = Json::array();
  for (const ComparedFigure& figure : compared_figures())
    for (size_t i = 0; i < c.contestants.size(); ++i) {
      const std::optional<Estimate> less = i == c.baseline ? std::nullopt : c.difference(figure, i, family);
      if (!less) continue;
      out.push_back({{"policy", c.contestants[i]},
                     {"baseline", c.contestants[c.baseline]},
                     {"family", family ? Json(c.families[*family]) : Json()},
                     {"metric", figure.name},
                     {"difference", less->mean},
                     {"interval", {less->interval.low, less->interval.high}},
                     {"verdict", to_string(c.verdict(figure, *less))}});
    }
  return out;
}

Json metrics_json(const Comparison& c, size_t contestant, std::optional<size_t> family) {
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
  if (by_family && c.families.size() > 1)
    for (size_t f = 0; f < c.families.size(); ++f)
      out += bold(c.families[f], style) + '\n' + family_text(c, f, style) + '\n';
  out += bold(fmt::format("{} over {} seeds each", fmt::join(c.families, ", "), c.seeds.size()), style) + '\n';
  return out + family_text(c, {}, style);
}

std::string comparison_json(const Comparison& c) {
  Json policies = Json::array();
  for (size_t i = 0; i < c.contestants.size(); ++i) {
    Json families = Json::object();
    for (size_t f = 0; f < c.families.size(); ++f) families[c.families[f]] = metrics_json(c, i, f);
    policies.push_back({{"name", c.contestants[i]}, {"metrics", metrics_json(c, i, {})}, {"families", families}});
  }
  Json pairs = pairs_json(c, {});
  for (size_t f = 0; f < c.families.size(); ++f)
    for (Json& pair : pairs_json(c, f)) pairs.push_back(std::move(pair));
  return Json{{"policies", policies}, {"pairs", pairs}, {"bound", nullptr}}.dump(2) + '\n';
}

}  // namespace kisim

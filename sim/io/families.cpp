#include "io/families.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kHuge = 1e15;  // counts beyond it are not exact

Distribution lognormal_by_mean(double mean, double cv) {
  double square = 1 + cv * cv;
  return Distribution::lognormal(mean / std::sqrt(square), std::sqrt(math::log(square)));
}

}  // namespace

const std::vector<Family>& families() {
  // The limits keep every draw finite.
  static const std::vector<Family> kFamilies = {
      {"uniform",
       {{"min", true, -kHuge, kHuge}, {"max", true, -kHuge, kHuge}},
       true,
       [](const auto& p) { return Distribution::uniform(p[0], p[1]); }},
      {"exponential", {{"mean", true, 0, kHuge}}, false, [](const auto& p) { return Distribution::exponential(p[0]); }},
      {"normal",
       {{"mean", true, -kHuge, kHuge}, {"sd", true, 0, kHuge}},
       false,
       [](const auto& p) { return Distribution::normal(p[0], p[1]); }},
      {"lognormal",
       {{"median", true, 1e-12, kHuge}, {"sigma", false, 0, 20}},
       false,
       [](const auto& p) { return Distribution::lognormal(p[0], p[1]); }},
      {"lognormal",
       {{"mean", true, 1e-12, kHuge}, {"cv", false, 0, 1000}},
       false,
       [](const auto& p) { return lognormal_by_mean(p[0], p[1]); }},
      {"gamma",
       {{"mean", true, 1e-12, kHuge}, {"cv", false, 1e-6, 1000}},
       false,
       [](const auto& p) { return Distribution::gamma(p[0], p[1]); }},
      {"geometric", {{"mean", true, 1, kHuge}}, false, [](const auto& p) { return Distribution::geometric(p[0]); }},
      {"poisson", {{"mean", true, 0, 1e9}}, false, [](const auto& p) { return Distribution::poisson(p[0]); }},
      {"zipf",
       {{"n", false, 1, kHuge, true}, {"exponent", false, 0, 100}},
       false,
       [](const auto& p) { return Distribution::zipf(p[0], p[1]); }},
  };
  return kFamilies;
}

const std::vector<std::string>& family_names() {
  static const std::vector<std::string> kNames = {"constant",  "uniform",  "exponential", "normal",
                                                  "lognormal", "gamma",    "geometric",   "poisson",
                                                  "zipf",      "discrete", "empirical"};
  return kNames;
}

bool is_family(const std::string& name) {
  return std::find(family_names().begin(), family_names().end(), name) != family_names().end();
}

Fields declare(const Family& family, const Field& number, std::array<double, 2>& values) {
  Fields fields;
  for (size_t i = 0; i < family.parameters.size(); i++) {
    const Family::Parameter& parameter = family.parameters[i];
    Field& field = fields.add(parameter.name, &values[i], "").required().no_distribution();
    if (parameter.in_unit) field.in(number.base);
    field.whole = parameter.whole;
    field.min(parameter.least).max(parameter.most);
    if (parameter.in_unit) field.max(std::min(parameter.most, number.most));
    if (family.limits) field.min(number.least).exclusive = number.exclusive;
  }
  return fields;
}

}  // namespace kisim

#include "bind.hpp"
#include "io/explain_text.hpp"
#include "io/input.hpp"
#include "io/text_table.hpp"
#include "policy/param.hpp"
#include "run/explain.hpp"
#include "run/model.hpp"

namespace kisim::python {
namespace {

using Overrides = std::vector<std::pair<std::string, std::string>>;

ReadOptions read_options(Overrides overrides, std::optional<uint64_t> seed, bool strict) {
  ReadOptions options;
  options.overrides = std::move(overrides);
  options.seed = seed;
  options.strict = strict;
  return options;
}

// Compiled once, so that a mistake is told when the scenario is made and not when it runs. Who acts for its agents is
// said later.
std::shared_ptr<Scenario> checked(Scenario scenario) {
  scenario.trains_agents = true;
  auto out = std::make_shared<Scenario>(std::move(scenario));
  compile(*out);
  return out;
}

Time time_of(const Model& model, std::optional<double> at) {
  if (!at) return model.end;
  if (!(*at >= 0)) throw UsageError(fmt::format("at: found {}, allowed: seconds from the start of the run", *at));
  return std::min(model.end, Time{} + Duration::seconds(*at));
}

std::string explain(const Scenario& scenario, const std::string& pod, std::optional<double> at, bool wide) {
  std::shared_ptr<const Model> model = compile(scenario);
  const Time until = time_of(*model, at);
  return explanation_text(explain_pod(std::move(model), pod, until), wide, TextStyle{});
}

}  // namespace

void bind_scenario(py::module_& m) {
  using Released = py::call_guard<py::gil_scoped_release>;

  py::class_<Scenario, std::shared_ptr<Scenario>>(m, "Scenario")
      .def_static(
          "read",
          [](const std::vector<std::string>& paths, Overrides overrides, std::optional<uint64_t> seed, bool strict) {
            return checked(read_scenario(paths, read_options(std::move(overrides), seed, strict)));
          },
          Released())
      .def_static(
          "read_text",
          [](const std::string& text, const std::string& name, Overrides overrides, std::optional<uint64_t> seed,
             bool strict) {
            return checked(read_scenario_text(text, name, read_options(std::move(overrides), seed, strict)));
          },
          Released())
      .def_readonly("name", &Scenario::name)
      .def_readonly("seed", &Scenario::seed)
      .def_readonly("text", &Scenario::text)
      .def_property_readonly("duration", [](const Scenario& s) { return s.duration.to_seconds(); })
      .def_property_readonly("warmup", [](const Scenario& s) { return s.warmup.to_seconds(); })
      .def_property_readonly(
          "warnings", [](const Scenario& s) { return compile(s)->warnings; }, Released())
      .def("explain_pod", &explain, Released());
  m.def("parse_duration", &parse_duration_seconds);
}

}  // namespace kisim::python

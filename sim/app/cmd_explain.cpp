#include "cli.hpp"
#include "core/error.hpp"
#include "io/explain_text.hpp"
#include "io/humanize.hpp"
#include "policy/param.hpp"
#include "run/explain.hpp"
#include "scenario_flags.hpp"

namespace kisim::app {

namespace po = boost::program_options;

namespace {

Time parse_time(const std::string& text, const Model& model) {
  if (text.empty()) return model.end;
  std::optional<double> seconds = parse_duration_seconds(text);
  if (!seconds || *seconds < 0)
    throw UsageError(fmt::format("--at: found '{}', allowed: a time from the start such as 90s or 1h30m", text));
  return std::min(Time{} + Duration::seconds(*seconds), model.end);
}

}  // namespace

int cmd_explain(const Arguments& arguments) {
  ScenarioFlags flags;
  std::string at, output = "table";
  Arguments rest;
  CommandLine line(
      {"explain pod NAME FILE... [flags]",
       "Replays a scenario, or the run that a run.h5 is of, and tells why the pod is where it is: what every "
       "node was rejected for or scored, what would have to change for a pod that waits, and whom it would "
       "evict.",
       "  kisim explain pod sweep scenarios/scheduling/mig.yaml\n"
       "  kisim explain pod sweep mig.run/run.h5 --at 5m\n"});
  flags.add_to(line);
  line.flags().add_options()("at", po::value(&at)->value_name("time"), "time of the run (default: its end)")(
      "output,o", po::value(&output)->value_name("format"), "table (default), wide or json");
  if (!line.parse(arguments, rest)) return kOk;
  if (rest.size() < 3 || rest[0] != "pod") throw UsageError("explain takes: pod NAME FILE...");
  check_choice("--output", output, {"table", "wide", "json"});

  const std::shared_ptr<const Model> model = compile(read_scenario({rest.begin() + 2, rest.end()}, flags.options()));
  PodExplanation explanation = explain_pod(model, rest[1], parse_time(at, *model));
  print(output == "json" ? explanation_json(explanation)
                         : explanation_text(explanation, output == "wide", output_style()));
  return kOk;
}

}  // namespace kisim::app

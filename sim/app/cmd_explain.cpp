#include "cli.hpp"
#include "core/error.hpp"
#include "io/explain_hpa_text.hpp"
#include "io/explain_text.hpp"
#include "io/humanize.hpp"
#include "policy/param.hpp"
#include "run/explain.hpp"
#include "scenario_flags.hpp"

namespace kisim::app {

namespace po = boost::program_options;

namespace {

// Beyond the end of the run, its end.
Time parse_time(const std::string& text, const Model& model) {
  if (text.empty()) return model.end;
  std::optional<double> seconds = parse_duration_seconds(text);
  if (!seconds || *seconds < 0)
    throw UsageError(fmt::format("--at: found '{}', allowed: a time from the start such as 90s or 1h30m", text));
  const double end = model.end.to_seconds();
  if (*seconds <= end) return Time{} + Duration::seconds(*seconds);
  print_warnings({fmt::format("--at {} is after the end of the run: this is of its end, {}", text, human_clock(end))});
  return model.end;
}

std::string explain_pod_text(std::shared_ptr<const Model> model, const std::string& name, Time at,
                             const std::string& output) {
  check_choice("--output", output, {"table", "wide", "json"});
  PodExplanation explanation = explain_pod(std::move(model), name, at);
  if (output == "json") return explanation_json(explanation);
  return explanation_text(explanation, output == "wide", output_style());
}

std::string explain_hpa_text(std::shared_ptr<const Model> model, const std::string& name, Time at,
                             const std::string& output) {
  check_choice("--output", output, {"table", "wide", "json", "yaml"});
  HpaExplanation explanation = explain_hpa(std::move(model), name, at);
  if (output == "json") return hpa_explanation_json(explanation);
  if (output == "yaml") return hpa_explanation_yaml(explanation);
  return hpa_explanation_text(explanation, output == "wide", output_style());
}

}  // namespace

int cmd_explain(const Arguments& arguments) {
  ScenarioFlags flags;
  std::string at, output = "table";
  Arguments rest;
  CommandLine line(
      {"explain pod|hpa NAME FILE... [flags]",
       "Replays a scenario, or the run that a run.h5 is of. Of a pod it tells why it is where it is: what every node "
       "was rejected for or scored, what would have to change for a pod that waits, and whom it would evict. Of a "
       "HorizontalPodAutoscaler it tells what each metric asked for, and what windows, policies and limits made of it.",
       "  kisim explain pod sweep scenarios/scheduling/mig.yaml\n"
       "  kisim explain pod sweep mig.run/run.h5 --at 5m\n"
       "  kisim explain hpa llama scenarios/quickstart.yaml --at 20m\n"});
  flags.add_to(line);
  line.flags().add_options()("at", po::value(&at)->value_name("time"), "time of the run (default: its end)")(
      "output,o", po::value(&output)->value_name("format"),
      "table (default), wide: all there is, or json; of an hpa also yaml");
  if (!line.parse(arguments, rest)) return kOk;
  if (rest.size() < 3) throw UsageError("explain takes: pod NAME FILE... or hpa NAME FILE...");
  check_choice("explain", rest[0], {"pod", "hpa"});

  const std::shared_ptr<const Model> model = compile(read_scenario({rest.begin() + 2, rest.end()}, flags.options()));
  auto* explain = rest[0] == "pod" ? explain_pod_text : explain_hpa_text;
  print(explain(model, rest[1], parse_time(at, *model), output));
  return kOk;
}

}  // namespace kisim::app

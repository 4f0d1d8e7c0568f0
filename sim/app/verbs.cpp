#include "cli.hpp"
#include "core/error.hpp"

#include <algorithm>

namespace kisim::app {
namespace {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> verbs = {
      {"run", "Simulate a scenario", cmd_run},
      {"validate", "Check a scenario without running it", cmd_validate},
      {"explain", "Tell why a pod is where it is, or why it waits", cmd_explain},
      {"conformance", "Compare with records of the real Kubernetes code", cmd_conformance},
      {"fidelity", "Compare with what others have measured", cmd_fidelity},
      {"plan", "Find the cheapest GPUs that serve a model within its SLO", cmd_plan},
      {"train", "Train a policy", cmd_train},
      {"search", "Search the settings of a policy that cost least", cmd_search},
      {"eval", "Compare policies on held-out scenarios and seeds", cmd_eval},
      {"export", "Write a trained policy as an ONNX model", cmd_export},
      {"calibrate", "Fit coefficients to measurements", cmd_calibrate},
      {"list", "List policies, models, gpus, engines or metrics", cmd_list},
      {"describe", "Show one of these in detail, or the scenario's parameters", cmd_describe},
      {"schema", "Print the JSON Schema of the Scenario document", cmd_schema},
      {"bench", "Run the benchmarks", cmd_bench},
      {"version", "Print the version", cmd_version},
  };
  return verbs;
}

std::string general_help() {
  std::string out =
      "kisim simulates Kubernetes inference clusters: decisions, GPU serving and policies.\n\n"
      "Usage:\n  kisim VERB [arguments] [flags]\n\nVerbs:\n";
  for (const Verb& verb : verbs()) out += fmt::format("  {:<13}{}\n", verb.name, verb.doc);
  return out +
         "\nExit codes:\n"
         "  0 ok, 1 a check failed, 2 usage, 3 invalid input, 4 input or output failed,\n"
         "  5 a defect of kisim, 130 interrupted\n"
         "\nUse 'kisim VERB --help' for the flags of a verb.\n";
}

const Verb& find_verb(const std::string& name) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) {
    if (verb.name == name) return verb;
    names.push_back(verb.name);
  }
  throw UsageError(fmt::format("unknown verb '{}'.{}", name, did_you_mean(name, names)));
}

int run_verb(const Arguments& arguments) {
  if (arguments.empty()) throw UsageError("no verb given");
  const std::string& first = arguments[0];
  if (first == "--version") return cmd_version({});
  const bool wants_help = first == "help" || first == "--help" || first == "-h";
  if (!wants_help) return find_verb(first).run({arguments.begin() + 1, arguments.end()});
  if (arguments.size() > 1) return find_verb(arguments[1]).run({"--help"});
  print(general_help());
  return kOk;
}

}  // namespace

int dispatch(const Arguments& arguments) {
  const bool has_verb = !arguments.empty() && std::any_of(verbs().begin(), verbs().end(),
                                                          [&](const Verb& verb) { return verb.name == arguments[0]; });
  const std::string help = has_verb ? "kisim " + arguments[0] + " --help" : "kisim --help";
  return guarded(help, [&] { return run_verb(arguments); });
}

}  // namespace kisim::app

#include "cli.hpp"
#include "core/error.hpp"
#include "io/comparison_text.hpp"
#include "io/training_file.hpp"

#include <glob.h>

#include <algorithm>

namespace kisim::app {

namespace po = boost::program_options;

namespace {

// The files of a pattern in the order of their names; the pattern itself where there are none.
std::vector<std::string> files_of(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out{pattern};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) out.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return out;
}

void add_policies(const std::vector<std::string>& flags, EvaluationFile& evaluation) {
  for (const std::string& text : flags) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--policy: found '{}', expected name=file", text));
    for (const std::string& file : files_of(text.substr(equals + 1)))
      add_policy(evaluation, text.substr(0, equals), file);
  }
}

// Of the runs, those that are not known yet.
std::vector<std::string> new_warnings(const Comparison& comparison, const std::vector<std::string>& known) {
  std::vector<std::string> out;
  auto holds = [](const std::vector<std::string>& all, const std::string& text) {
    return std::find(all.begin(), all.end(), text) != all.end();
  };
  for (const Comparison::Side& side : comparison.contestants)
    for (const Summary& run : side.runs)
      for (const std::string& text : run.warnings)
        if (!holds(known, text) && !holds(out, text)) out.push_back(text);
  return out;
}

}  // namespace

int cmd_eval(const Arguments& arguments) {
  std::string seeds, output = "table";
  size_t threads = 0;
  bool strict = false;
  Arguments files;
  std::vector<std::string> policies;
  CommandLine line(
      {"eval FILE [flags]",
       "Compares policies as a file of kind Evaluation says: all of them on the same scenarios and seeds, "
       "with intervals of the differences from run to run. A difference is called better or worse where "
       "its interval does not hold 0. Trained policies of one name are trainings of one algorithm: what is "
       "compared then is the algorithm.",
       "  kisim eval scenarios/kis-s/fleet/evaluation.yaml --policy kiscaler=fleet/seed-0/best.safetensors\n"
       "  kisim eval scenarios/kis-s/fleet/evaluation.yaml --policy 'kiscaler=fleet/seed-*/best.safetensors'\n"});
  line.flags().add_options()("policy", po::value(&policies)->composing()->value_name("name=file"),
                             "a trained policy that is compared, too; or several, by a pattern. May be repeated")(
      "seeds", po::value(&seeds)->value_name("range"), "one, or several as 0..9 (default: the file's)")(
      "strict", po::bool_switch(&strict), "unknown fields and other warnings are errors")(
      "threads", po::value(&threads)->value_name("n"), "0 (default): as many as there are cores")(
      "output,o", po::value(&output)->value_name("format"), "table (default), wide (each family, too) or json");
  if (!line.parse(arguments, files)) return kOk;
  if (files.size() != 1) throw UsageError("eval takes one file");
  check_choice("--output", output, {"table", "wide", "json"});
  EvaluationFile evaluation = read_evaluation(files[0], strict);
  add_policies(policies, evaluation);
  if (!seeds.empty()) evaluation.seeds = seeds_flag(seeds);

  CompiledEvaluation compiled = compile_evaluation(evaluation);
  print_warnings(compiled.warnings);
  stop_on_signals();
  Comparison comparison =
      compare(compiled.contestants, compiled.families, evaluation.seeds, evaluation.variation, threads, stop_requested);
  if (stop_requested) {
    print_error("interrupted");
    return kInterrupted;
  }
  comparison.baseline = compiled.baseline;
  // What only the runs could show.
  const std::vector<std::string> shown = new_warnings(comparison, compiled.warnings);
  print_warnings(shown);
  compiled.warnings.insert(compiled.warnings.end(), shown.begin(), shown.end());
  print(output == "json" ? comparison_json(comparison, compiled.warnings)
                         : comparison_text(comparison, output == "wide", output_style()));
  return kOk;
}

}  // namespace kisim::app

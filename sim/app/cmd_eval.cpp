#include "cli.hpp"
#include "core/error.hpp"
#include "io/comparison_text.hpp"
#include "io/training_file.hpp"

namespace kisim::app {

namespace po = boost::program_options;

int cmd_eval(const Arguments& arguments) {
  std::string seeds, output = "table";
  size_t threads = 0;
  Arguments files;
  std::vector<std::string> policies;
  CommandLine line(
      {"eval FILE [flags]",
       "Compares policies as a file of kind Evaluation says: all of them on the same scenarios and seeds, "
       "with intervals of the differences from run to run. A difference is called better or worse where "
       "its interval does not hold 0.",
       "  kisim eval scenarios/kis-s/fleet/evaluation.yaml --policy kiscaler=fleet/seed-0/best.safetensors\n"});
  line.flags().add_options()("policy", po::value(&policies)->composing()->value_name("name=file"),
                             "a trained policy that is compared, too. May be repeated")(
      "seeds", po::value(&seeds)->value_name("range"), "one, or several as 0..9 (default: the file's)")(
      "threads", po::value(&threads)->value_name("n"), "0 (default): as many as there are cores")(
      "output,o", po::value(&output)->value_name("format"), "table (default), wide (each family, too) or json");
  if (!line.parse(arguments, files)) return kOk;
  if (files.size() != 1) throw UsageError("eval takes one file");
  check_choice("--output", output, {"table", "wide", "json"});
  EvaluationFile evaluation = read_evaluation(files[0]);
  for (const std::string& text : policies) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--policy: found '{}', expected name=file", text));
    evaluation.contestants.push_back(policy_contestant(evaluation, text.substr(0, equals), text.substr(equals + 1)));
  }
  if (!seeds.empty()) evaluation.seeds = seeds_flag(seeds);

  std::vector<std::string> families;
  for (const std::string& family : evaluation.families) families.push_back(read_scenario({family}).name);
  std::vector<Contestant> contestants;
  for (const EvaluationFile::Contestant& c : evaluation.contestants) {
    Contestant& out = contestants.emplace_back();
    out.name = c.name;
    for (const std::string& family : evaluation.families)
      out.families.push_back(scenario_of(evaluation, c, family, evaluation.seeds.front()));
  }
  std::atomic<size_t> done = 0;
  stop_on_signals();
  Comparison comparison =
      compare(contestants, families, evaluation.seeds, evaluation.variation, threads, done, stop_requested);
  if (stop_requested) return kInterrupted;
  for (size_t i = 0; i < contestants.size(); ++i)
    if (contestants[i].name == evaluation.baseline) comparison.baseline = i;
  print(output == "json" ? comparison_json(comparison) : comparison_text(comparison, output == "wide", output_style()));
  return kOk;
}

}  // namespace kisim::app

#include "cli.hpp"
#include "core/error.hpp"
#include "io/search_text.hpp"
#include "io/training_file.hpp"

namespace kisim::app {

namespace po = boost::program_options;

int cmd_search(const Arguments& arguments) {
  std::string output = "table";
  size_t threads = 0;
  Arguments files;
  CommandLine line(
      {"search FILE [flags]",
       "Searches the settings of a policy that cost least, GPUs and missed SLOs together, as a file of kind "
       "Search says: an autoscaler's targets, say, so that it is compared at its best.",
       "  kisim search scenarios/kis-s/fleet/search-constant.yaml\n"});
  line.flags().add_options()("threads", po::value(&threads)->value_name("n"),
                             "0 (default): as many as there are cores")(
      "output,o", po::value(&output)->value_name("format"), "table (default: the best ten) or json (all)");
  if (!line.parse(arguments, files)) return kOk;
  if (files.size() != 1) throw UsageError("search takes one file");
  check_choice("--output", output, {"table", "json"});
  const SearchFile file = read_search(files[0]);
  print_warnings(file.warnings);
  stop_on_signals();
  const SearchResult result = search(
      file.spec, [&](const Settings& settings) { return compile_candidate(file, settings); }, file.families.size(),
      threads, stop_requested);
  if (stop_requested) {
    print_error("interrupted");
    return kInterrupted;
  }
  print(output == "json" ? search_json(result) : search_text(result, output_style()));
  return kOk;
}

}  // namespace kisim::app

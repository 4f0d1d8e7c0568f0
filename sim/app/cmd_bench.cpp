#include "cli.hpp"
#include "core/error.hpp"

#ifdef KISIM_HAS_BENCH
#include "bench.hpp"
#endif

namespace kisim::app {

namespace po = boost::program_options;

namespace {

int run_suite([[maybe_unused]] const std::string& filter, [[maybe_unused]] const std::string& output) {
#ifdef KISIM_HAS_BENCH
  std::vector<std::string> arguments;
  if (!filter.empty()) arguments.push_back("--benchmark_filter=" + filter);
  if (output == "json") arguments.push_back("--benchmark_format=json");
  return run_benchmarks(arguments);
#else
  throw UsageError("this kisim was built without its benchmarks (KISIM_BENCH=OFF)");
#endif
}

}  // namespace

int cmd_bench(const Arguments& arguments) {
  std::string filter, output = "json";
  Arguments rest;
  CommandLine line({"bench [flags]", "Runs the benchmarks.", "  kisim bench --filter scenario/ -o table\n"});
  line.flags().add_options()("filter", po::value(&filter)->value_name("regex"), "only benchmarks whose name matches")(
      "output,o", po::value(&output)->value_name("format"), "json (default), as Google Benchmark prints it, or table");
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError(fmt::format("bench takes no argument '{}'", rest[0]));
  check_choice("--output", output, {"json", "table"});
  return run_suite(filter, output);
}

}  // namespace kisim::app

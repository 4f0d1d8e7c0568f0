#include "cli.hpp"
#include "core/error.hpp"

#include <sstream>

#ifdef KISIM_HAS_BENCH
#include "bench.hpp"
#include "fgd.hpp"
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

int run_fgd_bench([[maybe_unused]] const Arguments& arguments) {
#ifdef KISIM_HAS_BENCH
  FgdOptions options;
  Arguments rest;
  CommandLine line({"bench fgd --data DIR [flags]",
                    "Reproduces the published comparison of placement policies for shared GPUs (FGD, ATC'23) with the "
                    "cluster and the traces in DIR. Exits with 1 if a published figure is missed.",
                    "  kisim bench fgd --data fgd --figure fgd.svg\n"});
  line.flags().add_options()("data", po::value(&options.data)->value_name("dir"), "nodes, pods and published results")(
      "seeds", po::value(&options.seeds)->value_name("n"), "shuffles of each trace (default 10, as published)")(
      "figure", po::value(&options.figure)->value_name("file.svg"), "draw allocation over arrivals")(
      "threads", po::value(&options.threads)->value_name("n"), "0 (default): as many as there are cores");
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError(fmt::format("bench fgd takes no argument '{}'", rest[0]));
  if (options.data.empty()) throw UsageError("bench fgd needs --data DIR");
  if (options.seeds < 1) throw UsageError(fmt::format("--seeds: found {}, allowed: at least 1", options.seeds));
  std::ostringstream out;
  int code = run_fgd(options, out);
  print(out.str());
  return code;
#else
  throw UsageError("this kisim was built without its benchmarks (KISIM_BENCH=OFF)");
#endif
}

}  // namespace

int cmd_bench(const Arguments& arguments) {
  if (!arguments.empty() && arguments[0] == "fgd") return run_fgd_bench({arguments.begin() + 1, arguments.end()});
  std::string filter, output = "json";
  Arguments rest;
  CommandLine line({"bench [fgd] [flags]", "Runs the benchmarks, or one reproduction: see bench fgd --help.",
                    "  kisim bench --filter scenario/ -o table\n  kisim bench fgd --data fgd\n"});
  line.flags().add_options()("filter", po::value(&filter)->value_name("regex"), "only benchmarks whose name matches")(
      "output,o", po::value(&output)->value_name("format"), "json (default), as Google Benchmark prints it, or table");
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError(fmt::format("bench takes no argument '{}'", rest[0]));
  check_choice("--output", output, {"json", "table"});
  return run_suite(filter, output);
}

}  // namespace kisim::app

#include "cli.hpp"
#include "conformance/conformance.hpp"
#include "core/error.hpp"

namespace kisim::app {

namespace {

std::string told(const ConformanceReport& report) {
  std::string out;
  for (const auto& [name, set] : report.sets)
    out += set.supported ? fmt::format("{}: agree {} of {} ({} steps)\n", name, set.agreed, set.records, set.steps)
                         : fmt::format("{}: not supported ({} records)\n", name, set.records);
  for (const std::string& difference : report.disagreements) out += "\n" + difference + "\n";
  return out;
}

}  // namespace

int cmd_conformance(const Arguments& arguments) {
  ConformanceOptions options;
  Arguments rest;
  CommandLine line({"conformance SUITE FILE... [flags]",
                    "Replays records of the real Kubernetes code and compares every decision. SUITE: kube-scheduler.",
                    "  kisim conformance kube-scheduler decisions.jsonl.gz queue.jsonl.gz\n"});
  line.flags().add_options()("show", boost::program_options::value(&options.disagreements)->value_name("n"),
                             "disagreements told in full (default 10)");
  if (!line.parse(arguments, rest)) return kOk;
  if (rest.size() < 2) throw UsageError("conformance takes a suite and at least one file");
  check_choice("SUITE", rest[0], {"kube-scheduler"});
  ConformanceReport report = check_kube_scheduler({rest.begin() + 1, rest.end()}, options);
  print(told(report));
  return report.agreed() ? kOk : kCheckFailed;
}

}  // namespace kisim::app

#include "cli.hpp"
#include "conformance/conformance.hpp"
#include "core/error.hpp"

#include <algorithm>

namespace kisim::app {

namespace {

struct Suite {
  const char* name;
  ConformanceReport (*check)(const std::vector<std::string>& files, const ConformanceOptions& options);
};
constexpr Suite kSuites[] = {
    {"kube-scheduler", check_kube_scheduler},
    {"descheduler", check_descheduler},
    {"hpa", check_hpa},
};

std::vector<std::string> suite_names() {
  std::vector<std::string> out;
  for (const Suite& suite : kSuites) out.emplace_back(suite.name);
  return out;
}

std::string told(const ConformanceReport& report) {
  std::string out;
  for (const auto& [name, set] : report.sets)
    out += set.supported ? fmt::format("{}: agree {} of {} ({} steps)\n", name, set.agreed, set.records, set.steps)
                         : fmt::format("{}: not supported ({} records)\n", name, set.records);
  for (const std::string& difference : report.disagreements) out += "\n" + difference + "\n";
  for (const std::string& advisory : report.advisories) out += "\nno disagreement, but not seen: " + advisory + "\n";
  return out;
}

}  // namespace

int cmd_conformance(const Arguments& arguments) {
  ConformanceOptions options;
  Arguments rest;
  CommandLine line({"conformance SUITE FILE... [flags]",
                    fmt::format("Replays records of the real Kubernetes code and compares every decision. SUITE: {}.",
                                fmt::join(suite_names(), ", ")),
                    "  kisim conformance kube-scheduler decisions.jsonl.gz queue.jsonl.gz\n"});
  line.flags().add_options()("show", boost::program_options::value(&options.disagreements)->value_name("n"),
                             "disagreements told in full (default 10)");
  if (!line.parse(arguments, rest)) return kOk;
  if (rest.size() < 2) throw UsageError("conformance takes a suite and at least one file");
  check_choice("SUITE", rest[0], suite_names());
  auto suite = std::find_if(std::begin(kSuites), std::end(kSuites), [&](const Suite& s) { return s.name == rest[0]; });
  ConformanceReport report = suite->check({rest.begin() + 1, rest.end()}, options);
  print(told(report));
  return report.agreed() ? kOk : kCheckFailed;
}

}  // namespace kisim::app

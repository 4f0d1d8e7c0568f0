#include "conformance/scheduling_cycles.hpp"

#include <set>

namespace kisim {

using namespace conformance;

namespace {

[[noreturn]] void refuse(const std::string& file, const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, {file, 0, 0}, field, message});
}

}  // namespace

ConformanceReport check_kube_scheduler(const std::vector<std::string>& files, const ConformanceOptions& options) {
  static const std::set<std::string> kCycles{"decisions", "strategies", "sampling", "preemption"};
  ConformanceReport report;
  for (const std::string& file : files)
    for_each_record(file, [&](const Json& record) {
      std::string name = text(record, "set");
      if (name.empty()) refuse(file, "set", "found a record that names no set");
      SetAgreement& set = report.sets[name];
      ++set.records;
      std::vector<std::string> differences;
      try {
        if (kCycles.contains(name))
          set.steps += compare_scheduling_cycles(record, differences);
        else if (name == "queue")
          set.steps += compare_scheduling_queue(record, differences);
        else
          set.supported = false;
      } catch (const Json::exception& e) {
        refuse(file, text(record, "id"), e.what());
      }
      if (set.supported && differences.empty()) ++set.agreed;
      for (const std::string& difference : differences)
        if (report.disagreements.size() < options.disagreements)
          report.disagreements.push_back(fmt::format("{} (k8s {}) {}", name, text(record, "k8s"), difference));
    });
  return report;
}

}  // namespace kisim

// Every decision of kube-scheduler that was recorded, read in place and skipped where absent, and small made records
// that must be told apart.

#include "conformance/conformance.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>

namespace kisim {
namespace {

void must_agree(const std::string& path, const std::string& set, size_t at_least) {
  std::string file = shared_file("goldens/" + path + ".jsonl.gz");
  if (file.empty()) return;
  ConformanceReport report = check_kube_scheduler({file});
  for (const std::string& difference : report.disagreements) UNSCOPED_INFO(difference);
  CHECK(report.agreed());
  CHECK(report.sets.at(set).records >= at_least);
}

TEST_CASE("decisions of kube-scheduler 1.34") { must_agree("kube-scheduler/decisions", "decisions", 282); }
TEST_CASE("decisions of kube-scheduler 1.36") { must_agree("kube-scheduler-1.36/decisions", "decisions", 127); }
TEST_CASE("scoring strategies and profiles of 1.34") { must_agree("kube-scheduler/strategies", "strategies", 148); }
TEST_CASE("scoring strategies and profiles of 1.36") { must_agree("kube-scheduler-1.36/strategies", "strategies", 71); }
TEST_CASE("node order and sampling of 1.34") { must_agree("kube-scheduler/sampling", "sampling", 13); }
TEST_CASE("node order and sampling of 1.36") { must_agree("kube-scheduler-1.36/sampling", "sampling", 9); }
TEST_CASE("preemption of 1.34") { must_agree("kube-scheduler/preemption", "preemption", 140); }
TEST_CASE("preemption of 1.36") { must_agree("kube-scheduler-1.36/preemption", "preemption", 38); }
TEST_CASE("the scheduling queue of 1.34") { must_agree("kube-scheduler/queue", "queue", 110); }
TEST_CASE("the scheduling queue of 1.36") { must_agree("kube-scheduler-1.36/queue", "queue", 15); }

const char* kMade = KISIM_ROOT "/tests/conformance/made.jsonl";

// Two nodes, one of which is full; the pod goes to the other.
nlohmann::json made_record() {
  std::ifstream file(kMade);
  std::string line;
  std::getline(file, line);
  return nlohmann::json::parse(line);
}

ConformanceReport check(const nlohmann::json& record) {
  std::string path = std::string(std::tmpnam(nullptr)) + ".jsonl";
  std::ofstream(path) << record.dump() << '\n';
  ConformanceReport report = check_kube_scheduler({path});
  std::remove(path.c_str());
  return report;
}

TEST_CASE("records that say what happens agree") {
  ConformanceReport report = check_kube_scheduler({kMade});
  CHECK(report.agreed());
  CHECK(report.sets.at("decisions").steps == 1);
  CHECK(report.sets.at("queue").steps == 5);
}

TEST_CASE("every part of a wrong record is found") {
  auto differs = [](const char* pointer, const nlohmann::json& value) {
    nlohmann::json record = made_record();
    record[nlohmann::json::json_pointer(pointer)] = value;
    ConformanceReport report = check(record);
    return !report.agreed() && !report.disagreements.empty();
  };
  CHECK(differs("/steps/0/expect/result", "Unschedulable"));
  CHECK(differs("/steps/0/expect/priority", 7));
  CHECK(differs("/steps/0/expect/node", "full"));
  CHECK(differs("/steps/0/expect/feasible", {"free", "full"}));
  CHECK(differs("/steps/0/expect/rejected/0/plugin", "NodeAffinity"));
  CHECK(differs("/steps/0/expect/rejected/0/code", "Unschedulable"));
  CHECK(differs("/steps/0/expect/rejected/0/reasons", {"Insufficient memory"}));
  CHECK(differs("/steps/0/expect/rejected/0/nodes", nlohmann::json::array()));
}

TEST_CASE("a set without a part here is not passed") {
  nlohmann::json record = made_record();
  record["set"] = "gang";
  ConformanceReport report = check(record);
  CHECK_FALSE(report.agreed());
  CHECK_FALSE(report.sets.at("gang").supported);
}

}  // namespace
}  // namespace kisim

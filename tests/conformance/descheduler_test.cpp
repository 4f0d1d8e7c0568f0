// Every cycle of the descheduler that was recorded, read in place and skipped where absent, and small made records that
// must be told apart.

#include "conformance/conformance.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>

namespace kisim {
namespace {

using Json = nlohmann::json;

void must_agree(const std::string& name, const std::string& set, size_t at_least) {
  std::string file = shared_file("goldens/descheduler/" + name + ".jsonl.gz");
  if (file.empty()) return;
  ConformanceReport report = check_descheduler({file});
  for (const std::string& difference : report.disagreements) UNSCOPED_INFO(difference);
  CHECK(report.agreed());
  CHECK(report.sets.at(set).records >= at_least);
}

TEST_CASE("recorded cycles: LowNodeUtilization") { must_agree("lownodeutilization-plain", "LowNodeUtilization", 66); }
TEST_CASE("recorded cycles: LowNodeUtilization by deviation") {
  must_agree("lownodeutilization-deviation", "LowNodeUtilization", 66);
}
TEST_CASE("recorded cycles: HighNodeUtilization") { must_agree("highnodeutilization", "HighNodeUtilization", 66); }
TEST_CASE("recorded cycles: RemoveDuplicates") { must_agree("removeduplicates", "RemoveDuplicates", 66); }
TEST_CASE("recorded cycles: PodLifeTime") { must_agree("podlifetime", "PodLifeTime", 66); }
TEST_CASE("recorded cycles: RemovePodsHavingTooManyRestarts") {
  must_agree("removepodshavingtoomanyrestarts", "RemovePodsHavingTooManyRestarts", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingInterPodAntiAffinity") {
  must_agree("removepodsviolatinginterpodantiaffinity", "RemovePodsViolatingInterPodAntiAffinity", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingNodeAffinity, required") {
  must_agree("removepodsviolatingnodeaffinity-required", "RemovePodsViolatingNodeAffinity", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingNodeAffinity, preferred") {
  must_agree("removepodsviolatingnodeaffinity-preferred", "RemovePodsViolatingNodeAffinity", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingNodeTaints") {
  must_agree("removepodsviolatingnodetaints", "RemovePodsViolatingNodeTaints", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingTopologySpreadConstraint, hard") {
  must_agree("removepodsviolatingtopologyspreadconstraint-hard", "RemovePodsViolatingTopologySpreadConstraint", 66);
}
TEST_CASE("recorded cycles: RemovePodsViolatingTopologySpreadConstraint, soft") {
  must_agree("removepodsviolatingtopologyspreadconstraint-soft", "RemovePodsViolatingTopologySpreadConstraint", 66);
}
TEST_CASE("recorded cycles: several plugins and profiles") { must_agree("mixed", "mixed", 66); }
TEST_CASE("recorded cycles: the policies of an article") { must_agree("article", "article", 59); }

// -------------------------------------------------------------------------------------------------- made records

const char* kMade = KISIM_ROOT "/tests/conformance/made_descheduler.jsonl";
enum Made { kUnique, kOpen, kError };

Json made(Made which) {
  std::ifstream file(kMade);
  std::string line;
  for (int i = 0; i <= which; ++i) std::getline(file, line);
  return Json::parse(line);
}

ConformanceReport check(const Json& record) {
  std::string path = std::string(std::tmpnam(nullptr)) + ".jsonl";
  std::ofstream(path) << record.dump() << '\n';
  ConformanceReport report = check_descheduler({path});
  std::remove(path.c_str());
  return report;
}

// Whether the record disagrees once the value is in place.
bool differs(Made which, const char* pointer, const Json& value) {
  Json record = made(which);
  record[Json::json_pointer(pointer)] = value;
  ConformanceReport report = check(record);
  return !report.agreed() && !report.disagreements.empty();
}

TEST_CASE("descheduler records that say what happens agree") {
  ConformanceReport report = check_descheduler({kMade});
  for (const std::string& difference : report.disagreements) UNSCOPED_INFO(difference);
  CHECK(report.agreed());
  CHECK(report.advisories.empty());
  CHECK(report.sets.at("PodLifeTime").steps == 5);
  CHECK(report.sets.at("RemoveDuplicates").steps == 3);
  CHECK(report.sets.at("article").steps == 1);
}

TEST_CASE("a unique outcome must be met") {
  CHECK(differs(kUnique, "/evicted", {"old"}));
  CHECK(differs(kUnique, "/evicted", {"old", "unready", "guarded"}));
  CHECK_FALSE(differs(kUnique, "/evicted", {"unready", "old"}));
}

TEST_CASE("the API of the runs refuses what budgets forbid") {
  // One more disruption lets the guarded pod go; a second budget none of the two.
  CHECK(differs(kUnique, "/pdbs/0/status/disruptionsAllowed", 1));
  Json record = made(kUnique);
  record["pdbs"].push_back(record["pdbs"][0]);
  record["evicted"] = {"old"};
  CHECK(check(record).agreed());
  // Too few healthy pods: the one that is not ready needs the budget as well.
  record = made(kUnique);
  record["pdbs"][0]["status"]["currentHealthy"] = 0;
  record["evicted"] = {"old"};
  CHECK(check(record).agreed());
}

TEST_CASE("an open outcome must lie within what was seen") {
  CHECK(differs(kOpen, "/always", {"p0"}));
  CHECK(differs(kOpen, "/ever", {"p0"}));
  CHECK(differs(kOpen, "/total", {2, 2}));
  CHECK(differs(kOpen, "/perNodeOwner/n0|default~1ReplicaSet~1a", {2, 2}));
  CHECK(differs(kOpen, "/perNodeOwner/n1|default~1ReplicaSet~1b", {1, 1}));
  Json many = made(kOpen);
  many["ever"] = {"p0"};
  many["distinctOutcomes"] = 100;  // there may well be others
  CHECK(check(many).agreed());
}

TEST_CASE("ranges per node and of requests are told, not failed") {
  Json record = made(kUnique);
  record["perNode"]["n0"] = {2, 3};
  record["evictionRequests"] = {3, 3};
  ConformanceReport report = check(record);
  CHECK(report.agreed());
  CHECK(report.sets.at("PodLifeTime").advisories == 1);
  CHECK(report.advisories == std::vector<std::string>{"PodLifeTime made-life-time perNode n0 = 1, not 2 … 3",
                                                      "PodLifeTime made-life-time evictionRequests = 2, not 3 … 3"});
}

TEST_CASE("policies must load or fail as recorded, and both forms alike") {
  CHECK(differs(kError, "/policy/profiles/0/pluginConfig/1/args/evictableNamespaces", {{"exclude", {"a"}}}));
  CHECK(differs(kUnique, "/policy/profiles/0/pluginConfig/1/args/maxPodLifeTimeSeconds", -1));
  CHECK(differs(kUnique, "/policyV1alpha1/strategies/PodLifeTime/params/podLifeTime/maxPodLifeTimeSeconds", 7200));
  CHECK(differs(kUnique, "/policyV1alpha1/strategies/PodLifeTime/params/thresholdPriority", 1001));
  CHECK(differs(kUnique, "/policyV1alpha1/evictLocalStoragePods", true));
  CHECK(differs(kUnique, "/policyV1alpha1/maxNoOfPodsToEvictPerNode", 9));
  CHECK(differs(kUnique, "/policyV1alpha1/strategies/PodLifeTime/enabled", false));
  CHECK(differs(kUnique, "/policyV1alpha1/strategies/Nothing", {{"enabled", true}}));
  CHECK_FALSE(differs(kUnique, "/policyV1alpha1/strategies/PodLifeTime/params/unknown", 1));
}

}  // namespace
}  // namespace kisim

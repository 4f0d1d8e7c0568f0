// Every decision of the HPA controller that was recorded, read in place and skipped where absent; and records that must
// be told apart.

#include "conformance/conformance.hpp"
#include "core/error.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>

namespace kisim {
namespace {

using nlohmann::json;

void must_agree(const std::string& name, const std::string& set, size_t records) {
  std::string file = shared_file("goldens/hpa/" + name + ".jsonl.gz");
  if (file.empty()) return;
  ConformanceReport report = check_hpa({file});
  for (const std::string& difference : report.disagreements) UNSCOPED_INFO(difference);
  CHECK(report.agreed());
  CHECK(report.sets.at(set).records == records);
}

TEST_CASE("the replica calculation of the HPA controller") { must_agree("calc", "calc", 2400); }
TEST_CASE("stabilisation and rate limits of the HPA controller") { must_agree("behavior", "behavior", 1000); }
TEST_CASE("whole reconciles of the HPA controller 1.34, alone and in a run") {
  must_agree("sequence", "sequence", 120);
}
TEST_CASE("whole reconciles of the HPA controller 1.36, alone and in a run") {
  must_agree("sequence-1.36", "sequence", 21);
}

ConformanceReport check(const json& record) {
  std::string path = std::string(std::tmpnam(nullptr)) + ".jsonl";
  std::ofstream(path) << record.dump() << '\n';
  ConformanceReport report = check_hpa({path});
  std::remove(path.c_str());
  return report;
}

// Whether the record without the change agrees and with it does not.
bool finds(const json& record, const char* pointer, const json& value) {
  json changed = record;
  changed[json::json_pointer(pointer)] = value;
  ConformanceReport report = check(changed);
  return check(record).agreed() && !report.agreed() && !report.disagreements.empty();
}

// 150 % of a target of 100 % on one pod of one core: two.
json calc_record() {
  json pod{
      {"metadata", {{"name", "p0"}}},
      {"spec", {{"containers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "1"}}}}}}}}}},
      {"status",
       {{"phase", "Running"},
        {"startTime", "2026-01-01T00:00:00Z"},
        {"conditions", {{{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", "2026-01-01T00:00:10Z"}}}}}}};
  return {
      {"id", "made"},
      {"type", "Resource"},
      {"targetType", "Utilization"},
      {"metric",
       {{"type", "Resource"},
        {"resource", {{"name", "cpu"}, {"target", {{"type", "Utilization"}, {"averageUtilization", 100}}}}}}},
      {"tolerance", {{"scaleUp", 0.1}, {"scaleDown", 0.1}}},
      {"cpuInitializationPeriodSeconds", 300},
      {"initialReadinessDelaySeconds", 30},
      {"now", "2026-01-01T01:00:00Z"},
      {"specReplicas", 1},
      {"statusReplicas", 1},
      {"pods", {pod}},
      {"podMetrics", {{"p0", {{"timestamp", "2026-01-01T00:59:50Z"}, {"windowSeconds", 15}, {"milliValue", 1500}}}}},
      {"out", {{"replicas", 2}, {"averageUtilization", 150}, {"averageMilliValue", 1500}}}};
}

TEST_CASE("every part of a wrong calculation is found") {
  json record = calc_record();
  CHECK(finds(record, "/out/replicas", 3));
  CHECK(finds(record, "/out/replicas", nullptr));
  CHECK(finds(record, "/out/averageUtilization", 149));
  CHECK(finds(record, "/out/averageMilliValue", 1501));
  CHECK(finds(record, "/podMetrics/p0/milliValue", 900));
  record["metricError"] = true;
  record["out"] = {{"replicas", nullptr},
                   {"reason", "FailedGetResourceMetric"},
                   {"error",
                    "failed to get cpu resource metric value: failed to get cpu utilization: unable to get metrics for "
                    "resource cpu: metrics API unavailable"}};
  CHECK(finds(record, "/out/reason", "FailedGetPodsMetric"));
  CHECK(finds(record, "/out/error", "another"));
}

// One step up that doubles at most, one down that the window holds.
json behavior_record() {
  auto step = [](int t, int current, int desired, int replicas, const char* able, bool limited, const char* reason) {
    return json{{"t", t},
                {"current", current},
                {"desired", desired},
                {"replicas", replicas},
                {"ableToScaleReason", able},
                {"scalingLimited", limited},
                {"scalingLimitedReason", reason}};
  };
  return {{"id", "made"},
          {"minReplicas", 1},
          {"maxReplicas", 20},
          {"downscaleStabilizationSeconds", 300},
          {"behavior", nullptr},
          {"behaviorDefaulted", nullptr},
          {"steps",
           {step(0, 4, 30, 8, "ReadyForNewScale", true, "ScaleUpLimit"),
            step(15, 8, 2, 16, "ScaleDownStabilized", true, "ScaleUpLimit")}}};
}

TEST_CASE("every part of a wrong normalisation is found") {
  json record = behavior_record();
  CHECK(finds(record, "/steps/0/replicas", 9));
  CHECK(finds(record, "/steps/1/ableToScaleReason", "ReadyForNewScale"));
  CHECK(finds(record, "/steps/1/scalingLimited", false));
  CHECK(finds(record, "/steps/1/scalingLimitedReason", "TooManyReplicas"));
  CHECK(finds(record, "/minReplicas", 17));
}

json sequence_record() {
  json object{
      {"apiVersion", "autoscaling/v2"},
      {"kind", "HorizontalPodAutoscaler"},
      {"metadata", {{"name", "h"}, {"namespace", "ns"}}},
      {"spec",
       {{"scaleTargetRef", {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", "d"}}},
        {"minReplicas", 1},
        {"maxReplicas", 10},
        {"metrics",
         {{{"type", "External"},
           {"external",
            {{"metric", {{"name", "m"}}}, {"target", {{"type", "AverageValue"}, {"averageValue", "10"}}}}}}}}}}};
  auto conditions = [](const char* able) {
    return json{{{"type", "AbleToScale"}, {"status", "True"}, {"reason", able}},
                {{"type", "ScalingActive"}, {"status", "True"}, {"reason", "ValidMetricFound"}},
                {{"type", "ScalingLimited"}, {"status", "False"}, {"reason", "DesiredWithinRange"}}};
  };
  auto step = [&](int t, int replicas, int metric, json expect) {
    return json{{"t", t},
                {"specReplicas", replicas},
                {"statusReplicas", replicas},
                {"pods", json::array()},
                {"metrics", {{{"externalMilliValues", {metric}}}}},
                {"expect", std::move(expect)}};
  };
  return {{"id", "made"},
          {"featureGates", json::object()},
          {"controller",
           {{"tolerance", 0.1},
            {"downscaleStabilizationSeconds", 300},
            {"cpuInitializationPeriodSeconds", 300},
            {"initialReadinessDelaySeconds", 30},
            {"syncPeriodSeconds", 15}}},
          {"hpa", object},
          {"hpaDefaulted", object},
          {"podTemplateContainers", {{{"name", "c"}, {"resources", {{"requests", {{"cpu", "1"}}}}}}}},
          {"steps",
           {step(0, 2, 40'000,
                 {{"replicas", 4},
                  {"rescaled", true},
                  {"conditions", conditions("SucceededRescale")},
                  {"currentMetrics", {{{"averageMilliValue", 20'000}}}}}),
            // Somebody has scaled by hand.
            step(15, 5, 50'000,
                 {{"replicas", 5},
                  {"conditions", conditions("ReadyForNewScale")},
                  {"currentMetrics", {{{"averageMilliValue", 10'000}}}}})}}};
}

TEST_CASE("every part of a wrong sequence is found") {
  json record = sequence_record();
  CHECK(finds(record, "/steps/0/expect/replicas", 3));
  CHECK(finds(record, "/steps/0/expect/rescaled", false));
  CHECK(finds(record, "/steps/1/expect/error", true));
  CHECK(finds(record, "/steps/1/expect/conditions/0/reason", "ScaleDownStabilized"));
  CHECK(finds(record, "/steps/1/expect/conditions/2/status", "True"));
  CHECK(finds(record, "/steps/1/expect/currentMetrics/0/averageMilliValue", 9'999));
  CHECK(finds(record, "/hpa/spec/maxReplicas", 3));  // only the run sees the object as it was written
}

TEST_CASE("a line that is no record of a set is refused") { CHECK_THROWS_AS(check({{"id", "made"}}), InputError); }

}  // namespace
}  // namespace kisim

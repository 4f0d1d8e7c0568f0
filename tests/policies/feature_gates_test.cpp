#include "policy/feature_gates.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

TEST_CASE("gates have the defaults of their version") {
  CHECK_FALSE(FeatureGates(34).enabled("HPAConfigurableTolerance"));
  CHECK(FeatureGates(35).enabled("HPAConfigurableTolerance"));
  CHECK(FeatureGates(34).enabled("SchedulerAsyncAPICalls"));
  CHECK_FALSE(FeatureGates(36).enabled("SchedulerAsyncAPICalls"));
  CHECK(FeatureGates(36).enabled("SchedulerQueueingHints"));
  // A gate that has not come yet is off.
  CHECK_FALSE(FeatureGates(34).enabled("NodeDeclaredFeatures"));
  CHECK(FeatureGates(36).enabled("NodeDeclaredFeatures"));
}

TEST_CASE("gates are set, unless the version lacks them or has them locked") {
  FeatureGates gates(35);
  CHECK_FALSE(gates.set("HPAScaleToZero", true));
  CHECK(gates.enabled("HPAScaleToZero"));
  CHECK_FALSE(gates.set("SchedulerQueueingHints", true));
  CHECK(gates.set("SchedulerQueueingHints", false) ==
        "cannot set feature gate SchedulerQueueingHints to false, feature is locked to true");
  CHECK(gates.enabled("SchedulerQueueingHints"));
  auto complaint = gates.set("WorkloadAwarePreemption", true);  // since 1.36
  REQUIRE(complaint);
  CHECK(complaint->starts_with("unrecognized feature gate: WorkloadAwarePreemption, allowed: ClearingNominated"));
  CHECK_FALSE(FeatureGates(36).set("WorkloadAwarePreemption", true));
}

TEST_CASE("a gate is modelled if kisim does as it says") {
  FeatureGates gates(36);
  CHECK(gates.modelled("HPAScaleToZero"));
  CHECK(gates.modelled("GangScheduling"));  // off, as here
  gates.set("GangScheduling", true);
  CHECK_FALSE(gates.modelled("GangScheduling"));
  CHECK(gates.modelled("PodLevelResources"));
  gates.set("PodLevelResources", false);
  CHECK_FALSE(gates.modelled("PodLevelResources"));
}

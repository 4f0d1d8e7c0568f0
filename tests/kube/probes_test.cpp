#include "kube/probes.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

Time at(double seconds) { return Time{} + Duration::seconds(seconds); }

TEST_CASE("without probes a container is ready when its server is up", "[probes]") {
  Container c;
  CHECK(ready_at(c, at(3), at(7)) == at(7));
  CHECK_FALSE(first_probe_failure(c, at(3), Time::max()));
}

TEST_CASE("readiness comes at the successThreshold-th probe from when the server is up", "[probes]") {
  Container c;
  c.readiness_probe = Probe{.initial_delay = 5_s, .period = 2_s};
  CHECK(ready_at(c, at(100), at(101)) == at(105));    // the first probe
  CHECK(ready_at(c, at(100), at(107)) == at(107));    // a probe's instant
  CHECK(ready_at(c, at(100), at(107.1)) == at(109));  // between two
  c.readiness_probe->success_threshold = 3;
  CHECK(ready_at(c, at(100), at(107)) == at(111));
  CHECK(ready_at(c, at(100), Time::max()) == Time::max());
}

TEST_CASE("a readiness that no run lives to see", "[probes]") {
  Container c;
  c.readiness_probe = Probe{.period = 1_s * INT32_MAX, .success_threshold = INT32_MAX};
  CHECK(ready_at(c, at(0), at(0)) == Time::max());
}

TEST_CASE("a startup probe gates readiness and asks for it at once", "[probes]") {
  Container c;
  c.startup_probe = Probe{.initial_delay = 1_s, .period = 10_s, .failure_threshold = 30};
  CHECK(ready_at(c, at(0), at(25)) == at(31));
  c.readiness_probe = Probe{.initial_delay = 2_s, .period = 4_s};
  CHECK(ready_at(c, at(0), at(25)) == at(31));  // not at 34, its own next instant
  c.readiness_probe->success_threshold = 2;
  CHECK(ready_at(c, at(0), at(25)) == at(34));
  c.readiness_probe->success_threshold = 3;
  CHECK(ready_at(c, at(0), at(25)) == at(38));
  c.readiness_probe->initial_delay = 60_s;
  CHECK(ready_at(c, at(0), at(25)) == at(68));
}

TEST_CASE("the failureThreshold-th probe without an answer kills", "[probes]") {
  Container c;
  c.liveness_probe = Probe{.initial_delay = 5_s, .period = 10_s, .failure_threshold = 3};
  std::optional<ProbeFailure> failure = first_probe_failure(c, at(100), at(200));
  REQUIRE(failure);
  CHECK(failure->at == at(125));
  CHECK(failure->kind == ProbeKind::Liveness);
  CHECK_FALSE(first_probe_failure(c, at(100), at(125)));  // up just in time
  CHECK(first_probe_failure(c, at(100), at(125) + 1_ns));

  c.startup_probe = Probe{.period = 10_s, .failure_threshold = 11};
  CHECK_FALSE(first_probe_failure(c, at(100), at(200)));  // liveness waits for it
  failure = first_probe_failure(c, at(100), at(201));
  REQUIRE(failure);
  CHECK(failure->at == at(200));
  CHECK(failure->kind == ProbeKind::Startup);
}

}  // namespace
}  // namespace kisim::test

#include "run/event_log.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

KubeEvent started(int64_t second, const std::string& name, uint64_t uid) {
  return {KubeEvent::Type::Normal,
          Time{second * 1'000'000'000},
          "Started",
          "Pod",
          "default",
          name,
          "Started",
          "kubelet",
          uid};
}

TEST_CASE("events that say the same of one object are one with a count") {
  EventLog log;
  log.record(started(5, "db-0", 1));
  log.record(started(9, "db-0", 1));
  log.record(started(9, "db-1", 2));
  log.record(started(20, "db-0", 7));  // another pod of the same name
  REQUIRE(log.entries().size() == 3);
  CHECK(log.entries()[0].count == 2);
  CHECK(log.entries()[0].first == Time{5'000'000'000});
  CHECK(log.entries()[0].event.at == Time{9'000'000'000});
  CHECK(log.entries()[1].count == 1);
  CHECK(log.entries()[2].count == 1);
}

}  // namespace
}  // namespace kisim

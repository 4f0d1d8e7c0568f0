#include "io/events_text.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

TEST_CASE("events are told by their age, or by the times of the first and the last") {
  EventLog log;
  KubeEvent event{KubeEvent::Type::Warning, Time{} + 60_s, "BackOff", "Pod", "default", "web-1",
                  "Back-off again",         "kubelet"};
  log.record(event);
  event.at = Time{} + 3725_s;
  log.record(event);
  CHECK(events_table(log, Time{} + 4000_s, false, {}) ==
        "LAST SEEN            TYPE     REASON   OBJECT     MESSAGE\n"
        "4m35s (x2 over 65m)  Warning  BackOff  pod/web-1  Back-off again\n");
  CHECK(events_table(log, Time{} + 4000_s, true, {}) ==
        "  FIRST     LAST  COUNT  TYPE     REASON   OBJECT     SOURCE   MESSAGE\n"
        "0:01:00  1:02:05      2  Warning  BackOff  pod/web-1  kubelet  Back-off again\n");
}

}  // namespace
}  // namespace kisim

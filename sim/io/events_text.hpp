#pragma once
// The events of a run in the manner of `kubectl get events`.

#include "io/text_table.hpp"
#include "run/event_log.hpp"

#include <string>

namespace kisim {

// kubectl's short form of an age: "45s", "5m3s", "58m", "3h20m", "2d4h".
std::string age_text(Duration age);

// LAST SEEN, TYPE, REASON, OBJECT and MESSAGE, in the order last seen; ages are those at `now`. NAMESPACE where there
// is more than one. `wide`: also SOURCE, and in place of LAST SEEN the times of FIRST and LAST, from the start of the
// run, and COUNT.
std::string events_table(const EventLog& log, Time now, bool wide, const TextStyle& style);

}  // namespace kisim

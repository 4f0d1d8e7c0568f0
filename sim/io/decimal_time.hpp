#pragma once
// Points of time as traces write them, read exactly into nanoseconds: no double on the way.

#include <cstdint>
#include <optional>
#include <string_view>

namespace kisim {

enum class TimeUnit : uint8_t { Seconds, Milliseconds, Microseconds, Nanoseconds, Datetime };

// "s", "ms", "us", "ns", "datetime"
std::optional<TimeUnit> find_time_unit(std::string_view name);

// A decimal number of the unit ("12.5", "1.25e3"), or a datetime YYYY-MM-DD[T ]hh:mm:ss[.fraction][Z|±hh:mm] of the
// years 1970 to 2261 (Gregorian, no leap seconds), as ns since 1970. Digits below 1 ns are rounded half up. Nothing if
// the text is none of it, negative or beyond int64.
std::optional<int64_t> parse_time(std::string_view text, TimeUnit unit);

// What parse_time allows, for messages.
const char* allowed_times(TimeUnit unit);

}  // namespace kisim

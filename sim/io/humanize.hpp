#pragma once
// Numbers for human eyes: tables, the report, messages. Never read back by a program.

#include <cstdint>
#include <string>
#include <string_view>

namespace kisim {

// "840 µs", "210 ms", "3.12 s", "2m 05s", "1h 30m": three significant digits below a minute.
std::string human_duration(double seconds);
// A point of simulated time: "1:02:30", "2d 3:04:05"; "–" if it never came (NaN).
std::string human_clock(double seconds);
// "72,012"
std::string human_count(uint64_t count);
// The same below ten million, "12.3M" above: at most nine columns.
std::string short_count(uint64_t count);
// "985", "1.23k", "4.56M", "7.89G"
std::string human_number(double value);
// "512 B", "14.9 GiB"
std::string human_bytes(double bytes);
// A share as "98.7 %". Only exactly 1 is "100.0 %", only exactly 0 is "0.0 %".
std::string human_percent(double share);

// Columns that UTF-8 text takes on a terminal, one per code point.
size_t display_width(std::string_view text);

}  // namespace kisim

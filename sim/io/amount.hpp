#pragma once
// Numbers with units, as a scenario writes them. Each Unit has a base in which the program computes.

#include <optional>
#include <string>

namespace kisim {

enum class Unit : uint8_t {
  None,            // a plain number
  Seconds,         // 90s, 1h30m, 250ms
  PerSecond,       // 20/s, 1200/min, 3/h
  PerHour,         // the same, in 1/h: prices
  Bytes,           // 8GiB, 16Gi, 500MB
  BytesPerSecond,  // 2GB/s, 1Gi/s, 10Gbit/s
  Cores,           // 2, 0.5, 500m
};

// In the unit's base; a number without a unit is in that base already. Nothing unless finite and well-formed.
std::optional<double> parse_amount(Unit unit, const std::string& text);

// The shortest text that parses to the same number: "15s", "500MB/s".
std::string format_amount(Unit unit, double value);

// How a unit is called and written.
struct UnitText {
  const char* name;     // "duration"
  const char* example;  // "a duration (90s, 1h30m or seconds)"
  const char* pattern;  // regular expression of JSON Schema; nullptr: numbers only
};
const UnitText& unit_text(Unit unit);

}  // namespace kisim

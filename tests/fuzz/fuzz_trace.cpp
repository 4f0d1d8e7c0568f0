// libFuzzer target of the trace readers. The first byte picks the format and the unit of time.

#include "core/error.hpp"
#include "io/input.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const char* const formats[] = {"auto", "azure", "csv", "jsonl"};
  const char* const units[] = {"s", "ms", "us", "ns", "datetime"};
  kisim::TraceFormat format;
  format.name = formats[data[0] % 4];
  format.time_unit = units[data[0] / 4 % 5];
  try {
    kisim::parse_trace({reinterpret_cast<const char*>(data + 1), size - 1}, "fuzz", format, {"fuzz", 1, 1});
  } catch (const kisim::InputError&) {
  }
  return 0;
}

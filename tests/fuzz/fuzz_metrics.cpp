// Whatever an exporter or Prometheus answers, the readers return samples or throw InputError.

#include "core/error.hpp"
#include "io/prometheus.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auto* parse : {kisim::parse_metrics, kisim::parse_query_result}) try {
      parse(text, "metrics");
    } catch (const kisim::InputError&) {
    }
  return 0;
}

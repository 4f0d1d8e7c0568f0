// Whatever bytes come in, the reader of policies returns one that it writes back as it was, or throws InputError.

#include "core/error.hpp"
#include "rl/policy_file.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

void read(const std::string& bytes) {
  try {
    const std::string written = kisim::policy_file_bytes(kisim::parse_policy_file(bytes, "policy"));
    if (kisim::policy_file_bytes(kisim::parse_policy_file(written, "again")) != written) std::abort();
  } catch (const kisim::InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  // As the header of zeros, which bytes alone seldom get the length of.
  const std::string length{static_cast<char>(size), static_cast<char>(size >> 8), static_cast<char>(size >> 16)};
  read(length + std::string(5, '\0') + bytes + std::string(128, '\0'));
  return 0;
}

#pragma once
// What the long random tests share: how they complain, and how long they run.

#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace kisim::test {

struct Complaint : std::runtime_error {
  using std::runtime_error::runtime_error;
};
template <class... Args>
[[noreturn]] void complain(fmt::format_string<Args...> text, Args&&... args) {
  throw Complaint(fmt::format(text, std::forward<Args>(args)...));
}

// KISIM_PROPERTY_STEPS: how many events; KISIM_PROPERTY_SEED: the first seed, to see a failure again.
inline uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace kisim::test

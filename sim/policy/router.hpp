#pragma once
// Role: which endpoint of a Service gets the next request.

#include "core/random.hpp"

#include <cstdint>
#include <span>

namespace kisim {

// What a router sees: the ready endpoints of one Service, in order of becoming ready.
struct Endpoints {
  std::span<const uint32_t> outstanding;  // requests sent to the endpoint and not yet answered
  size_t size() const { return outstanding.size(); }
};

// A router's memory lives in the State, so that fork() copies it.
struct RouterMemory {
  uint64_t word[2] = {0, 0};
};

class Router {
 public:
  virtual ~Router() = default;
  // Index of the chosen endpoint. Precondition: endpoints.size() > 0. Must not allocate.
  virtual uint32_t pick(const Endpoints& endpoints, RouterMemory& memory, Stream& stream) const = 0;
};

}  // namespace kisim

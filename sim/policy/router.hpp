#pragma once
// Role: which endpoint of a Service gets the next request.

#include "core/random.hpp"

#include <cstdint>
#include <span>

namespace kisim {

// What an endpoint shows of itself, computed when asked for; of a batch server, which has no KV memory, 0. As of the
// engine's last step.
class EndpointView {
 public:
  virtual ~EndpointView() = default;
  virtual int64_t cached_tokens(uint32_t endpoint) const = 0;   // of the prompt to route: in its prefix cache
  virtual int64_t prefill_tokens(uint32_t endpoint) const = 0;  // of prompts sent to it and not computed yet
  virtual int64_t kv_tokens(uint32_t endpoint) const = 0;       // that its KV blocks in use hold
  virtual double kv_usage(uint32_t endpoint) const = 0;         // share of its KV blocks in use
  virtual uint32_t waiting(uint32_t endpoint) const = 0;        // in its queue
  virtual uint64_t name(uint32_t endpoint) const = 0;           // hash of its pod's
};

// What a router sees: the request, and the ready endpoints of one Service, in order of becoming ready.
struct Endpoints {
  std::span<const uint32_t> outstanding;  // requests sent to the endpoint and not yet answered
  const EndpointView* view = nullptr;
  int64_t prompt_tokens = 0;
  uint64_t session = 0;  // that the request belongs to; of a single request, its own
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

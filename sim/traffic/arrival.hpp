#pragma once
// What passes between traffic and serving.

#include <cstdint>

namespace kisim {

// A request as its source makes it. (source, ordinal) is its identity. `ordinal` counts the source's requests from 0;
// in a closed loop the k-th request of user u has ordinal k · users + u, whatever the other users do.
struct Arrival {
  uint32_t source = 0;
  uint64_t ordinal = 0;
  int32_t prompt_tokens = 0, output_tokens = 1;
  uint32_t user = 0;  // closed loop
  uint16_t task = 0;  // kind of request
};

// A closed-loop source's request has left, one way or another.
struct Completion {
  uint32_t source = 0, user = 0;
};

}  // namespace kisim

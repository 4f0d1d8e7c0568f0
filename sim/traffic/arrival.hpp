#pragma once
// What passes between traffic and serving.

#include "core/hash.hpp"

#include <cstdint>

namespace kisim {

// Of which streams of tokens a prompt and its answer are made, so that caches know what they have seen before. First
// one stream for each id, `id_tokens` long; an id stands for all that is before it, too. Then the request's own stream,
// which the prompts of one session share: each goes on from the answer before it.
struct PromptIdentity {
  const uint32_t* id = nullptr;  // in the model, which outlives all states
  uint32_t ids = 0;
  int32_t id_tokens = 0;
  uint64_t id_space = 0;  // ids of one source mean nothing to another
  uint64_t own = 0;

  uint64_t stream(uint32_t i) const { return hash_combine(id_space, id[i]); }
};

// A request as its source makes it. (source, ordinal) is its identity. `ordinal` counts the source's requests from 0;
// in a closed loop the k-th request of user u has ordinal k · users + u, whatever the other users do.
struct Arrival {
  uint32_t source = 0;
  uint64_t ordinal = 0;
  int32_t prompt_tokens = 0, output_tokens = 1;
  uint32_t user = 0;     // closed loop, sessions
  uint16_t task = 0;     // kind of request
  uint32_t adapter = 0;  // LoRA adapter that it asks for, from 1; 0: none
  PromptIdentity identity;
};

// A request of a closed loop or a session has left, one way or another.
struct Completion {
  uint32_t source = 0, user = 0;
  bool answered = true;
};

}  // namespace kisim

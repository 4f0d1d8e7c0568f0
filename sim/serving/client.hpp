#pragma once
// The clients of one traffic source: what they send, over which network, through which gateway, and the program that
// they are.
//
// A request's way: the client's program prepares it (its clock does not run yet), a connection is free, the program
// sends it, the network, the gateway admits it, the Service's router chooses a replica, which serves it; back over the
// network, and the program reads the answer. Retries, hedges, time-outs and limits are those of the source.

#include "core/distribution.hpp"
#include "core/ring.hpp"
#include "serving/request.hpp"
#include "stats/histogram.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

// One kind of request of a source.
struct TaskModel {
  std::string name;
  std::vector<uint16_t> model;  // by ServingModelId: which of a batch server's models; beyond its end: the first
  std::optional<Distribution> frontend;  // seconds; set: answered by the server's front end, no model is asked
  int32_t samples = 1;
  uint32_t priority = 0;   // level of a batch server's queue, from 1; 0: the model's default
  Duration queue_timeout;  // in a batch server's queue, where its policy lets requests choose; 0 = none

  // A client's program with one thread: seconds of its CPU per turn. Between two turns others have theirs.
  Distribution untimed;  // one turn, before the clock starts
  Distribution send, receive;
  int32_t send_turns = 0, receive_turns = 0;
};

// What a gateway turns away (429), to be retried by its client or dropped.
struct AdmissionModel {
  double rate = 0;              // token bucket, requests per second; 0: none
  double burst = 1;             // tokens that it holds
  int32_t max_outstanding = 0;  // requests at the Service's replicas, per ready endpoint; 0: no limit
  // LLM: of a request whose first token would come later than this at the replica chosen for it; 0: none. Expected: the
  // prompts there and its own, as far as no cache has them, computed one after the other.
  Duration ttft;
  // LLM: while every endpoint has more than so many requests waiting or more than this share of its KV cache in use, as
  // the Gateway API Inference Extension sheds what is not critical; 0: never.
  int32_t shed_queue_depth = 0;
  double shed_kv_usage = 0;
};

struct ClientModel {
  std::string name;
  uint64_t entity = 0;  // hash of Traffic/<name>
  ServiceId service;
  Duration timeout;  // 0 = none
  int32_t retries = 0;
  Duration retry_backoff;
  std::optional<Duration> slo_ttft, slo_tpot, slo_e2e;
  double slo_target = 0;              // share of requests
  std::optional<double> slo_penalty;  // of a request that misses it, in the unit of the prices
  bool has_slo = false;
  bool closed_loop = false;  // its completions are told to traffic; sessions, too

  std::vector<TaskModel> tasks{TaskModel()};
  // One thread for all its users and requests; else every one has its own, and turns cost nothing.
  bool process = false;
  // The thread runs an event loop, as gevent's (libev, ev_run): it works in passes, each over what was ready when it
  // began, woken users before answers. A user's code runs on from its wake-up until the request is sent: it waits for
  // its turn before the clock starts, and `untimed` and the first turn of `send` are one.
  bool event_loop = false;
  Distribution network_out, network_back;  // seconds
  int32_t connections = 0;                 // requests under way at a time; 0 = no limit
  Duration hedge_delay;                    // after which the gateway asks a second replica too; 0 = never
  AdmissionModel admission;
};

// The one thread of a client's program. It takes turns in order of asking, or in passes.
struct ClientProcessState {
  enum List : uint8_t { Pass, Woken, Ready };
  RequestList lists[3];  // the present pass; what waits for the next one
  RequestId current;     // invalid while it works: who asked has gone
  EventHandle timer;     // the end of the turn
};

// Counts of one source; the totals of the summary are their sums.
struct ClientState {
  uint64_t arrived = 0, admitted = 0, completed = 0, failed = 0, dropped = 0, timed_out = 0, retried = 0;
  // Of requests that arrived (slo) or completed (the rest) after warm-up.
  uint64_t slo_eligible = 0, slo_met = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  Histogram e2e, queue, ttft, tpot;  // ns
  DeadlineList deadlines;            // of running attempts, earliest first
  EventHandle deadline_timer;

  ClientProcessState process;
  uint32_t preparing = 0;  // requests whose clock does not run yet
  uint32_t connected = 0;
  RequestList unconnected;  // wait for a connection
  uint32_t connecting = 0;  // of them, those with an event on its way that gives them one
  double tokens = 0;        // of the bucket, as of tokens_at
  Time tokens_at;
  uint64_t hedged = 0, hedges_won = 0;  // second requests sent, and those that answered first
  uint64_t refused_rate = 0, refused_outstanding = 0, refused_queue = 0, expired_in_queue = 0, refused_ttft = 0,
           shed = 0;
};

}  // namespace kisim

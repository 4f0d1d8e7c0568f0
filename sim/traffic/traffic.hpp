#pragma once
// Traffic: when requests arrive and what they ask for. Knows nothing of who serves them.
//
// The n-th request of a source has sizes drawn from (seed, source, n): two policies on one seed see the same requests.
//
// With sessions, what arrives (or what a user of a closed loop begins) is a session of several turns. A turn's prompt
// is all that was said before, prompts and answers, and new tokens; after its answer the next one is thought about. A
// session ends early with a turn that got no answer, or whose successor would be too long.

#include "core/distribution.hpp"
#include "core/engine.hpp"
#include "traffic/arrival.hpp"
#include "traffic/arrival_rate.hpp"
#include "traffic/diurnal.hpp"
#include "traffic/stepped_rate.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// Columns of a trace, sorted by time since its first row. Without a token column the source's distribution is used.
struct TraceColumns {
  std::vector<int64_t> time_ns;
  std::vector<int32_t> prompt_tokens, output_tokens;
  // Ids of the prompts' blocks of id_tokens tokens, each standing for all that is before it, too; those of row r are
  // ids[first_id[r]] to ids[first_id[r + 1]]. Without any: empty.
  std::vector<uint32_t> ids, first_id;
  int32_t id_tokens = 0;
};

// From `at` on there are that many users.
struct UserStep {
  Time at;
  int32_t users = 0;
};

// Tokens in front of every prompt that are the same for all of a group.
struct PrefixModel {
  std::vector<uint32_t> groups;  // their ids; empty: no such tokens
  int32_t tokens = 0;
  double zipf = 0;  // the k-th group is taken with a probability as k^-zipf; 0: all alike
};

// LoRA adapters of which every request, or all of a session, asks for one.
struct AdapterModel {
  int32_t count = 0;
  double zipf = 0;  // as of groups
};

struct SessionModel {
  static constexpr uint64_t kMostTurns = 1024;
  bool on = false;
  Distribution turns, think;  // think: seconds from an answer to the next turn
  int32_t max_tokens = 0;     // of a turn's prompt and answer; 0: no limit
};

struct SourceModel {
  using Pattern = SourcePattern;
  Pattern pattern = Pattern::Constant;
  enum class Arrivals : uint8_t { Poisson, Constant } arrivals = Arrivals::Poisson;
  std::string name;
  uint64_t entity = 0;     // hash of Traffic/<name>
  double rate = 0;         // 1/s; Diurnal: the mean; 0: no arrivals
  double peak = 0;         // 1/s; Diurnal
  Duration period, phase;  // Diurnal
  std::shared_ptr<const TraceColumns> trace;
  double time_scale = 1;        // of the trace's clock
  double rate_scale = 1;        // requests per row, on average; each a copy of the row's
  int32_t users = 0;            // at most
  std::vector<UserStep> steps;  // in order of time; empty: `users` all the time
  std::vector<RateStep> rates;  // Steps: in order of time
  // What the steps have is drawn anew for each seed: any number of users, or any rate, each equally likely.
  struct Levels {
    double min = 0, max = 0;
  };
  std::optional<Levels> drawn;
  std::vector<double> task_weights;  // cumulative, by kind of request; empty: there is one kind
  bool as_rate = false;              // who serves it follows its rate (arrival_rate.hpp): no request is made
  Distribution think, prompt, output;
  PrefixModel prefix;
  AdapterModel adapters;
  SessionModel session;
};

// Draws the steps that are drawn.
void draw_steps(SourceModel& source, uint64_t seed);

struct TrafficModel {
  std::vector<SourceModel> sources;
  uint64_t seed = 0;
};

// The n-th session of a source; in a closed loop counted as requests are without sessions. Its turn t is the request of
// ordinal n · kMostTurns + t.
struct SessionState {
  uint64_t ordinal = 0;
  int32_t turn = 0, turns = 0;
  int64_t history = 0;  // tokens said, the turn under way and its answer included
};

// A user of a closed loop, or an open source's session.
struct UserState {
  Stream think;
  uint64_t sent = 0;  // requests, or sessions
  SessionState session;
  bool here = false;     // or gone, once its request has left
  bool waiting = false;  // for an answer
  EventHandle thinking;
};

struct SourceState {
  Stream arrivals;                   // of the arrival process
  uint64_t ordinal = 0;              // requests made so far
  uint64_t row = 0;                  // trace: rows opened so far
  uint64_t copies = 0;               // trace: copies of the last of them still to send
  std::vector<UserState> users;      // closed loop, or sessions
  int32_t present = 0;               // of them: the first
  std::vector<uint32_t> free_users;  // of sessions that are over
};

struct TrafficState {
  std::vector<SourceState> sources;
};

class Traffic {
 public:
  enum class Code : uint8_t { Arrival, UserReady, UsersChange };

  Traffic(const TrafficModel& model, TrafficState& state, Engine& engine);

  // Precondition: the clock stands at 0.
  void start();
  // The request that arrives with this event; also schedules the source's next event. Empty if the event only moved
  // the process on (a long row of thinned arrivals).
  std::optional<Arrival> on_event(const Event& event);
  // A request of a closed loop or a session has left: its user thinks, then sends again, or goes.
  void completed(const Completion& completion);

  const TrafficModel& model;
  TrafficState& state;

 private:
  void schedule_next(uint32_t source);
  void schedule_arrival(uint32_t source, std::optional<Time> at, bool accepted = true);
  void schedule_poisson(uint32_t source);
  void schedule_stepped(uint32_t source);
  void schedule_thinned(uint32_t source);
  void schedule_regular(uint32_t source);
  void schedule_row(uint32_t source);
  void schedule_user(uint32_t source, uint32_t user);
  void schedule_step(uint32_t source, size_t step);
  void set_users(uint32_t source, int32_t users);
  uint64_t copies_of(const SourceModel& source, uint64_t row) const;
  Arrival next_request(uint32_t source);
  Arrival request_of_user(uint32_t source, uint32_t user);
  void draw_identity(const SourceModel& source, uint64_t ordinal, Arrival& arrival) const;
  uint32_t open_session(uint32_t source);
  SessionState new_session(const SourceModel& source, uint64_t ordinal) const;
  int64_t draw_turn(const SourceModel& source, const SessionState& session, Arrival& arrival) const;
  bool goes_on(const SourceModel& source, const SessionState& session) const;

  Engine& engine_;
  std::vector<DiurnalRate> diurnal_;  // by source
  std::vector<SteppedRate> stepped_;
};

}  // namespace kisim

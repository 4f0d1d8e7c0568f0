#pragma once
// Traffic: when requests arrive and what they ask for. Knows nothing of who serves them.
//
// The n-th request of a source has sizes drawn from (seed, source, n): two policies on one seed see the same requests.

#include "core/distribution.hpp"
#include "core/engine.hpp"
#include "traffic/arrival.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// Columns of a trace, sorted by time since its first row.
struct TraceColumns {
  std::vector<int64_t> time_ns;
  std::vector<int32_t> prompt_tokens, output_tokens;
};

struct SourceModel {
  enum class Pattern : uint8_t { Constant, Diurnal, Trace, Users } pattern = Pattern::Constant;
  enum class Arrivals : uint8_t { Poisson, Constant } arrivals = Arrivals::Poisson;
  std::string name;
  uint64_t entity = 0;        // hash of Traffic/<name>
  double rate = 0;            // 1/s; Diurnal: the mean
  double peak = 0;            // 1/s; Diurnal
  Duration period, phase;     // Diurnal
  std::shared_ptr<const TraceColumns> trace;
  double time_scale = 1;      // of the trace's clock
  double rate_scale = 1;      // requests per row, on average
  int32_t users = 0;
  Distribution think, prompt, output;
};

struct TrafficModel {
  std::vector<SourceModel> sources;
  uint64_t seed = 0;
};

struct SourceState {
  Stream arrivals;       // of the arrival process
  uint64_t ordinal = 0;  // requests made so far
  uint64_t row = 0;      // trace: the next row
  uint32_t copies = 0;   // trace: copies of it still to send
  double unit_time = 0;  // Diurnal with constant arrivals: integral of the rate so far
};

struct TrafficState {
  std::vector<SourceState> sources;
};

class Traffic {
 public:
  enum class Code : uint8_t { Arrival, UserReady };

  Traffic(const TrafficModel& model, TrafficState& state, Engine& engine)
      : model(model), state(state), engine_(engine) {}

  void start();
  // The request that arrives with this event; also schedules the source's next event. Empty if the event only moved
  // the process on (a thinned arrival).
  std::optional<Arrival> on_event(const Event& event);
  // A closed-loop user's request has left: the user thinks, then sends again.
  void completed(uint32_t source, uint32_t user);

  const TrafficModel& model;
  TrafficState& state;

 private:
  Engine& engine_;
};

}  // namespace kisim

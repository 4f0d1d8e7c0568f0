#include "traffic/traffic.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr uint16_t kArrival = event_kind(Room::Traffic, Traffic::Code::Arrival);
constexpr uint16_t kUserReady = event_kind(Room::Traffic, Traffic::Code::UserReady);
constexpr uint16_t kUsersChange = event_kind(Room::Traffic, Traffic::Code::UsersChange);
constexpr int kThinnedPerEvent = 1000;  // bounds the work of one event

// now + seconds; nothing if that is beyond the clock.
std::optional<Time> later(Time now, double seconds) {
  Time t = after(now, seconds);
  return t == Time::max() ? std::nullopt : std::optional(t);
}

// The stream of one member of a source: a request, a trace row, a user.
Stream stream_of(const TrafficModel& model, const SourceModel& source, uint64_t member, Purpose purpose) {
  return {model.seed, hash_combine(source.entity, member), purpose};
}

int32_t to_tokens(double value, int32_t least) {
  return static_cast<int32_t>(std::clamp<double>(value + 0.5, least, INT32_MAX));
}

}  // namespace

Traffic::Traffic(const TrafficModel& model, TrafficState& state, Engine& engine)
    : model(model), state(state), engine_(engine), diurnal_(model.sources.size()) {
  for (size_t i = 0; i < model.sources.size(); ++i) {
    const SourceModel& source = model.sources[i];
    if (source.pattern == SourceModel::Pattern::Diurnal)
      diurnal_[i] = DiurnalRate(source.rate, source.peak, source.period, source.phase);
  }
}

void Traffic::start() {
  state.sources.assign(model.sources.size(), {});
  for (uint32_t i = 0; i < model.sources.size(); ++i) {
    const SourceModel& source = model.sources[i];
    SourceState& s = state.sources[i];
    s.arrivals = Stream(model.seed, source.entity, Purpose::Arrivals);
    if (source.pattern != SourceModel::Pattern::Users) {
      schedule_next(i);
      continue;
    }
    for (int32_t user = 0; user < source.users; ++user)
      s.users.push_back({stream_of(model, source, static_cast<uint64_t>(user), Purpose::Think)});
    if (source.steps.empty()) set_users(i, source.users);
    schedule_step(i, 0);
  }
}

std::optional<Arrival> Traffic::on_event(const Event& event) {
  if (event.kind == kUserReady) return request_of_user(event.target, static_cast<uint32_t>(event.payload));
  if (event.kind == kUsersChange) {
    set_users(event.target, model.sources[event.target].steps[event.payload].users);
    schedule_step(event.target, event.payload + 1);
    return std::nullopt;
  }
  bool accepted = event.payload != 0;
  std::optional<Arrival> arrival;
  if (accepted) arrival = next_request(event.target);
  schedule_next(event.target);
  return arrival;
}

void Traffic::completed(uint32_t source, uint32_t user) {
  UserState& u = state.sources[source].users[user];
  u.waiting = false;
  if (u.here) schedule_user(source, user);
}

void Traffic::schedule_next(uint32_t source) {
  const SourceModel& m = model.sources[source];
  if (m.pattern == SourceModel::Pattern::Trace) return schedule_row(source);
  if (m.arrivals == SourceModel::Arrivals::Constant) return schedule_regular(source);
  if (m.pattern == SourceModel::Pattern::Diurnal) return schedule_thinned(source);
  schedule_poisson(source);
}

void Traffic::schedule_arrival(uint32_t source, std::optional<Time> at, bool accepted) {
  if (!at) return;
  engine_.schedule(std::max(*at, engine_.now()), Priority::Arrival, kArrival, source, accepted);
}

void Traffic::schedule_poisson(uint32_t source) {
  double rate = model.sources[source].rate;
  if (!(rate > 0)) return;
  schedule_arrival(source, later(engine_.now(), draw_exponential(state.sources[source].arrivals, 1 / rate)));
}

// Thinning (Lewis, Shedler, NRLQ 26(3), 1979): candidates at the highest rate, each kept with probability rate/highest.
void Traffic::schedule_thinned(uint32_t source) {
  const DiurnalRate& diurnal = diurnal_[source];
  Stream& stream = state.sources[source].arrivals;
  if (!(diurnal.max_rate() > 0)) return;
  std::optional<Time> at = engine_.now();
  for (int i = 0; i < kThinnedPerEvent; ++i) {
    at = later(*at, draw_exponential(stream, 1 / diurnal.max_rate()));
    if (!at || stream.uniform() * diurnal.max_rate() < diurnal.rate(*at)) return schedule_arrival(source, at);
  }
  schedule_arrival(source, at, false);
}

// The n-th arrival comes when the integral of the rate reaches n, counted from 1.
void Traffic::schedule_regular(uint32_t source) {
  const SourceModel& m = model.sources[source];
  double count = static_cast<double>(state.sources[source].ordinal + 1);
  if (m.pattern == SourceModel::Pattern::Diurnal)
    return schedule_arrival(source, diurnal_[source].when(count, engine_.now()));
  if (m.rate > 0) schedule_arrival(source, later(Time{}, count / m.rate));
}

void Traffic::schedule_row(uint32_t source) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  const std::vector<int64_t>& times = m.trace->time_ns;
  while (s.copies == 0 && s.row < times.size()) s.copies = copies_of(m, s.row++);
  if (s.copies == 0) return;
  int64_t recorded = times[s.row - 1];
  schedule_arrival(
      source, m.time_scale == 1 ? Time{recorded} : later(Time{}, static_cast<double>(recorded) * 1e-9 * m.time_scale));
}

// A share of a row is decided by a draw that belongs to the row.
uint64_t Traffic::copies_of(const SourceModel& source, uint64_t row) const {
  double whole = std::floor(source.rate_scale), share = source.rate_scale - whole;
  auto copies = static_cast<uint64_t>(whole);
  if (share > 0 && stream_of(model, source, row, Purpose::Arrivals).uniform() < share) ++copies;
  return copies;
}

void Traffic::schedule_user(uint32_t source, uint32_t user) {
  UserState& u = state.sources[source].users[user];
  double think = model.sources[source].think.draw(u.think);
  if (auto at = later(engine_.now(), think))
    u.thinking = engine_.schedule(*at, Priority::Arrival, kUserReady, source, user);
}

void Traffic::schedule_step(uint32_t source, size_t step) {
  const std::vector<UserStep>& steps = model.sources[source].steps;
  if (step < steps.size())
    engine_.schedule(std::max(steps[step].at, engine_.now()), Priority::Control, kUsersChange, source, step);
}

// The last to come are the first to go: at once where they think, else when they have their answer.
void Traffic::set_users(uint32_t source, int32_t users) {
  SourceState& s = state.sources[source];
  for (; s.present > users; --s.present) {
    UserState& u = s.users[s.present - 1];
    u.here = false;
    engine_.cancel(u.thinking);
  }
  for (; s.present < users; ++s.present) {
    UserState& u = s.users[s.present];
    u.here = true;
    if (!u.waiting) schedule_user(source, static_cast<uint32_t>(s.present));
  }
}

Arrival Traffic::next_request(uint32_t source) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  Arrival arrival{source, s.ordinal++};
  draw_sizes(m, arrival);
  if (m.pattern != SourceModel::Pattern::Trace) return arrival;
  const TraceColumns& trace = *m.trace;
  if (!trace.prompt_tokens.empty()) arrival.prompt_tokens = std::max(0, trace.prompt_tokens[s.row - 1]);
  if (!trace.output_tokens.empty()) arrival.output_tokens = std::max(1, trace.output_tokens[s.row - 1]);
  --s.copies;
  return arrival;
}

Arrival Traffic::request_of_user(uint32_t source, uint32_t user) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  ++s.ordinal;
  s.users[user].waiting = true;
  s.users[user].thinking = {};
  Arrival arrival{source, s.users[user].sent++ * static_cast<uint64_t>(m.users) + user};
  arrival.user = user;
  draw_sizes(m, arrival);
  return arrival;
}

void Traffic::draw_sizes(const SourceModel& source, Arrival& arrival) const {
  auto draw = [&](const Distribution& distribution, Purpose purpose) {
    Stream stream = stream_of(model, source, arrival.ordinal, purpose);
    return distribution.draw(stream);
  };
  arrival.prompt_tokens = to_tokens(draw(source.prompt, Purpose::PromptTokens), 0);
  arrival.output_tokens = to_tokens(draw(source.output, Purpose::OutputTokens), 1);
  if (source.task_weights.empty()) return;
  Stream stream = stream_of(model, source, arrival.ordinal, Purpose::Task);
  const std::vector<double>& weights = source.task_weights;
  auto task = std::upper_bound(weights.begin(), weights.end() - 1, stream.uniform() * weights.back());
  arrival.task = static_cast<uint16_t>(task - weights.begin());
}

}  // namespace kisim

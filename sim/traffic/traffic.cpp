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
Stream stream_of(uint64_t seed, const SourceModel& source, uint64_t member, Purpose purpose) {
  return {seed, hash_combine(source.entity, member), purpose};
}

int32_t to_tokens(double value, int32_t least) {
  return static_cast<int32_t>(std::clamp<double>(value + 0.5, least, INT32_MAX));
}

int32_t sum(int32_t tokens, int64_t more) { return static_cast<int32_t>(std::min<int64_t>(tokens + more, INT32_MAX)); }

uint64_t id_space(const SourceModel& source) { return hash_combine(source.entity, hash_text("ids")); }

// The ordinal of the first request of a source's n-th session.
uint64_t first_turn(uint64_t session) { return session * SessionModel::kMostTurns; }

void draw_sizes(uint64_t seed, const SourceModel& source, Arrival& arrival) {
  auto draw = [&](const Distribution& distribution, Purpose purpose) {
    Stream stream = stream_of(seed, source, arrival.ordinal, purpose);
    return distribution.draw(stream);
  };
  arrival.prompt_tokens = to_tokens(draw(source.prompt, Purpose::PromptTokens), 0);
  arrival.output_tokens = to_tokens(draw(source.output, Purpose::OutputTokens), 1);
  if (source.task_weights.empty()) return;
  Stream stream = stream_of(seed, source, arrival.ordinal, Purpose::Task);
  const std::vector<double>& weights = source.task_weights;
  auto task = std::upper_bound(weights.begin(), weights.end() - 1, stream.uniform() * weights.back());
  arrival.task = static_cast<uint16_t>(task - weights.begin());
}

void trace_sizes(const TraceColumns& trace, size_t row, Arrival& arrival) {
  if (!trace.prompt_tokens.empty()) arrival.prompt_tokens = std::max(0, trace.prompt_tokens[row]);
  if (!trace.output_tokens.empty()) arrival.output_tokens = std::max(1, trace.output_tokens[row]);
}

std::optional<Time> arrival_of_row(double time_scale, int64_t recorded) {
  if (time_scale == 1) return Time{recorded};
  return later(Time{}, static_cast<double>(recorded) * 1e-9 * time_scale);
}

}  // namespace

void draw_steps(SourceModel& source, uint64_t seed) {
  if (!source.drawn) return;
  Stream stream(seed, source.entity, Purpose::Users);
  const auto fewest = static_cast<int32_t>(std::lround(source.drawn->min));
  const auto most = static_cast<int32_t>(std::lround(source.drawn->max));
  source.users = 0;
  for (UserStep& step : source.steps) {
    step.users = fewest + static_cast<int32_t>(stream.below(static_cast<uint32_t>(most - fewest + 1)));
    source.users = std::max(source.users, step.users);
  }
  for (RateStep& step : source.rates)
    step.rate = source.drawn->min + (source.drawn->max - source.drawn->min) * stream.uniform();
}

// ---- a source as a rate ----

ArrivalRate::ArrivalRate(const SourceModel& source)
    : pattern_(source.pattern),
      rate_(source.rate),
      stepped_(source.rates),
      trace_(source.trace),
      time_scale_(source.time_scale),
      rate_scale_(source.rate_scale) {
  if (source.pattern == SourceModel::Pattern::Diurnal)
    diurnal_ = DiurnalRate(source.rate, source.peak, source.period, source.phase);
}

double ArrivalRate::between(Time from, Time to) const {
  switch (pattern_) {
    case SourcePattern::Diurnal:
      return diurnal_.integral(to) - diurnal_.integral(from);
    case SourcePattern::Steps:
      return stepped_.integral(to) - stepped_.integral(from);
    case SourcePattern::Trace: {
      const std::vector<int64_t>& rows = trace_->time_ns;
      auto first = [&](Time at) {
        return std::partition_point(rows.begin(), rows.end(), [&](int64_t recorded) {
          return arrival_of_row(time_scale_, recorded).value_or(Time::max()) < at;
        });
      };
      return static_cast<double>(first(to) - first(from)) * rate_scale_;
    }
    default:
      return rate_ * (to - from).to_seconds();
  }
}

std::vector<RequestSize> typical_requests(const SourceModel& source) {
  constexpr size_t count = kTypicalRequests, kEach = 16384;
  if (!source.trace && source.prompt.is_constant() && source.output.is_constant()) {
    Arrival any;
    draw_sizes(0, source, any);
    return std::vector<RequestSize>(count, {any.prompt_tokens, any.output_tokens});
  }
  std::vector<RequestSize> all(count * kEach);
  const size_t rows = source.trace ? source.trace->time_ns.size() : 0;
  for (size_t i = 0; i < all.size(); ++i) {
    Arrival arrival;
    arrival.ordinal = i;
    draw_sizes(0, source, arrival);
    if (rows > 0) trace_sizes(*source.trace, i * rows / all.size(), arrival);
    all[i] = {arrival.prompt_tokens, arrival.output_tokens};
  }
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.output < b.output; });
  std::vector<double> prompts(count), outputs(count);
  double sum = 0, kept = 0;
  for (size_t k = 0; k < count; ++k) {
    auto begin = all.begin() + static_cast<ptrdiff_t>(k * kEach), end = begin + kEach;
    // Prompts of all lengths, whatever the output: the k-th stratum gives those of another rank.
    std::sort(begin, end, [](auto& a, auto& b) { return a.prompt < b.prompt; });
    const size_t width = kEach / count, rank = (23 * k + 11) % count;  // long with long as often as not: within 0.5 %
    for (size_t i = 0; i < kEach; ++i) {
      outputs[k] += static_cast<double>(begin[static_cast<ptrdiff_t>(i)].output) / kEach;
      sum += begin[static_cast<ptrdiff_t>(i)].prompt;
      if (i / width == rank) prompts[k] += begin[static_cast<ptrdiff_t>(i)].prompt;
    }
    kept += prompts[k];
  }
  std::vector<RequestSize> out(count);
  for (size_t k = 0; k < count; ++k) {
    const double prompt = kept > 0 ? prompts[k] / kept * sum / kEach : 0;
    out[k] = {to_tokens(prompt, 0), to_tokens(outputs[k], 1)};
  }
  return out;
}

Traffic::Traffic(const TrafficModel& model, TrafficState& state, Engine& engine)
    : model(model), state(state), engine_(engine), diurnal_(model.sources.size()), stepped_(model.sources.size()) {
  for (size_t i = 0; i < model.sources.size(); ++i) {
    const SourceModel& source = model.sources[i];
    if (source.pattern == SourceModel::Pattern::Diurnal)
      diurnal_[i] = DiurnalRate(source.rate, source.peak, source.period, source.phase);
    stepped_[i] = SteppedRate(source.rates);
  }
}

void Traffic::start() {
  state.sources.assign(model.sources.size(), {});
  for (uint32_t i = 0; i < model.sources.size(); ++i) {
    const SourceModel& source = model.sources[i];
    SourceState& s = state.sources[i];
    s.arrivals = Stream(model.seed, source.entity, Purpose::Arrivals);
    if (source.as_rate) continue;
    if (source.pattern != SourceModel::Pattern::Users) {
      schedule_next(i);
      continue;
    }
    for (int32_t user = 0; user < source.users; ++user)
      s.users.push_back({stream_of(model.seed, source, static_cast<uint64_t>(user), Purpose::Think)});
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

void Traffic::completed(const Completion& completion) {
  const SourceModel& m = model.sources[completion.source];
  SourceState& s = state.sources[completion.source];
  UserState& u = s.users[completion.user];
  u.waiting = false;
  if (m.session.on && !(completion.answered && goes_on(m, u.session))) u.session.turns = u.session.turn;
  if (m.pattern != SourceModel::Pattern::Users && u.session.turn == u.session.turns)
    s.free_users.push_back(completion.user);
  else if (u.here)
    schedule_user(completion.source, completion.user);
}

void Traffic::schedule_next(uint32_t source) {
  const SourceModel& m = model.sources[source];
  if (m.pattern == SourceModel::Pattern::Trace) return schedule_row(source);
  if (m.arrivals == SourceModel::Arrivals::Constant) return schedule_regular(source);
  if (m.pattern == SourceModel::Pattern::Diurnal) return schedule_thinned(source);
  if (m.pattern == SourceModel::Pattern::Steps) return schedule_stepped(source);
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

// Of a Poisson process the integral of the rate from arrival to arrival is exponential with the mean 1.
void Traffic::schedule_stepped(uint32_t source) {
  const SteppedRate& rate = stepped_[source];
  double more = draw_exponential(state.sources[source].arrivals, 1);
  schedule_arrival(source, rate.when(rate.integral(engine_.now()) + more, engine_.now()));
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
  if (m.pattern == SourceModel::Pattern::Steps)
    return schedule_arrival(source, stepped_[source].when(count, engine_.now()));
  if (m.rate > 0) schedule_arrival(source, later(Time{}, count / m.rate));
}

void Traffic::schedule_row(uint32_t source) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  const std::vector<int64_t>& times = m.trace->time_ns;
  while (s.copies == 0 && s.row < times.size()) s.copies = copies_of(m, s.row++);
  if (s.copies == 0) return;
  int64_t recorded = times[s.row - 1];
  schedule_arrival(source, arrival_of_row(m.time_scale, recorded));
}

// A share of a row is decided by a draw that belongs to the row.
uint64_t Traffic::copies_of(const SourceModel& source, uint64_t row) const {
  double whole = std::floor(source.rate_scale), share = source.rate_scale - whole;
  auto copies = static_cast<uint64_t>(whole);
  if (share > 0 && stream_of(model.seed, source, row, Purpose::Arrivals).uniform() < share) ++copies;
  return copies;
}

void Traffic::schedule_user(uint32_t source, uint32_t user) {
  UserState& u = state.sources[source].users[user];
  const SourceModel& m = model.sources[source];
  const bool in_session = u.session.turn < u.session.turns;
  double think = (in_session ? m.session.think : m.think).draw(u.think);
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
    u.session.turns = u.session.turn;
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
  if (m.session.on) return request_of_user(source, open_session(source));
  Arrival arrival{source, s.ordinal++};
  draw_sizes(model.seed, m, arrival);
  const bool replayed = m.pattern == SourceModel::Pattern::Trace;
  if (replayed && !m.trace->first_id.empty()) {
    const TraceColumns& trace = *m.trace;
    const uint32_t *first = &trace.first_id[s.row - 1], *id = trace.ids.data() + first[0];
    arrival.identity = {id, first[1] - first[0], trace.id_tokens, id_space(m)};
  }
  draw_identity(m, arrival.ordinal, arrival);
  if (!replayed) return arrival;
  trace_sizes(*m.trace, s.row - 1, arrival);
  --s.copies;
  return arrival;
}

Arrival Traffic::request_of_user(uint32_t source, uint32_t user) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  UserState& u = s.users[user];
  u.waiting = true;
  u.thinking = {};
  if (m.pattern == SourceModel::Pattern::Users) ++s.ordinal;
  Arrival arrival{source};
  arrival.user = user;
  const bool over = u.session.turn == u.session.turns;
  if (over) arrival.ordinal = u.sent++ * static_cast<uint64_t>(m.users) + user;
  if (!m.session.on) {
    draw_sizes(model.seed, m, arrival);
    draw_identity(m, arrival.ordinal, arrival);
    return arrival;
  }
  if (over) u.session = new_session(m, arrival.ordinal);
  u.session.history += draw_turn(m, u.session, arrival);
  ++u.session.turn;
  return arrival;
}

uint32_t Traffic::open_session(uint32_t source) {
  const SourceModel& m = model.sources[source];
  SourceState& s = state.sources[source];
  if (s.free_users.empty()) {
    s.free_users.push_back(static_cast<uint32_t>(s.users.size()));
    s.users.emplace_back();
  }
  const uint32_t user = s.free_users.back();
  s.free_users.pop_back();
  const uint64_t ordinal = s.ordinal++;
  s.users[user] = {stream_of(model.seed, m, first_turn(ordinal), Purpose::Think)};
  s.users[user].session = new_session(m, ordinal);
  s.users[user].here = true;
  return user;
}

SessionState Traffic::new_session(const SourceModel& source, uint64_t ordinal) const {
  Stream stream = stream_of(model.seed, source, first_turn(ordinal), Purpose::Turns);
  const auto most = static_cast<int32_t>(SessionModel::kMostTurns);
  return {ordinal, 0, std::min(to_tokens(source.session.turns.draw(stream), 1), most), 0};
}

// The session's next request. Returns the tokens that it adds to what was said: its own and those of its answer.
int64_t Traffic::draw_turn(const SourceModel& source, const SessionState& session, Arrival& arrival) const {
  const uint64_t first = first_turn(session.ordinal);
  arrival.ordinal = first + static_cast<uint64_t>(session.turn);
  draw_sizes(model.seed, source, arrival);
  const int64_t more = int64_t{arrival.prompt_tokens} + arrival.output_tokens;
  arrival.prompt_tokens = sum(arrival.prompt_tokens, session.history);
  draw_identity(source, first, arrival);
  arrival.identity.own = hash_combine(source.entity, first);
  return more;
}

bool Traffic::goes_on(const SourceModel& source, const SessionState& session) const {
  if (session.turn == session.turns) return false;
  if (source.session.max_tokens == 0) return true;
  Arrival next;
  draw_turn(source, session, next);
  return int64_t{next.prompt_tokens} + next.output_tokens <= source.session.max_tokens;
}

// Its adapter, and what its group has in front of the prompt, whose KV differs from adapter to adapter. `ordinal`: of
// the request, or of its session's first.
void Traffic::draw_identity(const SourceModel& source, uint64_t ordinal, Arrival& arrival) const {
  auto draw = [&](int64_t count, double exponent, Purpose purpose) {
    Stream stream = stream_of(model.seed, source, ordinal, purpose);
    return draw_zipf(stream, count, exponent);
  };
  if (source.adapters.count > 0)
    arrival.adapter = static_cast<uint32_t>(draw(source.adapters.count, source.adapters.zipf, Purpose::Adapter));
  const PrefixModel& prefix = source.prefix;
  if (!prefix.groups.empty()) {
    const int64_t group = draw(static_cast<int64_t>(prefix.groups.size()), prefix.zipf, Purpose::Prefix) - 1;
    arrival.identity.id = &prefix.groups[static_cast<size_t>(group)];
    arrival.identity.ids = 1;
    arrival.identity.id_tokens = prefix.tokens;
    arrival.identity.id_space = id_space(source);
    arrival.prompt_tokens = sum(arrival.prompt_tokens, prefix.tokens);
  }
  if (arrival.adapter > 0) arrival.identity.id_space = hash_combine(arrival.identity.id_space, arrival.adapter);
}

}  // namespace kisim

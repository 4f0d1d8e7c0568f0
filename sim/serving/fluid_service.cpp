// Services whose requests are a flow (fluid.hpp). Rates hold from one point of the grid to the next, or until a replica
// comes or goes; where nothing changes any more, for good. What has flowed is counted whenever somebody looks, in whole
// requests, so that looking changes nothing.

#include "serving/serving.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace kisim {

namespace {

constexpr double kUnit = 0x1p60;  // of FluidSource
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kQuantiles = 64;

uint64_t whole(__int128 units) { return static_cast<uint64_t>(units >> 60); }
// Rounded up, so that a whole number of requests does not come out as one less: by 1e-4 of one in a day.
int64_t per_ns(double per_second) { return static_cast<int64_t>(std::ceil(per_second * 1e-9 * kUnit)); }

// The middle quantiles of equal shares of the standard exponential and the standard normal distribution.
struct Quantiles {
  std::array<double, kQuantiles> exponential, normal;
  Quantiles() {
    for (size_t i = 0; i < kQuantiles; ++i) {
      const double p = (static_cast<double>(i) + 0.5) / kQuantiles;
      exponential[i] = -math::log(1 - p);
      normal[i] = normal_quantile(p);
    }
  }
};
const Quantiles kQuantile;

// The n-th point of a sequence that fills [0, 1) evenly (Weyl); different steps are independent of each other.
double weyl(uint64_t n, double step) {
  const double x = static_cast<double>(n & 0xffffffff) * step;
  return x - std::floor(x);
}
constexpr double kOfReplica = 0.6180339887498949, kOfWait = 0.7548776662466927, kOfLate = 0.5698402909980532,
                 kOfStall = 0.8191725133961645, kOfPace = 0.6710436067037893, kOfAfter = 0.4142135623730951;
size_t place(double u) { return static_cast<size_t>(u * kQuantiles); }

// What waits beyond the steady state of what comes, and what that means for those who leave. `after`: requests at the
// step's end.
void follow_backlog(FluidReplica& r, double after, double dt) {
  constexpr double kNothing = 1e-6;  // requests
  const double before = r.backlog, head = before > 0 ? 2 * r.age / before : 0, out = r.out * dt;
  double queue = after;
  if (r.law.capacity() > 0) {
    queue = r.at.waiting;
    if (queue > 0) {
      const FluidPoint usual = r.in < r.law.capacity() ? r.law.at(r.in) : FluidPoint{};
      queue -= usual.waiting;
      if (queue > kNothing) {
        r.at.wait_share = usual.wait_share;
        r.at.wait_exponential = usual.wait_exponential;
      }
    }
  }
  r.backlog = queue > kNothing ? queue : 0;
  r.age = r.backlog > 0 ? (r.age + r.backlog * dt) / (1 + 2 * out / r.backlog) : 0;
  const double tail = r.backlog > 0 ? 2 * r.age / r.backlog : 0;
  const double through = r.backlog > 0 ? std::max(0.0, before + r.in * dt - r.backlog) : before;
  const double stays = 1 - std::min(1.0, out / std::max(out + after - r.backlog, kNothing));
  r.late = r.late * stays + through;
  r.delay = r.delay * stays + through * (head + tail) / 2;
  r.spread = r.spread * stays + through * std::abs(head - tail);
  if (r.late < kNothing) r.late = r.delay = r.spread = 0;
  r.late_share = out > 0 ? std::min(1.0, r.late / (out + after - r.backlog)) : 0;
}

struct FluidLatency {
  double queue = 0, ttft = 0, tpot = 0, e2e = 0;
};

// Of the n-th group of requests of a source.
FluidLatency latency(const FluidReplica& r, bool llm, const RequestSize& size, uint64_t n) {
  const FluidPoint& at = r.at;
  FluidLatency l;
  l.queue = r.law.overhead();
  if (const double late = weyl(n, kOfLate); late < r.late_share)
    l.queue += (r.delay + (late / r.late_share - 0.5) * r.spread) / r.late;
  const double u = weyl(n, kOfWait);
  const bool waits = u < at.wait_share;
  if (waits) {
    const double within = u / at.wait_share;
    l.queue += 2 * at.wait_even * within;
    if (at.wait_exponential > 0) {
      const double other = weyl(n, kOfStall);
      l.queue += at.wait_exponential * kQuantile.exponential[place(llm ? within : other)];
    }
  }
  const double z = kQuantile.normal[place(weyl(n, kOfPace))];
  if (!llm) {
    l.e2e = l.queue + (waits ? std::max(at.alone, at.together + z * at.together_deviation) : at.alone);
    return l;
  }
  // A prompt waits for others' with the probability that one is computed, then exponentially.
  const double stalled = r.throughput * r.law.prefill_seconds(size.prompt);
  if (const double v = weyl(n, kOfStall); v < stalled) {
    l.queue += at.stall / stalled * kQuantile.exponential[place(v / stalled)];
  }
  l.ttft = l.queue + r.law.prefill_seconds(size.prompt);
  // The batch differs, and the prompts that stall a short answer are few.
  const double decoded = size.output - 1;
  const double stalls = r.throughput * r.law.stall_squared() * at.itl / std::max(1.0, decoded);
  l.tpot = std::max(at.itl / 2, at.itl + z * std::sqrt(at.itl_deviation * at.itl_deviation + stalls));
  if (const double v = weyl(n, kOfAfter); v < stalled)
    l.tpot += at.stall_after / stalled * kQuantile.exponential[place(v / stalled)] / std::max(1.0, decoded);
  l.e2e = l.ttft + decoded * l.tpot;
  return l;
}

}  // namespace

// ---- what others see ----

void Serving::settle() {
  for (size_t s = 0; s < model.services.size(); ++s)
    if (model.services[ServiceId(s)].fluid.on) count_flow(ServiceId(s));
}

double Serving::flow_here(const ReplicaState& replica) const {
  const FluidService& f = state.services[replica.service].fluid;
  return replica.fluid.requests + (replica.fluid.in - replica.fluid.out) * (engine_.now() - f.since).to_seconds();
}

ReplicaGauges Serving::flow_gauges(const ReplicaState& replica) const {
  const FluidReplica& r = replica.fluid;
  const double seconds = (engine_.now() - state.services[replica.service].fluid.since).to_seconds();
  auto counted = [&](double before, double rate) { return static_cast<uint64_t>(before + rate * seconds); };
  ReplicaGauges g;
  g.running = r.at.running;
  g.waiting = std::max(0.0, flow_here(replica) - r.throughput * r.law.overhead() - r.at.running);
  if (model.models[replica.model].llm)
    g.kv_usage = std::min(1.0, r.at.running * r.law.blocks() / static_cast<double>(replica.cost.kv_blocks));
  g.completed = counted(r.completed, r.out);
  g.prompt_tokens = counted(r.prompt_tokens, r.tokens_in);
  g.generated_tokens = counted(r.generated_tokens, r.tokens_out);
  g.busy_ns = replica.busy.integral(engine_.now()) / kWholeLoad;
  return g;
}

uint32_t Serving::flow_held(ServiceId service) const {
  const FluidService& f = state.services[service].fluid;
  const bool more = state.services[service].serving.endpoints.empty();
  const double held = f.held + (more ? f.in * (engine_.now() - f.since).to_seconds() : 0);
  return static_cast<uint32_t>(std::llround(held));
}

uint64_t Serving::flow_in_flight() const {
  uint64_t sum = 0;
  for (size_t s = 0; s < model.services.size(); ++s)
    for (const FluidServiceModel::Source& source : model.services[ServiceId(s)].fluid.sources) {
      const ClientState& c = state.clients[source.client];
      sum += c.arrived - c.completed - c.failed;
    }
  return sum;
}

// ---- counting ----

// What has come and gone since the last time, in whole requests, and the latencies of those that have gone.
void Serving::count_flow(ServiceId service) {
  FluidService& f = state.services[service].fluid;
  const FluidServiceModel& m = model.services[service].fluid;
  const Time now = engine_.now();
  const int64_t ns = (now - f.accounted).ns;
  if (ns == 0) return;
  const bool measured = f.accounted >= model.warmup_end;
  f.accounted = now;
  for (size_t i = 0; i < f.sources.size(); ++i) {
    FluidSource& source = f.sources[i];
    ClientState& c = state.clients[m.sources[i].client];
    source.arrived += static_cast<__int128>(source.in) * ns;
    source.completed += static_cast<__int128>(source.out) * ns;
    const uint64_t came = whole(source.arrived) - c.arrived, before = c.completed;
    c.arrived += came;
    c.completed = whole(source.completed);
    if (!state.services[service].serving.endpoints.empty()) c.admitted = c.arrived;
    if (measured) c.slo_eligible += came;
    count_in_flight(came, c.completed - before);
    if (c.completed > before) record_flow(service, i, before, measured);
    if (now == model.warmup_end) source.early = c.arrived - c.completed - c.failed;
  }
}

// Little's law of a flow: who has come counts from now on, who has gone no more.
void Serving::count_in_flight(uint64_t came, uint64_t went) {
  if (came == 0 && went == 0) return;
  const Time now = engine_.now();
  state.in_flight.add(now, static_cast<int64_t>(came) - static_cast<int64_t>(went));
  state.arrivals_ns += static_cast<__int128>(came) * now.ns;
  state.sojourn_ns += static_cast<__int128>(went) * now.ns;
}

// Groups of completed requests, each with the latency of one of them.
void Serving::record_flow(ServiceId service, size_t i, uint64_t first, bool measured) {
  FluidService& f = state.services[service].fluid;
  FluidSource& source_state = f.sources[i];
  const FluidServiceModel::Source& source = model.services[service].fluid.sources[i];
  const ClientModel& client = model.clients[source.client];
  ClientState& c = state.clients[source.client];
  const uint64_t group = source_state.group, end = c.completed;
  if (f.out.empty() || !(f.out.back() > 0) || !(measured || sink)) return;
  for (uint64_t n = first / group; first < end; ++n) {
    const uint64_t requests = std::min(end, (n + 1) * group) - first;
    first += requests;
    const double u = weyl(n, kOfReplica) * f.out.back();
    const auto at = static_cast<size_t>(std::upper_bound(f.out.begin(), f.out.end() - 1, u) - f.out.begin());
    const ReplicaState& replica = state.replicas[f.replicas[at]];
    const bool llm = model.models[replica.model].llm;
    const RequestSize& size = source.typical[van_der_corput(n % kTypicalRequests, kTypicalRequests)];
    const FluidLatency l = latency(replica.fluid, llm, size, n);
    if (sink) {
      RequestRecord r;
      r.source = source.client;
      r.e2e_s = l.e2e;
      r.queue_s = l.queue;
      r.ttft_s = llm ? l.ttft : kNone;
      r.tpot_s = llm && size.output > 1 ? l.tpot : kNone;
      sink->record_flow(r, requests);
    }
    if (!measured) continue;
    const Duration e2e = Duration::seconds(l.e2e), ttft = Duration::seconds(l.ttft), tpot = Duration::seconds(l.tpot);
    c.e2e.add(e2e.ns, requests);
    c.queue.add(Duration::seconds(l.queue).ns, requests);
    if (llm) {
      c.ttft.add(ttft.ns, requests);
      if (size.output > 1) c.tpot.add(tpot.ns, requests);
      c.prompt_tokens += static_cast<uint64_t>(size.prompt) * requests;
      c.generated_tokens += static_cast<uint64_t>(size.output) * requests;
    }
    const bool met = (!client.slo_e2e || e2e <= *client.slo_e2e) && (!client.slo_ttft || ttft <= *client.slo_ttft) &&
                     (!client.slo_tpot || tpot <= *client.slo_tpot);
    // Who came before the end of warm-up goes first, and does not count.
    const uint64_t early = std::min(requests, source_state.early);
    source_state.early -= early;
    if (client.has_slo && met) c.slo_met += requests - early;
  }
}

// ---- the flow ----

void Serving::start_flow(ServiceId service) {
  const FluidServiceModel& m = model.services[service].fluid;
  if (!m.on) return;
  FluidService& f = state.services[service].fluid;
  f.sources.resize(m.sources.size());
  change_flow(service);
}

// Levels move to now. Rates are found again once all that changes at this instant has changed.
void Serving::change_flow(ServiceId service) {
  FluidService& f = state.services[service].fluid;
  move_flow(service);
  if (f.changed) return;
  f.changed = true;
  engine_.cancel(f.timer);
  f.timer = engine_.schedule(engine_.now(), Priority::Scrape, kind(Code::Flow), service.value);
}

void Serving::move_flow(ServiceId service) {
  FluidService& f = state.services[service].fluid;
  count_flow(service);
  const Duration passed = engine_.now() - f.since;
  const double seconds = passed.to_seconds();
  if (passed.ns == 0) return;
  f.since = engine_.now();
  for (ReplicaId id : f.replicas) {
    ReplicaState& replica = state.replicas[id];
    FluidReplica& r = replica.fluid;
    const double before = r.requests;
    r.requests = std::max(0.0, r.requests + (r.in - r.out) * seconds);
    const double mean = (before + r.requests) / 2 - replica.requests;
    replica.left_ns += static_cast<__int128>(mean * static_cast<double>(passed.ns));
    r.completed += r.out * seconds;
    r.prompt_tokens += r.tokens_in * seconds;
    r.generated_tokens += r.tokens_out * seconds;
  }
  if (!state.services[service].serving.endpoints.empty()) return;
  f.held_age += seconds * (f.held + f.in * seconds / 2);
  f.held += f.in * seconds;
}

// Rates from now to the next point of the grid.
void Serving::advance_flow(ServiceId service) {
  const ServiceState& s = state.services[service];
  FluidService& f = state.services[service].fluid;
  move_flow(service);
  f.changed = false;
  const Time now = engine_.now(), next{(now.ns / model.fluid_step.ns + 1) * model.fluid_step.ns};
  const Time until = now < model.warmup_end ? std::min(next, model.warmup_end) : next;
  const double dt = (until - now).to_seconds();
  const bool constant = find_arrivals(service, until);
  const FluidMix before = f.mix;
  find_mix(service, dt);
  release_flow(service);
  share_flow(service, dt);
  bool steady = constant && now >= model.warmup_end && !s.serving.endpoints.empty();
  double here = 0, out = 0;
  f.out.clear();
  ReplicaId last;
  for (ReplicaId id : f.replicas) {
    ReplicaState& replica = state.replicas[id];
    if (!(f.mix == before)) set_law(replica);
    steady &= pace_flow(id, last, dt);
    last = id;
    here += replica.fluid.requests;
    f.out.push_back(out += replica.fluid.out);
  }
  share_completions(service, here, dt, steady);
  end_drained(service);
  if (!f.changed && !steady) f.timer = engine_.schedule(until, Priority::Completion, kind(Code::Flow), service.value);
}

// Of every source, and of all; whether they stay as they are.
bool Serving::find_arrivals(ServiceId service, Time until) {
  FluidService& f = state.services[service].fluid;
  const FluidServiceModel& m = model.services[service].fluid;
  const double seconds = (until - engine_.now()).to_seconds();
  bool constant = true;
  f.in = 0;
  for (size_t i = 0; i < f.sources.size(); ++i) {
    const double rate = std::max(0.0, m.sources[i].rate.between(engine_.now(), until) / seconds);
    f.sources[i].in = per_ns(rate);
    constexpr double kGroups = 4;  // a step, so that those of a few steps are spread over all quantiles
    f.sources[i].group = std::bit_floor(std::max<uint64_t>(1, static_cast<uint64_t>(rate * seconds / kGroups)));
    f.in += rate;
    constant &= m.sources[i].rate.steady();
  }
  return constant;
}

// What those are like who are here and who come.
void Serving::find_mix(ServiceId service, double dt) {
  FluidService& f = state.services[service].fluid;
  const FluidServiceModel& m = model.services[service].fluid;
  auto of = [&](const FluidSource& s) { return static_cast<double>(s.here()) + static_cast<double>(s.in) * dt * 1e9; };
  if (f.sources.size() == 1) {
    f.mix = m.sources.front().mix;
    return;
  }
  double all = 0;
  for (const FluidSource& source : f.sources) all += of(source);
  if (!(all > 0)) return;
  f.mix = {};
  for (size_t i = 0; i < f.sources.size(); ++i) f.mix.add(m.sources[i].mix, of(f.sources[i]) / all);
}

// Those who have waited for an endpoint queue at the endpoints, as a backlog.
void Serving::release_flow(ServiceId service) {
  const ServiceState& s = state.services[service];
  FluidService& f = state.services[service].fluid;
  if (s.serving.endpoints.empty() || f.held == 0) return;
  const auto n = static_cast<double>(s.serving.endpoints.size());
  for (ReplicaId id : s.serving.endpoints) {
    FluidReplica& r = state.replicas[id].fluid;
    r.requests += f.held / n;
    r.backlog += f.held / n;
    r.age += f.held_age / n;
  }
  f.held = f.held_age = 0;
}

// Among the endpoints: evenly, or so that as many requests are at each of them at the step's end, as routers make it
// that send to those with the fewest.
void Serving::share_flow(ServiceId service, double dt) {
  const ServiceState& s = state.services[service];
  const FluidService& f = s.fluid;
  for (ReplicaId id : f.replicas) state.replicas[id].fluid.in = 0;
  const std::vector<ReplicaId>& endpoints = s.serving.endpoints;
  if (endpoints.empty()) return;
  const ReplicaState& first = state.replicas[endpoints.front()];
  auto like_first = [&](ReplicaId id) { return same_law(first, state.replicas[id]); };
  if (!model.services[service].fluid.fewest)
    for (ReplicaId id : endpoints) state.replicas[id].fluid.in = f.in / static_cast<double>(endpoints.size());
  else if (std::all_of(endpoints.begin(), endpoints.end(), like_first))
    share_among_like(service, dt);
  else
    share_among_unlike(service, dt);
}

// As many come to each as there will be at each: what is answered of them meanwhile is the same for all.
void Serving::share_among_like(ServiceId service, double dt) {
  const std::vector<ReplicaId>& endpoints = state.services[service].serving.endpoints;
  const double in = state.services[service].fluid.in;
  // Who has more than the level gets none, which lowers it for the others.
  double level = std::numeric_limits<double>::infinity();
  for (size_t below = endpoints.size() + 1;;) {
    double sum = in * dt;
    size_t count = 0;
    for (ReplicaId id : endpoints)
      if (const double here = state.replicas[id].fluid.requests; here < level) {
        sum += here;
        ++count;
      }
    if (count == below || count == 0) break;
    below = count;
    level = sum / static_cast<double>(count);
  }
  for (ReplicaId id : endpoints) {
    FluidReplica& r = state.replicas[id].fluid;
    r.in = std::max(0.0, level - r.requests) / dt;
  }
}

// Finds the level x at which all that comes has found its place: Σ max(0, x + θ(x)·dt − requests) = in·dt, where
// x = X(θ), by the Illinois method from the last step's level on.
void Serving::share_among_unlike(ServiceId service, double dt) {
  const std::vector<ReplicaId>& endpoints = state.services[service].serving.endpoints;
  FluidService& f = state.services[service].fluid;
  if (!(f.in > 0)) return;
  find_laws(endpoints);
  auto excess = [&](double level) {
    for (Law& law : laws_) law.answered = state.replicas[law.of].fluid.law.solve(level, 0, law.guess) * dt;
    double sum = -f.in * dt;
    for (size_t i = 0; i < endpoints.size(); ++i) {
      FluidReplica& r = state.replicas[endpoints[i]].fluid;
      const double comes = std::max(0.0, level + laws_[law_of_[i]].answered - r.requests);
      r.in = comes / dt;
      sum += comes;
    }
    return sum;
  };
  const double close = FluidLaw::kAccuracy * (1 + f.in * dt);
  double level = std::max(f.level, 1e-3), error = excess(level), step = 1.1;
  double low = level, at_low = error, high = level, at_high = error;
  for (; at_high < -close; step *= step) {
    low = high;
    at_low = at_high;
    high *= step;
    at_high = excess(high);
  }
  for (; at_low > close && low > 1e-9; step *= step) {
    high = low;
    at_high = at_low;
    low /= step;
    at_low = excess(low);
  }
  level = std::abs(at_high) < std::abs(at_low) ? high : low;
  error = excess(level);
  for (int before = 0; std::abs(error) > close && high - low > FluidLaw::kAccuracy * high;) {
    level = high - at_high * (high - low) / (at_high - at_low);
    error = excess(level);
    const int now = error < 0 ? -1 : 1;
    (now < 0 ? low : high) = level;
    (now < 0 ? at_low : at_high) = error;
    if (now == before) (now < 0 ? at_high : at_low) /= 2;
    before = now;
  }
  f.level = level;
  // What a rounding has left over is shared out, so that no request is lost.
  const double found = error + f.in * dt;
  if (found > 0)
    for (ReplicaId id : endpoints) state.replicas[id].fluid.in *= f.in * dt / found;
}

// Which endpoints follow the same law.
void Serving::find_laws(const std::vector<ReplicaId>& endpoints) {
  laws_.clear();
  law_of_.clear();
  for (ReplicaId id : endpoints) {
    auto same = [&](const Law& law) { return same_law(state.replicas[law.of], state.replicas[id]); };
    const auto known = std::find_if(laws_.begin(), laws_.end(), same);
    law_of_.push_back(static_cast<size_t>(known - laws_.begin()));
    if (known == laws_.end()) laws_.push_back({id, state.replicas[id].fluid.guess, 0});
  }
}

void Serving::set_law(ReplicaState& replica) {
  const ServingModelModel& m = model.models[replica.model];
  if (replica.lost) return replica.fluid.law.stop();
  if (m.llm)
    replica.fluid.law.set(m.engine, replica.cost, state.services[replica.service].fluid.mix,
                          m.request_overhead.to_seconds());
}

// One step of a replica; whether it goes on like this for ever. Replicas on like GPUs that have as much to do, as
// routers make them have, do it alike: what is found of the last one holds for this one, too.
bool Serving::pace_flow(ReplicaId id, ReplicaId last, double dt) {
  ReplicaState& replica = state.replicas[id];
  FluidReplica& r = replica.fluid;
  const FluidMix& mix = state.services[replica.service].fluid.mix;
  const double running = r.at.running;
  r.total = r.requests + r.in * dt;
  if (last.valid() && alike(replica, state.replicas[last])) {
    const FluidReplica& same = state.replicas[last].fluid;
    r.throughput = same.throughput;
    r.guess = same.guess;
    r.at = same.steady;
  } else {
    r.throughput = r.law.solve(r.total, dt, r.guess);
    r.at = r.throughput > 0 ? r.law.at(r.throughput) : FluidPoint{};
  }
  r.steady = r.at;
  const double total = r.total;
  const double after = std::max(0.0, total - r.throughput * dt);
  const bool still = std::abs(after - r.requests) <= 1e-6 * (1 + r.requests);
  r.out = still ? r.in : (total - after) / dt;

  follow_backlog(r, after, dt);
  r.tokens_out = r.out * (mix.decoded + 1);
  r.tokens_in = std::max(0.0, r.out + (r.at.running - running) / dt) * mix.prompt;

  show_load(replica);
  set_flow_requests(replica);
  return still && r.backlog == 0 && r.late == 0 && replica.status == ReplicaState::Status::Ready;
}

bool Serving::same_law(const ReplicaState& a, const ReplicaState& b) {
  return !a.lost && !b.lost && a.model == b.model && a.accelerator.same_kind(b.accelerator);
}

bool Serving::alike(const ReplicaState& a, const ReplicaState& b) {
  return same_law(a, b) && std::abs(a.fluid.total - b.fluid.total) <= FluidLaw::kAccuracy * (1 + a.fluid.total);
}

// What its GPUs do; again once the throughput is another one by a thousandth of the capacity.
void Serving::show_load(ReplicaState& replica) {
  FluidReplica& r = replica.fluid;
  if (std::abs(r.throughput - r.shown) < 1e-3 * r.law.capacity() && (r.throughput > 0) == (r.shown > 0)) return;
  r.shown = r.throughput;
  // In thousandths: of any part of a GPU that is a share of its own.
  const int64_t busy = kWholeLoad / 1000 * std::llround(r.law.busy(r.throughput, r.at) * 1000);
  replica.busy.set(engine_.now(), busy);
  cluster_.set_busy_share(replica.pod, busy, engine_.now());
  const GpuLoad load = busy > 0 ? r.law.load(r.at, r.throughput) : GpuLoad{};
  if (replica.accelerator.gpus > 0) cluster_.set_load(replica.pod, load, engine_.now());
}

// In whole requests, for who counts them; what is less than half a one is nobody.
void Serving::set_flow_requests(ReplicaState& replica) {
  const auto requests = static_cast<uint32_t>(std::llround(replica.fluid.requests));
  replica.left_ns -= (static_cast<__int128>(requests) - replica.requests) * engine_.now().ns;
  replica.requests = requests;
  if (replica.status == ReplicaState::Status::Ready)
    state.services[replica.service].serving.outstanding[replica.endpoint] = requests;
}

// Whose requests leave: those of every source in proportion to what is here of it and comes.
void Serving::share_completions(ServiceId service, double here, double dt, bool steady) {
  FluidService& f = state.services[service].fluid;
  const auto ns = static_cast<int64_t>(std::llround(dt * 1e9));
  const double out = f.out.empty() ? 0 : f.out.back(), total = here + f.held + f.in * dt;
  const double share = total > 0 ? std::min(1.0, out * dt / total) : 0;
  for (FluidSource& source : f.sources) {
    const __int128 most = std::max<__int128>(0, (source.here() + static_cast<__int128>(source.in) * ns) / ns);
    const auto wanted = static_cast<__int128>(static_cast<double>(most) * share);
    source.out = steady ? source.in : static_cast<int64_t>(std::min(most, wanted));
  }
}

// ---- replicas come and go ----

void Serving::add_flow(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  FluidService& f = state.services[replica.service].fluid;
  const FluidServiceModel& m = model.services[replica.service].fluid;
  change_flow(replica.service);
  // What a batch server can do takes long to work out; whoever is or was alike knows it.
  auto known = [&](const ReplicaState& other) {
    return &other != &replica && other.model == replica.model && other.service == replica.service && !other.lost &&
           other.fluid.law.capacity() > 0 && other.accelerator.same_kind(replica.accelerator);
  };
  auto like = std::find_if(state.replicas.begin(), state.replicas.end(), known);
  if (model.models[replica.model].llm)
    set_law(replica);
  else if (like != state.replicas.end())
    replica.fluid.law = like->fluid.law;
  else
    replica.fluid.law.set(model.models[replica.model].batch, replica.accelerator,
                          m.sources.empty() ? 1 : m.sources.front().samples);
  f.replicas.push_back(id);
}

// Less than half a request goes to the others, or waits for one.
void Serving::drain_flow(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  set_flow_requests(replica);
  if (replica.requests > 0) return;
  state.services[replica.service].fluid.held += std::exchange(replica.fluid.requests, 0);
}

void Serving::lose_flow(ReplicaId id) {
  change_flow(state.replicas[id].service);
  set_law(state.replicas[id]);
}

void Serving::end_drained(ServiceId service) {
  FluidService& f = state.services[service].fluid;
  for (ReplicaId id : f.replicas) {
    ReplicaState& replica = state.replicas[id];
    FluidReplica& r = replica.fluid;
    const bool told = replica.drained_kind == 0;
    if (replica.status != ReplicaState::Status::Draining || replica.requests > 0 || told) continue;
    f.held += std::exchange(r.requests, 0);
    change_flow(service);
    engine_.schedule(engine_.now(), Priority::Control, std::exchange(replica.drained_kind, uint16_t{0}),
                     replica.pod.value);
  }
}

// Its requests fail, of every source in proportion to what is here of it.
void Serving::fail_flow(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  FluidService& f = state.services[replica.service].fluid;
  double here = f.held;
  for (ReplicaId other : f.replicas) here += state.replicas[other].fluid.requests;
  const double share = here > 0 ? replica.fluid.requests / here : 0;
  const FluidServiceModel& m = model.services[replica.service].fluid;
  for (size_t i = 0; i < f.sources.size(); ++i) {
    FluidSource& source = f.sources[i];
    ClientState& c = state.clients[m.sources[i].client];
    source.failed += std::min(source.here(), static_cast<__int128>(static_cast<double>(source.here()) * share));
    count_in_flight(0, whole(source.failed) - c.failed);
    c.failed = whole(source.failed);
  }
  replica.fluid.requests = 0;
  set_flow_requests(replica);
  std::erase(f.replicas, id);
}

void Serving::check_flow(ServiceId service) const {
  const FluidService& f = state.services[service].fluid;
  double here = f.held, held = 0;
  const double seconds = (engine_.now() - f.since).to_seconds();
  for (ReplicaId id : f.replicas) here += flow_here(state.replicas[id]);
  if (state.services[service].serving.endpoints.empty()) here += f.in * seconds;
  const auto ns = static_cast<__int128>((engine_.now() - f.accounted).ns);
  for (const FluidSource& source : f.sources) {
    KISIM_INVARIANT(source.here() >= 0, "a source of service {} has fewer than no requests here",
                    model.services[service].name);
    held += static_cast<double>(source.here() + ns * (source.in - source.out)) / kUnit;
  }
  KISIM_INVARIANT(std::abs(here - held) <= 1e-3 + 1e-6 * here,
                  "service {}: its replicas have {} requests, its sources {}", model.services[service].name, here,
                  held);
}

}  // namespace kisim

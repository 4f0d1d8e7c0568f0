#include "serving/serving.hpp"

#include "core/hash.hpp"
#include "serving/memory_fit.hpp"

#include <algorithm>
#include <limits>

namespace kisim {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

LlmEngine Serving::engine(ReplicaState& replica) const {
  return LlmEngine(model.models[replica.model].engine, replica.cost, replica.engine, state.requests);
}

BatchServer Serving::batch(ReplicaState& replica) const {
  return BatchServer(model.models[replica.model].batch, replica.batch, state.requests);
}

void Serving::start() {
  state.services.resize(model.services.size());
  for (size_t s = 0; s < model.services.size(); ++s)
    state.services[ServiceId(s)].stream = Stream(model.seed, model.services[ServiceId(s)].entity, Purpose::Routing);
  state.clients.resize(model.clients.size());
  for (size_t i = 0; i < model.clients.size(); ++i) state.clients[i].tokens = model.clients[i].admission.burst;
  state.batches.resize(model.models.size());
  state.estimated.resize(model.models.size());
  for (size_t s = 0; s < model.services.size(); ++s) start_flow(ServiceId(s));
}

void Serving::on_event(const Event& event) {
  switch (static_cast<Code>(event_code(event.kind))) {
    case Code::Step: {
      ReplicaId id{event.target};
      ReplicaState& replica = state.replicas[id];
      replica.timer_at = Time::max();
      engine(replica).on_timer(engine_.now());
      return after_engine(id);
    }
    case Code::BatchEnd:
      return on_batch_end(ReplicaId{event.target}, static_cast<uint32_t>(event.payload >> 32),
                          static_cast<uint32_t>(event.payload));
    case Code::Look:
      return start_batches(ReplicaId{event.target}, static_cast<uint32_t>(event.payload));
    case Code::Enqueue: {
      RequestId id{event.target};
      Request& request = state.requests[id];
      state.replicas[request.replica].travelling.remove(state.requests, id);
      return enqueue(id);
    }
    case Code::Deadline:
      return on_deadline(event.target);
    case Code::Retry:
      return attempt(RequestId{event.target});
    case Code::Release:
      return release(ServiceId{event.target});
    case Code::Turn:
      return on_turn(event.target);
    case Code::Connect:
      return on_connection(event.target);
    case Code::Network: {
      RequestId id{event.target};
      return state.requests[id].answered ? received(id) : arrived_at_gateway(id);
    }
    case Code::Answer: {
      RequestId id{event.target};
      Request& request = state.requests[id];
      state.replicas[request.replica].travelling.remove(state.requests, id);
      left_replica(request.replica, request);
      return respond(id);
    }
    case Code::Hedge:
      return hedge(RequestId{event.target});
    case Code::Pulled:
      return on_pulled(RequestId{event.target});
    case Code::Flow:
      return advance_flow(ServiceId{event.target});
  }
}

// ---- the way of a request ----

void Serving::route(RequestId id) {
  Request& request = state.requests[id];
  ServiceId service = model.clients[request.source].service;
  ServiceState& s = state.services[service];
  request.prefill_half = prefilled_apart(id);
  if (request.prefill_half || (!s.serving.endpoints.empty() && s.held.empty())) return route_to_endpoint(id, service);
  request.place = Request::Place::Held;
  s.held.push_back(state.requests, id);
}

EndpointPool& Serving::pool(const ReplicaState& replica) const {
  ServiceState& s = state.services[replica.service];
  return model.models[replica.model].engine.role == LlmEngineModel::Role::Prefill ? s.prefill : s.serving;
}

// Endpoints of a Service, as their router sees them.
class Serving::View final : public EndpointView {
 public:
  View(const Serving& serving, const EndpointPool& pool, const Request& request)
      : serving_(serving), endpoints_(pool.endpoints), request_(request) {}

  int64_t cached_tokens(uint32_t e) const override { return llm(e) ? engine(e).cached_tokens(request_) : 0; }
  int64_t prefill_tokens(uint32_t e) const override {
    int64_t tokens = replica(e).engine.to_prefill;
    const RequestSlab& requests = serving_.state.requests;
    for (RequestId r = replica(e).travelling.front(); r.valid(); r = requests[r].next())
      tokens += requests[r].prompt_tokens;
    return llm(e) ? tokens : 0;
  }
  int64_t kv_tokens(uint32_t e) const override {
    if (!llm(e)) return 0;
    return engine(e).kv_blocks_used(serving_.engine_.now()) * serving_.model.models[replica(e).model].engine.block_size;
  }
  double kv_usage(uint32_t e) const override { return llm(e) ? engine(e).kv_usage(serving_.engine_.now()) : 0; }
  uint32_t waiting(uint32_t e) const override { return serving_.waiting(replica(e)); }
  uint64_t name(uint32_t e) const override { return replica(e).entity; }

 private:
  ReplicaState& replica(uint32_t e) const { return serving_.state.replicas[endpoints_[e]]; }
  bool llm(uint32_t e) const { return serving_.model.models[replica(e).model].llm; }
  LlmEngine engine(uint32_t e) const { return serving_.engine(replica(e)); }

  const Serving& serving_;
  const std::vector<ReplicaId>& endpoints_;
  const Request& request_;
};

void Serving::route_to_endpoint(RequestId id, ServiceId service) {
  ServiceState& s = state.services[service];
  const Request& request = state.requests[id];
  const ServiceModel& m = model.services[service];
  EndpointPool& from = request.prefill_half ? s.prefill : s.serving;
  const std::vector<ReplicaId>& endpoints = from.endpoints;
  const View view(*this, from, request);
  const Router& router = request.prefill_half ? *m.prefill_router : *m.router;
  uint32_t endpoint =
      router.pick({from.outstanding, &view, request.prompt_tokens, request.identity.own}, from.memory, s.stream);
  KISIM_INVARIANT(endpoint < endpoints.size(), "router of service {} chose endpoint {} of {}", m.name, endpoint,
                  endpoints.size());
  // A second request to where the first one is would not be one.
  if (request.second && endpoints[endpoint] == state.requests[request.twin].replica)
    endpoint = endpoint + 1 == endpoints.size() ? 0 : endpoint + 1;
  send(id, endpoints[endpoint]);
}

// In the order in which they came.
void Serving::release(ServiceId service) {
  ServiceState& s = state.services[service];
  while (!s.held.empty() && !s.serving.endpoints.empty()) {
    RequestId id = s.held.pop_front(state.requests);
    state.requests[id].prefill_half = prefilled_apart(id);
    route_to_endpoint(id, service);
  }
}

void Serving::send(RequestId id, ReplicaId replica_id) {
  ReplicaState& replica = state.replicas[replica_id];
  const ServingModelModel& m = model.models[replica.model];
  Request& request = state.requests[id];
  if (replica.lost) {
    come_to_replica(replica_id, request);
    request.place = Request::Place::Travelling;
    return replica.travelling.push_back(state.requests, id);
  }
  const std::optional<Distribution>& frontend = task_of(id).frontend;
  auto queued = [&] { return replica.travelling.size + waiting(replica); };
  if (!frontend && m.max_queue_size > 0 && queued() >= static_cast<uint32_t>(m.max_queue_size))
    return attempt_failed(id, Outcome::Dropped);
  const Duration ttft = client_of(id).admission.ttft;
  if (ttft.ns > 0 && !request.kept_by.valid() && expected_ttft(request, replica) > ttft.to_seconds()) {
    ++state.clients[request.source].refused_ttft;
    return attempt_failed(id, Outcome::Dropped);
  }
  if (!request.admitted) {
    request.admitted = true;
    ++state.clients[request.source].admitted;
  }
  come_to_replica(replica_id, request);
  if (frontend) {
    request.scheduled = engine_.now();
    request.place = Request::Place::Travelling;
    replica.travelling.push_back(state.requests, id);
    Stream stream(model.seed, request.entity, Purpose::ServiceTime);
    request.timer = engine_.schedule(after(engine_.now(), frontend->draw(stream)), Priority::Completion,
                                     kind(Code::Answer), id.value);
    return;
  }
  if (m.request_overhead.ns == 0) return enqueue(id);
  request.place = Request::Place::Travelling;
  replica.travelling.push_back(state.requests, id);
  request.timer =
      engine_.schedule(engine_.now() + m.request_overhead, Priority::Arrival, kind(Code::Enqueue), id.value);
}

void Serving::enqueue(RequestId id) {
  Request& request = state.requests[id];
  ReplicaId replica_id = request.replica;
  ReplicaState& replica = state.replicas[replica_id];
  bool llm = model.models[replica.model].llm;
  const std::vector<uint16_t>& asked = task_of(id).model;
  request.model = replica.model.value < asked.size() ? asked[replica.model.value] : 0;
  if (!(llm ? engine(replica).fits(request) : batch(replica).fits(request))) {
    left_replica(replica_id, request);
    if (request.twin.valid()) return attempt_failed(id, Outcome::Failed);
    end_attempt(id);
    return leave(id, Outcome::Failed);  // no retry could help
  }
  if (!llm) return join_queue(replica_id, id);
  engine(replica).enqueue(id, engine_.now());
  after_engine(replica_id);
}

void Serving::join_queue(ReplicaId replica_id, RequestId id) {
  ReplicaState& replica = state.replicas[replica_id];
  Request& request = state.requests[id];
  BatchServer server = batch(replica);
  if (!server.enqueue(id, engine_.now())) {
    ++state.clients[request.source].refused_queue;
    left_replica(replica_id, request);
    return attempt_failed(id, Outcome::Dropped);
  }
  if (server.must_look(request.serving)) start_batches(replica_id, request.serving);
}

// Takes the attempt out of wherever it is.
void Serving::withdraw(RequestId id) {
  Request& request = state.requests[id];
  Time now = engine_.now();
  engine_.cancel(request.timer);
  if (request.place == Request::Place::Held) {
    state.services[model.clients[request.source].service].held.remove(state.requests, id);
    return;
  }
  switch (request.place) {
    case Request::Place::Backoff:
    case Request::Place::Network:
    case Request::Place::SecondOnly:
      return;
    case Request::Place::Connecting:
      return state.clients[request.source].unconnected.remove(state.requests, id);
    case Request::Place::Preparing:
    case Request::Place::Sending:
    case Request::Place::Receiving:
      return withdraw_turn(id);
    default:
      break;
  }
  ReplicaId replica_id = request.replica;
  ReplicaState& replica = state.replicas[replica_id];
  if (request.place == Request::Place::Travelling) {
    replica.travelling.remove(state.requests, id);
  } else if (model.models[replica.model].llm) {
    engine(replica).abort(id, now);
    replica.tokens_left += request.generated;
    after_engine(replica_id);
  } else {
    batch(replica).withdraw(id);
  }
  left_replica(replica_id, request);
}

void Serving::end_attempt(RequestId id) {
  engine_.cancel(state.requests[id].hedge_timer);
  disconnect(id);
  if (state.requests[id].kept_by.valid()) let_go(id);
  uint32_t source = state.requests[id].source;
  if (model.clients[source].timeout.ns > 0) state.clients[source].deadlines.remove(state.requests, id);
}

void Serving::attempt_failed(RequestId id, Outcome outcome) {
  Request& request = state.requests[id];
  if (request.twin.valid()) return half_failed(id, outcome);
  const ClientModel& client = model.clients[request.source];
  end_attempt(id);
  if (request.attempts > static_cast<uint32_t>(client.retries)) return leave(id, outcome);
  request.place = Request::Place::Backoff;
  request.timer =
      engine_.schedule(engine_.now() + client.retry_backoff, Priority::Arrival, kind(Code::Retry), id.value);
}

void Serving::on_deadline(uint32_t source) {
  ClientState& c = state.clients[source];
  c.deadline_timer = {};
  while (!c.deadlines.empty() && state.requests[c.deadlines.front()].deadline <= engine_.now()) {
    RequestId id = c.deadlines.front();
    cancel_second(id);
    withdraw(id);
    attempt_failed(id, Outcome::TimedOut);
  }
  // Deadlines come in order, so the earliest stands at the head; most are met and never looked at.
  if (!c.deadlines.empty() && !c.deadline_timer)
    c.deadline_timer =
        engine_.schedule(state.requests[c.deadlines.front()].deadline, Priority::Failure, kind(Code::Deadline), source);
}

// Books of the replica and its endpoint, when a request comes to it and when it has left it.
void Serving::come_to_replica(ReplicaId id, Request& request) {
  ReplicaState& replica = state.replicas[id];
  ++replica.requests;
  replica.left_ns -= engine_.now().ns;
  if (replica.status == ReplicaState::Status::Ready) ++pool(replica).outstanding[replica.endpoint];
  request.replica = id;
}

void Serving::left_replica(ReplicaId id, Request& request) {
  ReplicaState& replica = state.replicas[id];
  --replica.requests;
  replica.left_ns += engine_.now().ns;
  if (replica.status == ReplicaState::Status::Ready) --pool(replica).outstanding[replica.endpoint];
  tell_if_drained(replica);
  request.replica = id;  // remembered for the record
}

void Serving::tell_if_drained(ReplicaState& replica) {
  if (replica.status == ReplicaState::Status::Draining && replica.drained_kind != 0 && drained(replica))
    engine_.schedule(engine_.now(), Priority::Control, replica.drained_kind, replica.pod.value);
}

// The request is over.
void Serving::leave(RequestId id, Outcome outcome) {
  Request& request = state.requests[id];
  const ClientModel& client = model.clients[request.source];
  ClientState& c = state.clients[request.source];
  Time now = engine_.now();
  Duration e2e = now - request.arrival;
  switch (outcome) {
    case Outcome::Completed:
      ++c.completed;
      break;
    case Outcome::Failed:
      ++c.failed;
      break;
    case Outcome::Dropped:
      ++c.dropped;
      break;
    case Outcome::TimedOut:
      ++c.timed_out;
      break;
  }
  state.in_flight.add(now, -1);
  state.sojourn_ns += e2e.ns;
  state.arrivals_ns -= request.arrival.ns;

  bool llm = request.first_token <= now;
  Duration queue = llm || outcome == Outcome::Completed ? request.scheduled - request.arrival : Duration{};
  Duration ttft = llm ? request.first_token - request.arrival : Duration{};
  Duration tpot = llm && request.output_tokens > 1
                      ? Duration{(request.answered_at - request.first_token).ns / (request.output_tokens - 1)}
                      : Duration{};
  if (outcome == Outcome::Completed && now >= model.warmup_end) {
    c.e2e.add(e2e.ns);
    c.queue.add(queue.ns);
    if (llm) {
      c.ttft.add(ttft.ns);
      if (request.output_tokens > 1) c.tpot.add(tpot.ns);
      c.prompt_tokens += request.prompt_tokens;
      c.cached_tokens += request.cached;
      c.generated_tokens += request.output_tokens;
    }
    bool met = (!client.slo_e2e || e2e <= *client.slo_e2e) && (!client.slo_ttft || ttft <= *client.slo_ttft) &&
               (!client.slo_tpot || tpot <= *client.slo_tpot);
    if (client.has_slo && request.arrival >= model.warmup_end && met) ++c.slo_met;
  }
  if (sink) {
    RequestRecord r;
    r.entity = request.entity;
    r.source = request.source;
    r.ordinal = request.ordinal;
    r.outcome = outcome;
    r.attempts = request.attempts;
    if (request.replica.valid()) r.replica_pod = state.replicas[request.replica].pod.value;
    r.prompt_tokens = request.prompt_tokens;
    r.output_tokens = request.output_tokens;
    r.arrival_s = request.arrival.to_seconds();
    r.queue_s = request.scheduled <= now ? (request.scheduled - request.arrival).to_seconds() : kNone;
    r.ttft_s = llm ? ttft.to_seconds() : kNone;
    r.tpot_s = llm && outcome == Outcome::Completed && request.output_tokens > 1 ? tpot.to_seconds() : kNone;
    r.e2e_s = e2e.to_seconds();
    sink->record(r);
  }
  if (client.closed_loop) state.completions.push_back({request.source, request.user, outcome == Outcome::Completed});
  state.requests.give_back(id);
}

// ---- servers ----

// Settles what an engine call has changed: ended requests, whether its GPUs work, its speed and timer.
void Serving::after_engine(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  std::vector<RequestId> finished;  // who is told may come back here
  finished.swap(replica.engine.finished);
  for (RequestId done : finished) {
    ++replica.completed;
    replica.tokens_left += state.requests[done].generated;
    if (state.requests[done].prefill_half) {
      hand_over(id, done);
      continue;
    }
    left_replica(id, state.requests[done]);
    respond(done);
  }
  finished.clear();
  finished.swap(state.replicas[id].engine.finished);
  for (RequestId request : replica.engine.to_pull) pull(request);
  replica.engine.to_pull.clear();
  set_busy(id, engine(replica).busy());
  pace_engine(id);
}

// Gives the step under way its end, at the speed that there is now.
void Serving::pace_engine(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  LlmEngine e = engine(replica);
  e.set_speed(e.busy() ? interference(replica) : 1, engine_.now());
  Time at = e.timer();
  if (at != replica.timer_at) {
    engine_.cancel(replica.timer);
    if (at != Time::max()) replica.timer = engine_.schedule(at, Priority::Completion, kind(Code::Step), id.value);
    replica.timer_at = at;
  }
  if (replica.accelerator.gpus > 0) cluster_.set_load(replica.pod, e.load(engine_.now()), engine_.now());
}

void Serving::start_batches(ReplicaId id, uint32_t m) {
  ReplicaState& replica = state.replicas[id];
  BatchModelState& s = replica.batch.models[m];
  engine_.cancel(s.look_timer);
  Time again = batch(replica).form(m, engine_.now());
  set_busy(id, replica.batch.busy > 0);
  pace_batches(id);
  if (again != Time::max()) s.look_timer = engine_.schedule(again, Priority::Completion, kind(Code::Look), id.value, m);
  for (size_t i = 0; i < replica.batch.refused.size(); ++i) {
    RequestId refused = replica.batch.refused[i];
    Request& request = state.requests[refused];
    ++state.clients[request.source].expired_in_queue;
    left_replica(id, request);
    attempt_failed(refused, Outcome::Dropped);
  }
  replica.batch.refused.clear();
}

void Serving::on_batch_end(ReplicaId id, uint32_t m, uint32_t i) {
  ReplicaState& replica = state.replicas[id];
  const std::vector<BatchModel>& models = model.models[replica.model].batch.models;
  BatchServer server = batch(replica);
  server.end(m, i);
  RequestList& over = replica.batch.models[m].instances[i].batch;
  while (!over.empty()) {
    RequestId done = over.pop_front(state.requests);
    Request& request = state.requests[done];
    if (request.step + 1u < models[request.model].steps.size()) {
      ++request.step;
      if (server.enqueue(done, engine_.now())) continue;
      ++state.clients[request.source].refused_queue;
      left_replica(id, request);
      attempt_failed(done, Outcome::Dropped);
      continue;
    }
    ++replica.completed;
    left_replica(id, request);
    respond(done);
  }
  for (uint32_t other = 0; other < models.size(); ++other)
    if (other == m || server.must_look(other)) start_batches(id, other);
}

// Gives the batches that have just begun their ends, and all that run new ones where their speed has changed.
void Serving::pace_batches(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  BatchServerState& b = replica.batch;
  Time now = engine_.now();
  auto schedule = [&](uint32_t m, uint32_t i) {
    BatchInstance& instance = b.models[m].instances[i];
    engine_.cancel(instance.timer);
    instance.timer = engine_.schedule(after(now, instance.left / b.speed), Priority::Completion, kind(Code::BatchEnd),
                                      id.value, static_cast<uint64_t>(m) << 32 | i);
  };
  BatchServer server = batch(replica);
  double speed = server.own_speed() * interference(replica);
  if (speed != b.speed) {
    server.set_speed(speed, now);
    for (uint32_t m = 0; m < b.models.size(); ++m)
      for (uint32_t i = 0; i < b.models[m].instances.size(); ++i)
        if (b.models[m].instances[i].busy) schedule(m, i);
  } else {
    for (const BatchServerState::Started& s : b.started) schedule(s.model, s.instance);
  }
  b.started.clear();
  if (replica.accelerator.gpus > 0) cluster_.set_load(replica.pod, server.load(replica.accelerator), now);
}

void Serving::set_busy(ReplicaId id, bool busy) {
  ReplicaState& replica = state.replicas[id];
  if (replica.busy.value() != busy) {
    replica.busy.set(engine_.now(), busy);
    cluster_.set_busy(replica.pod, busy, engine_.now());
  }
  // Its neighbours feel when it begins and ends, and what of it runs.
  for (uint32_t place : replica.shared)
    for (ReplicaId other : state.tenants[place])
      if (other != id) pace(other);
}

// A replica feels its neighbours while something of it runs.
void Serving::pace(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  if (replica.batch.busy > 0) pace_batches(id);
  if (model.models[replica.model].llm && engine(replica).busy()) pace_engine(id);
}

// ---- GPUs that several replicas use ----

// Of the device that it runs on, while it is alone there.
GpuDemand Serving::demand(ReplicaState& replica) const {
  if (model.models[replica.model].llm) return engine(replica).demand(engine_.now());
  BatchServer server = batch(replica);
  const Accelerator& on = replica.accelerator;
  return {std::min(1.0, server.demand(&LatencyLaw::compute) / on.compute_share),
          std::min(1.0, server.demand(&LatencyLaw::bandwidth) / on.bandwidth_share)};
}

// Speed at which the others on its devices let it run; that of the slowest of them.
double Serving::interference(const ReplicaState& replica) {
  if (replica.shared.empty()) return 1;
  const Interference& law = *model.interference[static_cast<size_t>(replica.accelerator.sharing)];
  double slowest = 1;
  for (uint32_t place : replica.shared) {
    state.demands.clear();
    size_t self = 0;
    for (ReplicaId id : state.tenants[place]) {
      ReplicaState& tenant = state.replicas[id];
      if (tenant.busy.value() == 0) continue;
      if (&tenant == &replica) self = state.demands.size();
      state.demands.push_back(demand(tenant));
    }
    if (state.demands.size() > 1) slowest = std::min(slowest, law.speed(state.demands, self));
  }
  return slowest;
}

void Serving::find_shared(ReplicaState& replica) const {
  if (!model.interference[static_cast<size_t>(replica.accelerator.sharing)]) return;
  constexpr uint32_t kPlaces = 9;
  const PodState& pod = cluster_.state.pods[replica.pod];
  for (uint16_t d : pod.devices) {
    const GpuDevice& device = cluster_.devices(pod.node)[d];
    uint32_t place = cluster_.gpu(pod.node, device.gpu).value * kPlaces;
    if (device.instance) place += 1u + device.instance->start;
    if (std::find(replica.shared.begin(), replica.shared.end(), place) == replica.shared.end())
      replica.shared.push_back(place);
  }
}

void Serving::join_tenants(ReplicaId id, bool join) {
  ReplicaState& replica = state.replicas[id];
  for (uint32_t place : replica.shared) {
    if (place >= state.tenants.size()) state.tenants.resize(place + 1);
    std::vector<ReplicaId>& tenants = state.tenants[place];
    if (join)
      tenants.push_back(id);
    else
      std::erase(tenants, id);
  }
}

// ---- replicas come and go ----

ReplicaId Serving::add_replica(ServingModelId model_id, ServiceId service, PodId pod) {
  ReplicaId id;
  if (state.free_replicas.empty()) {
    id = state.replicas.push_back({});
  } else {
    id = state.free_replicas.back();
    state.free_replicas.pop_back();
    state.replicas[id] = {};
  }
  ReplicaState& replica = state.replicas[id];
  replica.status = ReplicaState::Status::Ready;
  replica.model = model_id;
  replica.service = service;
  replica.pod = pod;
  const ServingModelModel& m = model.models[model_id];
  replica.accelerator = cluster_.accelerator(pod, m.gpu);
  replica.accelerator.slowdown = m.slowdown;
  replica.entity = cluster_.pod_entity(pod);
  replica.since = engine_.now();
  replica.busy.reset(engine_.now());
  if (m.llm) {
    std::optional<std::string> complaint = does_not_fit(m, cluster_.model, replica.accelerator);
    KISIM_INVARIANT(!complaint, "pod {} serves {}, which {}", cluster_.pod_name(pod), m.name, *complaint);
    replica.cost = llm_cost(m.engine, cluster_.model.gpu_models[replica.accelerator.gpu_model], replica.accelerator);
    if (replica.cost.estimated) state.estimated[model_id] = replica.accelerator.gpu_model;
  }
  if (flows(replica)) {
    add_flow(id);
  } else {
    m.llm ? engine(replica).start() : batch(replica).start(replica.accelerator);
    find_shared(replica);
    join_tenants(id, true);
  }
  EndpointPool& joins = pool(replica);
  replica.endpoint = static_cast<uint32_t>(joins.endpoints.size());
  joins.endpoints.push_back(id);
  joins.outstanding.push_back(0);
  // Those who waited for it go on when all that become ready at this instant are there to share them.
  const ServiceState& s = state.services[service];
  if (s.serving.endpoints.size() == 1 && !s.held.empty())
    engine_.schedule(engine_.now(), Priority::Scrape, kind(Code::Release), service.value);
  return id;
}

void Serving::remove_endpoint(ReplicaState& replica) {
  if (replica.status != ReplicaState::Status::Ready) return;
  EndpointPool& leaves = pool(replica);
  leaves.endpoints.erase(leaves.endpoints.begin() + replica.endpoint);
  leaves.outstanding.erase(leaves.outstanding.begin() + replica.endpoint);
  for (size_t e = replica.endpoint; e < leaves.endpoints.size(); ++e)
    state.replicas[leaves.endpoints[e]].endpoint = static_cast<uint32_t>(e);
}

void Serving::drain_replica(ReplicaId id, uint16_t drained_kind) {
  ReplicaState& replica = state.replicas[id];
  if (flows(replica)) change_flow(replica.service);
  remove_endpoint(replica);
  replica.status = ReplicaState::Status::Draining;
  replica.drained_kind = drained_kind;
  if (flows(replica)) drain_flow(id);
}

void Serving::remove_replica(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  if (flows(replica)) change_flow(replica.service);
  remove_endpoint(replica);
  replica.status = ReplicaState::Status::Draining;
  replica.drained_kind = 0;
  lose_kept(replica);
  take_all(replica, [this](RequestId request) { attempt_failed(request, Outcome::Failed); });
  if (flows(replica)) fail_flow(id);
  KISIM_INVARIANT(replica.requests == 0, "replica {} was removed with {} requests", id.value, replica.requests);
  stop_server(id);
  replica.status = ReplicaState::Status::Free;
  state.free_replicas.push_back(id);
}

void Serving::lose_replica(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  replica.drained_kind = 0;
  RequestList hanging;
  take_all(replica, [&](RequestId request) {
    come_to_replica(id, state.requests[request]);
    state.requests[request].place = Request::Place::Travelling;
    hanging.push_back(state.requests, request);
  });
  for (RequestId kept = replica.kept.front(); kept.valid(); kept = state.requests[kept].next(Link::Kept))
    if (state.requests[kept].place == Request::Place::Loading) engine_.cancel(state.requests[kept].timer);
  replica.travelling = hanging;
  replica.lost = true;
  if (flows(replica)) lose_flow(id);
  stop_server(id);
}

// Takes every request out of the replica and hands it on; an engine's last first, so that nobody moves up.
template <class Take>
void Serving::take_all(ReplicaState& replica, Take take) {
  auto take_out = [&](RequestId request) {
    withdraw(request);
    take(request);
  };
  while (!replica.travelling.empty()) take_out(replica.travelling.front());
  while (!replica.engine.loading.empty()) take_out(replica.engine.loading.back());
  while (!replica.engine.waiting.empty()) take_out(replica.engine.waiting.back());
  while (!replica.engine.running.empty()) take_out(replica.engine.running.back());
  for (BatchModelState& m : replica.batch.models) {
    for (BatchModelState::Level& level : m.levels)
      for (RequestList* list : {&level.queue, &level.deferred})
        while (!list->empty()) take_out(list->front());
    for (size_t i = 0; i < m.formed.size(); ++i)
      while (!m.formed[i].empty()) take_out(m.formed[i].front());
    for (BatchInstance& instance : m.instances)
      while (!instance.batch.empty()) take_out(instance.batch.front());
  }
}

void Serving::stop_server(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  engine_.cancel(replica.timer);
  for (BatchModelState& m : replica.batch.models) {
    engine_.cancel(m.look_timer);
    for (BatchInstance& instance : m.instances) engine_.cancel(instance.timer);
    state.batches[replica.model].all += m.batches;
    state.batches[replica.model].outside += m.outside;
    m.batches = m.outside = 0;
  }
  state.batches[replica.model].all += replica.engine.steps;
  state.batches[replica.model].outside += replica.engine.steps_outside;
  replica.engine.steps = replica.engine.steps_outside = 0;
  set_busy(id, false);
  cluster_.set_load(replica.pod, {}, engine_.now());
  join_tenants(id, false);
}

// ---- what others read ----

// In its queue; those whose KV is being read count as waiting, as in vLLM.
uint32_t Serving::waiting(ReplicaState& replica) const {
  if (!model.models[replica.model].llm) return batch(replica).waiting();
  return replica.engine.waiting.size + static_cast<uint32_t>(replica.engine.loading.size());
}

uint32_t Serving::held(ServiceId service) const {
  const ServiceState& s = state.services[service];
  return model.services[service].fluid.on ? flow_held(service) : s.held.size;
}

ReplicaGauges Serving::gauges(ReplicaId id) const {
  ReplicaState& replica = state.replicas[id];
  if (flows(replica)) return flow_gauges(replica);
  ReplicaGauges g;
  g.completed = replica.completed;
  g.waiting = waiting(replica);
  g.busy_ns = replica.busy.integral(engine_.now());
  if (model.models[replica.model].llm) {
    g.running = replica.engine.running.size;
    g.preemptions = replica.engine.preemptions;
    g.kv_usage = engine(replica).kv_usage(engine_.now());
    g.prompt_tokens = replica.engine.prefilled_tokens;
    g.generated_tokens = engine(replica).generated_tokens(engine_.now());
    g.prefix_queries = replica.engine.prefix_queries;
    g.prefix_hits = replica.engine.prefix_hits;
    g.tier_queries = replica.engine.tier_queries;
    g.tier_hits = replica.engine.tier_hits;
    g.drafts = replica.engine.drafts;
    g.draft_tokens = g.drafts * static_cast<uint64_t>(model.models[replica.model].engine.speculation.tokens);
    g.accepted_tokens = replica.engine.accepted_tokens;
  } else {
    g.running = batch(replica).running();
  }
  return g;
}

std::map<std::string, uint64_t> Serving::decisions() const {
  std::map<std::string, uint64_t> out;
  auto count = [&](const char* reason, uint64_t n) {
    if (n > 0) out[reason] += n;
  };
  for (const ClientState& c : state.clients) {
    count("RequestHedged", c.hedged);
    count("RequestHedged: answered first", c.hedges_won);
    count("RequestRefused: rate", c.refused_rate);
    count("RequestRefused: outstanding", c.refused_outstanding);
    count("RequestRefused: expected TTFT", c.refused_ttft);
    count("RequestRefused: saturated", c.shed);
    count("RequestRefused: queue full", c.refused_queue);
    count("RequestRefused: queue timeout", c.expired_in_queue);
  }
  count("KvPulled", state.kv_transfers.count);
  count("KvPulled: lost with its replica", state.kv_transfers.lost);
  return out;
}

std::vector<std::string> Serving::warnings() const {
  std::vector<std::string> out;
  for (size_t i = 0; i < model.models.size(); ++i) {
    ServingModelId id(i);
    ServingState::Batches sum = state.batches[id];
    for (const ReplicaState& replica : state.replicas) {
      if (replica.model != id) continue;
      for (const BatchModelState& m : replica.batch.models) {
        sum.all += m.batches;
        sum.outside += m.outside;
      }
      sum.all += replica.engine.steps;
      sum.outside += replica.engine.steps_outside;
    }
    const ServingModelModel& m = model.models[id];
    if (GpuModelId gpu = state.estimated[id]; gpu.valid()) {
      const GpuModel& on = cluster_.model.gpu_models[gpu];
      out.push_back(fmt::format(
          "model {}: no measurements of {} on {}; estimated from {} by specifications, {:.0f} % off where checked",
          m.name, m.engine.profile.name, on.name, step_coefficients(m.engine.profile, on).gpu, 100 * kOtherGpuError));
    }
    if (sum.outside > 0 && m.llm)
      out.push_back(
          fmt::format("model {}: {} of {} iterations have more sequences or longer contexts than {} was measured with",
                      m.name, sum.outside, sum.all, m.engine.profile.name));
    else if (sum.outside > 0)
      out.push_back(fmt::format("model {}: {} of {} batches are of a size that its latency law was not fitted on",
                                m.name, sum.outside, sum.all));
  }
  return out;
}

void Serving::check_conservation() const {
  Time now = engine_.now();
  uint64_t arrived = 0, left = 0, preparing = 0;
  for (const ClientState& c : state.clients) {
    arrived += c.arrived;
    left += c.completed + c.failed + c.dropped + c.timed_out;
    preparing += c.preparing;
  }
  auto in_flight = static_cast<uint64_t>(state.in_flight.value());
  KISIM_INVARIANT(arrived == left + in_flight, "{} requests arrived, {} left and {} are in flight", arrived, left,
                  in_flight);
  const uint64_t flow = flow_in_flight();
  KISIM_INVARIANT(in_flight + preparing + state.seconds == state.requests.in_use() + flow,
                  "{} requests in flight, {} being prepared, {} hedges, {} in memory, {} in flows", in_flight,
                  preparing, state.seconds, state.requests.in_use(), flow);
  // Little's law in its exact form: ∫N(t)dt = Σ sojourn times, those in flight counted to now.
  __int128 sojourn =
      state.sojourn_ns + static_cast<__int128>(now.ns) * static_cast<int64_t>(in_flight) - state.arrivals_ns;
  KISIM_INVARIANT(state.in_flight.integral(now) == sojourn, "Little's law: ∫N dt differs from Σ sojourn by {} ns",
                  static_cast<int64_t>(state.in_flight.integral(now) - sojourn));
  for (const ServiceState& s : state.services)
    for (const EndpointPool* pool : {&s.serving, &s.prefill})
      for (size_t e = 0; e < pool->endpoints.size(); ++e)
        KISIM_INVARIANT(pool->outstanding[e] == state.replicas[pool->endpoints[e]].requests,
                        "endpoint {} counts {} requests, its replica {}", e, pool->outstanding[e],
                        state.replicas[pool->endpoints[e]].requests);
  for (size_t r = 0; r < state.replicas.size(); ++r) check_replica(ReplicaId(r));
  for (size_t s = 0; s < model.services.size(); ++s) check_flow(ServiceId(s));
}

void Serving::check_replica(ReplicaId id) const {
  ReplicaState& replica = state.replicas[id];
  if (replica.status == ReplicaState::Status::Free) return;
  Time now = engine_.now();
  const int64_t all = flows(replica) ? kWholeLoad : 1;
  KISIM_INVARIANT(replica.busy.integral(now) <= static_cast<__int128>((now - replica.since).ns) * all,
                  "replica {} was busy for longer than it lives", id.value);
  if (flows(replica)) return;
  const ServingModelModel& m = model.models[replica.model];
  if (!m.llm) return batch(replica).check();
  engine(replica).check();
  if (m.engine.detail == LlmEngineModel::Detail::Linear) return;
  // Every token that the engine made was sent to a request that left or is still there.
  uint64_t sent = replica.tokens_left;
  for (const RequestList* list : {&replica.engine.waiting, &replica.engine.running})
    for (uint32_t r = list->head; r != RequestId::kNone; r = state.requests[RequestId(r)].links[0].next)
      sent += engine(replica).generated(state.requests[RequestId(r)]);
  for (RequestId r : replica.engine.loading) sent += state.requests[r].generated;
  KISIM_INVARIANT(sent == replica.engine.generated_tokens, "replica {} made {} tokens and sent {}", id.value,
                  replica.engine.generated_tokens, sent);
}

}  // namespace kisim

#include "serving/serving.hpp"

#include "core/hash.hpp"

#include <limits>

namespace kisim {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

constexpr uint16_t kind(Serving::Code code) { return event_kind(Room::Serving, code); }

}  // namespace

LlmEngine Serving::engine(ReplicaState& replica) const {
  const ServingModelModel& m = model.models[replica.model];
  return LlmEngine(m.engine, *m.cost[replica.gpu.value], replica.engine, state.requests);
}

BatchServer Serving::batch(ReplicaState& replica) {
  return BatchServer(model.models[replica.model].batch, replica.batch, state.requests);
}

void Serving::start() {
  state.services.resize(model.services.size());
  for (size_t s = 0; s < model.services.size(); ++s)
    state.services[ServiceId(s)].stream = Stream(model.seed, model.services[ServiceId(s)].entity, Purpose::Routing);
  state.clients.resize(model.clients.size());
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
      return on_batch_end(ReplicaId{event.target}, static_cast<uint32_t>(event.payload));
    case Code::Delay:
      return start_batches(ReplicaId{event.target});
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
  }
}

// ---- the way of a request ----

void Serving::submit(const Arrival& arrival) {
  Time now = engine_.now();
  RequestId id = state.requests.take();
  Request& request = state.requests[id];
  request.ordinal = arrival.ordinal;
  request.source = arrival.source;
  request.user = arrival.user;
  request.entity = hash_combine(model.clients[arrival.source].entity, arrival.ordinal);
  request.prompt_tokens = arrival.prompt_tokens;
  request.output_tokens = std::max(1, arrival.output_tokens);
  request.arrival = now;
  ClientState& client = state.clients[arrival.source];
  ++client.arrived;
  if (now >= model.warmup_end) ++client.slo_eligible;
  state.in_flight.add(now, 1);
  state.arrivals_ns += now.ns;
  attempt(id);
}

void Serving::attempt(RequestId id) {
  Request& request = state.requests[id];
  const ClientModel& client = model.clients[request.source];
  if (++request.attempts > 1) ++state.clients[request.source].retried;
  request.scheduled = request.first_token = Time::max();
  request.replica = {};
  if (client.timeout.ns > 0) {
    ClientState& c = state.clients[request.source];
    request.deadline = engine_.now() + client.timeout;
    c.deadlines.push_back(state.requests, id);
    if (!c.deadline_timer)
      c.deadline_timer = engine_.schedule(request.deadline, Priority::Failure, kind(Code::Deadline), request.source);
  }
  route(id);
}

void Serving::route(RequestId id) {
  Request& request = state.requests[id];
  ServiceId service = model.clients[request.source].service;
  ServiceState& s = state.services[service];
  if (!s.endpoints.empty() && s.held.empty()) return route_to_endpoint(id, service);
  request.place = Request::Place::Held;
  s.held.push_back(state.requests, id);
}

void Serving::route_to_endpoint(RequestId id, ServiceId service) {
  ServiceState& s = state.services[service];
  send(id, service, model.services[service].router->pick({s.outstanding}, s.memory, s.stream));
}

// In the order in which they came.
void Serving::release(ServiceId service) {
  ServiceState& s = state.services[service];
  while (!s.held.empty() && !s.endpoints.empty()) route_to_endpoint(s.held.pop_front(state.requests), service);
}

void Serving::send(RequestId id, ServiceId service, uint32_t endpoint) {
  ServiceState& s = state.services[service];
  KISIM_INVARIANT(endpoint < s.endpoints.size(), "router of service {} chose endpoint {} of {}",
                  model.services[service].name, endpoint, s.endpoints.size());
  ReplicaId replica_id = s.endpoints[endpoint];
  ReplicaState& replica = state.replicas[replica_id];
  const ServingModelModel& m = model.models[replica.model];
  Request& request = state.requests[id];
  if (replica.lost) {
    come_to_replica(replica_id, request);
    request.place = Request::Place::Travelling;
    return replica.travelling.push_back(state.requests, id);
  }
  uint32_t queued = m.llm ? replica.engine.waiting.size : replica.batch.waiting.size;
  if (m.max_queue_size > 0 && queued + replica.travelling.size >= static_cast<uint32_t>(m.max_queue_size))
    return attempt_failed(id, Outcome::Dropped);
  if (!request.admitted) {
    request.admitted = true;
    ++state.clients[request.source].admitted;
  }
  come_to_replica(replica_id, request);
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
  if (!model.models[replica.model].llm) {
    request.place = Request::Place::Waiting;
    request.queued = engine_.now();
    replica.batch.waiting.push_back(state.requests, id);
    return start_batches(replica_id);
  }
  if (!engine(replica).fits(request)) {
    left_replica(replica_id, request);
    end_attempt(id);
    return leave(id, Outcome::Failed);  // no retry could help
  }
  engine(replica).enqueue(id, engine_.now());
  after_engine(replica_id);
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
  if (request.place == Request::Place::Backoff) return;
  ReplicaId replica_id = request.replica;
  ReplicaState& replica = state.replicas[replica_id];
  if (request.place == Request::Place::Travelling) {
    replica.travelling.remove(state.requests, id);
  } else if (model.models[replica.model].llm) {
    engine(replica).abort(id, now);
    replica.tokens_left += request.generated;
    after_engine(replica_id);
  } else if (request.place == Request::Place::Waiting) {
    replica.batch.waiting.remove(state.requests, id);
  } else {
    // The batch goes on without an owner for this place; its length does not change.
    replica.batch.instances[request.instance].batch.remove(state.requests, id);
  }
  left_replica(replica_id, request);
}

void Serving::end_attempt(RequestId id) {
  uint32_t source = state.requests[id].source;
  if (model.clients[source].timeout.ns > 0) state.clients[source].deadlines.remove(state.requests, id);
}

void Serving::attempt_failed(RequestId id, Outcome outcome) {
  Request& request = state.requests[id];
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
  if (replica.status == ReplicaState::Status::Ready) ++state.services[replica.service].outstanding[replica.endpoint];
  request.replica = id;
}

void Serving::left_replica(ReplicaId id, Request& request) {
  ReplicaState& replica = state.replicas[id];
  --replica.requests;
  replica.left_ns += engine_.now().ns;
  if (replica.status == ReplicaState::Status::Ready) --state.services[replica.service].outstanding[replica.endpoint];
  if (replica.requests == 0 && replica.status == ReplicaState::Status::Draining && replica.drained_kind != 0)
    engine_.schedule(engine_.now(), Priority::Control, replica.drained_kind, replica.pod.value);
  request.replica = id;  // remembered for the record
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
                      ? Duration{(now - request.first_token).ns / (request.output_tokens - 1)}
                      : Duration{};
  if (outcome == Outcome::Completed && now >= model.warmup_end) {
    c.e2e.add(e2e.ns);
    c.queue.add(queue.ns);
    if (llm) {
      c.ttft.add(ttft.ns);
      if (request.output_tokens > 1) c.tpot.add(tpot.ns);
      c.prompt_tokens += request.prompt_tokens;
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
  if (client.closed_loop) state.completions.push_back({request.source, request.user});
  state.requests.give_back(id);
}

// ---- servers ----

// Settles what an engine call has changed: ended requests, its timer, whether its GPUs work.
void Serving::after_engine(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  for (size_t i = 0; i < replica.engine.finished.size(); ++i) {
    RequestId done = replica.engine.finished[i];
    ++replica.completed;
    replica.tokens_left += state.requests[done].generated;
    left_replica(id, state.requests[done]);
    end_attempt(done);
    leave(done, Outcome::Completed);
  }
  replica.engine.finished.clear();
  LlmEngine e = engine(replica);
  Time at = e.timer();
  if (at != replica.timer_at) {
    engine_.cancel(replica.timer);
    if (at != Time::max()) replica.timer = engine_.schedule(at, Priority::Completion, kind(Code::Step), id.value);
    replica.timer_at = at;
  }
  set_busy(replica, e.busy());
}

void Serving::start_batches(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  const BatchServerModel& m = model.models[replica.model].batch;
  BatchServer server = batch(replica);
  Time now = engine_.now();
  engine_.cancel(replica.batch.delay_timer);
  while (!replica.batch.waiting.empty() && server.has_idle_instance()) {
    int32_t size = server.batch_size(now);
    if (size == 0) {
      Time oldest = state.requests[replica.batch.waiting.front()].queued;
      replica.batch.delay_timer =
          engine_.schedule(oldest + m.max_queue_delay, Priority::Completion, kind(Code::Delay), id.value);
      break;
    }
    BatchServer::Started started = server.start_batch(size, now);
    replica.batch.instances[started.instance].timer =
        engine_.schedule(started.end, Priority::Completion, kind(Code::BatchEnd), id.value, started.instance);
  }
  set_busy(replica, replica.batch.busy > 0);
}

void Serving::on_batch_end(ReplicaId id, uint32_t i) {
  ReplicaState& replica = state.replicas[id];
  BatchServerState::Instance& instance = replica.batch.instances[i];
  instance.timer = {};
  --replica.batch.busy;
  while (!instance.batch.empty()) {
    RequestId done = instance.batch.pop_front(state.requests);
    ++replica.completed;
    left_replica(id, state.requests[done]);
    end_attempt(done);
    leave(done, Outcome::Completed);
  }
  start_batches(id);
}

void Serving::set_busy(ReplicaState& replica, bool busy) {
  if (replica.busy.value() == busy) return;
  replica.busy.set(engine_.now(), busy);
  cluster_.set_busy(replica.pod, busy, engine_.now());
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
  const PodState& p = cluster_.state.pods[pod];
  replica.since = engine_.now();
  replica.busy.reset(engine_.now());
  if (m.llm) {
    const NodeModel& node = cluster_.model.nodes[p.node];
    replica.gpu = node.gpu_model.valid() ? node.gpu_model : m.gpu;
    KISIM_INVARIANT(replica.gpu.valid() && m.cost[replica.gpu.value], "pod {} serves {} on a GPU that cannot hold it",
                    cluster_.pod_name(pod), m.name);
    engine(replica).start();
  } else {
    replica.batch.instances.resize(m.batch.instances);
  }
  ServiceState& s = state.services[service];
  replica.endpoint = static_cast<uint32_t>(s.endpoints.size());
  s.endpoints.push_back(id);
  s.outstanding.push_back(0);
  // Those who waited for it go on when all that become ready at this instant are there to share them.
  if (s.endpoints.size() == 1 && !s.held.empty())
    engine_.schedule(engine_.now(), Priority::Scrape, kind(Code::Release), service.value);
  return id;
}

void Serving::remove_endpoint(ReplicaState& replica) {
  if (replica.status != ReplicaState::Status::Ready) return;
  ServiceState& s = state.services[replica.service];
  s.endpoints.erase(s.endpoints.begin() + replica.endpoint);
  s.outstanding.erase(s.outstanding.begin() + replica.endpoint);
  for (size_t e = replica.endpoint; e < s.endpoints.size(); ++e)
    state.replicas[s.endpoints[e]].endpoint = static_cast<uint32_t>(e);
}

bool Serving::drain_replica(ReplicaId id, uint16_t drained_kind) {
  ReplicaState& replica = state.replicas[id];
  remove_endpoint(replica);
  replica.status = ReplicaState::Status::Draining;
  replica.drained_kind = drained_kind;
  return replica.requests == 0;
}

void Serving::remove_replica(ReplicaId id) {
  ReplicaState& replica = state.replicas[id];
  remove_endpoint(replica);
  replica.status = ReplicaState::Status::Draining;
  replica.drained_kind = 0;
  take_all(replica, [this](RequestId request) { attempt_failed(request, Outcome::Failed); });
  KISIM_INVARIANT(replica.requests == 0, "replica {} was removed with {} requests", id.value, replica.requests);
  stop_server(replica);
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
  replica.travelling = hanging;
  replica.lost = true;
  stop_server(replica);
}

// Takes every request out of the replica and hands it on; an engine's last first, so that nobody moves up.
template <class Take>
void Serving::take_all(ReplicaState& replica, Take take) {
  auto take_out = [&](RequestId request) {
    withdraw(request);
    take(request);
  };
  while (!replica.travelling.empty()) take_out(replica.travelling.front());
  while (!replica.engine.waiting.empty()) take_out(replica.engine.waiting.back());
  while (!replica.engine.running.empty()) take_out(replica.engine.running.back());
  while (!replica.batch.waiting.empty()) take_out(replica.batch.waiting.front());
  for (auto& instance : replica.batch.instances)
    while (!instance.batch.empty()) take_out(instance.batch.front());
}

void Serving::stop_server(ReplicaState& replica) {
  engine_.cancel(replica.timer);
  engine_.cancel(replica.batch.delay_timer);
  for (auto& instance : replica.batch.instances) engine_.cancel(instance.timer);
  set_busy(replica, false);
}

// ---- what others read ----

ReplicaGauges Serving::gauges(ReplicaId id) const {
  ReplicaState& replica = state.replicas[id];
  ReplicaGauges g;
  g.completed = replica.completed;
  g.busy_ns = replica.busy.integral(engine_.now());
  if (model.models[replica.model].llm) {
    g.running = replica.engine.running.size;
    g.waiting = replica.engine.waiting.size;
    g.preemptions = replica.engine.preemptions;
    g.kv_usage = engine(replica).kv_usage(engine_.now());
    g.prompt_tokens = replica.engine.prefilled_tokens;
    g.generated_tokens = engine(replica).generated_tokens(engine_.now());
  } else {
    for (const auto& instance : replica.batch.instances) g.running += instance.batch.size;
    g.waiting = replica.batch.waiting.size;
  }
  return g;
}

void Serving::check_conservation() const {
  Time now = engine_.now();
  uint64_t arrived = 0, left = 0;
  for (const ClientState& c : state.clients) {
    arrived += c.arrived;
    left += c.completed + c.failed + c.dropped + c.timed_out;
  }
  auto in_flight = static_cast<uint64_t>(state.in_flight.value());
  KISIM_INVARIANT(arrived == left + in_flight, "{} requests arrived, {} left and {} are in flight", arrived, left,
                  in_flight);
  KISIM_INVARIANT(in_flight == state.requests.in_use(), "{} requests in flight, {} in memory", in_flight,
                  state.requests.in_use());
  // Little's law in its exact form: ∫N(t)dt = Σ sojourn times, those in flight counted to now.
  __int128 sojourn =
      state.sojourn_ns + static_cast<__int128>(now.ns) * static_cast<int64_t>(in_flight) - state.arrivals_ns;
  KISIM_INVARIANT(state.in_flight.integral(now) == sojourn, "Little's law: ∫N dt differs from Σ sojourn by {} ns",
                  static_cast<int64_t>(state.in_flight.integral(now) - sojourn));
  for (const ServiceState& s : state.services)
    for (size_t e = 0; e < s.endpoints.size(); ++e)
      KISIM_INVARIANT(s.outstanding[e] == state.replicas[s.endpoints[e]].requests,
                      "endpoint {} counts {} requests, its replica {}", e, s.outstanding[e],
                      state.replicas[s.endpoints[e]].requests);
  for (size_t r = 0; r < state.replicas.size(); ++r) check_replica(ReplicaId(r));
}

void Serving::check_replica(ReplicaId id) const {
  ReplicaState& replica = state.replicas[id];
  if (replica.status == ReplicaState::Status::Free) return;
  Time now = engine_.now();
  KISIM_INVARIANT(replica.busy.integral(now) <= (now - replica.since).ns,
                  "replica {} was busy for longer than it lives", id.value);
  const ServingModelModel& m = model.models[replica.model];
  if (!m.llm || m.engine.detail == LlmEngineModel::Detail::Linear) return;
  // Every token that the engine made was sent to a request that left or is still there.
  uint64_t sent = replica.tokens_left;
  for (const RequestList* list : {&replica.engine.waiting, &replica.engine.running})
    for (uint32_t r = list->head; r != RequestId::kNone; r = state.requests[RequestId(r)].links[0].next)
      sent += engine(replica).generated(state.requests[RequestId(r)]);
  KISIM_INVARIANT(sent == replica.engine.generated_tokens, "replica {} made {} tokens and sent {}", id.value,
                  replica.engine.generated_tokens, sent);
}

}  // namespace kisim

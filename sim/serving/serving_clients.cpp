// The client's side of Serving: its program's thread, its connections, the network, the gateway.

#include "serving/serving.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

void Serving::submit(const Arrival& arrival) {
  RequestId id = state.requests.take();
  Request& request = state.requests[id];
  const ClientModel& client = model.clients[arrival.source];
  const TaskModel& task = client.tasks[arrival.task];
  request.ordinal = arrival.ordinal;
  request.source = arrival.source;
  request.user = arrival.user;
  request.task = arrival.task;
  request.entity = hash_combine(client.entity, arrival.ordinal);
  request.adapter = arrival.adapter;
  request.prompt_tokens = arrival.prompt_tokens;
  request.output_tokens = std::max(1, arrival.output_tokens);
  request.identity = arrival.identity;
  if (request.identity.own == 0) request.identity.own = request.entity;
  request.samples = task.samples;
  request.priority = task.priority;
  request.queue_timeout = task.queue_timeout;
  if (!client.process || (task.untimed.is_zero() && !client.event_loop)) return begin(id);
  ++state.clients[arrival.source].preparing;
  request.place = Request::Place::Preparing;
  request.turns = 1;
  ask_for_turn(id);
}

// Its clock starts.
void Serving::begin(RequestId id) {
  Time now = engine_.now();
  Request& request = state.requests[id];
  request.arrival = now;
  ClientState& client = state.clients[request.source];
  ++client.arrived;
  if (now >= model.warmup_end) ++client.slo_eligible;
  state.in_flight.add(now, 1);
  state.arrivals_ns += now.ns;
  attempt(id);
}

void Serving::attempt(RequestId id) {
  Request& request = state.requests[id];
  const ClientModel& client = model.clients[request.source];
  ClientState& c = state.clients[request.source];
  if (++request.attempts > 1) ++c.retried;
  request.scheduled = request.first_token = Time::max();
  request.replica = {};
  request.answered = false;
  request.step = 0;
  request.cached = 0;
  if (client.timeout.ns > 0) {
    request.deadline = engine_.now() + client.timeout;
    c.deadlines.push_back(state.requests, id);
    if (!c.deadline_timer)
      c.deadline_timer = engine_.schedule(request.deadline, Priority::Failure, kind(Code::Deadline), request.source);
  }
  if (client.connections == 0) return transmit(id);
  if (c.connected < static_cast<uint32_t>(client.connections)) {
    ++c.connected;
    request.connected = true;
    return transmit(id);
  }
  request.place = Request::Place::Connecting;
  c.unconnected.push_back(state.requests, id);
}

void Serving::transmit(RequestId id) {
  Request& request = state.requests[id];
  const ClientModel& client = client_of(id);
  request.turns = static_cast<int16_t>(client.process ? task_of(id).send_turns : 0);
  request.place = Request::Place::Sending;
  request.turns > 0 ? ask_for_turn(id) : turns_done(id);
}

// ---- the thread of the client's program ----

void Serving::ask_for_turn(RequestId id) {
  Request& request = state.requests[id];
  ClientProcessState& process = state.clients[request.source].process;
  if (!process.timer) return start_turn(id);
  const bool woken = client_of(id).event_loop && request.place == Request::Place::Preparing;
  request.turn_list = woken ? ClientProcessState::Woken : ClientProcessState::Ready;
  process.lists[request.turn_list].push_back(state.requests, id);
}

// Where nobody is woken, passes are first come, first served.
void Serving::start_next_turn(uint32_t source) {
  ClientProcessState& process = state.clients[source].process;
  RequestList& pass = process.lists[ClientProcessState::Pass];
  if (pass.empty()) {
    for (auto list : {ClientProcessState::Woken, ClientProcessState::Ready}) {
      while (!process.lists[list].empty()) {
        RequestId id = process.lists[list].pop_front(state.requests);
        state.requests[id].turn_list = ClientProcessState::Pass;
        pass.push_back(state.requests, id);
      }
    }
  }
  if (!pass.empty()) start_turn(pass.pop_front(state.requests));
}

void Serving::start_turn(RequestId id) {
  const Request& request = state.requests[id];
  const TaskModel& task = task_of(id);
  const Distribution& cost = request.place == Request::Place::Preparing ? task.untimed
                             : request.place == Request::Place::Sending ? task.send
                                                                        : task.receive;
  // One stream per turn of the request, whichever attempt it is of.
  uint64_t turn = (static_cast<uint64_t>(request.attempts) << 32) + (static_cast<uint64_t>(request.place) << 16) +
                  static_cast<uint64_t>(request.turns);
  Stream stream(model.seed, hash_combine(request.entity, turn), Purpose::ClientTurn);
  ClientProcessState& process = state.clients[request.source].process;
  process.current = id;
  process.timer =
      engine_.schedule(after(engine_.now(), cost.draw(stream)), Priority::Completion, kind(Code::Turn), request.source);
}

void Serving::on_turn(uint32_t source) {
  ClientProcessState& process = state.clients[source].process;
  RequestId done = process.current;
  process.current = {};
  process.timer = {};
  // The code of a user that was woken runs on.
  if (done.valid() && model.clients[source].event_loop && state.requests[done].place == Request::Place::Preparing) {
    --state.requests[done].turns;
    turns_done(done);
    done = {};
  }
  if (!process.timer) start_next_turn(source);
  if (!done.valid()) return;
  if (--state.requests[done].turns > 0)
    ask_for_turn(done);
  else
    turns_done(done);
}

void Serving::turns_done(RequestId id) {
  Request& request = state.requests[id];
  const ClientModel& client = client_of(id);
  switch (request.place) {
    case Request::Place::Preparing:
      --state.clients[request.source].preparing;
      return begin(id);
    case Request::Place::Sending: {
      Duration delay = network_delay(id, client.network_out, false);
      if (delay.ns == 0) return arrived_at_gateway(id);
      request.place = Request::Place::Network;
      request.timer = engine_.schedule(engine_.now() + delay, Priority::Arrival, kind(Code::Network), id.value);
      return;
    }
    default:
      end_attempt(id);
      return leave(id, Outcome::Completed);
  }
}

// The thread goes on with a turn that has begun.
void Serving::withdraw_turn(RequestId id) {
  ClientProcessState& process = state.clients[state.requests[id].source].process;
  if (process.current == id)
    process.current = {};
  else
    process.lists[state.requests[id].turn_list].remove(state.requests, id);
}

// ---- connections ----

void Serving::on_connection(uint32_t source) {
  ClientState& c = state.clients[source];
  --c.connecting;
  if (c.unconnected.empty()) {
    --c.connected;
    return;
  }
  RequestId id = c.unconnected.pop_front(state.requests);
  state.requests[id].connected = true;
  transmit(id);
}

// Its connection goes to the next who waits for one, by an event: whoever disconnects is in the middle of something.
void Serving::disconnect(RequestId id) {
  Request& request = state.requests[id];
  if (!request.connected) return;
  request.connected = false;
  ClientState& c = state.clients[request.source];
  if (c.unconnected.size > c.connecting) {
    ++c.connecting;
    engine_.schedule(engine_.now(), Priority::Arrival, kind(Code::Connect), request.source);
  } else {
    --c.connected;
  }
}

// ---- the network and the gateway ----

Duration Serving::network_delay(RequestId id, const Distribution& delay, bool back) const {
  if (delay.is_zero()) return {};
  const Request& request = state.requests[id];
  Stream stream(model.seed, hash_combine(request.entity, 2ull * request.attempts + back), Purpose::Network);
  return after(Time{}, delay.draw(stream)) - Time{};
}

void Serving::arrived_at_gateway(RequestId id) {
  if (!admitted(id)) return attempt_failed(id, Outcome::Dropped);
  Duration delay = client_of(id).hedge_delay;
  if (delay.ns > 0)
    state.requests[id].hedge_timer =
        engine_.schedule(engine_.now() + delay, Priority::Arrival, kind(Code::Hedge), id.value);
  route(id);
}

bool Serving::admitted(RequestId id) {
  const ClientModel& client = client_of(id);
  ClientState& c = state.clients[state.requests[id].source];
  const AdmissionModel& admission = client.admission;
  if (admission.max_outstanding > 0) {
    const ServiceState& s = state.services[client.service];
    uint64_t outstanding = 0;
    for (const EndpointPool* pool : {&s.serving, &s.prefill})
      for (uint32_t n : pool->outstanding) outstanding += n;
    const uint64_t endpoints = s.serving.endpoints.size() + s.prefill.endpoints.size();
    if (outstanding >= static_cast<uint64_t>(admission.max_outstanding) * endpoints) {
      ++c.refused_outstanding;
      return false;
    }
  }
  if (admission.shed_queue_depth > 0 && saturated(client.service, admission)) {
    ++c.shed;
    return false;
  }
  if (admission.rate <= 0) return true;
  // A bucket that is full at the start.
  Time now = engine_.now();
  double gained = (now - c.tokens_at).to_seconds() * admission.rate;
  c.tokens = std::min(admission.burst, c.tokens + gained);
  c.tokens_at = now;
  if (c.tokens < 1) {
    ++c.refused_rate;
    return false;
  }
  c.tokens -= 1;
  return true;
}

// Of those that answer, or of those that compute prompts for them, none has both a short queue and room in its KV
// cache. Without any, requests are held for the first.
bool Serving::saturated(ServiceId service, const AdmissionModel& admission) const {
  auto full = [&](const EndpointPool& pool) {
    return !pool.endpoints.empty() && std::none_of(pool.endpoints.begin(), pool.endpoints.end(), [&](ReplicaId id) {
      ReplicaState& replica = state.replicas[id];
      return waiting(replica) <= static_cast<uint32_t>(admission.shed_queue_depth) &&
             engine(replica).kv_usage(engine_.now()) <= admission.shed_kv_usage;
    });
  };
  return full(state.services[service].serving) || full(state.services[service].prefill);
}

// Seconds until the replica would have computed the prompt, after those that are there.
double Serving::expected_ttft(const Request& request, ReplicaState& replica) const {
  int64_t tokens = replica.engine.to_prefill + request.prompt_tokens - engine(replica).cached_tokens(request);
  for (RequestId r = replica.travelling.front(); r.valid(); r = state.requests[r].next())
    tokens += state.requests[r].prompt_tokens;
  const LinearLaw& law = replica.cost.linear;
  return model.models[replica.model].request_overhead.to_seconds() + law.prefill_base +
         law.prefill_per_token * static_cast<double>(tokens);
}

// ---- hedging: a second request to another replica where the first one's answer is late; the first answer wins ----

void Serving::hedge(RequestId first_id) {
  state.requests[first_id].hedge_timer = {};
  const ClientModel& client = client_of(first_id);
  bool held = state.requests[first_id].place == Request::Place::Held;
  if (held || state.services[client.service].serving.endpoints.size() < 2) return;
  RequestId id = state.requests.take();
  Request& first = state.requests[first_id];
  Request& second = state.requests[id];
  second.ordinal = first.ordinal;
  second.entity = first.entity;
  second.source = first.source;
  second.user = first.user;
  second.task = first.task;
  second.adapter = first.adapter;
  second.prompt_tokens = first.prompt_tokens;
  second.output_tokens = first.output_tokens;
  second.identity = first.identity;
  second.samples = first.samples;
  second.priority = first.priority;
  second.queue_timeout = first.queue_timeout;
  second.arrival = first.arrival;
  second.attempts = first.attempts;
  second.admitted = true;
  second.scheduled = second.first_token = Time::max();
  second.second = true;
  second.twin = first_id;
  first.twin = id;
  ++state.seconds;
  ++state.clients[first.source].hedged;
  route(id);
}

void Serving::cancel_second(RequestId first) {
  RequestId second = state.requests[first].twin;
  if (!second.valid()) return;
  withdraw(second);
  state.requests[first].twin = {};
  state.requests.give_back(second);
  --state.seconds;
}

// Of two that were sent, `id` has been answered: the other one is taken back. Returns the first, as answered.
RequestId Serving::first_answer(RequestId id) {
  Request& answered = state.requests[id];
  if (!answered.second) {
    cancel_second(id);
    return id;
  }
  RequestId first_id = answered.twin;
  Request& first = state.requests[first_id];
  withdraw(first_id);
  first.replica = answered.replica;
  first.scheduled = answered.scheduled;
  first.first_token = answered.first_token;
  first.cached = answered.cached;
  first.twin = {};
  ++state.clients[first.source].hedges_won;
  state.requests.give_back(id);
  --state.seconds;
  return first_id;
}

// One of two has failed: the attempt has failed with the other one.
void Serving::half_failed(RequestId id, Outcome outcome) {
  Request& request = state.requests[id];
  if (!request.second) {
    request.place = Request::Place::SecondOnly;
    return;
  }
  RequestId first = request.twin;
  state.requests[first].twin = {};
  state.requests.give_back(id);
  --state.seconds;
  if (state.requests[first].place == Request::Place::SecondOnly) attempt_failed(first, outcome);
}

// ---- the way back ----

// A replica has answered.
void Serving::respond(RequestId id) {
  if (state.requests[id].twin.valid()) id = first_answer(id);
  Request& request = state.requests[id];
  KISIM_INVARIANT(!request.answered, "request {} of source {} was answered twice", request.ordinal, request.source);
  engine_.cancel(request.hedge_timer);
  Duration delay = network_delay(id, client_of(id).network_back, true);
  request.answered = true;
  request.answered_at = engine_.now() + delay;
  if (request.first_token != Time::max()) request.first_token = request.first_token + delay;
  if (delay.ns == 0) return received(id);
  request.place = Request::Place::Network;
  request.timer = engine_.schedule(request.answered_at, Priority::Arrival, kind(Code::Network), id.value);
}

void Serving::received(RequestId id) {
  Request& request = state.requests[id];
  request.turns = static_cast<int16_t>(client_of(id).process ? task_of(id).receive_turns : 0);
  request.place = Request::Place::Receiving;
  request.turns > 0 ? ask_for_turn(id) : turns_done(id);
}

}  // namespace kisim

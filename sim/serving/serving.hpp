#pragma once
// Serving: requests go through a Service's router to the replicas of a model, wait, batch and run on GPUs.
//
// Who calls whom: traffic's arrivals are submitted by the World; the kubelet adds, drains and removes replicas as
// their pods come and go; whoever cares about an answered request is told through the completions list.

#include "cluster/cluster.hpp"
#include "core/engine.hpp"
#include "policy/interference.hpp"
#include "policy/router.hpp"
#include "serving/batch_server.hpp"
#include "serving/client.hpp"
#include "serving/fluid.hpp"
#include "serving/llm_engine.hpp"
#include "serving/request.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// How the replicas of one spec.models entry serve. Costs depend on what a pod lands on.
struct ServingModelModel {
  std::string name;
  bool llm = false;
  BatchServerModel batch;
  LlmEngineModel engine;
  int64_t batch_bytes = 0;     // of GPU memory: weights and instances of all models of a batch server; 0: not said
  GpuModelId gpu;              // where the node does not name its GPU
  Duration request_overhead;   // before the queue
  double slowdown = 1;         // of its accelerators, against what is known of them
  int32_t max_queue_size = 0;  // 0 = no limit
};

struct ServiceModel {
  std::string namespace_, name;
  std::shared_ptr<const Router> router;
  uint64_t entity = 0;  // for the routers' stream
  // Disaggregated: of its prefill replicas. Prompts of which at most max_local_prefill_length tokens are in no cache of
  // the others are computed there (Dynamo's conditional disaggregation); 0: none is.
  std::shared_ptr<const Router> prefill_router;
  int64_t max_local_prefill_length = 0;
  FluidServiceModel fluid;
};

struct ServingModel {
  IdVector<ServingModelId, ServingModelModel> models;
  IdVector<ServiceId, ServiceModel> services;
  std::vector<ClientModel> clients;  // by source index
  // By GpuSharing: how replicas that share a GPU slow each other; null: they do not.
  std::array<std::shared_ptr<const Interference>, 4> interference;
  uint64_t seed = 0;
  Time warmup_end;
  Duration fluid_step{1'000'000'000};
};

// Gauges of one replica as its /metrics endpoint would show them now.
struct ReplicaGauges {
  double running = 0, waiting = 0;
  double kv_usage = 0;  // share of KV blocks in use; 0 for batch servers
  // counters since its start; tokens as the engine computes and sends them, recomputed prompts included
  uint64_t completed = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  // tokens of admitted prompts that were looked up in the prefix cache and found there, and behind it
  uint64_t prefix_queries = 0, prefix_hits = 0, tier_queries = 0, tier_hits = 0;
  // speculative decoding: times that tokens were drafted for a sequence, those tokens, those accepted
  uint64_t drafts = 0, draft_tokens = 0, accepted_tokens = 0;
  __int128 busy_ns = 0;  // ∫ busy dt
};

struct ReplicaState {
  enum class Status : uint8_t { Free, Ready, Draining } status = Status::Free;
  ServingModelId model;
  ServiceId service;
  PodId pod;
  uint64_t entity = 0;    // its pod's
  uint32_t endpoint = 0;  // its place in its pool while Ready
  bool lost = false;      // nobody answers there; requests hang, as if travelling
  Accelerator accelerator;
  LlmCost cost;                  // of an LLM engine, there
  std::vector<uint32_t> shared;  // devices on which it may be slowed: places of ServingState::tenants
  uint32_t requests = 0;         // travelling, waiting and running
  __int128 left_ns = 0;          // Σ (their time of leaving − of coming); those that are here have not left
  RequestList travelling;
  KeptList kept;                     // their KV is here, computed for another replica
  Time sends_until, receives_until;  // KV, to and from others
  EventHandle timer;                 // of the LLM engine, due at timer_at
  Time timer_at = Time::max();
  uint16_t drained_kind = 0;  // event to send to the kubelet when the last request has left
  BatchServerState batch;
  LlmEngineState engine;
  uint64_t completed = 0;
  uint64_t tokens_left = 0;  // sent to requests that have left
  Time since;                // it became ready
  TimeWeighted busy;         // 0 or 1; of a flow: share of the time, in millionths
  FluidReplica fluid;

  // ∫ requests dt since it became ready.
  __int128 requests_ns(Time now) const { return left_ns + static_cast<__int128>(requests) * now.ns; }
};

// Endpoints that a router chooses from.
struct EndpointPool {
  std::vector<ReplicaId> endpoints;
  std::vector<uint32_t> outstanding;  // by endpoint
  RouterMemory memory;
};

struct ServiceState {
  EndpointPool serving, prefill;  // those that answer, and those that only compute prompts for them
  RequestList held;               // waiting for the first that answers
  Stream stream;
  FluidService fluid;
};

struct ServingState {
  RequestSlab requests;
  IdVector<ReplicaId, ReplicaState> replicas;
  std::vector<ReplicaId> free_replicas;
  IdVector<ServiceId, ServiceState> services;
  std::vector<ClientState> clients;
  TimeWeighted in_flight;
  uint32_t seconds = 0;                 // second requests of gateways that hedge, beside those in flight
  __int128 sojourn_ns = 0;              // of all that left
  __int128 arrivals_ns = 0;             // sum of arrival times of those in flight
  std::vector<Completion> completions;  // of closed-loop sources, taken and cleared by the World after each event
  // Replicas on devices that interfere, in order of coming. Nine places for each GPU: the GPU itself, or an instance by
  // the memory slice at which it begins: instances do not feel each other.
  std::vector<std::vector<ReplicaId>> tenants;
  std::vector<GpuDemand> demands;   // of one device's busy tenants; used within a call
  struct Batches {                  // or iterations of an LLM engine
    uint64_t all = 0, outside = 0;  // the fitted range of their law
  };
  IdVector<ServingModelId, Batches> batches;  // of replicas that are gone
  // Where an LLM engine has run, a GPU that it was not measured on; invalid: there is none.
  IdVector<ServingModelId, GpuModelId> estimated;
  struct KvTransfers {
    uint64_t count = 0, lost = 0;  // lost: with their replica; computed again
  } kv_transfers;
};

class Serving {
 public:
  enum class Code : uint8_t {
    Step,      // target: replica; an LLM engine's timer
    BatchEnd,  // target: replica, payload: model << 32 | instance
    Look,      // target: replica, payload: model; the oldest request has waited max_queue_delay, or one too long
    Enqueue,   // target: request; it reaches the replica's queue
    Deadline,  // target: source
    Retry,     // target: request
    Release,   // target: service; those who waited for an endpoint go on
    Turn,      // target: source; the turn of its program's thread ends
    Connect,   // target: source; a connection is free
    Network,   // target: request; it reaches the gateway, or its answer the client
    Answer,    // target: request; the server's front end has answered it
    Hedge,     // target: request; the gateway asks a second replica
    Pulled,    // target: request; its KV has come from the replica that computed it
    Flow       // target: service; its requests flow at other rates from now on
  };

  static constexpr uint16_t kind(Code code) { return event_kind(Room::Serving, code); }

  Serving(const ServingModel& model, ServingState& state, Cluster& cluster, Engine& engine)
      : model(model), state(state), cluster_(cluster), engine_(engine) {}

  void start();
  void on_event(const Event& event);

  // A request arrives from outside.
  void submit(const Arrival& arrival);

  // The pod is ready: a new endpoint of its service.
  ReplicaId add_replica(ServingModelId model, ServiceId service, PodId pod);
  // No new requests; those it has go on. An event of kind `drained_kind` with the pod as target follows when it has
  // none left, if it is not drained() already.
  void drain_replica(ReplicaId replica, uint16_t drained_kind);
  // Nobody is there, and nobody else needs the KV that it keeps.
  bool drained(ReplicaId replica) const { return drained(state.replicas[replica]); }
  // The pod dies now: its requests fail, or are retried where their client does so.
  void remove_replica(ReplicaId replica);
  // The machine under it is gone without a word. It stays the endpoint that it is, but what is there hangs, and what
  // still comes, until its client gives up (timeout) or remove_replica() closes the connections.
  void lose_replica(ReplicaId replica);

  ReplicaGauges gauges(ReplicaId replica) const;
  uint32_t held(ServiceId service) const;
  // Counts what has flowed until now. Changes nothing else: it may be called whenever somebody looks.
  void settle();

  // Counts of what gateways, limits and queue policies did, by reason; only those that happened.
  std::map<std::string, uint64_t> decisions() const;
  // What a reader of the results must know: batches of sizes that their law was not fitted on.
  std::vector<std::string> warnings() const;

  // ∫N dt = Σ sojourn, tokens made = tokens sent, busy times within lifetimes. Throws InvariantError.
  void check_conservation() const;

  // Where finished requests are told, if anywhere; not part of the state.
  RequestSink* sink = nullptr;

  const ServingModel& model;
  ServingState& state;

 private:
  LlmEngine engine(ReplicaState& replica) const;
  BatchServer batch(ReplicaState& replica) const;
  // the client's side (serving_clients.cpp)
  const ClientModel& client_of(RequestId id) const { return model.clients[state.requests[id].source]; }
  const TaskModel& task_of(RequestId id) const { return client_of(id).tasks[state.requests[id].task]; }
  void begin(RequestId id);
  void attempt(RequestId id);
  void transmit(RequestId id);
  void ask_for_turn(RequestId id);
  void start_turn(RequestId id);
  void start_next_turn(uint32_t source);
  void on_turn(uint32_t source);
  void turns_done(RequestId id);
  void withdraw_turn(RequestId id);
  void on_connection(uint32_t source);
  void disconnect(RequestId id);
  Duration network_delay(RequestId id, const Distribution& delay, bool back) const;
  void arrived_at_gateway(RequestId id);
  bool admitted(RequestId id);
  bool saturated(ServiceId service, const AdmissionModel& admission) const;
  double expected_ttft(const Request& request, ReplicaState& replica) const;
  void hedge(RequestId id);
  void cancel_second(RequestId id);
  RequestId first_answer(RequestId id);
  void half_failed(RequestId id, Outcome outcome);
  void respond(RequestId id);
  void received(RequestId id);
  // attempts
  void route(RequestId id);
  void route_to_endpoint(RequestId id, ServiceId service);
  class View;
  void release(ServiceId service);
  void send(RequestId id, ReplicaId replica);
  EndpointPool& pool(const ReplicaState& replica) const;
  void enqueue(RequestId id);
  void join_queue(ReplicaId replica, RequestId id);
  void end_attempt(RequestId id);
  void attempt_failed(RequestId id, Outcome outcome);
  void withdraw(RequestId id);
  void leave(RequestId id, Outcome outcome);
  void come_to_replica(ReplicaId id, Request& request);
  void left_replica(ReplicaId id, Request& request);
  bool drained(const ReplicaState& replica) const { return replica.requests == 0 && replica.kept.empty(); }
  void tell_if_drained(ReplicaState& replica);
  // prefill and decoding on two replicas (serving_kv_transfer.cpp)
  bool prefilled_apart(RequestId id) const;
  void hand_over(ReplicaId from, RequestId id);
  void pull(RequestId id);
  void on_pulled(RequestId id);
  void let_go(RequestId id);
  void lose_kept(ReplicaState& replica);
  struct KvLink {
    double bytes_per_s;
    Duration latency;
  };
  KvLink kv_link(const ReplicaState& from, const ReplicaState& to) const;
  void on_deadline(uint32_t source);
  // servers
  void after_engine(ReplicaId id);
  void start_batches(ReplicaId id, uint32_t model);
  void on_batch_end(ReplicaId id, uint32_t model, uint32_t instance);
  void pace(ReplicaId id);
  void pace_engine(ReplicaId id);
  void pace_batches(ReplicaId id);
  GpuDemand demand(ReplicaState& replica) const;
  double interference(const ReplicaState& replica);
  void find_shared(ReplicaState& replica) const;
  void set_busy(ReplicaId id, bool busy);
  void join_tenants(ReplicaId id, bool join);
  void remove_endpoint(ReplicaState& replica);
  void stop_server(ReplicaId id);
  template <class Take>
  void take_all(ReplicaState& replica, Take take);
  uint32_t waiting(ReplicaState& replica) const;
  void check_replica(ReplicaId id) const;
  // services whose requests are a flow (fluid_service.cpp)
  bool flows(const ReplicaState& replica) const { return model.services[replica.service].fluid.on; }
  double flow_here(const ReplicaState& replica) const;
  ReplicaGauges flow_gauges(const ReplicaState& replica) const;
  uint64_t flow_in_flight() const;
  void count_flow(ServiceId service);
  void count_in_flight(uint64_t came, uint64_t went);
  void record_flow(ServiceId service, size_t i, uint64_t first, bool measured);
  void start_flow(ServiceId service);
  void change_flow(ServiceId service);
  void move_flow(ServiceId service);
  void advance_flow(ServiceId service);
  bool find_arrivals(ServiceId service, Time until);
  void find_mix(ServiceId service, double dt);
  void release_flow(ServiceId service);
  void share_flow(ServiceId service, double dt);
  void share_among_like(ServiceId service, double dt);
  void share_among_unlike(ServiceId service, double dt);
  void find_laws(const std::vector<ReplicaId>& endpoints);
  void set_law(ReplicaState& replica);
  bool pace_flow(ReplicaId id, ReplicaId last, double dt);
  static bool same_law(const ReplicaState& a, const ReplicaState& b);
  static bool alike(const ReplicaState& a, const ReplicaState& b);
  void show_load(ReplicaState& replica);
  void set_flow_requests(ReplicaState& replica);
  void share_completions(ServiceId service, double here, double dt, bool steady);
  void add_flow(ReplicaId id);
  void drain_flow(ReplicaId id);
  void lose_flow(ReplicaId id);
  uint32_t flow_held(ServiceId service) const;
  void end_drained(ServiceId service);
  void fail_flow(ReplicaId id);
  void check_flow(ServiceId service) const;

  Cluster& cluster_;
  Engine& engine_;

  // Scratch for one step of a flow: the laws that its endpoints follow, and which of them each one does.
  struct Law {
    ReplicaId of;
    double guess = 0, answered = 0;
  };
  std::vector<Law> laws_;
  std::vector<size_t> law_of_;
};

}  // namespace kisim

#pragma once
// Serving: requests go through a Service's router to the replicas of a model, wait, batch and run on GPUs.
//
// Who calls whom: traffic's arrivals are submitted by the World; the kubelet adds, drains and removes replicas as
// their pods come and go; whoever cares about an answered request is told through the completions list.

#include "cluster/cluster.hpp"
#include "core/distribution.hpp"
#include "core/engine.hpp"
#include "policy/router.hpp"
#include "serving/batch_server.hpp"
#include "serving/llm_engine.hpp"
#include "serving/request.hpp"
#include "stats/histogram.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// How the replicas of one spec.models entry serve. Costs depend on the GPU that a pod lands on.
struct ServingModelModel {
  std::string name;
  bool llm = false;
  BatchServerModel batch;
  LlmEngineModel engine;
  std::vector<std::optional<LlmCost>> cost;  // by GpuModelId; none: the weights do not fit that GPU
  GpuModelId gpu;                            // where the node does not name its GPU
  Duration request_overhead;                 // before the queue
  int32_t max_queue_size = 0;                // 0 = no limit
};

struct ServiceModel {
  std::string namespace_, name;
  std::shared_ptr<const Router> router;
  uint64_t entity = 0;  // for the router's stream
};

// What serving needs to know about a traffic source.
struct ClientModel {
  std::string name;
  uint64_t entity = 0;  // hash of Traffic/<name>
  ServiceId service;
  Duration timeout;  // 0 = none
  int32_t retries = 0;
  Duration retry_backoff;
  std::optional<Duration> slo_ttft, slo_tpot, slo_e2e;
  double slo_target = 0;  // share of requests
  bool has_slo = false;
  bool closed_loop = false;  // its completions are told to traffic
};

struct ServingModel {
  IdVector<ServingModelId, ServingModelModel> models;
  IdVector<ServiceId, ServiceModel> services;
  std::vector<ClientModel> clients;  // by source index
  uint64_t seed = 0;
  Time warmup_end;
};

// Gauges of one replica as its /metrics endpoint would show them now.
struct ReplicaGauges {
  uint32_t running = 0, waiting = 0;
  double kv_usage = 0;  // share of KV blocks in use; 0 for batch servers
  // counters since its start; tokens as the engine computes and sends them, recomputed prompts included
  uint64_t completed = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  __int128 busy_ns = 0;  // ∫ busy dt
};

struct ReplicaState {
  enum class Status : uint8_t { Free, Ready, Draining } status = Status::Free;
  ServingModelId model;
  ServiceId service;
  PodId pod;
  uint32_t endpoint = 0;  // its place among the service's endpoints while Ready
  GpuModelId gpu;
  bool lost = false;      // nobody answers there; requests hang, as if travelling
  uint32_t requests = 0;  // travelling, waiting and running
  __int128 left_ns = 0;   // Σ (their time of leaving − of coming); those that are here have not left
  RequestList travelling;
  EventHandle timer;  // of the LLM engine, due at timer_at
  Time timer_at = Time::max();
  uint16_t drained_kind = 0;  // event to send to the kubelet when the last request has left
  BatchServerState batch;
  LlmEngineState engine;
  uint64_t completed = 0;
  uint64_t tokens_left = 0;  // sent to requests that have left
  Time since;                // it became ready
  TimeWeighted busy;         // 0 or 1

  // ∫ requests dt since it became ready.
  __int128 requests_ns(Time now) const { return left_ns + static_cast<__int128>(requests) * now.ns; }
};

struct ServiceState {
  std::vector<ReplicaId> endpoints;
  std::vector<uint32_t> outstanding;  // by endpoint
  RequestList held;                   // waiting for the first endpoint
  RouterMemory memory;
  Stream stream;
};

// Counts of one source; the totals of the summary are their sums.
struct ClientState {
  uint64_t arrived = 0, admitted = 0, completed = 0, failed = 0, dropped = 0, timed_out = 0, retried = 0;
  // Of requests that arrived (slo) or completed (the rest) after warm-up.
  uint64_t slo_eligible = 0, slo_met = 0, prompt_tokens = 0, generated_tokens = 0;
  Histogram e2e, queue, ttft, tpot;  // ns
  DeadlineList deadlines;            // of running attempts, earliest first
  EventHandle deadline_timer;
};

struct ServingState {
  RequestSlab requests;
  IdVector<ReplicaId, ReplicaState> replicas;
  std::vector<ReplicaId> free_replicas;
  IdVector<ServiceId, ServiceState> services;
  std::vector<ClientState> clients;
  TimeWeighted in_flight;
  __int128 sojourn_ns = 0;              // of all that left
  __int128 arrivals_ns = 0;             // sum of arrival times of those in flight
  std::vector<Completion> completions;  // of closed-loop sources, taken and cleared by the World after each event
};

class Serving {
 public:
  enum class Code : uint8_t {
    Step,      // target: replica; an LLM engine's timer
    BatchEnd,  // target: replica, payload: instance
    Delay,     // target: replica; the oldest request has waited max_queue_delay
    Enqueue,   // target: request; it reaches the replica's queue
    Deadline,  // target: source
    Retry,     // target: request
    Release    // target: service; those who waited for an endpoint go on
  };

  Serving(const ServingModel& model, ServingState& state, Cluster& cluster, Engine& engine)
      : model(model), state(state), cluster_(cluster), engine_(engine) {}

  void start();
  void on_event(const Event& event);

  // A request arrives from outside.
  void submit(const Arrival& arrival);

  // The pod is ready: a new endpoint of its service.
  ReplicaId add_replica(ServingModelId model, ServiceId service, PodId pod);
  // No new requests; those it has go on. Returns true if it is already empty; else an event of kind `drained_kind`
  // with the pod as target follows when it is.
  bool drain_replica(ReplicaId replica, uint16_t drained_kind);
  // The pod dies now: its requests fail, or are retried where their client does so.
  void remove_replica(ReplicaId replica);
  // The machine under it is gone without a word. It stays the endpoint that it is, but what is there hangs, and what
  // still comes, until its client gives up (timeout) or remove_replica() closes the connections.
  void lose_replica(ReplicaId replica);

  ReplicaGauges gauges(ReplicaId replica) const;
  uint32_t held(ServiceId service) const { return state.services[service].held.size; }

  // ∫N dt = Σ sojourn, tokens made = tokens sent, busy times within lifetimes. Throws InvariantError.
  void check_conservation() const;

  // Where finished requests are told, if anywhere; not part of the state.
  RequestSink* sink = nullptr;

  const ServingModel& model;
  ServingState& state;

 private:
  LlmEngine engine(ReplicaState& replica) const;
  BatchServer batch(ReplicaState& replica);
  // attempts
  void attempt(RequestId id);
  void route(RequestId id);
  void route_to_endpoint(RequestId id, ServiceId service);
  void release(ServiceId service);
  void send(RequestId id, ServiceId service, uint32_t endpoint);
  void enqueue(RequestId id);
  void end_attempt(RequestId id);
  void attempt_failed(RequestId id, Outcome outcome);
  void withdraw(RequestId id);
  void leave(RequestId id, Outcome outcome);
  void come_to_replica(ReplicaId id, Request& request);
  void left_replica(ReplicaId id, Request& request);
  void on_deadline(uint32_t source);
  // servers
  void after_engine(ReplicaId id);
  void start_batches(ReplicaId id);
  void on_batch_end(ReplicaId id, uint32_t instance);
  void set_busy(ReplicaState& replica, bool busy);
  void remove_endpoint(ReplicaState& replica);
  void stop_server(ReplicaState& replica);
  template <class Take>
  void take_all(ReplicaState& replica, Take take);
  void check_replica(ReplicaId id) const;

  Cluster& cluster_;
  Engine& engine_;
};

}  // namespace kisim

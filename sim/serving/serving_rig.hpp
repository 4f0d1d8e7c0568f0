#pragma once
// Servers and their clients with nothing around them: replicas that are there from the start, on nodes of one GPU, and
// closed or open sources of requests. The rooms are those of a World; what is left out is Kubernetes. For fits of
// latency laws, benches and properties of the servers alone.

#include "cluster/cluster.hpp"
#include "serving/serving.hpp"
#include "traffic/traffic.hpp"

#include <functional>
#include <memory>

namespace kisim {

struct ServingRigModel {
  ServingModelModel server;
  int32_t replicas = 1;
  int32_t gpu_milli = 0;  // share of a GPU per replica; 0: a whole one each; else as many on a GPU as it holds
  std::shared_ptr<const Router> router;              // none: there is one replica
  std::shared_ptr<const Interference> interference;  // between shares of a GPU
  std::vector<ClientModel> clients;                  // by source; their service is filled in
  TrafficModel traffic;
  uint64_t seed = 0;
  Time warmup_end;
};

class ServingRig {
 public:
  explicit ServingRig(ServingRigModel model);
  ServingRig(const ServingRig&) = delete;
  ServingRig& operator=(const ServingRig&) = delete;

  // Handles the next event at or before `until`; false if there is none.
  bool step(Time until);
  void run_until(Time until) {
    while (step(until)) {
    }
  }

  Engine& engine() { return engine_; }
  Serving& serving() { return serving_; }
  const ServingState& state() const { return serving_state_; }
  ReplicaId add_replica();  // one that was there and has gone comes again, on the same node
  std::vector<ReplicaId>& replicas() { return replicas_; }

 private:
  ClusterModel cluster_of(const ServingRigModel& model) const;
  PodId place(int32_t replica);

  int32_t per_node_;
  ServingModel serving_model_;
  TrafficModel traffic_model_;
  ClusterModel cluster_model_;
  Engine engine_;
  ClusterState cluster_state_;
  ServingState serving_state_;
  TrafficState traffic_state_;
  Cluster cluster_;
  Serving serving_;
  Traffic traffic_;
  std::vector<ReplicaId> replicas_;
  std::vector<PodId> pods_;
};

// One replica and `clients` who send again the moment they have their answer, as perf_analyzer does.
struct ClosedLoop {
  int32_t clients = 1;
  int32_t samples = 1;             // per request
  Distribution host_in, host_out;  // seconds of the one host thread that each request takes on its way in, and out
  uint64_t warmup = 0;             // answers before those that count
  uint64_t completions = 1000;     // that count
  uint64_t seed = 1;
};

struct ClosedLoopResult {
  double samples_per_s = 0, mean_s = 0, p95_s = 0;  // p95: nearest rank
};

ClosedLoopResult simulate_closed_loop(const BatchServerModel& server, const ClosedLoop& loop);

}  // namespace kisim

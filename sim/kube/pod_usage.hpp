#pragma once
// What a pod uses of its node: a part of its own, drawn once per pod, and a part for every request that its replica has
// (PodBehaviour). Nothing while its containers do not run.

#include "kube/model.hpp"
#include "kube/state.hpp"
#include "serving/serving.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace kisim {

class PodUsage {
 public:
  PodUsage(const KubeModel& model, const KubeState& state, const Cluster& cluster, const Serving& serving);

  // Whether its pods use anything that is known: without, there is no data.
  bool has_usage(WorkloadId workload) const;
  int64_t cpu_milli(PodId pod) const;
  int64_t memory_bytes(PodId pod) const;
  // CPU time since its containers started: ∫ (own + per request · requests) dt, in seconds.
  double cpu_seconds(PodId pod, Time now) const;

  bool has_memory(WorkloadId workload) const;
  // The part that does not depend on requests, running or not.
  int64_t own_memory(PodId pod) const;
  // What it can come to at most, running or not; nothing: there is no bound, since its queue has none.
  std::optional<int64_t> most_memory(PodId pod) const;
  // resources.limits.memory of all containers and sidecars together; nothing: one of them has none.
  std::optional<int64_t> memory_limit(TemplateId pod_template) const { return limits_[pod_template.value]; }

  bool is_running(PodId pod) const;
  // The present ones. Time::max(): not yet.
  Time containers_started(PodId pod) const;

 private:
  struct Own {
    double cpu = 0, memory = 0;
  };
  Own own(PodId pod) const;
  // nullptr: it serves nobody.
  const ReplicaState* replica(const PodState& pod) const;
  const PodBehaviour& behaviour(WorkloadId workload) const { return model_.workloads[workload].behaviour; }

  const KubeModel& model_;
  const KubeState& state_;
  const Cluster& cluster_;
  const Serving& serving_;
  std::vector<uint64_t> entities_;              // by workload: what the entities of its pods begin with
  std::vector<std::optional<int64_t>> limits_;  // by template
};

}  // namespace kisim

#pragma once
// Role: how an agent that scales several workloads together sees them, and what its actions mean. Who chooses the
// actions is another matter: a trained network (kube/agent_loop.hpp), or whoever trains one (gym/autoscaling.hpp).
//
// An agent sees what the metrics pipeline and the API server show, with their lag, never the serving state itself.

#include "core/time.hpp"
#include "policy/autoscaler.hpp"
#include "policy/memory.hpp"
#include "rl/space.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// One workload. Values of metrics are means over the pods that have one; none: no pod has, because none is ready or
// their metrics are missing.
struct AgentTarget {
  int32_t replicas = 0;  // spec.replicas
  int32_t ready = 0;
  int32_t starting = 0;  // pods that have a node and are not ready yet
  int32_t pending = 0;   // pods without a node
  int32_t min_replicas = 1, max_replicas = 1;
  int32_t gpus = 0;               // of one replica
  std::optional<double> running;  // requests in a replica's batch; LLM engines only
  std::optional<double> waiting;  // requests in a replica's queue
  std::optional<double> usage;    // share of KV blocks in use; of a batch server the share of time in which it computes
  std::optional<double> gpu_busy;     // DCGM_FI_DEV_GPU_UTIL, 0 to 1
  std::optional<double> cpu, memory;  // of what its pods ask for, from the resource metrics API
};

// The Services behind which the targets are, as their gateways count: over the window of the metrics.
struct AgentGateway {
  std::optional<Time> scraped;      // the latest that can be seen; none: nothing can
  std::optional<double> arrived;    // requests per second
  std::optional<double> completed;  // requests per second
  std::optional<double> latency;    // mean, s
  std::optional<double> in_slo;     // share of those that left, of sources with an SLO
  std::optional<double> p95;        // s; of the last scrape interval; only where a coding asks for it
  double held = 0;                  // requests that wait for the first endpoint
};

struct AgentView {
  Time now;
  Duration interval;                     // from decision to decision
  Time since;                            // of the first one
  Time end;                              // of the run
  std::optional<Duration> age;           // of the oldest reading that is shown; none: there are none
  std::optional<Time> rescaled;          // the last change of any of the workloads' replicas
  std::span<const AgentTarget> targets;  // in the order of the scenario
  AgentGateway gateway;
  int32_t free_gpus = 0;  // whole GPUs that nobody holds, on ready nodes
};

// Codings are const and shared by all threads.
class AgentCoding {
 public:
  virtual ~AgentCoding() = default;
  // Why it cannot be an agent of so many workloads, or nothing.
  virtual std::optional<std::string> complaint(size_t targets) const;
  virtual std::vector<Feature> observation(std::span<const std::string> targets) const = 0;
  virtual ActionSpace actions(size_t targets) const = 0;
  // What of the view it looks at; the rest may be left out.
  virtual bool wants_p95() const { return false; }
  virtual bool wants_free_gpus() const { return false; }
  virtual bool wants_resources() const { return false; }  // cpu, memory, gpu_busy
  // For one episode; never null.
  virtual std::unique_ptr<PolicyMemory> make_memory() const = 0;
  // `out`: [observation().size()]. Once per decision, before the two below, and once at the end of an episode.
  virtual void observe(const AgentView& view, PolicyMemory& memory, std::span<float> out) const = 0;
  // 1 where a choice is allowed: [actions().outputs()].
  virtual void mask(const AgentView& view, const PolicyMemory& memory, std::span<uint8_t> allowed) const;
  // `desired`: replicas by target, within their limits.
  virtual void act(const AgentView& view, PolicyMemory& memory, std::span<const float> action,
                   std::span<int32_t> desired) const = 0;
};

inline std::optional<std::string> AgentCoding::complaint(size_t) const { return std::nullopt; }
inline void AgentCoding::mask(const AgentView&, const PolicyMemory&, std::span<uint8_t> allowed) const {
  for (uint8_t& a : allowed) a = 1;
}

}  // namespace kisim

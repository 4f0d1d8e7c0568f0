#pragma once
// The loop around agents: at each one's interval it shows the cluster to it, through the metrics pipeline, and scales
// its workloads as it says. An agent without a policy of its own waits: the run stands still at that instant until
// act() is called.

#include "core/engine.hpp"
#include "kube/controllers.hpp"
#include "kube/metrics_pipeline.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"
#include "rl/actor.hpp"

#include <vector>

namespace kisim {

class AgentLoop {
 public:
  // The kinds of event that come back here; target: agent.
  struct Events {
    uint16_t scrape, decide;
  };
  AgentLoop(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving,
            const MetricsPipeline& metrics, Controllers& controllers, Engine& engine, Events events);

  void start();
  void scrape(AgentId id);
  void decide(AgentId id);
  // Shows it what there is to see now, without a decision.
  void look(AgentId id);
  // The action of an agent that waits: [action size].
  void act(AgentId id, std::span<const float> action);

 private:
  struct Queries {
    std::optional<MetricsPipeline::Query> running, waiting, usage, gpu_busy, cpu, memory;
  };
  struct Agent {
    std::vector<Queries> targets;
    std::optional<Actor> actor;
    std::vector<float> outputs;
  };

  const AgentModel& agent(AgentId id) const { return model_.agents[id]; }
  void make_queries(AgentId id);
  AgentTarget look_at(AgentId id, size_t target);
  std::optional<double> mean(WorkloadId workload, const std::optional<MetricsPipeline::Query>& query);
  std::optional<double> share_of_request(WorkloadId workload, const std::optional<MetricsPipeline::Query>& query);
  AgentGateway gateway(AgentId id) const;
  std::optional<Time> last_rescale(AgentId id) const;
  ShieldReason distrusted(AgentId id) const;
  int32_t free_gpus() const;
  void choose(AgentId id);
  void shield(AgentId id);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Serving& serving_;
  const MetricsPipeline& metrics_;
  Controllers& controllers_;
  Engine& engine_;
  Events events_;
  IdVector<AgentId, Agent> agents_;

  // Scratch for one decision.
  std::vector<std::optional<MetricSample>> samples_;
  std::optional<Time> oldest_;  // of the readings
  std::vector<int32_t> floor_, desired_;
};

}  // namespace kisim

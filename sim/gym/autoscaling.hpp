#pragma once
// A cluster under an agent (policy/agent.hpp) as an environment: one decision of the agent is one step. Seen is what
// the agent's coding makes of the metrics; rewarded is what the simulator knows to be true.
//
// Reward of a step of the length Δt, in which n requests of sources with an SLO left and m of them met it:
//   −(cost · C / C_most + penalty · P / C_most + slo · max((n − m)/n, overdue) + churn · |changes| / Σ maxReplicas)
//   C        what the GPUs and replicas of its workloads cost per time, the mean of the step's begin and end; C_most:
//            with maxReplicas of each, on the dearest GPUs that its pods' node selector admits, as the agent begins
//   P        what missed SLOs cost per time (slo.<traffic>.penalty): of those that came less those that met theirs, so
//            that who waits counts as late until an answer in time
//   overdue  Σ max(0, L − λ T) / Σ λ Δt over the sources with an SLO of T for the whole answer, L of whose requests are
//            here at the step's end: by Little's law, of those that come in a step, the share by which more are here
//            than can be where all meet theirs
// With cost and penalty of 1 and nothing else, the rewards from the end of warm-up on sum up to minus TOTAL of its
// workloads and traffic in units of C_most and an interval, but for up to half an interval of each pod that starts or
// goes. A last step that is shorter counts by its length.
// During warm-up the SLOs do not count, but what GPUs cost does: nobody is to learn that they are free then.
// An episode is a run of its scenario from the agent's first decision on; it is truncated where the run ends.

#include "rl/env.hpp"
#include "run/scenario.hpp"
#include "run/variant.hpp"
#include "run/world.hpp"

#include <memory>
#include <string>
#include <vector>

namespace kisim {

struct AutoscalingReward {
  double cost = 1, penalty = 0, slo = 4, churn = 0.05;
  // Of a replica and hour, beside its GPUs: by target; for those left out 0.
  std::vector<double> replica_prices;
  // "" or one of KIS-S' patterns: its published reward instead (gym/kiscaler_reward.hpp); costs stay those above.
  std::string kiscaler_pattern;
};

struct AutoscalingSpec {
  std::string name = "Autoscaling-v0";
  // Each episode is one of them, each equally likely, in turn if `in_turn`. All have the same agent.
  std::vector<std::shared_ptr<const Scenario>> scenarios;
  std::string agent;  // of the scenarios; empty: their only one
  AutoscalingReward reward;
  VariationRange variation;
  bool in_turn = false;
};

class AutoscalingEnv final : public Env {
 public:
  // Throws InputError where a scenario cannot be compiled, or its agent is another one than the first's.
  explicit AutoscalingEnv(std::shared_ptr<const AutoscalingSpec> spec);

  const EnvSpec& spec() const override { return env_; }
  void mask(std::span<uint8_t> allowed) const override;
  // Cost per time as a share of C_most, and the share of requests that missed their SLO.
  void costs(std::span<double> out) const override;

  // Of the episode under way.
  const World& world() const { return *world_; }
  size_t scenario() const { return scenario_; }

 private:
  struct Seen {
    Time at;
    uint64_t left = 0, met = 0;
    double cost = 0;  // per hour
    double penalty = 0;
  };

  void begin(uint64_t seed, uint64_t episode, std::span<float> observation) override;
  Transition advance(std::span<const float> action, std::span<float> observation) override;
  void add_scenario(const Scenario& scenario);
  void run_on();
  Seen see() const;
  double overdue(double seconds);
  double cost_now() const;
  double reward();
  double published_reward() const;
  void count(const Seen& now);
  void copy_observation(std::span<float> observation) const;
  const AgentModel& agent() const { return world_->model().kube.agents[agent_]; }
  const AgentState& agent_state() const { return world_->state().kube.agents[agent_]; }

  struct Family {
    ModelVariant variant;
    AgentId agent;
    double most = 0;  // C_most, per hour
  };
  std::shared_ptr<const AutoscalingSpec> what_;
  EnvSpec env_;
  std::vector<Family> families_;
  size_t scenario_ = 0;
  AgentId agent_;
  std::unique_ptr<World> world_;
  Seen before_;
  std::vector<uint64_t> arrived_;  // by client of the agent, before the step
  std::vector<int32_t> replicas_;  // by target, before the action
  int steps_ = 0;
  double step_cost_ = 0, step_penalty_ = 0, step_missed_ = 0, step_changes_ = 0;  // of the last step, as in the reward
};

}  // namespace kisim

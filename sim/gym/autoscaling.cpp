#include "gym/autoscaling.hpp"

#include "core/hash.hpp"
#include "gym/kiscaler_reward.hpp"
#include "run/gpu_price.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// The address of what belongs to one episode.
uint64_t of_episode(uint64_t episode, const char* what) { return hash_combine(hash_text(what), episode); }

// Episode 0 of a seed is the run of that seed.
uint64_t run_seed(uint64_t seed, uint64_t episode) { return episode == 0 ? seed : hash_combine(seed, episode); }

uint64_t left_of(const ClientState& client) {
  return client.completed + client.failed + client.dropped + client.timed_out;
}

}  // namespace

AutoscalingEnv::AutoscalingEnv(std::shared_ptr<const AutoscalingSpec> spec) : what_(std::move(spec)) {
  for (const auto& scenario : what_->scenarios) add_scenario(*scenario);
  KISIM_INVARIANT(!families_.empty(), "an environment without a scenario");
}

void AutoscalingEnv::add_scenario(const Scenario& scenario) {
  const std::shared_ptr<const Model> model = compile(scenario);
  auto refuse = [&](const std::string& message) {
    throw InputError({Severity::Error, scenario.mark, "spec.policies.agents", message});
  };
  AgentId id;
  for (size_t a = 0; a < model->kube.agents.size(); ++a) {
    const AgentModel& candidate = model->kube.agents[AgentId(a)];
    const bool named = what_->agent.empty() ? !candidate.policy : candidate.name == what_->agent;
    if (!named && !candidate.policy) refuse(fmt::format("agent {} has no policy and is not trained", candidate.name));
    if (!named) continue;
    if (id.valid()) refuse("found several agents without a policy, allowed: one");
    id = AgentId(a);
  }
  if (!id.valid())
    refuse(what_->agent.empty() ? "missing, needed: the agent that is trained"
                                : fmt::format("found no agent {}", what_->agent));
  const AgentModel& agent = model->kube.agents[id];
  if (!what_->reward.kiscaler_pattern.empty() && (agent.targets.size() != 2 || !agent.coding->wants_p95()))
    refuse("KIScaler's published reward needs its agent (coding: kiscaler-published) of two workloads");
  if (agent.policy) refuse(fmt::format("agent {} has a policy already", agent.name));
  if (families_.empty()) {
    env_.name = what_->name;
    env_.observation = agent.observation;
    env_.actions = agent.actions;
    env_.masked = true;
    env_.costs = {{"cost", 0}, {"slo", 0}};
  } else if (agent.observation != env_.observation || !(agent.actions == env_.actions)) {
    refuse(fmt::format("agent {} of {} sees or does something else than that of the first scenario", agent.name,
                       scenario.name));
  }
  const AutoscalingReward& reward = what_->reward;
  if (reward.replica_prices.size() > agent.targets.size())
    refuse(fmt::format("the reward has {} prices of replicas, allowed: one for each of {} workloads",
                       reward.replica_prices.size(), agent.targets.size()));
  std::vector<double> weights{reward.cost, reward.penalty, reward.slo, reward.churn};
  weights.insert(weights.end(), reward.replica_prices.begin(), reward.replica_prices.end());
  for (double weight : weights)
    if (!(weight >= 0 && weight <= 1e6))
      refuse(fmt::format("the reward has a weight or a price of {}, allowed: 0 to 1e6", weight));
  Family family{ModelVariant(*model), id};
  for (size_t t = 0; t < agent.targets.size(); ++t) {
    const AgentModel::Target& target = agent.targets[t];
    const double replica = t < what_->reward.replica_prices.size() ? what_->reward.replica_prices[t] : 0;
    family.most +=
        target.max_replicas * (target.gpus * gpu_prices(*model, target.workload, agent.start).most + replica);
  }
  if (!(family.most > 0))
    refuse(
        fmt::format("the workloads of agent {} cost nothing, needed: GPUs, or prices of their replicas", agent.name));
  const bool penalised = std::any_of(agent.clients.begin(), agent.clients.end(),
                                     [&](uint32_t c) { return model->serving.clients[c].slo_penalty.has_value(); });
  if (what_->reward.penalty > 0 && !penalised)
    refuse("the reward's penalty needs slo.<traffic>.penalty of traffic that the agent's workloads answer");
  families_.push_back(std::move(family));
}

void AutoscalingEnv::begin(uint64_t seed, uint64_t episode, std::span<float> observation) {
  Stream choice(seed, of_episode(episode, "Scenario"), Purpose::Variation);
  const auto n = static_cast<uint32_t>(families_.size());
  scenario_ = what_->in_turn ? episode % n : choice.below(n);
  Family& family = families_[scenario_];
  agent_ = family.agent;
  world_.reset();
  family.variant.set(run_seed(seed, episode), what_->variation.draw(seed, episode));
  world_ = std::make_unique<World>(family.variant.model());
  run_on();
  KISIM_INVARIANT(!world_->finished(), "the run of {} ends before its agent decides anything", world_->model().name);
  before_ = see();
  overdue(0);  // who has come so far belongs to no step
  steps_ = 0;
  step_cost_ = step_penalty_ = step_missed_ = step_changes_ = 0;
  copy_observation(observation);
}

Transition AutoscalingEnv::advance(std::span<const float> action, std::span<float> observation) {
  replicas_.clear();
  for (const AgentTarget& target : agent_state().targets) replicas_.push_back(target.replicas);
  world_->act(agent_, action);
  run_on();
  Transition out;
  out.truncated = world_->finished();
  if (out.truncated) world_->look(agent_);
  const Seen now = see();
  count(now);
  out.reward = reward();
  before_ = now;
  ++steps_;
  copy_observation(observation);
  return out;
}

// To the next decision, or the end.
void AutoscalingEnv::run_on() {
  while (!world_->waiting_agent().valid() && world_->step(Time::max())) {
  }
  world_->settle();
}

AutoscalingEnv::Seen AutoscalingEnv::see() const {
  const State& state = world_->state();
  Seen now;
  now.at = world_->now();
  for (uint32_t c : agent().clients) {
    const ClientState& client = state.serving.clients[c];
    const ClientModel& model = world_->model().serving.clients[c];
    if (!model.has_slo) continue;
    now.left += left_of(client);
    now.met += client.slo_met;
    now.penalty += model.slo_penalty.value_or(0) *
                   (static_cast<double>(client.slo_eligible) - static_cast<double>(client.slo_met));
  }
  now.cost = cost_now();
  return now;
}

// Of the pods that have a node.
double AutoscalingEnv::cost_now() const {
  const ClusterState& cluster = world_->state().cluster;
  const std::vector<double>& replica_prices = what_->reward.replica_prices;
  double cost = 0;
  for (size_t t = 0; t < agent().targets.size(); ++t) {
    const AgentModel::Target& target = agent().targets[t];
    for (PodId id : cluster.workload_pods[target.workload.value]) {
      const PodState& pod = cluster.pods[id];
      if (!pod.node.valid() || is_terminal(pod.phase)) continue;
      const GpuModelId gpu = world_->model().cluster.nodes[pod.node].gpu_model;
      cost += target.gpus * gpu_price(world_->model(), gpu, world_->now());
      if (t < replica_prices.size()) cost += replica_prices[t];
    }
  }
  return cost;
}

// What the step that ends now has cost.
void AutoscalingEnv::count(const Seen& now) {
  const Family& family = families_[scenario_];
  const double seconds = (now.at - before_.at).to_seconds();
  double changes = 0, most = 0;
  const std::vector<AgentTarget>& targets = agent_state().targets;
  for (size_t t = 0; t < targets.size(); ++t) {
    changes += std::abs(targets[t].replicas - replicas_[t]);
    most += targets[t].max_replicas;
  }
  step_changes_ = changes / most;
  const double interval = agent().interval.to_seconds();
  step_cost_ = (before_.cost + now.cost) / 2 * (seconds / interval) / family.most;
  step_penalty_ = (now.penalty - before_.penalty) * (3600 / interval) / family.most;

  const double late = overdue(seconds);
  step_missed_ = 0;
  if (before_.at < world_->model().warmup_end) return;
  const auto left = static_cast<double>(now.left - before_.left), met = static_cast<double>(now.met - before_.met);
  step_missed_ = std::max(late, left > 0 ? std::clamp((left - met) / left, 0.0, 1.0) : 0);
}

double AutoscalingEnv::overdue(double seconds) {
  double came = 0, late = 0;
  arrived_.resize(agent().clients.size());
  for (size_t i = 0; i < arrived_.size(); ++i) {
    const uint32_t c = agent().clients[i];
    const ClientState& client = world_->state().serving.clients[c];
    const auto arrived = static_cast<double>(client.arrived - arrived_[i]);
    arrived_[i] = client.arrived;
    const std::optional<Duration> slo = world_->model().serving.clients[c].slo_e2e;
    if (!slo || !(seconds > 0)) continue;
    came += arrived;
    late +=
        std::max(0.0, static_cast<double>(client.arrived - left_of(client)) - arrived * slo->to_seconds() / seconds);
  }
  return std::min(1.0, late / std::max(1.0, came));
}

double AutoscalingEnv::reward() {
  const AutoscalingReward& weights = what_->reward;
  if (!weights.kiscaler_pattern.empty()) return published_reward();
  return -(weights.cost * step_cost_ + weights.penalty * step_penalty_ + weights.slo * step_missed_ +
           weights.churn * step_changes_);
}

double AutoscalingEnv::published_reward() const {
  const AgentState& s = agent_state();
  KiscalerStep step;
  if (s.view.gateway.p95) step.p95_ms = 1000 * *s.view.gateway.p95;
  step.requests_per_s = s.view.gateway.completed.value_or(0);
  step.cpu_percent = static_cast<double>(s.observation[0]);
  step.gpu_replicas = s.targets[0].replicas;
  step.cpu_replicas = s.targets[1].replicas;
  step.steps_before = steps_;
  return kiscaler_reward(*find_kiscaler_pattern(what_->reward.kiscaler_pattern), step);
}

void AutoscalingEnv::copy_observation(std::span<float> observation) const {
  std::copy(agent_state().observation.begin(), agent_state().observation.end(), observation.begin());
}

void AutoscalingEnv::mask(std::span<uint8_t> allowed) const {
  std::copy(agent_state().mask.begin(), agent_state().mask.end(), allowed.begin());
}

void AutoscalingEnv::costs(std::span<double> out) const {
  out[0] = step_cost_;
  out[1] = step_missed_;
}

}  // namespace kisim

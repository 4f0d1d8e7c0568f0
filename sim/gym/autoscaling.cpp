#include "gym/autoscaling.hpp"

#include "core/hash.hpp"
#include "gym/kiscaler_reward.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// The address of what belongs to one episode.
uint64_t of_episode(uint64_t episode, const char* what) { return hash_combine(hash_text(what), episode); }

// Episode 0 of a seed is the run of that seed.
uint64_t run_seed(uint64_t seed, uint64_t episode) { return episode == 0 ? seed : hash_combine(seed, episode); }

// Of a GPU of this model now, per hour; 1 where nobody names prices.
double price_of(const Model& model, GpuModelId gpu, Time at) {
  if (!model.accounts.priced) return 1;
  return gpu.valid() ? model.accounts.price[gpu].at(at) : 0;
}

// Of the GPUs of all nodes that the workload's pods may be on.
double dearest(const Model& model, WorkloadId workload, Time at) {
  const PodTemplateModel& pods = model.cluster.templates[model.cluster.workloads[workload].pod_template];
  double price = 0;
  for (const NodeModel& node : model.cluster.nodes) {
    auto has = [&](const auto& label) {
      const Labels& labels = node.object.meta.labels;
      return std::find(labels.begin(), labels.end(), label) != labels.end();
    };
    const bool admitted = std::all_of(pods.spec.node_selector.begin(), pods.spec.node_selector.end(), has);
    if (admitted && node.gpu_model.valid()) price = std::max(price, price_of(model, node.gpu_model, at));
  }
  return price;
}

}  // namespace

AutoscalingEnv::AutoscalingEnv(std::shared_ptr<const AutoscalingSpec> spec) : what_(std::move(spec)) {
  for (const auto& scenario : what_->scenarios) add_scenario(*scenario);
  KISIM_INVARIANT(!families_.empty(), "an environment without a scenario");
}

void AutoscalingEnv::add_scenario(const Scenario& scenario) {
  std::shared_ptr<Model> model = compile(scenario);
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
  Family family{ModelVariant(model), id};
  for (size_t t = 0; t < agent.targets.size(); ++t) {
    const AgentModel::Target& target = agent.targets[t];
    const double replica = t < what_->reward.replica_prices.size() ? what_->reward.replica_prices[t] : 0;
    family.most += target.max_replicas * (target.gpus * dearest(*model, target.workload, agent.start) + replica);
  }
  if (!(family.most > 0))
    refuse(
        fmt::format("the workloads of agent {} cost nothing, needed: GPUs, or prices of their replicas", agent.name));
  for (uint32_t c : agent.clients)
    if (const auto& e2e = model->serving.clients[c].slo_e2e)
      family.slo_e2e = std::min(family.slo_e2e.value_or(e2e->to_seconds()), e2e->to_seconds());
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
  step_cost_ = step_missed_ = 0;
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
  out.reward = what_->reward.kiscaler_pattern.empty() ? reward() : published_reward();
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
    const uint64_t left = client.completed + client.failed + client.dropped + client.timed_out;
    now.arrived += client.arrived;
    now.in_flight += static_cast<double>(client.arrived - left);
    if (!world_->model().serving.clients[c].has_slo) continue;
    now.left += left;
    now.met += client.slo_met;
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
      if (!pod.node.valid()) continue;
      const GpuModelId gpu = world_->model().cluster.nodes[pod.node].gpu_model;
      cost += target.gpus * price_of(world_->model(), gpu, world_->now());
      if (t < replica_prices.size()) cost += replica_prices[t];
    }
  }
  return cost;
}

double AutoscalingEnv::reward() {
  const AutoscalingReward& weights = what_->reward;
  const Family& family = families_[scenario_];
  const Seen now = see();
  const double seconds = (now.at - before_.at).to_seconds();
  if (!(seconds > 0)) return 0;

  double changes = 0, most = 0;
  const std::vector<AgentTarget>& targets = agent_state().targets;
  for (size_t t = 0; t < targets.size(); ++t) {
    changes += std::abs(targets[t].replicas - replicas_[t]);
    most += targets[t].max_replicas;
  }
  step_cost_ = (before_.cost + now.cost) / 2 / family.most;

  const auto left = static_cast<double>(now.left - before_.left), met = static_cast<double>(now.met - before_.met);
  const auto arrived = static_cast<double>(now.arrived - before_.arrived);
  step_missed_ = left > 0 ? std::clamp((left - met) / left, 0.0, 1.0) : 0;
  if (family.slo_e2e) {
    const double usual = arrived * *family.slo_e2e / seconds;
    step_missed_ = std::max(step_missed_, std::clamp((now.in_flight - usual) / std::max(1.0, arrived), 0.0, 1.0));
  }
  before_ = now;
  return -(weights.cost * step_cost_ + weights.slo * step_missed_ + weights.churn * changes / most);
}

double AutoscalingEnv::published_reward() const {
  const AgentState& s = agent_state();
  const KiscalerPattern* pattern = find_kiscaler_pattern(what_->reward.kiscaler_pattern);
  KiscalerStep step;
  step.p95_ms = 1000 * s.view.gateway.p95.value_or(0);
  step.requests_per_s = s.view.gateway.completed.value_or(0);
  step.cpu_percent = s.observation.empty() ? 0 : static_cast<double>(s.observation[0]);
  step.gpu_replicas = s.targets.empty() ? 0 : s.targets[0].replicas;
  step.cpu_replicas = s.targets.size() < 2 ? 0 : s.targets[1].replicas;
  step.steps_before = static_cast<int>(s.decisions) - 2;
  return kiscaler_reward(*pattern, step);
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

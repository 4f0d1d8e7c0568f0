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

double dearest(const AccountsModel& accounts, Time at) {
  if (!accounts.priced) return 1;
  double price = 0;
  for (const Tariff& tariff : accounts.price) price = std::max(price, tariff.at(at));
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
  for (size_t a = 0; a < model->kube.agents.size(); ++a)
    if (what_->agent.empty() || model->kube.agents[AgentId(a)].name == what_->agent) id = AgentId(a);
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
    family.most += target.max_replicas * (target.gpus * dearest(model->accounts, agent.start) + replica);
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
  held_before_.clear();
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

AutoscalingEnv::Seen AutoscalingEnv::see() {
  const State& state = world_->state();
  const AccountsModel& accounts = world_->model().accounts;
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
  held_before_.resize(state.cluster.gpus.size());
  for (size_t g = 0; g < held_before_.size(); ++g) {
    const GpuState& gpu = state.cluster.gpus[GpuId(g)];
    const GpuModelId model = world_->model().cluster.nodes[gpu.node].gpu_model;
    const double price = accounts.priced && model.valid() ? accounts.price[model].at(now.at) : 1;
    const __int128 held = gpu.allocated.integral(now.at);
    // The end of warm-up sets the integral back.
    now.held += price * static_cast<double>(held >= held_before_[g] ? held - held_before_[g] : held) / kGpuHour;
    held_before_[g] = held;
  }
  return now;
}

double AutoscalingEnv::reward() {
  const AutoscalingReward& weights = what_->reward;
  const Family& family = families_[scenario_];
  const Seen now = see();
  const double seconds = (now.at - before_.at).to_seconds(), hours = seconds / 3600;
  if (!(seconds > 0)) return 0;

  double cost = now.held, changes = 0, most = 0;
  const std::vector<AgentTarget>& targets = agent_state().targets;
  for (size_t t = 0; t < targets.size(); ++t) {
    const double price = t < weights.replica_prices.size() ? weights.replica_prices[t] : 0;
    cost += price * (targets[t].ready + targets[t].starting) * hours;
    changes += std::abs(targets[t].replicas - replicas_[t]);
    most += targets[t].max_replicas;
  }
  step_cost_ = cost / (family.most * hours);

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

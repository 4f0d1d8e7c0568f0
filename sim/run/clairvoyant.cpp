#include "run/clairvoyant.hpp"

#include "run/gpu_price.hpp"
#include "run/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kisim {

namespace {

constexpr size_t kRates = 128;         // from 0 to the highest of the run
constexpr Duration kDrain = 300_s;     // after each of them
constexpr size_t kMostChoices = 1000;  // of replicas

using Replicas = std::vector<int32_t>;  // by target

[[noreturn]] void refuse(const Scenario& scenario, const std::string& message) {
  throw InputError({Severity::Error, scenario.mark, "spec", "no clairvoyant bound: " + message});
}

const AgentModel& agent_of(const Scenario& scenario, const Model& model) {
  if (model.kube.agents.size() != 1) refuse(scenario, "needed: one agent");
  const AgentModel& agent = model.kube.agents[AgentId(0)];
  if (agent.clients.size() != model.serving.clients.size() || agent.clients.size() != 1)
    refuse(scenario, "needed: one source of traffic, to the agent's workloads");
  if (agent.targets.size() != model.cluster.workloads.size()) refuse(scenario, "needed: no workloads but the agent's");
  if (!model.serving.services[model.serving.clients.front().service].fluid.on)
    refuse(scenario, "needed: detail fluid of every model");
  if (!model.accounts.priced) refuse(scenario, "needed: prices");
  if (!model.serving.clients.front().slo_penalty) refuse(scenario, "needed: the penalty of the SLO");
  return agent;
}

// Every number of replicas within the limits.
std::vector<Replicas> choices_of(const Scenario& scenario, const AgentModel& agent) {
  std::vector<Replicas> out{{}};
  for (const AgentModel::Target& target : agent.targets) {
    std::vector<Replicas> longer;
    for (const Replicas& replicas : out)
      for (int32_t n = target.min_replicas; n <= target.max_replicas; ++n) {
        longer.push_back(replicas);
        longer.back().push_back(n);
      }
    out = std::move(longer);
    if (out.size() > kMostChoices) refuse(scenario, fmt::format("found more than {} choices", kMostChoices));
  }
  return out;
}

// The same cluster with constant replicas, whose images are all present; each rate comes for one interval.
class ProbedRun {
 public:
  ProbedRun(const Scenario& scenario, const AgentModel& agent, const Model& of, const Replicas& replicas,
            const std::vector<double>& rates, const Variation& variation)
      : scenario_(scenario), interval_(agent.interval) {
    Scenario constant = scenario;
    constant.agents.clear();
    constant.shields.clear();
    constant.faults.clear();
    constant.actions.clear();
    for (size_t t = 0; t < replicas.size(); ++t) {
      const std::string& name = of.cluster.workloads[agent.targets[t].workload].name;
      constant.autoscalers[name] = {"constant", {{"replicas", std::to_string(replicas[t])}}, scenario.mark};
      workloads_.push_back(agent.targets[t].workload);
    }
    Variation same_load = variation;
    same_load.load = same_load.failures = 1;
    ModelVariant variant(*compile(constant));
    variant.set(scenario.seed, same_load);
    auto model = std::make_shared<Model>(*variant.model());
    for (KubeWorkload& workload : model->kube.workloads) workload.startup.image_bytes = Distribution::constant(0);
    SourceModel& source = model->traffic.sources.front();
    source.pattern = SourceModel::Pattern::Steps;
    source.drawn.reset();
    source.rates.clear();
    Time at = model->warmup_end + kDrain;
    for (double rate : rates) {
      begins_.push_back(at);
      source.rates.push_back({at, rate});
      source.rates.push_back({at + interval_, 0});
      at = at + interval_ + kDrain;
    }
    begins_.push_back(at);
    model->end = at;
    model->set_seed(scenario.seed);
    world_ = std::make_unique<World>(std::move(model));
  }

  // By rate: requests that miss their SLO.
  std::vector<double> misses() {
    std::vector<double> out;
    double before = 0;
    uint64_t arrived = 0;
    for (size_t i = 0; i < begins_.size(); ++i) {
      world_->run_until(begins_[i]);
      world_->settle();
      const ClientState& client = world_->state().serving.clients.front();
      // A flow may keep a part of a request.
      const uint64_t here = client.arrived - client.completed - client.failed - client.dropped - client.timed_out;
      if (i > 0 && here > 1 + (client.arrived - arrived) / 1000)
        refuse(scenario_, fmt::format("{} of {} requests of one interval are still here {:.0f} s later, needed: fewer, "
                                      "or more minReplicas",
                                      here, client.arrived - arrived, kDrain.to_seconds()));
      arrived = client.arrived;
      const auto missed = static_cast<double>(client.arrived) - static_cast<double>(client.slo_met);
      // More load never misses less; the whole requests of a flow may say so.
      if (i > 0) out.push_back(std::max(out.empty() ? 0 : out.back(), missed - before));
      before = missed;
    }
    return out;
  }

  // By target: the shortest start of any of its pods.
  std::vector<Duration> starts() const {
    std::vector<Duration> out;
    for (WorkloadId workload : workloads_) {
      Duration shortest = kForever;
      for (PodId id : world_->state().cluster.workload_pods[workload.value]) {
        const PodState& pod = world_->state().cluster.pods[id];
        if (pod.ready != Time::max()) shortest = std::min(shortest, pod.ready - pod.scheduled);
      }
      out.push_back(shortest == kForever ? Duration{} : shortest);
    }
    return out;
  }

 private:
  const Scenario& scenario_;
  Duration interval_;
  std::vector<WorkloadId> workloads_;
  std::vector<Time> begins_;
  std::unique_ptr<World> world_;
};

}  // namespace

Clairvoyant::Clairvoyant(const Scenario& scenario) : scenario_(scenario), variant_(*compile(scenario)) {
  choices_ = choices_of(scenario, agent_of(scenario, *variant_.model()));
}

// One for rates up to `most`, or a little more, so that it serves other seeds.
const Clairvoyant::Probed& Clairvoyant::probe(const Variation& variation, double most) {
  const double step = std::exp2(std::floor(std::log2(std::max(most, 1e-9))) - 3);
  const double top = std::ceil(most / step) * step;
  for (const Probed& known : probed_)
    if (known.service == variation.service && known.startup == variation.startup && known.top == top) return known;
  const Model& model = *variant_.model();
  const AgentModel& agent = agent_of(scenario_, model);
  std::vector<double> rates;
  for (size_t i = 0; i < kRates; ++i) rates.push_back(top * static_cast<double>(i) / (kRates - 1));
  Probed out{variation.service, variation.startup, top, {}, std::vector<Duration>(agent.targets.size(), kForever)};
  for (const Replicas& replicas : choices_) {
    ProbedRun run(scenario_, agent, model, replicas, rates, variation);
    out.misses.push_back(run.misses());
    const std::vector<Duration> starts = run.starts();
    for (size_t t = 0; t < starts.size(); ++t) out.starts[t] = std::min(out.starts[t], starts[t]);
  }
  return probed_.emplace_back(std::move(out));
}

ClairvoyantBound Clairvoyant::bound(uint64_t seed, const Variation& variation) {
  variant_.set(seed, variation);
  const Model& model = *variant_.model();
  const AgentModel& agent = agent_of(scenario_, model);

  // Requests that come in each interval.
  const ArrivalRate rate(model.traffic.sources.front());
  const double seconds = agent.interval.to_seconds();
  std::vector<double> demand;
  for (Time at = model.warmup_end; at < model.end; at = at + agent.interval)
    demand.push_back(rate.between(at, std::min(at + agent.interval, model.end)));
  const Probed& probed = probe(variation, *std::max_element(demand.begin(), demand.end()) / seconds);

  const double penalty = *model.serving.clients.front().slo_penalty;
  const size_t n = choices_.size();
  const size_t targets = agent.targets.size();
  auto begin_of = [&](size_t step) { return model.warmup_end + agent.interval * static_cast<int64_t>(step); };
  auto end_of = [&](size_t step) { return std::min(begin_of(step + 1), model.end); };
  auto hours_of = [&](size_t step) { return (end_of(step) - begin_of(step)).to_seconds() / 3600; };
  // Of a replica and hour, by step and target: the least as a step begins and ends.
  std::vector<double> prices;
  for (size_t step = 0; step < demand.size(); ++step)
    for (const AgentModel::Target& target : agent.targets) {
      const Time last = end_of(step) - Duration{1};
      prices.push_back(target.gpus * std::min(gpu_prices(model, target.workload, begin_of(step)).least,
                                              gpu_prices(model, target.workload, last).least));
    }
  auto cost_of = [&](size_t choice, size_t step) {  // of an interval
    double cost = 0;
    for (size_t t = 0; t < targets; ++t) cost += choices_[choice][t] * prices[step * targets + t];
    return cost * hours_of(step);
  };
  auto missed_of = [&](size_t choice, size_t step) {
    const double at = probed.top > 0 ? demand[step] / seconds / probed.top * (kRates - 1) : 0;
    return probed.misses[choice][std::min(kRates - 1, static_cast<size_t>(at))];
  };
  // Of one more replica, by step and target: what its start costs before the step, at the least price since it began.
  std::vector<double> start_costs;
  for (size_t step = 0; step < demand.size(); ++step)
    for (size_t t = 0; t < targets; ++t) {
      const Duration paid = std::max(Duration{}, probed.starts[t] - agent.interval);
      double price = prices[step * targets + t];
      for (size_t s = step; s-- > 0 && end_of(s) > begin_of(step) - paid;)
        price = std::min(price, prices[s * targets + t]);
      start_costs.push_back(price * paid.to_seconds() / 3600);
    }
  auto start_of = [&](size_t from, size_t to, size_t step) {
    double cost = 0;
    for (size_t t = 0; t < targets; ++t)
      cost += std::max(0, choices_[to][t] - choices_[from][t]) * start_costs[step * targets + t];
    return cost;
  };

  // least[c]: of the intervals up to now, where c are ready in the last of them.
  std::vector<double> least(n), next(n);
  std::vector<std::vector<uint32_t>> from(demand.size(), std::vector<uint32_t>(n));
  for (size_t step = 0; step < demand.size(); ++step) {
    for (size_t to = 0; to < n; ++to) {
      double best = step == 0 ? 0 : std::numeric_limits<double>::infinity();
      for (size_t c = 0; step > 0 && c < n; ++c) {
        const double sum = least[c] + start_of(c, to, step);
        if (sum < best) best = sum, from[step][to] = static_cast<uint32_t>(c);
      }
      next[to] = best + cost_of(to, step) + penalty * missed_of(to, step);
    }
    std::swap(least, next);
  }

  ClairvoyantBound out;
  double came = 0, missed = 0;
  auto choice = static_cast<size_t>(std::min_element(least.begin(), least.end()) - least.begin());
  const double total = least[choice];
  for (size_t step = demand.size(); step-- > 0; choice = from[step][choice]) {
    came += demand[step];
    missed += missed_of(choice, step);
    for (size_t t = 0; t < targets; ++t) out.gpu_hours += choices_[choice][t] * agent.targets[t].gpus * hours_of(step);
  }
  out.penalty = penalty * missed;
  out.cost = total - out.penalty;
  if (came > 0) out.attainment = 1 - missed / came;
  return out;
}

}  // namespace kisim

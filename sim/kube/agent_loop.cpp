#include "kube/agent_loop.hpp"

#include "kube/resource_request.hpp"
#include "rl/policy_file.hpp"

#include <algorithm>

namespace kisim {

namespace {

struct NetworkMemory : CopyableMemory<NetworkMemory> {
  RecurrentState state;
};

double milli(int64_t value) { return static_cast<double>(value) * 1e-3; }

}  // namespace

AgentLoop::AgentLoop(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving,
                     const MetricsPipeline& metrics, Controllers& controllers, Engine& engine, Events events)
    : model_(model),
      state_(state),
      cluster_(cluster),
      serving_(serving),
      metrics_(metrics),
      controllers_(controllers),
      engine_(engine),
      events_(events) {
  agents_.resize(model_.agents.size());
  for (size_t a = 0; a < model_.agents.size(); ++a) make_queries(AgentId(a));
}

void AgentLoop::make_queries(AgentId id) {
  Agent& out = agents_[id];
  for (const AgentModel::Target& target : agent(id).targets) {
    auto query = [&](const MetricSpec& spec) -> std::optional<MetricsPipeline::Query> {
      if (spec.name.empty()) return std::nullopt;
      MetricsPipeline::Query q = metrics_.query(target.workload, spec);
      return q.kind == MetricsPipeline::Query::Kind::Unknown ? std::nullopt : std::optional(q);
    };
    out.targets.push_back({query(target.running), query(target.waiting), query(target.usage), query(target.gpu_busy),
                           query(target.cpu), query(target.memory)});
  }
  if (!agent(id).policy) return;
  out.actor.emplace(agent(id).policy->network);
  out.outputs.resize(agent(id).actions.outputs());
}

void AgentLoop::start() {
  state_.agents.resize(model_.agents.size());
  const MetricsSettings& settings = model_.metrics;
  for (size_t a = 0; a < model_.agents.size(); ++a) {
    AgentId id(a);
    const AgentModel& m = agent(id);
    AgentState& s = state_.agents[id];
    s.memory = PolicyMemoryBox(m.coding->make_memory());
    if (agents_[id].actor) {
      auto memory = std::make_unique<NetworkMemory>();
      memory->state = agents_[id].actor->initial_state();
      s.network = PolicyMemoryBox(std::move(memory));
    }
    s.targets.resize(m.targets.size());
    s.observation.resize(m.observation.size());
    s.mask.resize(m.actions.outputs());
    s.action.resize(m.actions.size());
    s.gateway.ring.resize(static_cast<size_t>((settings.window + settings.delay).ns / settings.scrape_interval.ns + 3));
    Stream offset(model_.seed, m.entity, Purpose::ScrapeOffset);
    Duration random = Duration::seconds(offset.uniform() * settings.scrape_interval.to_seconds());
    engine_.schedule(engine_.now() + settings.offset.value_or(random), Priority::Scrape, events_.scrape, id.value);
    engine_.schedule(m.start, Priority::Control, events_.decide, id.value);
  }
}

void AgentLoop::scrape(AgentId id) {
  const AgentModel& m = agent(id);
  AgentState& s = state_.agents[id];
  engine_.schedule(engine_.now() + model_.metrics.scrape_interval, Priority::Scrape, events_.scrape, id.value);
  if (metrics_.fails(m.entity, engine_.now())) return;
  serving_.settle();
  GatewayScrape scrape;
  scrape.at = engine_.now();
  Histogram answered;
  for (uint32_t c : m.clients) {
    const ClientState& client = serving_.state.clients[c];
    scrape.arrived += client.arrived;
    scrape.completed += client.completed;
    scrape.latency_s += client.e2e.mean() * 1e-9 * static_cast<double>(client.e2e.count());
    scrape.latencies += static_cast<double>(client.e2e.count());
    if (serving_.model.clients[c].has_slo) {
      scrape.left += client.completed + client.failed + client.dropped + client.timed_out;
      scrape.in_slo += client.slo_met;
    }
    if (m.coding->wants_p95()) answered.merge(client.e2e);
  }
  for (ServiceId service : m.services) scrape.held += serving_.held(service);
  if (m.coding->wants_p95()) {
    if (auto p95 = answered.quantile_since(s.answered, 0.95)) scrape.p95 = *p95 * 1e-9;
    s.answered = std::move(answered);
  }
  s.gateway.push() = scrape;
}

void AgentLoop::decide(AgentId id) {
  // What is decided at the end changes nothing.
  const Time next = engine_.now() + agent(id).interval;
  if (next < agent(id).end) engine_.schedule(next, Priority::Control, events_.decide, id.value);
  look(id);
  state_.waiting = id;
  if (agents_[id].actor) choose(id);
}

void AgentLoop::look(AgentId id) {
  const AgentModel& m = agent(id);
  AgentState& s = state_.agents[id];
  s.view.gateway = gateway(id);
  oldest_ = s.view.gateway.scraped;
  for (size_t t = 0; t < s.targets.size(); ++t) s.targets[t] = look_at(id, t);
  s.view.now = engine_.now();
  s.view.interval = m.interval;
  s.view.since = m.start;
  s.view.end = m.end;
  s.view.age.reset();
  if (oldest_) s.view.age = engine_.now() - *oldest_;
  s.view.rescaled = last_rescale(id);
  s.view.free_gpus = m.coding->wants_free_gpus() ? free_gpus() : 0;
  AgentView view = s.view;
  view.targets = s.targets;
  m.coding->observe(view, *s.memory, s.observation);
  m.coding->mask(view, *s.memory, s.mask);
}

AgentTarget AgentLoop::look_at(AgentId id, size_t t) {
  const AgentModel::Target& target = agent(id).targets[t];
  const Queries& queries = agents_[id].targets[t];
  const WorkloadId workload = target.workload;
  AgentTarget out;
  out.replicas = std::max(0, cluster_.state.replicas[workload.value]);
  out.min_replicas = target.min_replicas;
  out.max_replicas = target.max_replicas;
  out.gpus = target.gpus;
  for (PodId id : cluster_.state.workload_pods[workload.value]) {
    const PodState& pod = cluster_.state.pods[id];
    if (!is_active(pod.phase)) continue;
    ++(pod.phase == PodPhase::Ready ? out.ready : pod.node.valid() ? out.starting : out.pending);
  }
  out.running = mean(workload, queries.running);
  out.waiting = mean(workload, queries.waiting);
  out.usage = mean(workload, queries.usage);
  out.gpu_busy = mean(workload, queries.gpu_busy);
  if (out.gpu_busy) *out.gpu_busy /= 100;
  out.cpu = share_of_request(workload, queries.cpu);
  out.memory = share_of_request(workload, queries.memory);
  return out;
}

std::optional<double> AgentLoop::mean(WorkloadId workload, const std::optional<MetricsPipeline::Query>& query) {
  if (!query) return std::nullopt;
  metrics_.of_pods(workload, *query, cluster_.state.workload_pods[workload.value], samples_);
  int64_t sum = 0, n = 0;
  for (const std::optional<MetricSample>& sample : samples_) {
    if (!sample) continue;
    sum += sample->milli;
    oldest_ = oldest_ ? std::min(*oldest_, sample->timestamp) : sample->timestamp;
    ++n;
  }
  return n > 0 ? std::optional(milli(sum) / static_cast<double>(n)) : std::nullopt;
}

// Of the pods that have both.
std::optional<double> AgentLoop::share_of_request(WorkloadId workload,
                                                  const std::optional<MetricsPipeline::Query>& query) {
  if (!query) return std::nullopt;
  const std::vector<PodId>& pods = cluster_.state.workload_pods[workload.value];
  metrics_.of_pods(workload, *query, pods, samples_);
  int64_t used = 0, requested = 0;
  for (size_t i = 0; i < pods.size(); ++i) {
    if (!samples_[i]) continue;
    oldest_ = oldest_ ? std::min(*oldest_, samples_[i]->timestamp) : samples_[i]->timestamp;
    const int64_t request =
        request_milli(cluster_.model.templates[cluster_.state.pods[pods[i]].pod_template], *query->spec);
    if (request <= 0) continue;
    used += samples_[i]->milli;
    requested += request;
  }
  return requested > 0 ? std::optional(static_cast<double>(used) / static_cast<double>(requested)) : std::nullopt;
}

// Rates are taken between the oldest scrape of the window and the latest that is visible.
AgentGateway AgentLoop::gateway(AgentId id) const {
  const AgentState& s = state_.agents[id];
  const MetricsSettings& settings = model_.metrics;
  const GatewayScrape *latest = nullptr, *first = nullptr;
  if (metrics_.unavailable()) return {};
  for (size_t i = 0; i < s.gateway.size; ++i) {
    const GatewayScrape& scrape = s.gateway.back(i);
    if (!latest) {
      if (scrape.at + settings.delay > engine_.now()) continue;
      if (engine_.now() - scrape.at > settings.staleness) break;
      latest = &scrape;
    } else if (scrape.at < latest->at - settings.window) {
      break;
    } else {
      first = &scrape;
    }
  }
  if (!latest) return {};
  auto noise = [&](std::string_view metric) { return metrics_.noise(agent(id).entity, metric, latest->at); };
  AgentGateway out;
  out.scraped = latest->at;
  out.held = latest->held * noise("held");
  if (latest->p95) out.p95 = *latest->p95 * noise("p95");
  if (!first) return out;
  const double seconds = (latest->at - first->at).to_seconds();
  auto since = [](auto now, auto before) { return static_cast<double>(now - before); };
  out.arrived = noise("arrived") * since(latest->arrived, first->arrived) / seconds;
  out.completed = noise("completed") * since(latest->completed, first->completed) / seconds;
  // How long requests took, and whether they met their SLO, is counted from the end of warm-up on.
  if (first->at < serving_.model.warmup_end) return out;
  if (double n = since(latest->latencies, first->latencies); n > 0)
    out.latency = noise("latency") * since(latest->latency_s, first->latency_s) / n;
  if (double n = since(latest->left, first->left); n > 0) {
    const double missed = 1 - since(latest->in_slo, first->in_slo) / n;
    out.in_slo = std::clamp(1 - noise("in_slo") * missed, 0.0, 1.0);
  }
  return out;
}

std::optional<Time> AgentLoop::last_rescale(AgentId id) const {
  std::optional<Time> last;
  for (const AgentModel::Target& target : agent(id).targets)
    if (const auto& at = state_.workloads[target.workload].rescaled) last = std::max(last, at);
  return last;
}

int32_t AgentLoop::free_gpus() const {
  int64_t held = 0, all = 0;
  for (const GpuState& gpu : cluster_.state.gpus) {
    if (!cluster_.state.node_present[gpu.node.value] || !cluster_.node_ready(gpu.node) || !gpu.healthy) continue;
    all += kWholeGpu;
    held += gpu.allocated.value();
  }
  return static_cast<int32_t>((all - held) / kWholeGpu);
}

// Why its policy is not asked; empty: it is. Of ready pods at least one must have been scraped.
ShieldReason AgentLoop::distrusted(AgentId id) const {
  const AgentState& s = state_.agents[id];
  const AgentModel& m = agent(id);
  if (m.shield.max_age) {
    auto unseen = [](const AgentTarget& t) { return t.ready > 0 && !t.waiting; };
    if (!s.view.gateway.scraped || std::any_of(s.targets.begin(), s.targets.end(), unseen))
      return "ShieldMissingMetrics";
    if (*s.view.age > *m.shield.max_age) return "ShieldOldMetrics";
  }
  return distrust(m.shield, m.observation, s.observation, m.policy->seen_low, m.policy->seen_high);
}

// A policy that is not asked decides nothing; its memory goes on.
void AgentLoop::choose(AgentId id) {
  AgentState& s = state_.agents[id];
  Agent& a = agents_[id];
  const ShieldReason why = distrusted(id);
  s.distrusted = !why.empty();
  if (s.distrusted) {
    state_.statistics.decisions.add(why);
    state_.waiting = {};
    return;
  }
  a.actor->forward(s.observation, static_cast<NetworkMemory&>(*s.network).state, a.outputs);
  likeliest_action(agent(id).actions, a.outputs, s.mask, s.action);
  act(id, std::vector<float>(s.action));
}

// Within the limits of the workloads, whatever the shield says.
void AgentLoop::shield(AgentId id) {
  const AgentModel& m = agent(id);
  AgentState& s = state_.agents[id];
  floor_.clear();
  for (size_t t = 0; t < s.targets.size(); ++t) {
    const AgentTarget& target = s.targets[t];
    const std::optional<Time> rescaled = state_.workloads[m.targets[t].workload].rescaled;
    ShieldReason why;
    desired_[t] = limit_change(m.shield, target.replicas, desired_[t], engine_.now(), rescaled, why);
    if (!why.empty()) state_.statistics.decisions.add(why);
    desired_[t] = std::clamp(desired_[t], target.min_replicas, target.max_replicas);
    floor_.push_back(std::max(target.replicas, target.min_replicas));
  }
  ShieldReason why;
  limit_sum(m.shield, floor_, desired_, why);
  if (!why.empty()) state_.statistics.decisions.add(why);
}

void AgentLoop::act(AgentId id, std::span<const float> action) {
  const AgentModel& m = agent(id);
  AgentState& s = state_.agents[id];
  KISIM_INVARIANT(state_.waiting == id, "agent {} was given an action that it did not wait for", m.name);
  state_.waiting = {};
  s.action.assign(action.begin(), action.end());
  AgentView view = s.view;
  view.targets = s.targets;
  desired_.resize(s.targets.size());
  m.coding->act(view, *s.memory, s.action, desired_);
  shield(id);
  for (size_t t = 0; t < s.targets.size(); ++t) {
    const AgentTarget& target = s.targets[t];
    const int32_t to = desired_[t];
    if (to == target.replicas) continue;
    static constexpr std::string_view kReason = "AgentRescale";
    state_.statistics.decisions.add(kReason);
    controllers_.scale(m.targets[t].workload, to, m.reason);
  }
}

}  // namespace kisim

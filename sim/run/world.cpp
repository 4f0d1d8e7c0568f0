#include "run/world.hpp"

#include <sys/resource.h>

#include <chrono>
#include <set>

namespace kisim {

namespace {

double to_double(__int128 v) { return static_cast<double>(v); }

std::optional<LatencySummary> latency(const Histogram& h) {
  if (h.count() == 0) return std::nullopt;
  auto s = [](double ns) { return ns * 1e-9; };
  auto q = [&](double p) { return s(static_cast<double>(h.quantile(p))); };
  return LatencySummary{s(h.mean()), q(0.5), q(0.9), q(0.95), q(0.99), s(static_cast<double>(h.max()))};
}

}  // namespace

World::World(std::shared_ptr<const Model> model, const State& state, bool finished)
    : model_(std::move(model)),
      state_(state),
      finished_(finished),
      cluster_(model_->cluster, state_.cluster),
      traffic_(model_->traffic, state_.traffic, state_.engine),
      serving_(model_->serving, state_.serving, cluster_, state_.engine),
      kube_(model_->kube, state_.kube, cluster_, serving_, state_.engine),
      accounts_(model_->accounts, state_.accounts, cluster_) {}

World::World(std::shared_ptr<const Model> model, EventSink* events) : World(std::move(model), State{}, false) {
  set_event_sink(events);
  cluster_.start();
  serving_.start();
  kube_.start();
  traffic_.start();
  Engine& engine = state_.engine;
  if (model_->warmup_end > Time{})
    engine.schedule(model_->warmup_end, Priority::End, event_kind(Room::Run, Code::WarmupEnd), 0);
  engine.schedule(Time{} + model_->sample_interval, Priority::Scrape, event_kind(Room::Run, Code::Sample), 0);
  for (Time change : model_->accounts.changes())
    if (change < model_->end) engine.schedule(change, Priority::End, event_kind(Room::Run, Code::Tariff), 0);
  engine.schedule(model_->end, Priority::End, event_kind(Room::Run, Code::End), 0);
}

std::unique_ptr<World> World::fork() const { return std::unique_ptr<World>(new World(model_, state_, finished_)); }

void World::set_recorder(Recorder* recorder) {
  recorder_ = recorder;
  serving_.sink = recorder;
}

bool World::step(Time until) {
  KISIM_INVARIANT(!waiting_agent().valid(), "agent {} has not been given its action",
                  model_->kube.agents[waiting_agent()].name);
  Event event;
  if (finished_ || !state_.engine.pop(until, event)) return false;
  dispatch(event);
  return true;
}

void World::run_until(Time until) {
  while (step(until)) {
  }
  if (!finished_ && until > now() && until <= model_->end) state_.engine.advance_to(until);
  serving_.settle();
}

void World::dispatch(const Event& event) {
  switch (event_room(event.kind)) {
    case Room::Traffic:
      if (auto arrival = traffic_.on_event(event)) serving_.submit(*arrival);
      break;
    case Room::Serving:
      serving_.on_event(event);
      break;
    case Room::Kube:
      kube_.on_event(event);
      break;
    case Room::Run:
      switch (static_cast<Code>(event_code(event.kind))) {
        case Code::WarmupEnd:
          serving_.settle();
          cluster_.reset_statistics(now());
          kube_.reset_statistics();
          accounts_.reset(now());
          break;
        case Code::Sample:
          serving_.settle();
          if (recorder_) recorder_->sample(*this);
          state_.engine.schedule(now() + model_->sample_interval, Priority::Scrape, event_kind(Room::Run, Code::Sample),
                                 0);
          break;
        case Code::End:
          serving_.settle();
          finished_ = true;
          break;
        case Code::Tariff:
          accounts_.settle(now());
          break;
      }
      break;
  }
  // Users of closed loops think again once their request has left, however it did.
  for (const Completion& c : state_.serving.completions) traffic_.completed(c);
  state_.serving.completions.clear();
}

// kubectl rollout status would fail of them.
std::vector<std::string> World::stuck_rollouts() const {
  std::vector<std::string> out;
  for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
    const WorkloadControl& control = state_.kube.workloads[WorkloadId(w)];
    if (!control.exists) continue;
    for (const Condition& c : control.conditions)
      if (c.reason == "ProgressDeadlineExceeded")
        out.push_back(fmt::format("deployment \"{}\" exceeded its progress deadline at {:.0f} s: {}",
                                  model_->cluster.workloads[WorkloadId(w)].full_name(), c.since.to_seconds(),
                                  c.message));
  }
  return out;
}

AccountsState World::accounts() const {
  AccountsState settled = state_.accounts;
  Accounts(model_->accounts, settled, cluster_).settle(now());
  return settled;
}

// Names the GPUs whose energy rests on less than measurements; none: nullopt.
std::optional<std::string> World::power_note() const {
  std::set<std::string> scaled;
  for (const GpuState& gpu : state_.cluster.gpus) {
    GpuModelId id = model_->cluster.nodes[gpu.node].gpu_model;
    bool joined = state_.cluster.node_joined[gpu.node.value] != 0;
    if (joined && id.valid() && !model_->cluster.power[id].measured) scaled.insert(model_->cluster.gpu_models[id].name);
  }
  if (scaled.empty()) return std::nullopt;
  return fmt::format("energy_kwh: no power measurements of {}; estimated from {} by TDP, {:.0f} % off where checked",
                     fmt::join(scaled, ", "), kPowerReference, 100 * kScaledLawError);
}

Summary World::summary() const {
  serving_.check_conservation();
  cluster_.check_power(now());
  Summary s;
  s.scenario = model_->name;
  s.seed = model_->seed;
  s.simulated_s = now().to_seconds();
  s.events = state_.engine.events();

  Histogram e2e, queue, ttft, tpot;
  Summary::Tokens tokens;
  Summary::Slo slo;
  uint64_t slo_eligible = 0, slo_met = 0;
  bool has_slo = false, has_llm = false;
  for (size_t i = 0; i < state_.serving.clients.size(); ++i) {
    const ClientState& c = state_.serving.clients[i];
    s.requests.arrived += c.arrived;
    s.requests.admitted += c.admitted;
    s.requests.completed += c.completed;
    s.requests.failed += c.failed;
    s.requests.dropped += c.dropped;
    s.requests.timed_out += c.timed_out;
    s.requests.retried += c.retried;
    e2e.merge(c.e2e);
    queue.merge(c.queue);
    ttft.merge(c.ttft);
    tpot.merge(c.tpot);
    tokens.prompt += c.prompt_tokens;
    tokens.cached += c.cached_tokens;
    tokens.generated += c.generated_tokens;
    if (!model_->serving.clients[i].has_slo) continue;
    has_slo = true;
    slo_eligible += c.slo_eligible;
    slo_met += c.slo_met;
    const ClientModel& client = model_->serving.clients[i];
    auto met = static_cast<double>(c.slo_met), eligible = static_cast<double>(c.slo_eligible);
    if (client.slo_penalty) s.slo_penalty = s.slo_penalty.value_or(0) + *client.slo_penalty * (eligible - met);
    if (met < client.slo_target * eligible)
      s.missed_slo.push_back(fmt::format("{}: {:.2f} % of requests met the SLO, target {:.2f} %", client.name,
                                         100 * met / eligible, 100 * client.slo_target));
  }
  s.requests.in_flight = static_cast<uint64_t>(state_.serving.in_flight.value());
  s.latency_s = {latency(e2e), latency(queue), latency(ttft), latency(tpot)};

  Time measured_from = std::min(model_->warmup_end, now());
  double measured_s = (now() - measured_from).to_seconds();
  auto rate = [&](uint64_t n) { return measured_s > 0 ? static_cast<double>(n) / measured_s : 0.0; };
  for (const ServingModelModel& m : model_->serving.models) has_llm |= m.llm;
  if (has_llm) {
    tokens.per_s = rate(tokens.generated);
    s.tokens = tokens;
  }
  if (has_slo && slo_eligible > 0) {
    slo.attainment = static_cast<double>(slo_met) / static_cast<double>(slo_eligible);
    slo.goodput_per_s = rate(slo_met);
    s.slo = slo;
  }

  const AccountsState books = accounts();
  if (!state_.cluster.gpus.empty()) {
    __int128 allocated = 0, busy = 0;
    bool priced = model_->accounts.priced;  // and every GPU that was held has a known model
    for (const GpuState& gpu : state_.cluster.gpus) {
      __int128 a = gpu.allocated.integral(now()), b = gpu.busy.integral(now());
      KISIM_INVARIANT(b <= a, "a GPU was busy for longer than it was allocated");
      allocated += a;
      busy += b;
      GpuModelId gpu_model = model_->cluster.nodes[gpu.node].gpu_model;
      priced &= gpu_model.valid() || a == 0;
    }
    Summary::Gpu gpu{to_double(allocated) / kGpuHour, to_double(busy) / kGpuHour, 0};
    gpu.utilization = allocated > 0 ? to_double(busy) / to_double(allocated) : 0.0;
    s.gpu = gpu;
    if (priced) s.cost = books.cost;
  }
  if (energy_known()) {
    s.energy_kwh = to_double(books.energy_before) / kKilowattHour;
    if (model_->accounts.carbon_intensity) s.carbon_kg = books.carbon_g * 1e-3;
    if (std::optional<std::string> note = power_note()) s.warnings.push_back(*note);
  }
  for (size_t i = 0; i < model_->cluster.workloads.size(); ++i) {
    const KubeStatistics::Workload& w = state_.kube.statistics.workloads[WorkloadId(i)];
    s.replicas[model_->cluster.workloads[WorkloadId(i)].full_name()] = {w.ready.mean(now()), w.ready.max(), w.scale_ups,
                                                                        w.scale_downs};
  }
  const KubeStatistics& kube = state_.kube.statistics;
  s.pods = {kube.scheduled, kube.pending.max(), kube.preempted, kube.evicted};
  double nodes = kube.nodes.mean(now());
  s.nodes = {nodes, kube.nodes.max(), nodes * measured_s / 3600};
  s.decisions = kube_.decisions();
  s.decisions.merge(serving_.decisions());
  s.warnings.insert(s.warnings.begin(), model_->warnings.begin(), model_->warnings.end());
  for (std::string& stuck : stuck_rollouts()) s.warnings.push_back(std::move(stuck));
  for (std::string& warning : serving_.warnings()) s.warnings.push_back(std::move(warning));
  s.signature = sign(s, state_.engine.signature());
  return s;
}

Summary run(std::shared_ptr<const Model> model, const RunOptions& options) {
  // The wall clock measures the simulator; nothing simulated sees it.
  auto begin = std::chrono::steady_clock::now();
  World world(std::move(model), options.events);
  world.set_recorder(options.recorder);
  constexpr int kEventsPerLook = 4096;
  bool interrupted = false;
  while (!world.finished() && !interrupted) {
    for (int i = 0; i < kEventsPerLook && world.step(Time::max()); ++i)
      if (options.act && world.waiting_agent().valid()) options.act(world, world.waiting_agent());
    interrupted = options.stop && options.stop->load(std::memory_order_relaxed);
    if (options.progress) options.progress(world.now(), world.model().end);
  }
  if (options.recorder) options.recorder->finish(world);
  Summary s = world.summary();
  s.interrupted = interrupted && !world.finished();
  if (s.interrupted) s.signature = sign(s, world.state().engine.signature());
  s.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  s.events_per_s = s.wall_s > 0 ? static_cast<double>(s.events) / s.wall_s : 0.0;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  s.peak_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  return s;
}

}  // namespace kisim

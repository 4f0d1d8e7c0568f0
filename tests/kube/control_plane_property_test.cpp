// Properties of the control plane as a whole: random clusters live through faults and operators, and after each event
// an onlooker counts for himself what must be so.
//
// KISIM_PROPERTY_STEPS: how many events (200000). KISIM_PROPERTY_SEED: the first seed (0), to see a failure again.

#include "kube/control_plane_setting.hpp"
#include "policy/registry.hpp"
#include "property.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>

namespace kisim {
namespace {

using namespace test;
using Code = Kube::Code;
using Kind = WorkloadModel::Kind;

constexpr uint64_t kRecount = 32, kTrial = 512;  // events between two full counts, between two trials of the API

// --- a run that is driven event by event. From `calm` on nothing breaks and nobody meddles.

struct Models {
  ClusterModel cluster;
  ServingModel serving;
  KubeModel kube;
  Time calm, end;
};

std::shared_ptr<const Models> compile(ControlPlaneSetting setting) {
  auto models = std::make_shared<Models>();
  models->cluster = std::move(setting.builder).build();
  models->serving = std::move(setting.serving);
  models->kube = std::move(setting.kube);
  models->kube.scheduler = compile_scheduler(models->cluster, setting.scheduler);
  models->calm = setting.calm;
  models->end = setting.end;
  return models;
}

class Run {
 public:
  explicit Run(std::shared_ptr<const Models> models) : models_(std::move(models)) {
    make_rooms();
    cluster().start();
    rooms_->serving.start();
  }
  Run(const Run& other) : models_(other.models_), state_(std::make_unique<KubeRunState>(*other.state_)) {
    make_rooms();
  }
  void start() { kube().start(); }

  bool pop(Event& event) { return state_->engine.pop(models_->end, event); }
  void handle(const Event& event) {
    if (event_room(event.kind) == Room::Serving) return rooms_->serving.on_event(event);
    if (!meddles(event) || event.time < models_->calm) kube().on_event(event);
  }
  void run(uint64_t events) {
    for (Event event; events > 0 && pop(event); --events) handle(event);
  }

  const Models& models() const { return *models_; }
  const Engine& engine() const { return state_->engine; }
  Engine& engine() { return state_->engine; }
  Cluster& cluster() { return rooms_->cluster; }
  const ClusterState& state() const { return state_->cluster; }
  const KubeState& control() const { return state_->kube; }
  Kube& kube() { return rooms_->kube; }
  const Kube& kube() const { return rooms_->kube; }

  static bool is(const Event& event, std::initializer_list<Code> codes) {
    return event_room(event.kind) == Room::Kube &&
           std::any_of(codes.begin(), codes.end(), [&](Code c) { return event.kind == event_kind(Room::Kube, c); });
  }

 private:
  struct Rooms {
    Rooms(const Models& m, KubeRunState& s)
        : cluster(m.cluster, s.cluster),
          serving(m.serving, s.serving, cluster, s.engine),
          kube(m.kube, s.kube, cluster, serving, s.engine) {}
    Cluster cluster;
    Serving serving;
    Kube kube;
  };
  static bool meddles(const Event& event) {
    return is(event, {Code::FaultBegin, Code::Act, Code::Drain, Code::Descheduling, Code::Deschedule});
  }
  void make_rooms() { rooms_ = std::make_unique<Rooms>(*models_, *state_); }

  std::shared_ptr<const Models> models_;
  std::unique_ptr<KubeRunState> state_ = std::make_unique<KubeRunState>();
  std::unique_ptr<Rooms> rooms_;
};

uint64_t digest(const Run& run) {
  uint64_t hash = run.engine().signature();
  auto add = [&](uint64_t value) { hash = hash_combine(hash, value); };
  const ClusterState& s = run.state();
  for (const PodState& pod : s.pods) {
    add(static_cast<uint64_t>(pod.phase) << 32 | pod.pod_template.value);
    for (Time t : {pod.created, pod.scheduled, pod.deleted, pod.started, pod.ready}) add(static_cast<uint64_t>(t.ns));
    add(uint64_t{pod.node.value} << 32 | pod.restarts);
    add(hash_text(pod.reason));
  }
  for (int64_t amount : s.requested) add(static_cast<uint64_t>(amount));
  for (size_t n = 0; n < s.node_present.size(); ++n)
    add(uint64_t{s.node_conditions[n].bits} << 33 | uint64_t{s.node_version[n].value} << 1 | s.node_present[n]);
  for (int32_t replicas : s.replicas) add(static_cast<uint64_t>(replicas));
  for (const auto& [reason, count] : run.kube().decisions()) add(hash_combine(hash_text(reason), count));
  for (const WorkloadControl& control : run.control().workloads)
    for (const Condition& c : control.conditions) add(hash_combine(hash_text(c.message), c.since.ns));
  return hash;
}

// Where two runs part, or nothing.
std::string difference(const Run& a, const Run& b) {
  if (a.engine().events() != b.engine().events())
    return fmt::format("{} events, and {}", a.engine().events(), b.engine().events());
  std::map<std::string, uint64_t> ours = a.kube().decisions(), theirs = b.kube().decisions();
  for (const auto& [reason, count] : ours)
    if (theirs[reason] != count) return fmt::format("{} times '{}', and {} times", count, reason, theirs[reason]);
  return digest(a) == digest(b) ? "" : "other events, pods, nodes or conditions";
}

// --- what the API must answer, from the pods alone

bool holds_node(PodPhase phase) { return phase >= PodPhase::Binding && phase <= PodPhase::Terminating; }
bool ended(PodPhase phase) { return phase == PodPhase::Succeeded || phase == PodPhase::Failed; }

// The pods as they were, or are imagined to be.
class Imagined {
 public:
  explicit Imagined(const Run& run) : run_(run) {
    for (const PodState& pod : run.state().pods) phases_.push_back(pod.phase);
  }

  // The Eviction subresource (pkg/registry/core/pod/storage/eviction.go).
  Eviction evict(PodId id) {
    PodPhase& phase = phases_[id.value];
    if (phase == PodPhase::Terminating || phase == PodPhase::Gone) return Eviction::Gone;
    if (is_running(phase)) {
      std::vector<const PodDisruptionBudget*> covering;
      for (const PodDisruptionBudgetModel& budget : run_.models().cluster.budgets)
        if (covers(budget.object, id)) covering.push_back(&budget.object);
      if (covering.size() > 1) return Eviction::TwoBudgets;
      if (!covering.empty() && !admits(*covering.front(), phase == PodPhase::Ready)) return Eviction::TooManyRequests;
    }
    phase = holds_node(phase) ? PodPhase::Terminating : PodPhase::Gone;
    return Eviction::Evicted;
  }

  // What the last budget that was asked is about.
  const std::string& seen() const { return seen_; }

 private:
  const PodState& pod(PodId id) const { return run_.state().pods[id]; }
  bool covers(const PodDisruptionBudget& budget, PodId id) const {
    const PodTemplateModel& t = run_.models().cluster.templates[pod(id).pod_template];
    return t.namespace_ == budget.meta.namespace_ && budget.selector->matches(t.labels);
  }
  bool admits(const PodDisruptionBudget& budget, bool ready) const {
    int64_t healthy = 0, covered = 0;
    std::set<WorkloadId> owners;
    bool countable = true;
    for (size_t p = 0; p < phases_.size(); ++p) {
      if (phases_[p] == PodPhase::Gone || !covers(budget, PodId(p))) continue;
      ++covered;
      healthy += phases_[p] == PodPhase::Ready;
      countable &= pod(PodId(p)).owner != PodOwner::Gone;
      if (pod(PodId(p)).owner == PodOwner::Present) owners.insert(pod(PodId(p)).workload);
    }
    int64_t scale = 0;
    for (WorkloadId owner : owners) {
      std::optional<int64_t> replicas = scale_of(owner);
      countable &= replicas.has_value();
      scale += replicas.value_or(0);
    }
    auto share = [&](IntOrPercent a) { return a.percent ? (scale * a.value + 99) / 100 : int64_t{a.value}; };
    bool unhealthy_may_go =
        !ready && budget.unhealthy_pod_eviction_policy == PodDisruptionBudget::UnhealthyPods::AlwaysAllow;
    if (unhealthy_may_go) return true;
    bool by_number = budget.min_available && !budget.min_available->percent;
    seen_ = fmt::format("{} of {} ready, scale {}{}", healthy, covered, scale, countable ? "" : " uncountable");
    if (!by_number && !countable) return false;
    int64_t expected = by_number ? covered : scale;
    int64_t desired = budget.min_available ? share(*budget.min_available)
                                           : std::max<int64_t>(0, scale - share(*budget.max_unavailable));
    if (!ready && desired > 0 && healthy >= desired) return true;
    return expected > 0 && healthy > desired;
  }

  // What a controller asks for; nothing where it has no scale. The ReplicaSets of an orphaned Deployment have one each.
  std::optional<int64_t> scale_of(WorkloadId id) const {
    Kind kind = run_.models().cluster.workloads[id].kind;
    const WorkloadControl& control = run_.control().workloads[id];
    if (kind == Kind::DaemonSet || kind == Kind::Job) return std::nullopt;
    if (!control.orphaned) return run_.state().replicas[id.value];
    int64_t sum = 0;
    for (const ReplicaSetState& set : control.replica_sets) sum += set.replicas;
    return sum;
  }

  const Run& run_;
  std::vector<PodPhase> phases_;
  mutable std::string seen_;
};

// Every pod in some order, asked of the API in a copy of the world.
void the_api_answers_as_it_must(const Run& run, Dice& dice) {
  Run copy(run);
  Kube& kube = copy.kube();
  ApiServer api(kube.model, kube.state, copy.cluster(), kube.scheduler(), copy.engine(),
                {event_kind(Room::Kube, Code::Changed), event_kind(Room::Kube, Code::WorkloadSync)});
  Imagined imagined(copy);
  std::vector<PodId> pods;
  for (size_t p = 0; p < copy.state().pods.size(); ++p)
    if (copy.state().pods[PodId(p)].phase != PodPhase::Gone) pods.push_back(PodId(p));
  for (size_t i = pods.size(); i > 1; --i) std::swap(pods[i - 1], pods[dice.below(i)]);
  for (PodId id : pods) {
    std::string name = copy.cluster().pod_name(id);
    const char* phase = to_string(copy.state().pods[id].phase);
    Eviction must = imagined.evict(id), answer = api.evict(id, "test");
    if (answer != must)
      complain("eviction of pod {} ({}): the API says '{}', and should say '{}': {}", name, phase, to_string(answer),
               to_string(must), imagined.seen());
  }
}

// --- sums

void equal(std::string_view what, int64_t books, int64_t count) {
  if (books != count) complain("{}: {} in the books, {} counted", what, books, count);
}

void every_pod_is_somewhere(const Run& run) {
  const ClusterState& s = run.state();
  std::vector<uint32_t> listed(s.pods.size(), 0), on_node(s.pods.size(), 0), created(s.workload_pods.size(), 0);
  for (size_t w = 0; w < s.workload_pods.size(); ++w)
    for (PodId id : s.workload_pods[w]) {
      if (s.pods[id].workload != WorkloadId(w))
        complain("pod {} is listed by a workload that is not its own", id.value);
      ++listed[id.value];
    }
  for (size_t n = 0; n < s.node_pods.size(); ++n)
    for (PodId id : s.node_pods[n]) {
      if (s.pods[id].node != NodeId(n)) complain("pod {} is listed by a node that it is not on", id.value);
      if (!s.node_present[n]) complain("pod {} is on a node that is gone", id.value);
      ++on_node[id.value];
    }
  for (size_t p = 0; p < s.pods.size(); ++p) {
    const PodState& pod = s.pods[PodId(p)];
    ++created[pod.workload.value];
    equal(fmt::format("lists of pod {} ({})", p, to_string(pod.phase)), listed[p], pod.phase != PodPhase::Gone);
    equal(fmt::format("nodes of pod {} ({})", p, to_string(pod.phase)), on_node[p], holds_node(pod.phase));
    if (is_terminal(pod.phase) && !pod.gpus.empty()) complain("pod {} has ended and holds GPUs", p);
    bool has_end = pod.deleted >= pod.created && pod.deleted <= run.engine().now();
    if (is_terminal(pod.phase) && !has_end) complain("pod {} has ended at {} ns", p, pod.deleted.ns);
  }
  for (size_t w = 0; w < created.size(); ++w) equal("pods ever created", s.created_pods[w], created[w]);
}

void nodes_add_up(const Run& run) {
  const ClusterState& s = run.state();
  const ClusterModel& model = run.models().cluster;
  std::vector<int64_t> requested(s.requested.size(), 0);
  std::vector<int64_t> cpu(s.node_pods.size(), 0), memory(s.node_pods.size(), 0);
  for (const PodState& pod : s.pods) {
    if (!holds_node(pod.phase)) continue;
    const PodTemplateModel& t = model.templates[pod.pod_template];
    for (size_t r = 0; r < model.resource_count(); ++r)
      requested[pod.node.value * model.resource_count() + r] += r == kPods.value ? 1 : t.request[r];
    cpu[pod.node.value] += t.nonzero_cpu;
    memory[pod.node.value] += t.nonzero_memory;
  }
  for (size_t i = 0; i < requested.size(); ++i) {
    size_t n = i / model.resource_count(), r = i % model.resource_count();
    std::string what = fmt::format("{} on node {}", model.resources[r], model.nodes[NodeId(n)].object.meta.name);
    equal("requested " + what, s.requested[i], requested[i]);
    if (!s.node_present[n]) continue;
    bool device = is_gpu_resource(model.resources[r]);
    int64_t allocatable = model.nodes[(device ? s.device_version : s.node_version)[n]].allocatable[r];
    if (requested[i] > allocatable) complain("{}: {} requested of {}", what, requested[i], allocatable);
    if (model.resources[r] == "nvidia.com/gpu")
      for (uint32_t g = 0; g < model.nodes[s.device_version[n]].gpus; ++g)
        allocatable -= !s.gpus[GpuId(s.first_gpu[n] + g)].healthy;
    equal("allocatable " + what, s.allocatable[i], allocatable);
  }
  for (size_t n = 0; n < cpu.size(); ++n) {
    equal("nonzero cpu", s.nonzero_cpu[n], cpu[n]);
    equal("nonzero memory", s.nonzero_memory[n], memory[n]);
  }
}

void gpus_have_owners(const Run& run) {
  const ClusterState& s = run.state();
  std::vector<PodId> owner(s.gpus.size());
  for (size_t p = 0; p < s.pods.size(); ++p) {
    const PodState& pod = s.pods[PodId(p)];
    uint32_t wanted = holds_node(pod.phase) ? run.models().cluster.templates[pod.pod_template].gpus : 0;
    equal(fmt::format("GPUs of pod {}", p), static_cast<int64_t>(pod.gpus.size()), wanted);
    for (GpuId gpu : pod.gpus) {
      if (owner[gpu.value].valid()) complain("GPU {} belongs to two pods", gpu.value);
      if (s.gpus[gpu].node != pod.node) complain("pod {} holds a GPU of another node", p);
      owner[gpu.value] = PodId(p);
    }
  }
  for (size_t n = 0; n < s.devices.size(); ++n)
    for (size_t d = 0; d < s.devices[n].size(); ++d)
      if (s.devices[n][d].owner != owner[s.first_gpu[n] + d]) complain("GPU {} of node {} has another owner", d, n);
}

void counts_add_up(const Run& run) {
  const ClusterState& s = run.state();
  std::vector<PodCounts> counts(s.counts.size());
  std::vector<int64_t> ready(s.workload_pods.size(), 0);
  int64_t pending = 0;
  for (const PodState& pod : s.pods) {
    PodCounts& c = counts[pod.pod_template.value];
    c.active += pod.phase < PodPhase::Terminating;
    c.ready += pod.phase == PodPhase::Ready;
    c.terminating += pod.phase == PodPhase::Terminating;
    c.ended += ended(pod.phase);
    c.abandoned += pod.phase != PodPhase::Gone && pod.owner == PodOwner::Gone;
    c.unmanaged += pod.phase != PodPhase::Gone && pod.owner == PodOwner::Nobody;
    ready[pod.workload.value] += pod.phase == PodPhase::Ready;
    pending += pod.phase == PodPhase::Pending;
  }
  for (size_t t = 0; t < counts.size(); ++t) {
    const PodCounts& books = s.counts[TemplateId(t)];
    equal(fmt::format("active pods of template {}", t), books.active, counts[t].active);
    equal(fmt::format("ready pods of template {}", t), books.ready, counts[t].ready);
    equal(fmt::format("terminating pods of template {}", t), books.terminating, counts[t].terminating);
    equal(fmt::format("ended pods of template {}", t), books.ended, counts[t].ended);
    equal(fmt::format("abandoned pods of template {}", t), books.abandoned, counts[t].abandoned);
    equal(fmt::format("unmanaged pods of template {}", t), books.unmanaged, counts[t].unmanaged);
  }
  const KubeStatistics& statistics = run.control().statistics;
  equal("pending pods", statistics.pending.value(), pending);
  for (size_t w = 0; w < ready.size(); ++w)
    equal("ready pods", statistics.workloads[WorkloadId(w)].ready.value(), ready[w]);
}

void quotas_hold(const Run& run) {
  for (size_t q = 0; q < run.models().kube.quotas.size(); ++q) {
    const QuotaModel& quota = run.models().kube.quotas[q];
    std::vector<int64_t> used(quota.object.hard.size(), 0);
    for (const PodState& pod : run.state().pods)
      for (size_t i = 0; !is_terminal(pod.phase) && i < quota.charges[pod.pod_template].size(); ++i)
        used[i] += quota.charges[pod.pod_template][i];
    for (size_t i = 0; i < used.size(); ++i) {
      const auto& [name, hard] = quota.object.hard[i];
      equal("quota of " + name, run.control().quotas[q].used[i], used[i]);
      if (used[i] > hard) complain("quota of {}: {} used of {}", name, used[i], hard);
    }
  }
}

// What the scheduler knows: what is bound, and what it has assumed.
void the_scheduler_knows(const Run& run) {
  const ClusterState& s = run.state();
  const SchedulerState& scheduler = run.control().scheduler;
  const SchedulerSnapshot& seen = scheduler.snapshot;
  std::vector<std::set<PodId>> pods(s.node_pods.size());
  for (size_t n = 0; n < pods.size(); ++n) pods[n].insert(s.node_pods[n].begin(), s.node_pods[n].end());
  for (size_t p = 0; p < scheduler.pods.size(); ++p)
    if (NodeId node = scheduler.pods[PodId(p)].node; node.valid()) pods[node.value].insert(PodId(p));
  size_t columns = run.models().cluster.resource_count();
  for (size_t n = 0; n < pods.size(); ++n) {
    std::string name = run.models().cluster.nodes[NodeId(n)].object.meta.name;
    bool known = n < seen.present.size() && seen.present[n];
    equal("presence of node " + name, known, s.node_present[n]);
    if (!known) continue;
    if (std::set<PodId>(seen.pods[n].begin(), seen.pods[n].end()) != pods[n])
      complain("the scheduler sees {} pods on node {}, where {} are", seen.pods[n].size(), name, pods[n].size());
    equal("conditions of node " + name, seen.conditions[n].bits, s.node_conditions[n].bits);
    equal("version of node " + name, seen.version[n], s.node_version[n].value);
    for (size_t r = 0; r < columns; ++r)
      equal("allocatable of node " + name, seen.allocatable[n * columns + r], s.allocatable[n * columns + r]);
  }
}

// Nobody has two turns in a queue, nobody who is gone has a timer.
void the_future_is_in_order(const Run& run) {
  Engine future = run.engine();
  std::map<uint32_t, int> turns, steps;
  for (Event event; future.pop(Time::max(), event);) {
    if (Run::is(event, {Code::WorkloadSync}) && ++turns[event.target] > 1)
      complain("workload {} has two turns in its controller's queue",
               run.models().cluster.workloads[WorkloadId(event.target)].name);
    if (!Run::is(event, {Code::KubeletStep})) continue;
    if (++steps[event.target] > 1) complain("pod {} has two timers", event.target);
    if (is_terminal(run.state().pods[PodId(event.target)].phase))
      complain("pod {} has ended and has a timer", event.target);
  }
}

void recount(const Run& run) {
  every_pod_is_somewhere(run);
  nodes_add_up(run);
  gpus_have_owners(run);
  counts_add_up(run);
  quotas_hold(run);
  the_scheduler_knows(run);
  the_future_is_in_order(run);
}

// --- who has how many

// No two objects of a name, as far as names tell pods apart; no two pods in one place.
void nobody_is_there_twice(const Run& run, const Cluster& cluster) {
  const ClusterState& s = run.state();
  for (size_t w = 0; w < s.workload_pods.size(); ++w) {
    const WorkloadModel& workload = run.models().cluster.workloads[WorkloadId(w)];
    const WorkloadControl& control = run.control().workloads[WorkloadId(w)];
    std::set<std::string> names;
    std::set<uint32_t> indices;
    std::map<NodeId, int> places;
    std::set<std::pair<NodeId, TemplateId>> revisions;
    for (PodId id : s.workload_pods[w]) {
      const PodState& pod = s.pods[id];
      if (!names.insert(cluster.pod_name(id)).second) complain("two pods are named {}", cluster.pod_name(id));
      if (pod.owner != PodOwner::Present) continue;
      if (workload.kind == Kind::Job && pod.index != PodState::kNoIndex && is_active(pod.phase) &&
          !indices.insert(pod.index).second)
        complain("two active pods of Job {} have the index {}", workload.name, pod.index);
      if (workload.kind != Kind::DaemonSet || is_terminal(pod.phase)) continue;
      if (pod.node.valid() && pod.node != pod.pinned) complain("pod {} of a DaemonSet is on another node", id.value);
      if (is_active(pod.phase) && !revisions.emplace(pod.pinned, pod.pod_template).second)
        complain("two pods of one revision of DaemonSet {} on a node", workload.name);
      ++places[pod.pinned];
    }
    if (workload.kind != Kind::DaemonSet || !control.exists) continue;
    const auto& object = std::get<DaemonSet>(run.models().kube.specs[control.spec].object);
    if (object.rolling_update.max_surge.value > 0) continue;
    for (const auto& [node, count] : places)
      if (count > 1) complain("{} pods of DaemonSet {} on node {}", count, workload.name, node.value);
  }
}

struct Rollout {
  int64_t sets = 0, active = 0, ready = 0;
  bool scaled = false;  // since its controller last looked
};
Rollout look(const Run& run, WorkloadId id) {
  const WorkloadControl& control = run.control().workloads[id];
  Rollout out;
  for (const ReplicaSetState& set : control.replica_sets) {
    out.sets += set.replicas;
    out.scaled |= set.replicas > 0 && set.desired != run.state().replicas[id.value];
  }
  for (PodId pod : run.state().workload_pods[id.value]) {
    if (run.state().pods[pod].owner != PodOwner::Present) continue;
    out.active += is_active(run.state().pods[pod].phase);
    out.ready += run.state().pods[pod].phase == PodPhase::Ready;
  }
  return out;
}

// What the controller of a Deployment has done at its turn.
void the_rollout_keeps_its_bounds(const Run& run, WorkloadId id, const Rollout& before) {
  const WorkloadControl& control = run.control().workloads[id];
  if (!control.exists || control.deleting) return;
  const auto& object = std::get<Deployment>(run.models().kube.specs[control.spec].object);
  const std::string& name = run.models().cluster.workloads[id].name;
  int64_t replicas = run.state().replicas[id.value], surge = 0, unavailable = replicas;
  if (object.strategy == Deployment::Strategy::RollingUpdate) {
    auto share = [&](IntOrPercent a, int64_t round) {
      return a.percent ? (replicas * a.value + round) / 100 : a.value;
    };
    surge = share(object.rolling_update.max_surge, 99);
    unavailable = share(object.rolling_update.max_unavailable, 0);
    if (surge == 0 && unavailable == 0) unavailable = 1;
  }
  Rollout after = look(run, id);
  if (after.sets > replicas + surge)
    complain("the ReplicaSets of Deployment {} want {} pods, of {} and {} more", name, after.sets, replicas, surge);
  bool at_once = run.models().kube.latencies.controller_manager.qps == 0;
  if (at_once && after.active > replicas + surge)
    complain("Deployment {} has {} pods, of {} and {} more", name, after.active, replicas, surge);
  if (!at_once || before.scaled || object.min_ready.ns > 0) return;
  if (after.ready < std::min(before.ready, replicas - unavailable))
    complain("the controller of Deployment {} leaves {} of {} ready pods, of {} and {} fewer", name, after.ready,
             before.ready, replicas, unavailable);
}

// Nobody stays longer on a node than he tolerates the NoExecute taints of its object.
class Stays {
 public:
  void check(const Run& run) {
    const ClusterState& s = run.state();
    for (size_t n = 0; n < s.node_pods.size(); ++n)
      for (PodId id : s.node_pods[n]) {
        std::optional<Duration> stay = longest(run, id, run.models().cluster.nodes[s.node_version[n]].object);
        if (!stay || !is_active(s.pods[id].phase)) {
          since_.erase(id);
          continue;
        }
        Time since = since_.try_emplace(id, run.engine().now()).first->second;
        if (run.engine().now() > since + *stay)
          complain("pod {} tolerates the taints of node {} for {:.3f} s, and stays since {:.3f} s", id.value, n,
                   stay->to_seconds(), since.to_seconds());
      }
  }

 private:
  static std::optional<Duration> longest(const Run& run, PodId id, const Node& node) {
    const PodSpec& spec = run.models().cluster.templates[run.state().pods[id].pod_template].spec;
    std::optional<Duration> out;
    auto limit = [&](Duration d) { out = out ? std::min(*out, d) : d; };
    for (const Taint& taint : node.taints) {
      if (taint.effect != TaintEffect::NoExecute) continue;
      bool tolerated = false;
      for (const Toleration& t : spec.tolerations) {
        if (!t.tolerates(taint)) continue;
        tolerated = true;
        // An eviction that is planned already is not brought forward.
        if (t.toleration_seconds) limit(std::max(1_s * *t.toleration_seconds, kDefaultUnreachableToleration));
        break;
      }
      if (!tolerated) limit({});
    }
    return out;
  }

  std::map<PodId, Time> since_;
};

// --- the end: everybody has what he wants, or it shows why not

class Ending {
 public:
  Ending(Run& run) : run_(run), s_(run.state()), model_(run.models().cluster) {}

  void check() {
    for (size_t p = 0; p < s_.pods.size(); ++p) check_pod(PodId(p));
    for (size_t w = 0; w < model_.workloads.size(); ++w) check_workload(WorkloadId(w));
  }

 private:
  const WorkloadControl& control(WorkloadId id) const { return run_.control().workloads[id]; }
  template <class Object>
  const Object& object(WorkloadId id) const {
    return std::get<Object>(run_.models().kube.specs[control(id).spec].object);
  }
  bool restless(WorkloadId id) const { return run_.models().kube.workloads[id].behaviour.run.has_value(); }
  bool refused(WorkloadId id) const {
    const std::vector<Condition>& conditions = control(id).conditions;
    return std::any_of(conditions.begin(), conditions.end(),
                       [](const Condition& c) { return c.type == "ReplicaFailure" && c.status; });
  }

  void check_pod(PodId id) const {
    const PodState& pod = s_.pods[id];
    std::string name = run_.cluster().pod_name(id);
    if (pod.phase == PodPhase::Pending && run_.kube().failure_message(id).empty() &&
        pod.created + 60_s < run_.models().end)
      complain("pod {} is pending, and nothing says why", name);
    if (pod.phase == PodPhase::Terminating && pod.deleted + pod.grace + 60_s < run_.models().end)
      complain("pod {} is being deleted since {:.3f} s", name, pod.deleted.to_seconds());
    bool starting = is_active(pod.phase) && pod.phase != PodPhase::Pending && pod.phase != PodPhase::Ready;
    if (starting && !restless(pod.workload) && pod.scheduled + 3600_s < run_.models().end)
      complain("pod {} is {} since {:.3f} s", name, to_string(pod.phase), pod.scheduled.to_seconds());
  }

  void check_workload(WorkloadId id) const {
    const WorkloadControl& c = control(id);
    const WorkloadModel& workload = model_.workloads[id];
    for (PodId pod : s_.workload_pods[id.value])
      if (s_.pods[pod].owner == PodOwner::Gone || (s_.pods[pod].owner == PodOwner::Present && !c.exists && !c.orphaned))
        complain("{} {} is gone, and its pod {} is there", to_string(workload.kind), workload.name, pod.value);
    if (c.orphaned) return the_sets_have_their_replicas(id);
    if (!c.exists) return;
    if (c.deleting) complain("{} {} is still being deleted", to_string(workload.kind), workload.name);
    switch (workload.kind) {
      case Kind::Deployment:
        return check_deployment(id);
      case Kind::ReplicaSet:
        return has_its_replicas(id);
      case Kind::StatefulSet:
        return check_stateful_set(id);
      case Kind::DaemonSet:
        return check_daemon_set(id);
      case Kind::Job:
        return check_job(id);
      case Kind::Pod:
        return;
    }
  }
  std::vector<PodId> active(WorkloadId id) const {
    std::vector<PodId> out;
    for (PodId pod : s_.workload_pods[id.value])
      if (is_active(s_.pods[pod].phase) && s_.pods[pod].owner == PodOwner::Present) out.push_back(pod);
    return out;
  }
  void the_sets_have_their_replicas(WorkloadId id) const {
    for (const ReplicaSetState& set : control(id).replica_sets) {
      int64_t present = 0;
      for (PodId pod : active(id)) present += s_.pods[pod].pod_template == set.pod_template;
      if (present > set.replicas || (present < set.replicas && !refused(id) && !restless(id)))
        complain("an orphaned ReplicaSet of Deployment {} has {} pods of {}", model_.workloads[id].name, present,
                 set.replicas);
    }
  }
  bool all_available(WorkloadId id) const {
    std::vector<PodId> pods = active(id);
    return std::all_of(pods.begin(), pods.end(), [&](PodId p) {
      return s_.pods[p].phase == PodPhase::Ready && s_.pods[p].ready + 60_s < run_.models().end;
    });
  }
  void has_its_replicas(WorkloadId id) const {
    auto wanted = static_cast<size_t>(s_.replicas[id.value]);
    size_t present = active(id).size();
    if (present > wanted || (present < wanted && !refused(id)))
      complain("{} {} has {} pods of {}{}", to_string(model_.workloads[id].kind), model_.workloads[id].name, present,
               wanted, conditions(id));
  }
  std::string conditions(WorkloadId id) const {
    std::string out;
    for (const Condition& c : control(id).conditions)
      out += fmt::format("; {} {} {} since {:.0f} s: {}", c.type, c.status, c.reason, c.since.to_seconds(), c.message);
    for (PodId pod : s_.workload_pods[id.value])
      out += fmt::format("; {} {} {}", run_.cluster().pod_name(pod), to_string(s_.pods[pod].phase),
                         run_.kube().failure_message(pod));
    return out;
  }
  // A rollout that waits does so for a pod that is not available, or for room in a quota.
  void check_deployment(WorkloadId id) const {
    if (object<Deployment>(id).paused || restless(id)) return;
    if (!all_available(id) || refused(id)) return;
    has_its_replicas(id);
    for (PodId pod : active(id))
      if (s_.pods[pod].pod_template != control(id).pod_template)
        complain("Deployment {} runs an old revision, though all its pods are available", model_.workloads[id].name);
  }
  // The name of a pod is free when the pod is gone; check_pod() tells when that takes too long.
  bool waits_for_a_name(WorkloadId id) const {
    const std::vector<PodId>& pods = s_.workload_pods[id.value];
    return std::any_of(pods.begin(), pods.end(),
                       [&](PodId pod) { return s_.pods[pod].phase == PodPhase::Terminating; });
  }
  void check_stateful_set(WorkloadId id) const {
    if (restless(id) || !all_available(id) || refused(id) || waits_for_a_name(id)) return;
    has_its_replicas(id);
    const auto& spec = object<StatefulSet>(id);
    for (PodId pod : active(id)) {
      int64_t place = int64_t{s_.pods[pod].index} - spec.first_ordinal;
      bool rolls = spec.update == StatefulSet::Update::RollingUpdate && place >= spec.partition;
      if (rolls && s_.pods[pod].pod_template != control(id).pod_template)
        complain("StatefulSet {} runs an old revision, though all its pods are available", model_.workloads[id].name);
    }
  }
  void check_daemon_set(WorkloadId id) const {
    if (refused(id)) return;
    const PodSpec& spec = model_.templates[control(id).pod_template].spec;
    bool rolls = object<DaemonSet>(id).update == DaemonSet::Update::RollingUpdate && !restless(id) && all_available(id);
    std::map<NodeId, std::vector<PodId>> places;
    for (PodId pod : s_.workload_pods[id.value])
      if (!ended(s_.pods[pod].phase) && s_.pods[pod].owner == PodOwner::Present)
        places[s_.pods[pod].pinned].push_back(pod);
    for (size_t n = 0; n < s_.node_present.size(); ++n) {
      std::vector<PodId>& pods = places[NodeId(n)];
      if (!s_.node_present[n] && !pods.empty())
        complain("DaemonSet {} has a pod for a node that is gone", model_.workloads[id].name);
      if (!s_.node_present[n]) continue;
      bool wanted = true, may_stay = true;
      auto look = [&](const Taint& taint) {
        bool tolerated = std::any_of(spec.tolerations.begin(), spec.tolerations.end(),
                                     [&](const Toleration& t) { return t.tolerates(taint); });
        if (tolerated || taint.effect == TaintEffect::PreferNoSchedule) return;
        wanted = false;
        may_stay &= taint.effect != TaintEffect::NoExecute;
      };
      for (const Taint& taint : model_.nodes[s_.node_version[n]].object.taints) look(taint);
      for_each_taint(s_.node_conditions[n], look);
      if (wanted ? pods.size() != 1 && !(pods.size() == 2 && !rolls) : !may_stay && !pods.empty())
        complain("DaemonSet {} has {} pods on node {}", model_.workloads[id].name, pods.size(), n);
      for (PodId pod : pods)
        if (rolls && wanted && s_.pods[pod].pod_template != control(id).pod_template)
          complain("DaemonSet {} runs an old revision, though all its pods are available", model_.workloads[id].name);
    }
  }
  void check_job(WorkloadId id) const {
    const auto& job = object<Job>(id);
    bool over = control(id).job.end != JobEnd::None;
    size_t present = active(id).size();
    if ((over || job.suspend) && present > 0)
      complain("Job {} is over or suspended, and has {} active pods", model_.workloads[id].name, present);
    if (over && job.ttl_after_finished && control(id).job.ended + *job.ttl_after_finished + 60_s < run_.models().end)
      complain("Job {} is over and outlives its ttlSecondsAfterFinished", model_.workloads[id].name);
    if (over || job.suspend || job.parallelism == 0 || refused(id)) return;
    if (present == 0 && control(id).job.started + 3600_s < run_.models().end)
      complain("Job {} is neither over nor has it pods", model_.workloads[id].name);
    if (present > static_cast<size_t>(job.parallelism))
      complain("Job {} has {} active pods of {}", model_.workloads[id].name, present, job.parallelism);
  }

  Run& run_;
  const ClusterState& s_;
  const ClusterModel& model_;
};

// --- histories

// How often the interesting things happened.
struct Tally {
  uint64_t events = 0, evictions = 0, refusals = 0, drains = 0, rollouts = 0, trials = 0, quota_refusals = 0, gone = 0;
};

struct Counter : EventSink {
  void record(KubeEvent) override { ++events; }
  uint64_t events = 0;
};

class History {
 public:
  History(uint64_t seed, Tally& tally)
      : run_(compile(ControlPlaneSetting(seed))), dice_(seed, hash_text("checks")), tally_(tally) {
    run_.kube().set_event_sink(&sink_);
  }

  void live() {
    run_.start();
    remember();
    for (Event event; run_.pop(event);) {
      foresee(event);
      run_.handle(event);
      ++events_;
      ++tally_.events;
      check(event);
      if (events_ == 300) branch_ = std::make_unique<Run>(run_);
    }
    recount(run_);
    Ending(run_).check();
    nobody_outlives_his_owner();
    lives_again();
    sum_up();
  }
  std::string where() const { return fmt::format("event {}, {:.3f} s", events_, run_.engine().now().to_seconds()); }

 private:
  // What the drain that begins now, or goes on, will evict; and how a rollout stands.
  void foresee(const Event& event) {
    expected_.reset();
    if (Run::is(event, {Code::WorkloadSync}) && kind(event.target) == Kind::Deployment)
      rollout_ = look(run_, WorkloadId(event.target));
    if (!Run::is(event, {Code::Act, Code::Drain}) || event.time >= run_.models().calm) return;
    const Action& action = run_.models().kube.actions[event.target];
    if (action.kind != Action::Kind::Drain) return foresee_deletion(action);
    ++tally_.drains;
    expected_.emplace();
    std::vector<PodId>& pods = drains_[event.target];
    if (Run::is(event, {Code::Act})) pods = pods_to_drain(action);
    Imagined imagined(run_);
    std::erase_if(pods, [&](PodId pod) {
      Eviction answer = imagined.evict(pod);
      if (answer == Eviction::Evicted) expected_->insert(pod);
      bool refused = answer == Eviction::TooManyRequests || answer == Eviction::TwoBudgets;
      tally_.refusals += refused;
      return answer != Eviction::TooManyRequests;  // only that is tried again
    });
    last_budget_ = imagined.seen();
  }

  // What is left of an earlier Job of the same name is none of this one's failures.
  void jobs_count_their_own() {
    for (size_t w = 0; w < run_.models().cluster.workloads.size(); ++w) {
      WorkloadId id(w);
      const WorkloadControl& control = run_.control().workloads[id];
      if (!control.exists) made_.erase(id);
      if (!control.exists || kind(id.value) != Kind::Job) continue;
      Time since = made_.try_emplace(id, run_.engine().now()).first->second;
      int64_t gone = 0;
      for (const PodState& pod : run_.state().pods)
        gone += pod.workload == id && pod.phase == PodPhase::Gone && pod.created >= since;
      if (static_cast<int64_t>(control.job.gone.size()) > gone)
        complain("Job {} counts {} pods that are gone, and {} of its own are", run_.models().cluster.workloads[id].name,
                 control.job.gone.size(), gone);
    }
  }
  // A namespace takes everything with it, orphans too.
  void foresee_deletion(const Action& action) {
    using Do = Action::Kind;
    for (size_t w = 0; w < run_.models().cluster.workloads.size(); ++w) {
      WorkloadId id(w);
      bool meant = action.kind == Do::DeleteWorkload && action.workload == id && run_.control().workloads[id].exists;
      bool everything =
          action.kind == Do::DeleteNamespace && run_.models().cluster.workloads[id].namespace_ == action.namespace_;
      if (!meant && !everything) continue;
      for (PodId pod : run_.state().workload_pods[w]) {
        const PodState& p = run_.state().pods[pod];
        bool spared = !everything && action.cascade == Action::Cascade::Orphan && p.owner == PodOwner::Present;
        if (everything || kind(w) == Kind::Pod || p.owner != PodOwner::Nobody) doomed_.insert(pod);
        if (spared && p.phase != PodPhase::Terminating) doomed_.erase(pod);
      }
    }
  }
  void nobody_outlives_his_owner() const {
    for (PodId pod : doomed_)
      if (const PodState& p = run_.state().pods[pod]; p.phase != PodPhase::Gone)
        complain("{} {} was deleted, and its pod {} is {}", to_string(kind(p.workload.value)),
                 run_.models().cluster.workloads[p.workload].name, pod.value, to_string(p.phase));
  }

  // kubectl looks at the node's pods once; none if it has to stop because of one of them.
  std::vector<PodId> pods_to_drain(const Action& action) const {
    std::vector<PodId> out;
    for (PodId pod : run_.state().node_pods[action.node.value]) {
      const PodState& p = run_.state().pods[pod];
      bool daemon = p.owner != PodOwner::Nobody && kind(p.workload.value) == Kind::DaemonSet;
      bool lost = p.owner == PodOwner::Nobody || (daemon && !run_.control().workloads[p.workload].exists);
      if (lost ? !action.force : daemon && !action.ignore_daemon_sets) return {};
      if (lost || !daemon) out.push_back(pod);
    }
    return out;
  }

  void check(const Event& event) {
    std::set<PodId> evicted = compare();
    if (expected_ && evicted != *expected_)
      complain("a drain evicts {} pods, and should evict {}; the last budget: {}", evicted.size(), expected_->size(),
               last_budget_);
    if (Run::is(event, {Code::WorkloadSync}) && kind(event.target) == Kind::Deployment) {
      the_rollout_keeps_its_bounds(run_, WorkloadId(event.target), rollout_);
      ++tally_.rollouts;
    }
    if (Run::is(event, {Code::Deschedule, Code::Descheduling, Code::NodeDeletion})) budgets_hold(evicted);
    if (Run::is(event, {Code::Act, Code::WorkloadSync})) {
      nobody_is_there_twice(run_, run_.cluster());
      jobs_count_their_own();
    }
    remember();
    if (events_ % kRecount == 0) {
      recount(run_);
      stays_.check(run_);
    }
    if (events_ % kTrial == 0 && run_.engine().now() < run_.models().calm) {
      the_api_answers_as_it_must(run_, dice_);
      ++tally_.trials;
    }
  }

  Kind kind(uint32_t workload) const { return run_.models().cluster.workloads[WorkloadId(workload)].kind; }

  // The pods that were evicted since remember(). What has ended never comes back, what is being deleted only goes.
  std::set<PodId> compare() {
    std::set<PodId> evicted;
    const auto& pods = run_.state().pods;
    for (size_t p = 0; p < pods.size(); ++p) {
      PodPhase before = p < before_.size() ? before_[p].phase : PodPhase::Pending, now = pods[PodId(p)].phase;
      if (p < before_.size()) the_owner_is_another(PodId(p), before_[p].owner);
      if (before == now) continue;
      bool lives_on = now < before && before >= PodPhase::Terminating;
      bool revived = before == PodPhase::Terminating && ended(now);
      if (lives_on || revived) complain("pod {} was {} and is {}", p, to_string(before), to_string(now));
      bool deleted = before != PodPhase::Terminating && (now == PodPhase::Terminating || now == PodPhase::Gone);
      bool disrupted = pods[PodId(p)].disrupted && !(p < before_.size() && before_[p].disrupted);
      if (deleted && disrupted) evicted.insert(PodId(p));
      tally_.gone += now == PodPhase::Gone;
    }
    tally_.evictions += evicted.size();
    return evicted;
  }
  // Only with the object: nobody takes back what he has left.
  void the_owner_is_another(PodId id, PodOwner before) const {
    const PodState& pod = run_.state().pods[id];
    if (pod.owner == before) return;
    const WorkloadControl& control = run_.control().workloads[pod.workload];
    bool adopted = before == PodOwner::Nobody && pod.owner == PodOwner::Present && control.exists;
    bool left = before == PodOwner::Present && pod.owner == PodOwner::Gone && !control.exists;
    bool orphaned = before == PodOwner::Present && pod.owner == PodOwner::Nobody && control.orphaned;
    if (!adopted && !left && !orphaned) complain("pod {} has another owner", id.value);
  }
  void remember() {
    before_.clear();
    for (const PodState& pod : run_.state().pods) before_.push_back({pod.phase, pod.disrupted, pod.owner});
  }

  // Whoever asked: the API has let go no more ready pods than each budget had to spare.
  void budgets_hold(const std::set<PodId>& evicted) const {
    const auto& budgets = run_.models().cluster.budgets;
    for (size_t b = 0; b < budgets.size(); ++b) {
      int64_t gone = 0, healthy = 0;
      for (size_t p = 0; p < before_.size(); ++p) {
        const PodTemplateModel& t = run_.models().cluster.templates[run_.state().pods[PodId(p)].pod_template];
        if (before_[p].phase != PodPhase::Ready || t.namespace_ != budgets[b].object.meta.namespace_ ||
            !budgets[b].object.selector->matches(t.labels))
          continue;
        ++healthy;
        gone += evicted.count(PodId(p)) > 0;
      }
      const std::optional<IntOrPercent>& least = budgets[b].object.min_available;
      if (gone > 0 && least && !least->percent && healthy - gone < least->value)
        complain("{} of {} ready pods are evicted, and {} must stay", gone, healthy, least->value);
    }
  }

  // The same again: from the middle, and from the start without anybody who listens.
  void lives_again() {
    uint64_t all = ~0ull;
    if (branch_) branch_->run(all);
    if (branch_) must_be_the_same("a copy", *branch_);
    Run again(compile(ControlPlaneSetting(run_.models().kube.seed)));
    again.start();
    again.run(all);
    must_be_the_same("the same setting", again);
  }
  void must_be_the_same(std::string_view who, const Run& other) const {
    std::string problem = difference(run_, other);
    if (!problem.empty()) complain("{} lives otherwise: {}", who, problem);
  }
  void sum_up() { tally_.quota_refusals += run_.control().statistics.decisions.count("FailedCreate"); }

  struct Before {
    PodPhase phase;
    bool disrupted;
    PodOwner owner;
  };

  Run run_;
  Dice dice_;
  Tally& tally_;
  Counter sink_;
  Stays stays_;
  uint64_t events_ = 0;
  std::vector<Before> before_;
  std::optional<std::set<PodId>> expected_;
  std::string last_budget_;
  std::map<WorkloadId, Time> made_;                // Jobs that are there, and since when
  std::set<PodId> doomed_;                         // pods whose object was deleted with them
  std::map<uint32_t, std::vector<PodId>> drains_;  // by action: pods that are still to be evicted
  Rollout rollout_;
  std::unique_ptr<Run> branch_;
};

TEST_CASE("the control plane keeps its promises whatever happens", "[property]") {
  uint64_t steps = number_from("KISIM_PROPERTY_STEPS", 200'000), seed = number_from("KISIM_PROPERTY_SEED", 0);
  Tally tally;
  for (; tally.events < steps; ++seed) {
    History history(seed, tally);
    try {
      history.live();
    } catch (const std::exception& problem) {
      FAIL_CHECK(
          fmt::format("KISIM_PROPERTY_SEED={} KISIM_PROPERTY_STEPS=1: {}: {}", seed, history.where(), problem.what()));
    }
  }
  if (tally.events < 200'000) return;
  // A property that nothing puts to the test always holds.
  CHECK(tally.evictions > tally.events / 2000);
  CHECK(tally.refusals > 0);
  CHECK(tally.drains > 0);
  CHECK(tally.rollouts > tally.events / 1000);
  CHECK(tally.trials > 0);
  CHECK(tally.quota_refusals > 0);
  CHECK(tally.gone > tally.events / 1000);
}

}  // namespace
}  // namespace kisim

#include "run/explain.hpp"

#include "cluster/changed_template.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace kisim {

namespace {

constexpr size_t kFitsTried = 12, kFitsTold = 5, kRounds = 4;

const char* to_string(StatusCode code) {
  return code == StatusCode::Unschedulable ? "Unschedulable" : "UnschedulableAndUnresolvable";
}

std::string full_name(const Cluster& cluster, PodId pod) {
  return cluster.model.workloads[cluster.state.pods[pod].workload].namespace_ + "/" + cluster.pod_name(pod);
}

// What a filter that rejects a node asks for; nothing if no change of the pod helps.
bool collect_remedies(SchedulingCycle& cycle, PodId pod, NodeId node, std::vector<Remedy>& out) {
  for (uint8_t p : cycle.profile().plugins_at(ExtensionPoint::Filter)) {
    if (cycle.ask_filter(p, node) == StatusCode::Success) continue;
    size_t known = out.size();
    PluginContext c = cycle.context(p, pod);
    cycle.profile().plugins[p].plugin->remedies(c, node, out);
    if (out.size() == known) return false;
  }
  return true;
}

// The scheduler with everything that it knows of the cluster, but for one waiting pod, which is another now.
class ChangedPod {
 public:
  ChangedPod(const SchedulingCycle& cycle, const ClusterModel& cluster, const SchedulerSnapshot& known, PodId pod,
             const PodTemplate& pods)
      : cluster_(cluster),
        template_(add_changed_template(cluster_, known.pod_records[pod].pod_template, pods)),
        model_(compile_scheduler(cluster_, config_of(cycle.model()))),
        cache_(cluster_, model_.counters, snapshot_),
        cycle_(model_, cluster_, cache_, memory_) {
    for (const SchedulerModel::Profile& profile : model_.profiles) {
      std::vector<PolicyMemoryBox>& memory = memory_.emplace_back();
      for (const SchedulerModel::Plugin& p : profile.plugins)
        memory.push_back(PolicyMemoryBox(p.plugin->make_memory()));
    }
    cache_.start();
    for (size_t n = 0; n < known.present.size(); ++n) {
      if (!known.present[n]) continue;
      cache_.add_node(NodeId(n), known.version[n]);
      cache_.update_node(NodeId(n), known.version[n], known.device_version[n]);
      cache_.set_conditions(NodeId(n), known.conditions[n]);
      size_t resources = cluster_.resource_count();
      cache_.set_allocatable(NodeId(n), std::span(known.allocatable).subspan(n * resources, resources));
      for (uint16_t device : known.device_broken[n]) cache_.set_device_healthy(NodeId(n), device, false);
    }
    for (size_t p = 0; p < known.pod_records.size(); ++p) add_pod(PodId(p), known.pod_records[PodId(p)], pod);
  }

  bool fits(PodId pod, NodeId node) { return cycle_.run(pod, 0, node) == StatusCode::Success && cycle_.host() == node; }
  SchedulingCycle& cycle() { return cycle_; }

 private:
  static SchedulerConfig config_of(const SchedulerModel& model) {
    return {model.kubernetes_minor, model.gates,        model.seed,         model.tie_break,
            model.bind_latency,     model.client_limit, model.configuration};
  }

  void add_pod(PodId id, const SnapshotPod& known, PodId changed) {
    if (!known.pod_template.valid()) return;
    cache_.know_pod(id, id == changed ? template_ : known.pod_template, known.entity, known.pinned);
    if (known.node.valid()) cache_.add_pod(id, known.node);
    if (known.node.valid() && cluster_.templates[known.pod_template].gpu_milli > 0)
      cache_.hold_devices(id, known.devices);
    if (known.terminating) cache_.set_terminating(id, known.preempted);
    if (id != changed) cache_.nominate(id, known.nominated);
  }

  ClusterModel cluster_;
  TemplateId template_;
  SchedulerModel model_;
  SchedulerSnapshot snapshot_;
  PluginMemories memory_;
  SchedulerCache cache_;
  SchedulingCycle cycle_;
};

// Turns the results of one cycle into words before they are gone.
class CycleTeller {
 public:
  CycleTeller(PodId pod, StatusCode code, SchedulingCycle& cycle, const Cluster& cluster, Time now)
      : pod_(pod), code_(code), cycle_(cycle), cluster_(cluster), model_(cycle.model()) {
    out_.at = now;
  }

  CycleExplanation tell() {
    out_.nodes_in_cluster = cycle_.view().nodes().size();
    out_.scheduled = code_ == StatusCode::Success;
    if (out_.scheduled) {
      out_.node = name_of(cycle_.host());
      out_.tie = tie();
    } else {
      out_.message = message();
    }
    nodes();
    if (out_.scheduled) return std::move(out_);
    fits();
    preemption();
    return std::move(out_);
  }

 private:
  std::string name_of(NodeId node) const { return cycle_.view().node(node).object.meta.name; }

  std::string message() {
    std::string head = fmt::format("0/{} nodes are available: ", out_.nodes_in_cluster);
    if (cycle_.pod_reason() != SchedulingCycle::kPerNode) return head + model_.reasons[cycle_.pod_reason()] + ".";
    std::vector<uint32_t> counts(model_.reasons.size());
    cycle_.count_reasons(counts);
    return head + told_reasons(model_.reasons, counts);
  }

  std::string tie() const {
    std::span<const int64_t> totals = cycle_.totals();
    if (totals.empty()) return "";
    auto best = std::count(totals.begin(), totals.end(), *std::max_element(totals.begin(), totals.end()));
    if (best == 1) return "";
    const char* rule = model_.tie_break == TieBreak::Heap    ? "by heap order, as kube-scheduler 1.35 and later do"
                       : model_.tie_break == TieBreak::First ? "the first in visiting order"
                       : model_.tie_break == TieBreak::Name  ? "the smallest name"
                                                             : "drawn at random from the pod's stream";
    return fmt::format("{} nodes share the best total; chosen {}", best, rule);
  }

  void nodes() {
    for (NodeId n : cycle_.view().nodes()) {
      const NodeVerdict& verdict = cycle_.verdict(n);
      if (verdict.code == StatusCode::Success) continue;
      NodeExplanation node;
      node.node = name_of(n);
      node.plugin = cycle_.profile().plugins[verdict.plugin].name;
      node.code = to_string(verdict.code);
      for (uint32_t r : cycle_.reasons_of(n)) node.reasons.push_back(model_.reasons[r]);
      out_.nodes.push_back(std::move(node));
    }
    for (size_t i = 0; i < cycle_.feasible().size(); ++i) out_.nodes.push_back(feasible(i));
  }

  NodeExplanation feasible(size_t i) {
    NodeExplanation node;
    node.node = name_of(cycle_.feasible()[i]);
    if (cycle_.totals().empty()) return node;
    node.total = cycle_.totals()[i];
    const std::vector<SchedulerModel::Plugin>& plugins = cycle_.profile().plugins;
    for (uint8_t p : cycle_.profile().plugins_at(ExtensionPoint::Score)) {
      if (cycle_.scores(p).empty()) continue;
      if (raw_.size() <= p) raw_.resize(p + 1u);
      if (raw_[p].empty()) raw_[p] = cycle_.raw_scores(p);
      int64_t weighted = cycle_.scores(p)[i];
      node.scores.push_back({plugins[p].name, raw_[p][i], weighted / plugins[p].weight, plugins[p].weight, weighted});
    }
    return node;
  }

  // For the nodes that ask for the least: what would have to change, tried out. One change may call for another, as a
  // dropped nodeSelector brings in domains that are emptier.
  void fits() {
    std::vector<std::pair<size_t, NodeId>> candidates;
    for (NodeId n : cycle_.view().nodes())
      if (std::vector<Remedy> remedies; collect_remedies(cycle_, pod_, n, remedies) && !remedies.empty())
        candidates.emplace_back(remedies.size(), n);
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    if (candidates.size() > kFitsTried) candidates.resize(kFitsTried);
    for (const auto& [size, node] : candidates)
      if (std::optional<FitExplanation> fit = this->fit(node); fit && out_.fits.size() < kFitsTold)
        out_.fits.push_back(std::move(*fit));
  }

  std::optional<FitExplanation> fit(NodeId node) {
    FitExplanation out;
    out.node = name_of(node);
    PodTemplate pods = pod_template_of(cycle_.view().template_of(pod_));
    std::unique_ptr<ChangedPod> changed;
    for (size_t round = 0; round < kRounds; ++round) {
      std::vector<Remedy> remedies;
      if (!collect_remedies(changed ? changed->cycle() : cycle_, pod_, node, remedies)) return std::nullopt;
      for (Remedy& r : remedies) {
        r.apply(pods);
        out.changes.push_back(std::move(r.text));
        out.apply.push_back(std::move(r.apply));
      }
      changed = std::make_unique<ChangedPod>(cycle_, cluster_.model, cycle_.snapshot(), pod_, pods);
      if (changed->fits(pod_, node)) return out;
      if (changed->cycle().pod_reason() != SchedulingCycle::kPerNode) return std::nullopt;
    }
    return std::nullopt;
  }

  void preemption() {
    const std::vector<uint8_t>& plugins = cycle_.profile().plugins_at(ExtensionPoint::PostFilter);
    if (plugins.empty() || cycle_.view().nodes().empty()) return;
    PostFilterResult result;
    out_.preemption.emplace();
    if (cycle_.post_filter(result) == StatusCode::Success) {
      out_.preemption->node = name_of(*result.nominated);
      for (PodId victim : result.victims) out_.preemption->victims.push_back(full_name(cluster_, victim));
      return;
    }
    out_.preemption->message = cycle_.why_no_preemption();
  }

  PodId pod_;
  StatusCode code_;
  SchedulingCycle& cycle_;
  const Cluster& cluster_;
  const SchedulerModel& model_;
  CycleExplanation out_;
  std::vector<std::vector<int64_t>> raw_;  // by plugin
};

// Keeps the cycle that decided where the pod goes.
class Watcher : public CycleObserver {
 public:
  Watcher(World& world, PodId pod) : world_(world), pod_(pod) { world.scheduler().observe(this); }
  ~Watcher() override { world_.scheduler().observe(nullptr); }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  void cycle_ended(PodId pod, StatusCode code, SchedulingCycle& cycle) override {
    if (code == StatusCode::Unschedulable) note_evictions(pod, cycle);
    if (pod != pod_) return;
    ++attempts_;
    if (code != StatusCode::Success) return;
    decided_ = CycleTeller(pod, code, cycle, world_.cluster(), world_.now()).tell();
    decided_->attempt = attempts_;
  }

  std::optional<CycleExplanation> take() { return std::move(decided_); }
  std::vector<EvictionExplanation> take_evictions() { return std::move(evictions_); }

 private:
  void note_evictions(PodId preemptor, SchedulingCycle& cycle) {
    PostFilterResult result;
    if (cycle.post_filter(result) != StatusCode::Success || result.victims.empty()) return;
    bool concerned =
        preemptor == pod_ || std::find(result.victims.begin(), result.victims.end(), pod_) != result.victims.end();
    if (!concerned) return;
    EvictionExplanation out{world_.now(),
                            full_name(world_.cluster(), preemptor),
                            cycle.view().node(*result.nominated).object.meta.name,
                            {}};
    for (PodId victim : result.victims) out.victims.push_back(full_name(world_.cluster(), victim));
    evictions_.push_back(std::move(out));
  }

  World& world_;
  PodId pod_;
  uint64_t attempts_ = 0;
  std::optional<CycleExplanation> decided_;
  std::vector<EvictionExplanation> evictions_;
};

PodId find_pod(const World& world, const std::string& name) {
  const auto& pods = world.state().cluster.pods;
  std::string known;
  size_t shown = 0, near = 0;
  for (size_t i = pods.size(); i-- > 0;) {
    std::string full = full_name(world.cluster(), PodId(i));
    if (full == name || full.substr(full.find('/') + 1) == name) return PodId(i);
    near += full.find(name) != full.npos;
    if (shown < 10 && full.find(name) != full.npos) known += (shown++ ? ", " : "") + full;
  }
  for (size_t i = 0; near == 0 && i < std::min<size_t>(pods.size(), 10); ++i)
    known += (shown++ ? ", " : "") + full_name(world.cluster(), PodId(i));
  if (size_t all = near > 0 ? near : pods.size(); all > shown) known += fmt::format(" and {} more", all - shown);
  throw InputError(Diagnostic{Severity::Error,
                              {},
                              "pod",
                              fmt::format("no pod is named '{}' by {:.9g} s, found: {}", name, world.now().to_seconds(),
                                          known.empty() ? "none" : known)});
}

std::string queue_place(const QueuedPod& pod) {
  using Place = QueuedPod::Place;
  switch (pod.place) {
    case Place::None:
      return "not in the scheduling queue";
    case Place::Gated:
      return "held by its scheduling gates";
    case Place::Active:
      return "in the active queue";
    case Place::Backoff:
    case Place::ErrorBackoff:
      return fmt::format("backing off until {} s", pod.backoff_expiry.to_seconds());
    case Place::Unschedulable:
      return "in the unschedulable pool, until an event that may help it";
    case Place::InFlight:
      return "assumed, being bound";
  }
  return "?";
}

std::vector<ReconfigurationExplanation> reconfigurations_of(const World& world, PodId id) {
  const PodState& pod = world.state().cluster.pods[id];
  Time bound = pod.node.valid() ? pod.scheduled : world.now();
  std::vector<ReconfigurationExplanation> out;
  for (const Reconfiguration& r : world.state().kube.statistics.reconfigurations) {
    bool evicted = std::find(r.evicted.begin(), r.evicted.end(), id) != r.evicted.end();
    bool over = r.outcome != Reconfiguration::Outcome::Pending;
    bool waited = r.at <= bound && (!over || r.ended >= pod.created);
    if (evicted || waited) out.push_back({r, world.cluster().node(r.node).object.meta.name, evicted});
  }
  return out;
}

}  // namespace

PodExplanation explain_pod(std::shared_ptr<const Model> model, const std::string& name, Time at) {
  World world(model);
  world.run_until(at);
  PodId pod = find_pod(world, name);
  const PodState& state = world.state().cluster.pods[pod];
  PodExplanation out;
  out.pod = full_name(world.cluster(), pod);
  out.at = world.now();
  out.phase = kisim::to_string(state.phase);
  out.created = state.created;
  out.reconfigurations = reconfigurations_of(world, pod);
  const SchedulerState& scheduler = world.state().kube.scheduler;
  World again(model);
  Watcher watcher(again, pod);
  again.run_until(at);
  out.evictions = watcher.take_evictions();
  if (state.node.valid()) {
    out.node = model->cluster.nodes[state.node].object.meta.name;
    out.bound = state.scheduled;
    const PodStart* start = world.state().kube.nodes[state.node].start_of(pod);
    if (start && state.phase > PodPhase::Binding && state.phase < PodPhase::Ready) {
      StartPhase phase = start->phase_at(world.now());
      out.start_phase = to_string(phase);
      out.start_phase_since = start->began[static_cast<size_t>(phase)];
      if (phase == StartPhase::Weights) out.start_phase += fmt::format(" from {}", to_string(start->weights_from));
    }
    out.cycle = watcher.take();
    out.attempts = out.cycle ? out.cycle->attempt : 0;
    return out;
  }
  const std::string& named = model->cluster.templates[state.pod_template].spec.node_name;
  if (!named.empty()) {
    out.waits = fmt::format("spec.nodeName is {}, so it is the kubelet's and not the scheduler's", named);
    return out;
  }
  if (state.phase == PodPhase::Gone) {
    out.waits = "it is gone";
    return out;
  }
  if (pod.value < scheduler.queue.pods.size()) {
    const QueuedPod& queued = scheduler.queue.pods[pod];
    out.waits = queue_place(queued);
    out.attempts = queued.unschedulable_count + queued.consecutive_errors;
    if (queued.place == QueuedPod::Place::None || queued.place == QueuedPod::Place::Gated) return out;
  }
  if (model->kube.scheduler.profile_of[state.pod_template] == SchedulerModel::kNoProfile) {
    out.waits = fmt::format("for a scheduler named '{}', which does not exist",
                            model->cluster.templates[state.pod_template].spec.scheduler_name);
    return out;
  }
  world.scheduler().probe(pod, [&](StatusCode code, SchedulingCycle& cycle) {
    out.cycle = CycleTeller(pod, code, cycle, world.cluster(), world.now()).tell();
    out.cycle->attempt = out.attempts + 1;
  });
  return out;
}

}  // namespace kisim

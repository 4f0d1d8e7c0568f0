#include "kube/scheduling_cycle.hpp"

#include "policy/preemption.hpp"

#include <algorithm>
#include <bit>
#include <map>

namespace kisim {

namespace {

constexpr uint64_t bit(size_t plugin) { return 1ull << plugin; }

// Nodes filtered per call: enough to amortise a virtual call, few enough not to filter far beyond the sample.
constexpr size_t kChunk = 128;

constexpr size_t kMinFeasibleNodesToFind = 100;
constexpr size_t kMinPercentageOfNodes = 5;

// Answers are kept for as many templates as fit this.
constexpr size_t kKeptBytes = 256u << 20;
constexpr size_t kMinKept = 4;

}  // namespace

SchedulingCycle::SchedulingCycle(const SchedulerModel& model, const ClusterModel& cluster, SchedulerCache& cache,
                                 PluginMemories& memory)
    : model_(model),
      cluster_(cluster),
      cache_(cache),
      memory_(memory),
      view_(cluster, model.counters, cache.snapshot()) {
  size_t most = 0;
  for (const SchedulerModel::Profile& p : model.profiles) most = std::max(most, p.plugins.size());
  scratch_.resize(most);
}

PluginContext SchedulingCycle::context(size_t plugin, PodId pod, bool gates_removed) {
  const SnapshotPod& known = record(pod);
  uint8_t profile = model_.profile_of[known.pod_template];
  PolicyMemoryBox& box = memory_[profile][plugin];
  return {view_,
          pod,
          known.pod_template,
          cluster_.templates[known.pod_template],
          model_.seed,
          known.entity,
          gates_removed,
          model_.profiles[profile].plugins[plugin].data.get(),
          box.empty() ? nullptr : &*box,
          scratch_[plugin]};
}

StatusCode SchedulingCycle::run(PodId pod, uint32_t start, NodeId nominated) {
  cache_.refresh();
  reset(pod);
  next_start_ = start;
  if (view_.nodes().empty()) {
    pod_reason_ = kNoNodesReason;
    return StatusCode::UnschedulableAndUnresolvable;
  }
  if (StatusCode code = pre_filter(); code != StatusCode::Success) return code;
  if (nominated.valid() && cache_.snapshot().present[nominated.value]) {
    if (!filter({&nominated, 1})) return StatusCode::Error;
    if (verdict(nominated).code == StatusCode::Success) {
      feasible_.push_back(nominated);
      host_ = nominated;
      return StatusCode::Success;
    }
    refused_nominated_ = nominated;
  }
  if (StatusCode code = find_feasible(start); code != StatusCode::Success) return code;
  if (feasible_.empty()) {
    note_rejections();
    return StatusCode::Unschedulable;
  }
  if (feasible_.size() > 1)
    if (StatusCode code = score(); code != StatusCode::Success) return code;
  host_ = feasible_.size() == 1 ? feasible_.front() : select_host();
  return StatusCode::Success;
}

void SchedulingCycle::reset(PodId pod) {
  pod_ = pod;
  template_ = record(pod).pod_template;
  profile_ = &model_.profile(template_);
  host_ = overrun_ = refused_nominated_ = {};
  pod_reason_ = kPerNode;
  wanted_ = 0;
  rejected_by_ = pending_by_ = skipped_filters_ = 0;
  node_set_.reset();
  verdicts_.assign(cache_.snapshot().present.size(), NodeVerdict{});
  feasible_.clear();
  visited_.clear();
  totals_.clear();
  scored_.clear();
  for (std::vector<int64_t>& words : scratch_) words.clear();
}

StatusCode SchedulingCycle::reject_pod(size_t plugin, ExtensionPoint point, StatusCode code) {
  const SchedulerModel::Plugin& p = profile_->plugins[plugin];
  PluginContext c = context(plugin, pod_);
  pod_reason_ = p.first_reason + p.plugin->pod_reason(c, point);
  (code == StatusCode::Pending ? pending_by_ : rejected_by_) |= bit(plugin);
  return code == StatusCode::Pending ? StatusCode::Unschedulable : code;
}

// Unresolvable and Error stop at once; Unschedulable lets the others speak before the pod is rejected.
StatusCode SchedulingCycle::pre_filter() {
  StatusCode result = StatusCode::Success;
  for (uint8_t i : profile_->plugins_at(ExtensionPoint::PreFilter)) {
    PluginContext c = context(i, pod_);
    bool was_all = node_set_.all();
    size_t nodes_before = node_set_.nodes().size();
    StatusCode code = profile_->plugins[i].plugin->pre_filter(c, node_set_);
    if (code == StatusCode::Skip) {
      skipped_filters_ |= bit(i);
      continue;
    }
    if (code != StatusCode::Success) {
      result = reject_pod(i, ExtensionPoint::PreFilter, code);
      if (code != StatusCode::Unschedulable && code != StatusCode::Pending) return result;
      continue;
    }
    if (!node_set_.all() && (was_all || node_set_.nodes().size() != nodes_before)) narrow(i);
  }
  return result;
}

void SchedulingCycle::narrow(uint8_t plugin) {
  for (NodeId n : view_.nodes()) {
    bool named = std::binary_search(node_set_.nodes().begin(), node_set_.nodes().end(), n);
    NodeVerdict& verdict = verdicts_[n.value];
    if (!named && verdict.code == StatusCode::Success)
      verdict = {StatusCode::UnschedulableAndUnresolvable, plugin, true};
  }
}

// numFeasibleNodesToFind: all of fewer than 100 nodes, else a share that shrinks with their number.
size_t SchedulingCycle::nodes_to_find(size_t nodes) const {
  if (profile_->plugins_at(ExtensionPoint::Score).empty()) return 1;
  if (nodes < kMinFeasibleNodesToFind) return nodes;
  size_t percentage = static_cast<size_t>(profile_->percentage_of_nodes_to_score);
  if (percentage == 0) percentage = nodes / 125 < 45 ? 50 - nodes / 125 : kMinPercentageOfNodes;
  return std::max(nodes * percentage / 100, kMinFeasibleNodesToFind);
}

// With one worker: the node after the last one wanted is looked at if feasible, but neither kept nor counted.
StatusCode SchedulingCycle::find_feasible(uint32_t start) {
  std::span<const NodeId> order = view_.nodes();
  if (!node_set_.all()) {
    narrowed_order_.clear();
    for (NodeId n : view_.nodes())
      if (!verdicts_[n.value].narrowed) narrowed_order_.push_back(n);
    order = narrowed_order_;
  }
  size_t total = view_.nodes().size(), at = order.empty() ? 0 : start % order.size();
  wanted_ = nodes_to_find(order.size());
  for (bool full = false; visited_.size() < order.size() && !full;) {
    size_t count = std::min(kChunk, order.size() - visited_.size());
    chunk_.clear();
    for (size_t i = 0; i < count; ++i) {
      chunk_.push_back(order[at]);
      if (++at == order.size()) at = 0;
    }
    if (!filter(chunk_)) return StatusCode::Error;
    for (size_t i = 0; i < count && !full; ++i) {
      if (verdict(chunk_[i]).code == StatusCode::Success) {
        full = feasible_.size() == wanted_;
        if (full) {
          overrun_ = chunk_[i];
          for (; i < count; ++i)
            if (chunk_[i] != refused_nominated_) verdicts_[chunk_[i].value] = {};
          break;
        }
        feasible_.push_back(chunk_[i]);
      }
      visited_.push_back(chunk_[i]);
    }
  }
  // Kubernetes counts the nodes with a status, that of a nominated node among them.
  bool elsewhere =
      refused_nominated_.valid() && std::find(visited_.begin(), visited_.end(), refused_nominated_) == visited_.end();
  next_start_ = static_cast<uint32_t>((start + visited_.size() + elsewhere) % total);
  return StatusCode::Success;
}

bool SchedulingCycle::filter(std::span<const NodeId> nodes) {
  alive_.clear();
  use_kept_verdicts(nodes);
  if (!run_filters(profile_->kept_filters)) return false;
  for (NodeId n : nodes)
    if (expects_nominated(n) && !filter_with_nominated(n)) return false;
  return true;
}

// --- answers that are kept while a node does not change

SchedulingCycle::KeptAnswers& SchedulingCycle::kept_answers() {
  if (template_.value >= kept_place_.size()) {
    size_t known = kept_place_.size();
    kept_place_.resize(cluster_.templates.size());
    for (; known < kept_place_.size(); ++known) kept_place_[TemplateId(known)] = kNotKept;
  }
  uint32_t& place = kept_place_[template_];
  size_t nodes = cache_.snapshot().present.size();
  if (place == kNotKept) {
    size_t most = std::max(kMinKept, kKeptBytes / (nodes * (17 + 4 * profile_->kept_scores.size()) + 1));
    if (kept_.size() < most) {
      place = static_cast<uint32_t>(kept_.size());
      kept_.emplace_back();
    } else {
      place = static_cast<uint32_t>(next_kept_);
      next_kept_ = (next_kept_ + 1) % kept_.size();
      kept_place_[kept_[place].pod_template] = kNotKept;
    }
    KeptAnswers& fresh = kept_[place];
    fresh.pod_template = template_;
    fresh.verdict_generation.assign(nodes, 0);
    fresh.score_generation.assign(nodes, 0);
  }
  KeptAnswers& kept = kept_[place];
  if (kept.verdict_generation.size() != nodes || kept.verdicts.size() != nodes) {
    kept.verdict_generation.assign(nodes, 0);
    kept.score_generation.assign(nodes, 0);
    kept.verdicts.assign(nodes, 0);
    kept.scores.assign(nodes * profile_->kept_scores.size(), 0);
  }
  return kept;
}

// Appends to alive_ the nodes that the kept filters let pass, in order.
void SchedulingCycle::use_kept_verdicts(std::span<const NodeId> nodes) {
  const std::vector<uint8_t>& filters = profile_->plugins_at(ExtensionPoint::Filter);
  if (profile_->kept_filters == 0) {
    for (NodeId n : nodes)
      if (!verdicts_[n.value].narrowed) alive_.push_back(n);
    return;
  }
  KeptAnswers& kept = kept_answers();
  const uint64_t* generation = cache_.snapshot().generation.data();
  misses_.clear();
  for (NodeId n : nodes)
    if (kept.verdict_generation[n.value] != generation[n.value]) misses_.push_back(n);
  if (!misses_.empty()) keep_verdicts(misses_);
  for (NodeId n : nodes) {
    NodeVerdict& verdict = verdicts_[n.value];
    if (verdict.narrowed) continue;
    uint8_t known = kept.verdicts[n.value];
    if (known == 0) {
      verdict = {};
      alive_.push_back(n);
      continue;
    }
    StatusCode code = (known - 1) & 1 ? StatusCode::UnschedulableAndUnresolvable : StatusCode::Unschedulable;
    verdict = {code, filters[(known - 1) >> 1], false};
  }
}

// The first of the kept filters that rejects each node: asked, or known since compilation.
void SchedulingCycle::keep_verdicts(std::span<const NodeId> nodes) {
  KeptAnswers& kept = kept_answers();
  const SchedulerSnapshot& s = cache_.snapshot();
  // What filters say of the node's object alone is known since compilation, for a node without conditions.
  const uint8_t* row = model_.static_row(template_);
  auto troubled = [&](NodeId n) { return s.conditions[n.value] != NodeConditions{}; };
  bool any_troubled = std::any_of(nodes.begin(), nodes.end(), troubled);
  for (NodeId n : nodes) {
    kept.verdicts[n.value] = troubled(n) ? 0 : row[s.version[n.value]];
    kept.verdict_generation[n.value] = s.generation[n.value];
  }
  const std::vector<uint8_t>& filters = profile_->plugins_at(ExtensionPoint::Filter);
  for (size_t f = 0; f < profile_->kept_filters; ++f) {
    const SchedulerModel::Plugin& p = profile_->plugins[filters[f]];
    bool known_if_well = p.filter_reads == Reads::Node;
    if ((known_if_well && !any_troubled) || skipped_filters_ & bit(filters[f])) continue;
    open_.clear();
    for (NodeId n : nodes) {
      if (known_if_well && !troubled(n)) continue;
      uint8_t known = kept.verdicts[n.value];
      if (known == 0 || static_cast<size_t>((known - 1) >> 1) > f) open_.push_back(n);
    }
    if (open_.empty()) continue;
    codes_.assign(open_.size(), StatusCode::Success);
    PluginContext c = context(filters[f], pod_);
    p.plugin->filter(c, open_, codes_);
    for (size_t i = 0; i < open_.size(); ++i)
      KISIM_INVARIANT(codes_[i] != StatusCode::Error, "filter {} errs, though what it says is kept", p.name);
    for (size_t i = 0; i < open_.size(); ++i)
      if (codes_[i] != StatusCode::Success) kept.verdicts[open_[i].value] = SchedulerModel::code_of(f, codes_[i]);
  }
}

// Asks the filters from position `first` on about the nodes in alive_, which keeps those that pass.
bool SchedulingCycle::run_filters(size_t first) {
  const std::vector<uint8_t>& filters = profile_->plugins_at(ExtensionPoint::Filter);
  for (size_t f = first; f < filters.size() && !alive_.empty(); ++f) {
    if (skipped_filters_ & bit(filters[f])) continue;
    codes_.assign(alive_.size(), StatusCode::Success);
    PluginContext c = context(filters[f], pod_);
    profile_->plugins[filters[f]].plugin->filter(c, alive_, codes_);
    if (!drop_rejected(filters[f])) return false;
  }
  return true;
}

bool SchedulingCycle::drop_rejected(uint8_t plugin) {
  size_t kept = 0;
  for (size_t i = 0; i < alive_.size(); ++i) {
    if (codes_[i] == StatusCode::Success) {
      alive_[kept++] = alive_[i];
      continue;
    }
    if (codes_[i] == StatusCode::Error) {
      reject_pod(plugin, ExtensionPoint::Filter, StatusCode::Error);
      return false;
    }
    verdicts_[alive_[i].value] = {codes_[i], plugin, false};
  }
  alive_.resize(kept);
  return true;
}

// --- pods that preemption made room for (RunFilterPluginsWithNominatedPods)

bool SchedulingCycle::counts_nominated(PodId other) const {
  int32_t priority = cluster_.templates[template_].spec.priority;
  return other != pod_ && !record(other).node.valid() && view_.template_of(other).spec.priority >= priority;
}

bool SchedulingCycle::expects_nominated(NodeId node) const {
  std::span<const PodId> nominated = view_.nominated_to(node);
  return !verdicts_[node.value].narrowed &&
         std::any_of(nominated.begin(), nominated.end(), [&](PodId other) { return counts_nominated(other); });
}

template <class Callback>
void SchedulingCycle::with_nominated(NodeId node, Callback&& callback) {
  const std::vector<PodId> pods(view_.pods_on(node).begin(), view_.pods_on(node).end());
  const std::vector<PodId> nominated(view_.nominated_to(node).begin(), view_.nominated_to(node).end());
  for (PodId other : nominated)
    if (counts_nominated(other)) cache_.expect(other, node);
  callback();
  for (PodId other : nominated)
    if (counts_nominated(other)) cache_.expect_no_more(other, node);
  cache_.set_pods(node, pods);
}

// The filters must pass with the nominated pods on the node, and without: they may attract as well as repel.
bool SchedulingCycle::filter_with_nominated(NodeId node) {
  NodeVerdict with;
  with_nominated(node, [&] { with = filter_alone(node); });
  if (with.code == StatusCode::Success) return true;
  verdicts_[node.value] = with;
  verdicts_[node.value].nominated = true;
  return with.code != StatusCode::Error;
}

// All filters of this cycle for one node as it is now; nothing is kept.
NodeVerdict SchedulingCycle::filter_alone(NodeId node) {
  std::vector<NodeId> others = std::move(alive_);
  alive_.assign(1, node);
  NodeVerdict before = verdicts_[node.value];
  verdicts_[node.value] = {};
  if (!run_filters(0)) verdicts_[node.value].code = StatusCode::Error;
  NodeVerdict verdict = verdicts_[node.value];
  verdicts_[node.value] = before;
  alive_ = std::move(others);
  return verdict;
}

void SchedulingCycle::note_rejections() {
  for (NodeId n : view_.nodes())
    if (verdict(n).code != StatusCode::Success) rejected_by_ |= bit(verdict(n).plugin);
}

// --- dry runs and PostFilter

class CycleDryRun : public FilterDryRun {
 public:
  explicit CycleDryRun(SchedulingCycle& cycle) : cycle_(cycle) {}
  ~CycleDryRun() override { leave_node(); }

  void remove_pod(PodId pod) override {
    NodeId node = cycle_.record(pod).node;
    if (node != node_) {
      leave_node();
      node_ = node;
      pods_.assign(cycle_.view_.pods_on(node).begin(), cycle_.view_.pods_on(node).end());
    }
    cycle_.cache_.take_off(pod, node);
    removed_.push_back(pod);
  }

  void restore_pod(PodId pod) override {
    cycle_.cache_.put_on(pod, node_);
    std::erase(removed_, pod);
  }

  NodeVerdict filter(NodeId node) override {
    if (node != node_) leave_node();
    cycle_.verdicts_[node.value] = cycle_.filter_alone(node);
    if (cycle_.expects_nominated(node)) cycle_.filter_with_nominated(node);
    return cycle_.verdicts_[node.value];
  }

 private:
  void leave_node() {
    for (PodId pod : removed_) cycle_.cache_.put_on(pod, node_);
    if (node_.valid()) cycle_.cache_.set_pods(node_, pods_);
    removed_.clear();
    node_ = {};
  }

  SchedulingCycle& cycle_;
  NodeId node_;
  std::vector<PodId> pods_, removed_;
};

StatusCode SchedulingCycle::ask_filter(size_t plugin, NodeId node) {
  if (skipped_filters_ & bit(plugin)) return StatusCode::Success;
  StatusCode code = StatusCode::Success;
  PluginContext c = context(plugin, pod_);
  profile_->plugins[plugin].plugin->filter(c, {&node, 1}, {&code, 1});
  return code;
}

std::unique_ptr<FilterDryRun> SchedulingCycle::dry_run() { return std::make_unique<CycleDryRun>(*this); }

// The trials leave no trace in what the failure is told by.
template <class Callback>
void SchedulingCycle::try_out(Callback&& callback) {
  told_verdicts_ = verdicts_;
  uint64_t rejected_by = rejected_by_;
  uint32_t reason = pod_reason_;
  {
    CycleDryRun trial(*this);
    callback(trial);
  }
  verdicts_ = told_verdicts_;
  rejected_by_ = rejected_by;
  pod_reason_ = reason;
}

StatusCode SchedulingCycle::post_filter(PostFilterResult& result) {
  StatusCode code = StatusCode::Unschedulable;
  try_out([&](CycleDryRun& trial) {
    for (uint8_t i : profile_->plugins_at(ExtensionPoint::PostFilter)) {
      result = {};
      PluginContext c = context(i, pod_);
      code = profile_->plugins[i].plugin->post_filter(c, told_verdicts_, trial, result);
      if (code == StatusCode::Success) break;
      result = {};
    }
  });
  return code;
}

std::string SchedulingCycle::why_no_preemption() {
  uint8_t plugin = profile_->plugins_at(ExtensionPoint::PostFilter).back();
  uint32_t first_reason = profile_->plugins[plugin].first_reason;
  size_t nodes = view_.nodes().size();
  std::vector<uint32_t> counts(model_.reasons.size());
  auto count = [&](PreemptionReason reason, size_t times) {
    counts[first_reason + static_cast<uint32_t>(reason)] += static_cast<uint32_t>(times);
  };
  PreemptionSearch search;
  try_out([&](CycleDryRun& trial) {
    search = find_preemption(context(plugin, pod_), {}, told_verdicts_, trial, [&](const PreemptionFailure& failure) {
      if (failure.no_victims) return count(PreemptionReason::NoVictims, 1);
      for (uint32_t r : reasons_of(failure.node, failure.verdict)) ++counts[r];
    });
  });
  if (!search.eligible) return preemption_reasons()[static_cast<size_t>(search.reason)];
  count(PreemptionReason::NotHelpful, nodes - search.potential_nodes.size());
  return fmt::format("0/{} nodes are available: {}", nodes, told_reasons(model_.reasons, counts));
}

// --- scores

StatusCode SchedulingCycle::score() {
  size_t nodes = feasible_.size();
  uint64_t skipped = 0;
  for (uint8_t i : profile_->plugins_at(ExtensionPoint::PreScore)) {
    PluginContext c = context(i, pod_);
    StatusCode code = profile_->plugins[i].plugin->pre_score(c, feasible_);
    if (code == StatusCode::Skip) skipped |= bit(i);
    if (code == StatusCode::Error) return reject_pod(i, ExtensionPoint::PreScore, code);
  }
  if (!profile_->kept_scores.empty()) refresh_kept_scores(skipped);
  totals_.assign(nodes, 0);
  size_t kept = 0;
  for (uint8_t i : profile_->plugins_at(ExtensionPoint::Score)) {
    const SchedulerModel::Plugin& p = profile_->plugins[i];
    size_t kept_row = p.score_reads == Reads::Cluster ? 0 : kept++;
    if (skipped & bit(i)) continue;
    size_t row = scored_.size() * nodes;
    if (scores_.size() < row + nodes) scores_.resize(row + nodes);
    std::span<int64_t> scores{&scores_[row], nodes};
    scored_.push_back(i);
    PluginContext c = context(i, pod_);
    if (p.score_reads == Reads::Cluster)
      p.plugin->score(c, feasible_, scores);
    else
      read_kept_scores(kept_row, scores);
    p.plugin->normalize(c, feasible_, scores);
    for (size_t n = 0; n < nodes; ++n) {
      KISIM_INVARIANT(scores[n] >= 0 && scores[n] <= kMaxNodeScore, "plugin {} scores node {} with {}, outside 0..{}",
                      p.name, view_.node(feasible_[n]).object.meta.name, scores[n], kMaxNodeScore);
      scores[n] *= p.weight;
      totals_[n] += scores[n];
    }
  }
  return StatusCode::Success;
}

void SchedulingCycle::refresh_kept_scores(uint64_t skipped) {
  KeptAnswers& kept = kept_answers();
  const SchedulerSnapshot& s = cache_.snapshot();
  size_t width = s.present.size();
  misses_.clear();
  for (NodeId n : feasible_)
    if (kept.score_generation[n.value] != s.generation[n.value]) misses_.push_back(n);
  if (misses_.empty()) return;
  fresh_.resize(misses_.size());
  for (size_t k = 0; k < profile_->kept_scores.size(); ++k) {
    uint8_t i = profile_->kept_scores[k];
    if (skipped & bit(i)) continue;
    PluginContext c = context(i, pod_);
    profile_->plugins[i].plugin->score(c, misses_, fresh_);
    for (size_t m = 0; m < misses_.size(); ++m)
      kept.scores[k * width + misses_[m].value] = static_cast<int32_t>(fresh_[m]);
  }
  for (NodeId n : misses_) kept.score_generation[n.value] = s.generation[n.value];
}

void SchedulingCycle::read_kept_scores(size_t row, std::span<int64_t> scores) {
  const int32_t* kept = kept_answers().scores.data() + row * cache_.snapshot().present.size();
  for (size_t n = 0; n < feasible_.size(); ++n) scores[n] = kept[feasible_[n].value];
}

std::span<const int64_t> SchedulingCycle::scores(size_t plugin) const {
  for (size_t rank = 0; rank < scored_.size(); ++rank)
    if (scored_[rank] == plugin) return {&scores_[rank * feasible_.size()], feasible_.size()};
  return {};
}

std::vector<int64_t> SchedulingCycle::raw_scores(size_t plugin) {
  std::vector<int64_t> out(feasible_.size());
  PluginContext c = context(plugin, pod_);
  profile_->plugins[plugin].plugin->score(c, feasible_, out);
  return out;
}

NodeId SchedulingCycle::select_host() {
  if (model_.tie_break == TieBreak::Heap) return feasible_[heap_root()];
  Stream stream(model_.seed, record(pod_).entity, Purpose::SchedulerTie);
  return feasible_[best(stream)];
}

size_t SchedulingCycle::best(Stream& stream) const {
  int64_t top = *std::max_element(totals_.begin(), totals_.end());
  size_t ties = static_cast<size_t>(std::count(totals_.begin(), totals_.end(), top));
  size_t left = model_.tie_break == TieBreak::Seeded && ties > 1 ? stream.below(static_cast<uint32_t>(ties)) : 0;
  size_t chosen = feasible_.size();
  for (size_t i = 0; i < feasible_.size(); ++i) {
    if (totals_[i] != top) continue;
    if (model_.tie_break == TieBreak::Name) {
      auto name = [&](size_t k) -> const std::string& { return view_.node(feasible_[k]).object.meta.name; };
      if (chosen == feasible_.size() || name(i) < name(chosen)) chosen = i;
    } else if (left-- == 0) {
      return i;
    }
  }
  return chosen;
}

// The root after a bottom-up heapify that moves only what is strictly better (container/heap.Init).
size_t SchedulingCycle::heap_root() {
  size_t size = totals_.size();
  heap_.resize(size);
  for (size_t i = 0; i < size; ++i) heap_[i] = static_cast<uint32_t>(i);
  auto better = [&](size_t a, size_t b) { return totals_[heap_[a]] > totals_[heap_[b]]; };
  for (size_t begin = size / 2; begin-- > 0;) {
    for (size_t i = begin, child = 2 * i + 1; child < size; i = child, child = 2 * i + 1) {
      if (child + 1 < size && better(child + 1, child)) ++child;
      if (!better(child, i)) break;
      std::swap(heap_[i], heap_[child]);
    }
  }
  return heap_[0];
}

// --- reasons

template <class Callback>
void SchedulingCycle::for_each_reason(NodeId node, const NodeVerdict& verdict, Callback&& callback) {
  const SchedulerModel::Plugin& p = profile_->plugins[verdict.plugin];
  if (verdict.narrowed) return callback(p.narrowed_reason);
  reason_indices_.clear();
  PluginContext c = context(verdict.plugin, pod_);
  if (verdict.nominated)
    with_nominated(node, [&] { p.plugin->node_reasons(c, node, reason_indices_); });
  else
    p.plugin->node_reasons(c, node, reason_indices_);
  for (uint32_t reason : reason_indices_) callback(p.first_reason + reason);
}

std::vector<uint32_t> SchedulingCycle::reasons_of(NodeId node, const NodeVerdict& verdict) {
  std::vector<uint32_t> out;
  for_each_reason(node, verdict, [&](uint32_t reason) { out.push_back(reason); });
  return out;
}

void SchedulingCycle::count_reasons(std::span<uint32_t> counts) {
  for (NodeId n : view_.nodes())
    if (verdicts_[n.value].code != StatusCode::Success)
      for_each_reason(n, verdicts_[n.value], [&](uint32_t reason) { ++counts[reason]; });
}

// Kubernetes sorts the finished texts, so that "12 …" comes before "3 …".
std::string told_reasons(const std::vector<std::string>& reasons, std::span<const uint32_t> counts) {
  std::map<std::string, uint32_t> by_text;  // profiles may share a text
  for (size_t r = 0; r < reasons.size(); ++r)
    if (counts[r] > 0) by_text[reasons[r]] += counts[r];
  std::vector<std::string> parts;
  for (const auto& [text, count] : by_text) parts.push_back(fmt::format("{} {}", count, text));
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}.", fmt::join(parts, ", "));
}

// --- the queue's questions

namespace {

// A node that joins tainted is not told of as an addition that helps; its plugins get to know it when a taint goes. So
// kube-scheduler lets every plugin that asks for NodeAdd, and not for taints, have each taint update without a hint
// (scheduler.go, buildQueueingHintMap; kubernetes/kubernetes#109437).
bool taint_update_stands_for_add(const ClusterEvents& events, ClusterEvent::Kind kind) {
  return kind == ClusterEvent::Kind::NodeUpdateTaint && events.has(ClusterEvent::Kind::NodeAdd);
}

}  // namespace

// All profiles sort alike, so the first one's plugin speaks for all.
bool ProfileQueueing::less(const QueueEntry& a, const QueueEntry& b) const {
  const SchedulerModel::Profile& first = model_.profiles.front();
  return first.plugins[first.plugins_at(ExtensionPoint::QueueSort).front()].plugin->less(a, b);
}

bool ProfileQueueing::hint(PodId pod, uint64_t plugins, const ClusterEvent& event) {
  if (event.kind == ClusterEvent::Kind::UnschedulableTimeout) return plugins != 0;
  if (event.pod == pod) return false;  // what became of the pod itself frees nothing for it
  const SchedulerModel::Profile& profile = model_.profile(cycle_.view().pod(pod).pod_template);
  for (; plugins != 0; plugins &= plugins - 1) {
    size_t i = static_cast<size_t>(std::countr_zero(plugins));
    if (!profile.plugins[i].events.has(event.kind)) {
      if (taint_update_stands_for_add(profile.plugins[i].events, event.kind)) return true;
      continue;
    }
    PluginContext c = cycle_.context(i, pod);
    if (profile.plugins[i].plugin->queueing_hint(c, event)) return true;
  }
  return false;
}

std::vector<ClusterEvent::Kind> node_update_events(const NodeModel& before, const NodeModel& after) {
  using Kind = ClusterEvent::Kind;
  auto same_taint = [](const Taint& a, const Taint& b) {
    return a.key == b.key && a.value == b.value && a.effect == b.effect;
  };
  const Node &a = before.object, &b = after.object;
  std::vector<Kind> out;
  if (a.allocatable != b.allocatable) out.push_back(Kind::NodeUpdateAllocatable);
  if (a.meta.labels != b.meta.labels) out.push_back(Kind::NodeUpdateLabel);
  if (a.unschedulable != b.unschedulable ||
      !std::equal(a.taints.begin(), a.taints.end(), b.taints.begin(), b.taints.end(), same_taint))
    out.push_back(Kind::NodeUpdateTaint);
  return out;
}

}  // namespace kisim

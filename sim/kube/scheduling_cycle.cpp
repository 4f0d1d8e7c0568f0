#include "kube/scheduling_cycle.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr uint64_t bit(size_t plugin) { return 1ull << plugin; }

// Nodes filtered per call: enough to amortise a virtual call, few enough not to filter far beyond the sample.
constexpr size_t kChunk = 128;

constexpr size_t kMinFeasibleNodesToFind = 100;
constexpr size_t kMinPercentageOfNodes = 5;

}  // namespace

SchedulingCycle::SchedulingCycle(const SchedulerModel& model, const ClusterModel& cluster, const ClusterState& state,
                                 std::vector<PolicyMemoryBox>& memory)
    : model_(model),
      cluster_(cluster),
      state_(state),
      memory_(memory),
      view_(cluster, state, model.allocatable),
      verdicts_(model.node_order.size()),
      scratch_(model.plugins.size()) {}

PluginContext SchedulingCycle::context(size_t plugin, PodId pod, bool gates_removed) {
  TemplateId id = state_.pods[pod].pod_template;
  PolicyMemory* memory = memory_[plugin].empty() ? nullptr : &*memory_[plugin];
  return {view_,           pod, id, cluster_.templates[id], gates_removed, model_.plugins[plugin].data.get(), memory,
          scratch_[plugin]};
}

StatusCode SchedulingCycle::run(PodId pod, uint32_t start, NodeId nominated) {
  reset(pod);
  next_start_ = start;
  if (model_.node_order.empty()) {
    pod_reason_ = kNoNodesReason;
    return StatusCode::UnschedulableAndUnresolvable;
  }
  if (StatusCode code = pre_filter(); code != StatusCode::Success) return code;
  if (nominated.valid()) {
    if (!filter({&nominated, 1})) return StatusCode::Error;
    if (verdict(nominated).code == StatusCode::Success) {
      feasible_.push_back(nominated);
      host_ = nominated;
      return StatusCode::Success;
    }
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
  host_ = {};
  pod_reason_ = kPerNode;
  rejected_by_ = pending_by_ = skipped_filters_ = 0;
  node_set_.reset();
  std::fill(verdicts_.begin(), verdicts_.end(), NodeVerdict{});
  feasible_.clear();
  totals_.clear();
  scored_.clear();
  for (std::vector<int64_t>& words : scratch_) words.clear();
}

StatusCode SchedulingCycle::reject_pod(size_t plugin, ExtensionPoint point, StatusCode code) {
  const SchedulerModel::Plugin& p = model_.plugins[plugin];
  PluginContext c = context(plugin, pod_);
  pod_reason_ = p.first_reason + p.plugin->pod_reason(c, point);
  (code == StatusCode::Pending ? pending_by_ : rejected_by_) |= bit(plugin);
  return code == StatusCode::Pending ? StatusCode::Unschedulable : code;
}

// Unresolvable and Error stop at once; Unschedulable lets the others speak before the pod is rejected.
StatusCode SchedulingCycle::pre_filter() {
  StatusCode result = StatusCode::Success;
  for (uint8_t i : model_.plugins_at(ExtensionPoint::PreFilter)) {
    PluginContext c = context(i, pod_);
    bool was_all = node_set_.all();
    size_t nodes_before = node_set_.nodes().size();
    StatusCode code = model_.plugins[i].plugin->pre_filter(c, node_set_);
    if (code == StatusCode::Skip) {
      skipped_filters_ |= bit(i);
      continue;
    }
    if (code != StatusCode::Success) {
      result = reject_pod(i, ExtensionPoint::PreFilter, code);
      if (code != StatusCode::Unschedulable && code != StatusCode::Pending) return result;
      continue;
    }
    if (node_set_.all() || (!was_all && node_set_.nodes().size() == nodes_before)) continue;
    for (size_t n = 0; n < verdicts_.size(); ++n) {
      bool named = std::binary_search(node_set_.nodes().begin(), node_set_.nodes().end(), NodeId(n));
      if (!named && verdicts_[n].code == StatusCode::Success)
        verdicts_[n] = {StatusCode::UnschedulableAndUnresolvable, i, true};
    }
  }
  return result;
}

// numFeasibleNodesToFind: all of fewer than 100 nodes, else a share that shrinks with their number.
size_t SchedulingCycle::nodes_to_find(size_t nodes) const {
  if (model_.plugins_at(ExtensionPoint::Score).empty()) return 1;
  if (nodes < kMinFeasibleNodesToFind) return nodes;
  size_t percentage = static_cast<size_t>(model_.percentage_of_nodes_to_score);
  if (percentage == 0) percentage = nodes / 125 < 45 ? 50 - nodes / 125 : kMinPercentageOfNodes;
  return std::max(nodes * percentage / 100, kMinFeasibleNodesToFind);
}

// With one worker: the node after the last one wanted is looked at if feasible, but neither kept nor counted.
StatusCode SchedulingCycle::find_feasible(uint32_t start) {
  std::span<const NodeId> order = model_.node_order;
  if (!node_set_.all()) {
    narrowed_order_.clear();
    for (NodeId n : model_.node_order)
      if (!verdicts_[n.value].narrowed) narrowed_order_.push_back(n);
    order = narrowed_order_;
  }
  size_t total = model_.node_order.size(), wanted = nodes_to_find(order.size()), visited = 0;
  for (bool full = false; visited < order.size() && !full;) {
    size_t count = std::min(kChunk, order.size() - visited);
    chunk_.clear();
    for (size_t i = 0; i < count; ++i) chunk_.push_back(order[(start + visited + i) % order.size()]);
    if (!filter(chunk_)) return StatusCode::Error;
    for (size_t i = 0; i < count; ++i) {
      if (verdict(chunk_[i]).code == StatusCode::Success) {
        full = feasible_.size() == wanted;
        if (full) {
          for (; i < count; ++i) verdicts_[chunk_[i].value] = {};
          break;
        }
        feasible_.push_back(chunk_[i]);
      }
      ++visited;
    }
  }
  next_start_ = static_cast<uint32_t>((start + visited) % total);
  return StatusCode::Success;
}

bool SchedulingCycle::filter(std::span<const NodeId> nodes) {
  const std::vector<uint8_t>& filters = model_.plugins_at(ExtensionPoint::Filter);
  TemplateId id = state_.pods[pod_].pod_template;
  const uint8_t* rows[2] = {nullptr, nullptr};
  if (model_.static_filters > 0)
    for (bool ready : {false, true}) rows[ready] = model_.static_row(id, ready);

  alive_.clear();
  for (NodeId n : nodes) {
    NodeVerdict& verdict = verdicts_[n.value];
    if (verdict.narrowed) continue;
    uint8_t known = model_.static_filters > 0 ? rows[state_.node_ready[n.value] != 0][n.value] : 0;
    if (known == 0) {
      verdict = {};
      alive_.push_back(n);
      continue;
    }
    StatusCode code = (known - 1) & 1 ? StatusCode::UnschedulableAndUnresolvable : StatusCode::Unschedulable;
    verdict = {code, filters[(known - 1) >> 1], false};
  }
  for (size_t f = model_.static_filters; f < filters.size() && !alive_.empty(); ++f) {
    if (skipped_filters_ & bit(filters[f])) continue;
    codes_.assign(alive_.size(), StatusCode::Success);
    PluginContext c = context(filters[f], pod_);
    model_.plugins[filters[f]].plugin->filter(c, alive_, codes_);
    if (!drop_rejected(filters[f])) return false;
  }
  return true;
}

// Keeps in alive_ the nodes that the plugin let pass, in order.
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

void SchedulingCycle::note_rejections() {
  for (const NodeVerdict& verdict : verdicts_)
    if (verdict.code != StatusCode::Success) rejected_by_ |= bit(verdict.plugin);
}

StatusCode SchedulingCycle::score() {
  size_t nodes = feasible_.size();
  uint64_t skipped = 0;
  for (uint8_t i : model_.plugins_at(ExtensionPoint::PreScore)) {
    PluginContext c = context(i, pod_);
    StatusCode code = model_.plugins[i].plugin->pre_score(c, feasible_);
    if (code == StatusCode::Skip) skipped |= bit(i);
    if (code == StatusCode::Error) return reject_pod(i, ExtensionPoint::PreScore, code);
  }
  totals_.assign(nodes, 0);
  for (uint8_t i : model_.plugins_at(ExtensionPoint::Score)) {
    if (skipped & bit(i)) continue;
    size_t row = scored_.size() * nodes;
    if (scores_.size() < row + nodes) scores_.resize(row + nodes);
    std::span<int64_t> scores{&scores_[row], nodes};
    scored_.push_back(i);
    const SchedulerModel::Plugin& p = model_.plugins[i];
    PluginContext c = context(i, pod_);
    p.plugin->score(c, feasible_, scores);
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

std::span<const int64_t> SchedulingCycle::scores(size_t plugin) const {
  for (size_t rank = 0; rank < scored_.size(); ++rank)
    if (scored_[rank] == plugin) return {&scores_[rank * feasible_.size()], feasible_.size()};
  return {};
}

NodeId SchedulingCycle::select_host() {
  if (model_.tie_break == TieBreak::Heap) return feasible_[heap_root()];
  const PodState& pod = state_.pods[pod_];
  Stream stream(model_.seed, hash_combine(model_.workload_entity[pod.workload.value], pod.ordinal),
                Purpose::SchedulerTie);
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

void SchedulingCycle::count_reasons(std::span<uint32_t> counts) {
  for (size_t n = 0; n < verdicts_.size(); ++n) {
    const NodeVerdict& verdict = verdicts_[n];
    if (verdict.code == StatusCode::Success) continue;
    const SchedulerModel::Plugin& p = model_.plugins[verdict.plugin];
    if (verdict.narrowed) {
      ++counts[p.narrowed_reason];
      continue;
    }
    reason_indices_.clear();
    PluginContext c = context(verdict.plugin, pod_);
    p.plugin->node_reasons(c, NodeId(n), reason_indices_);
    for (uint32_t reason : reason_indices_) ++counts[p.first_reason + reason];
  }
}

}  // namespace kisim

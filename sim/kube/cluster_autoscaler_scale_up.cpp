#include "kube/cluster_autoscaler_scale_up.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace kisim {

namespace {

constexpr int32_t kMaxNodesPerScaleUp = 1000;  // --max-nodes-per-scaleup
constexpr size_t kMaxPodGroupsPerOwner = 10;   // maxEquivalenceGroupsByController
constexpr const char* kHostname = "kubernetes.io/hostname";
constexpr const char* kSpreadNotMet = "node(s) didn't match pod topology spread constraints";

// Rather than found wanting: the event NotTriggerScaleUp counts these.
bool was_skipped(NoScaleUp reason) {
  return reason == NoScaleUp::NotReady || reason == NoScaleUp::Backoff || reason == NoScaleUp::MaxSize;
}

bool spreads_over_hosts(const PodSpec& spec) {
  return std::any_of(spec.topology_spread_constraints.begin(), spec.topology_spread_constraints.end(),
                     [](const TopologySpreadConstraint& c) { return c.topology_key == kHostname; });
}

// First fit on new nodes of one group, which come one after another.
class Binpacking {
 public:
  Binpacking(AutoscalingContext& context, std::vector<NodeId> nodes, std::vector<TemplateId> daemons)
      : c_(context), nodes_(std::move(nodes)), daemons_(std::move(daemons)) {}

  void pack(const std::vector<PodId>& pods) {
    size_t done = 0;
    while (done < pods.size() && place_on_new_ones(pods[done])) ++done;
    if (!full_) add_nodes_for({pods.begin() + static_cast<ptrdiff_t>(done), pods.end()});
  }

  int32_t used() const { return static_cast<int32_t>(used_.size()); }
  std::vector<PodId> take_placed() { return std::move(placed_); }

 private:
  bool place_on_new_ones(PodId pod) {
    if (added_ == 0) return false;
    auto is_new = [&](NodeId node) {
      return std::find(nodes_.begin(), nodes_.begin() + static_cast<ptrdiff_t>(added_), node) !=
             nodes_.begin() + static_cast<ptrdiff_t>(added_);
    };
    NodeId node = c_.simulation.place_anywhere(pod, c_.state.next_start, is_new);
    if (node.valid()) track(pod, node);
    return node.valid();
  }

  void add_nodes_for(const std::vector<PodId>& pods) {
    for (PodId pod : pods) {
      if (place_on_last(pod)) continue;
      // An empty node that does not take it: no further one would.
      if (added_ > 0 && !used_.contains(last())) return;
      full_ = added_ == nodes_.size();
      if (full_) return;
      c_.simulation.add_node(nodes_[added_++], daemons_);
      // Zones may be what the pod is spread over: then no node of the group helps.
      if (!c_.simulation.place(pod, last())) return;
      track(pod, last());
    }
  }

  bool place_on_last(PodId pod) {
    if (added_ == 0) return false;
    if (c_.simulation.place(pod, last())) {
      track(pod, last());
      return true;
    }
    if (!spreads_over_hosts(c_.template_of(pod).spec) || !too_many_on_last()) return false;
    auto another = [&](NodeId node) { return node != last() && !c_.simulation.cordoned(node); };
    NodeId node = c_.simulation.place_anywhere(pod, c_.state.next_start, another);
    if (node.valid()) track(pod, node);
    return node.valid();
  }

  bool too_many_on_last() const {
    const std::vector<std::string>& texts = c_.scheduler.reasons();
    const std::vector<uint32_t>& reasons = c_.simulation.reasons();
    return std::any_of(reasons.begin(), reasons.end(), [&](uint32_t r) { return texts[r] == kSpreadNotMet; });
  }

  NodeId last() const { return nodes_[added_ - 1]; }
  void track(PodId pod, NodeId node) {
    used_.insert(node);
    placed_.push_back(pod);
  }

  AutoscalingContext& c_;
  std::vector<NodeId> nodes_;  // that may come, in order
  std::vector<TemplateId> daemons_;
  size_t added_ = 0;
  bool full_ = false;
  std::set<NodeId> used_;
  std::vector<PodId> placed_;
};

}  // namespace

const char* to_string(NoScaleUp reason) {
  switch (reason) {
    case NoScaleUp::NotReady:
      return "not ready for scale-up";
    case NoScaleUp::Backoff:
      return "in backoff after failed scale-up";
    case NoScaleUp::MaxSize:
      return "max node group size reached";
    case NoScaleUp::NotChosen:
      return "the expander chose another group";
    case NoScaleUp::MaxNodesTotal:
      return "max total nodes in cluster reached";
    case NoScaleUp::None:
    case NoScaleUp::NoPodFits:
      break;
  }
  return "";
}

bool ScaleUp::run(const std::vector<PodId>& pods) {
  const std::vector<uint8_t>& present = c_.simulation.snapshot().present;
  nodes_ = static_cast<int32_t>(std::count(present.begin(), present.end(), 1));
  std::vector<PodGroup> pod_groups = group_pods(pods);
  for (size_t g = 0; g < groups_.size(); ++g) {
    c_.state.groups[g].reason = skip_reason(g);
    c_.state.groups[g].rejected_by.clear();
  }
  c_.simulation.save();
  auto valid = [&](size_t g) { return skip_reason(g) == NoScaleUp::None; };
  for (size_t g = 0; g < groups_.size(); ++g)
    if (valid(g)) find_schedulable(g, pod_groups);
  std::vector<Option> options;
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (!valid(g)) continue;
    Option option = estimate(g, pod_groups);
    c_.state.groups[g].reason = option.node_count > 0 ? NoScaleUp::NotChosen : NoScaleUp::NoPodFits;
    if (option.node_count > 0) options.push_back(std::move(option));
  }
  c_.simulation.restore();
  if (options.empty()) {
    tell_no_scale_up(pod_groups);
    return false;
  }
  std::vector<ExpansionOption> choices(options.begin(), options.end());
  const std::vector<uint8_t>& known = c_.cluster.state.node_present;
  Expander expander(c_.model, c_.cluster.model, static_cast<size_t>(std::count(known.begin(), known.end(), 1)));
  const Option& best = options[expander.best_option(choices, c_.state.expander)];
  int32_t nodes = std::min(capped(best.node_count), groups_.room(best.group));
  if (nodes < 1) {
    c_.state.groups[best.group].reason = NoScaleUp::MaxNodesTotal;
    return false;
  }
  execute(best, nodes);
  return true;
}

std::vector<ScaleUp::PodGroup> ScaleUp::group_pods(const std::vector<PodId>& pods) const {
  std::vector<PodGroup> out;
  std::map<std::pair<WorkloadId, TemplateId>, size_t> known;
  std::map<WorkloadId, size_t> of_owner;
  for (PodId id : pods) {
    const PodState& pod = c_.pod(id);
    bool owned = c_.cluster.model.workloads[pod.workload].kind != WorkloadModel::Kind::Pod && !c_.of_daemon_set(id);
    auto at = known.find({pod.workload, pod.pod_template});
    if (owned && at != known.end()) {
      out[at->second].pods.push_back(id);
      continue;
    }
    if (owned && of_owner[pod.workload] < kMaxPodGroupsPerOwner) {
      known.emplace(std::pair(pod.workload, pod.pod_template), out.size());
      ++of_owner[pod.workload];
    }
    out.push_back({pod.pod_template, {id}, false, std::vector<uint8_t>(groups_.size(), 0), {}});
  }
  return out;
}

NoScaleUp ScaleUp::skip_reason(size_t group) const {
  if (!groups_.healthy(group)) return NoScaleUp::NotReady;
  if (groups_.backed_off(group)) return NoScaleUp::Backoff;
  return groups_.room(group) > 0 ? NoScaleUp::None : NoScaleUp::MaxSize;
}

void ScaleUp::find_schedulable(size_t group, std::vector<PodGroup>& pods) {
  c_.simulation.restore();
  NodeId node = groups_.absent(group).front();
  c_.simulation.add_node(node, groups_.daemons(group));
  std::vector<uint32_t>& rejected_by = c_.state.groups[group].rejected_by;
  for (PodGroup& p : pods) {
    if (c_.simulation.place(p.pods.front(), node)) {
      c_.simulation.take_away(p.pods.front());
      p.schedulable = true;
      p.fits[group] = 1;
      continue;
    }
    const std::vector<uint32_t>& reasons = c_.simulation.reasons();
    p.rejected_by.insert(p.rejected_by.end(), reasons.begin(), reasons.end());
    if (rejected_by.empty()) rejected_by = reasons;
  }
}

// cpu plus memory, as shares of an empty node (DecreasingPodOrderer).
double ScaleUp::score(const PodGroup& pods, size_t group) const {
  const NodeModel& node = c_.cluster.model.nodes[groups_[group].nodes.front()];
  const PodTemplateModel& t = c_.cluster.model.templates[pods.pod_template];
  double score = 0;
  for (ResourceId r : {kCpu, kMemory})
    if (node.allocatable[r.value] > 0)
      score += static_cast<double>(t.request[r.value]) / static_cast<double>(node.allocatable[r.value]);
  return score;
}

// How many nodes the estimate may add.
int32_t ScaleUp::limit(size_t group) const {
  int32_t limit = std::min(kMaxNodesPerScaleUp, groups_.room(group));
  if (c_.model.max_nodes_total > 0) limit = std::min(limit, c_.model.max_nodes_total - nodes_);
  return std::max(limit, 0);
}

ScaleUp::Option ScaleUp::estimate(size_t group, const std::vector<PodGroup>& pods) {
  Option option;
  option.group = group;
  std::vector<const PodGroup*> order;
  for (const PodGroup& p : pods)
    if (p.fits[group]) order.push_back(&p);
  std::stable_sort(order.begin(), order.end(),
                   [&](const PodGroup* a, const PodGroup* b) { return score(*a, group) > score(*b, group); });
  c_.simulation.restore();
  std::vector<NodeId> nodes = groups_.absent(group);
  nodes.resize(static_cast<size_t>(limit(group)));
  Binpacking binpacking(c_, std::move(nodes), groups_.daemons(group));
  for (const PodGroup* p : order) binpacking.pack(p->pods);
  option.node_count = binpacking.used();
  option.helped = binpacking.take_placed();
  for (PodId pod : option.helped) option.pods.push_back(c_.pod(pod).pod_template);
  return option;
}

// By the limit of the cluster's size.
int32_t ScaleUp::capped(int32_t nodes) {
  if (c_.model.max_nodes_total <= 0 || nodes + nodes_ <= c_.model.max_nodes_total) return nodes;
  tell_max_nodes();
  return c_.model.max_nodes_total - nodes_;
}

void ScaleUp::tell_max_nodes() {
  if (c_.now() < c_.state.told_max_nodes + kEventInterval) return;
  c_.state.told_max_nodes = c_.now();
  c_.log_event(KubeEvent::Type::Warning, "MaxNodesTotalReached",
               [&] { return fmt::format("Max total nodes in cluster reached: {}", c_.model.max_nodes_total); });
}

void ScaleUp::execute(const Option& best, int32_t nodes) {
  const NodeGroup& group = groups_[best.group];
  int32_t from = groups_.target(best.group), to = from + nodes;
  c_.log_event(KubeEvent::Type::Normal, "ScaledUpGroup", [&] {
    return fmt::format("Scale-up: setting group {} size to {} instead of {} (max: {})", group.name, to, from,
                       group.max);
  });
  groups_.request(best.group, nodes);
  c_.state.groups[best.group].reason = NoScaleUp::None;
  c_.log_event(KubeEvent::Type::Normal, "ScaledUpGroup", [&] {
    return fmt::format("Scale-up: group {} size set to {} instead of {} (max: {})", group.name, to, from, group.max);
  });
  for (PodId pod : best.helped)
    c_.api.pod_event(pod, KubeEvent::Type::Normal, "TriggeredScaleUp", kClusterAutoscaler, [&] {
      return fmt::format("pod triggered scale-up: [{{{} {}->{} (max: {})}}]", group.name, from, to, group.max);
    });
  c_.state.last_scale_up = c_.now();
}

template <class Message>
void ScaleUp::not_triggered(PodId pod, Message&& message) {
  auto& told = c_.state.told;
  auto at = std::lower_bound(told.begin(), told.end(), pod, [](const auto& t, PodId id) { return t.first < id; });
  bool known = at != told.end() && at->first == pod;
  if (known && c_.now() < at->second + kEventInterval) return;
  if (known)
    at->second = c_.now();
  else
    told.insert(at, {pod, c_.now()});
  c_.api.pod_event(pod, KubeEvent::Type::Normal, "NotTriggerScaleUp", kClusterAutoscaler,
                   [&] { return "pod didn't trigger scale-up: " + message(); });
}

void ScaleUp::tell_no_scale_up(const std::vector<PodGroup>& pods) {
  for (const PodGroup& p : pods) {
    if (p.schedulable) continue;
    for (PodId pod : p.pods) not_triggered(pod, [&] { return reasons_text(p); });
  }
}

void ScaleUp::refuse_for_max_nodes(const std::vector<PodId>& pods) {
  tell_max_nodes();
  for (ClusterAutoscalerState::Group& group : c_.state.groups) group.reason = NoScaleUp::MaxNodesTotal;
  for (PodId pod : pods) not_triggered(pod, [] { return std::string(to_string(NoScaleUp::MaxNodesTotal)); });
}

// How many groups there are for each reason.
std::string ScaleUp::reasons_text(const PodGroup& pods) const {
  std::map<std::string, uint32_t> counts;
  for (uint32_t reason : pods.rejected_by) ++counts[c_.scheduler.reasons()[reason]];
  for (const ClusterAutoscalerState::Group& group : c_.state.groups)
    if (was_skipped(group.reason)) ++counts[to_string(group.reason)];
  std::vector<std::string> parts;
  for (const auto& [text, count] : counts) parts.push_back(fmt::format("{} {}", count, text));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace kisim

#include "node_utilization.hpp"

#include "eviction_order.hpp"
#include "node_fit.hpp"

#include <fmt/format.h>

#include <map>
#include <numeric>

namespace kisim {

namespace {

std::optional<double> find_threshold(const ResourceThresholds& thresholds, const std::string& name) {
  for (const auto& [resource, percent] : thresholds)
    if (resource == name) return percent;
  return std::nullopt;
}

std::vector<UtilizationColumn> make_columns(const ClusterModel& model, const ResourceThresholds& low,
                                            const ResourceThresholds& high, bool basics) {
  std::map<std::string, UtilizationColumn> by_name;
  if (basics)
    for (const char* name : {"cpu", "memory", "pods"}) by_name[name] = {};
  for (const auto& [name, percent] : low) by_name[name] = {};
  std::vector<UtilizationColumn> out;
  for (auto& [name, column] : by_name) {
    column = {name, {}, find_threshold(low, name), find_threshold(high, name)};
    for (size_t r = 0; r < model.resource_count(); ++r)
      if (model.resources[r] == name) column.id = ResourceId(r);
    out.push_back(std::move(column));
  }
  return out;
}

// Excluded namespaces and evictor plugins are asked when a pod's turn comes; this is who has a turn at all.
std::vector<ViewPodId> removable_pods(DeschedulerHandle& handle, const NodeUtilizationCycle::Eviction& eviction,
                                      NodeId node) {
  std::vector<ViewPodId> out;
  for (ViewPodId pod : handle.view.active_pods_on(node)) {
    if (!handle.filter(pod)) continue;
    if (eviction.is_wanted(pod))
      out.push_back(pod);
    else
      handle.keep(pod, "requests none of the resources with thresholds");
  }
  sort_by_priority(handle.view, out);
  return out;
}

}  // namespace

// What all destinations together have left, by column, and whether pods of a template can go to any of them.
struct NodeUtilizationCycle::Room {
  std::vector<int64_t> available;
  std::vector<std::optional<bool>> tolerated;  // by TemplateId

  bool any() const {
    return std::all_of(available.begin(), available.end(), [](int64_t amount) { return amount > 0; });
  }
};

NodeUtilizationCycle::NodeUtilizationCycle(DeschedulerHandle& handle, const ResourceThresholds& low,
                                           const ResourceThresholds& high, bool basics)
    : handle_(handle), view_(handle.view), columns_(make_columns(view_.model(), low, high, basics)) {}

bool NodeUtilizationCycle::read(const std::optional<MetricsUtilization>& metrics) {
  if (!metrics) return read_requests();
  bool server = metrics->source == MetricsUtilization::Source::KubernetesMetrics;
  source_ = server ? Source::MetricsServer : Source::Prometheus;
  return server ? read_metrics_server() : read_prometheus(metrics->query);
}

bool NodeUtilizationCycle::read_requests() {
  for (NodeId node : handle_.nodes) {
    std::span<const int64_t> requested = view_.requested(node);
    std::vector<int64_t> usage;
    for (const UtilizationColumn& c : columns_) usage.push_back(c.id.valid() ? requested[c.id.value] : 0);
    add_node(node, std::move(usage));
  }
  return true;
}

bool NodeUtilizationCycle::read_metrics_server() {
  const std::vector<int64_t>& measured = view_.metrics().node_usage;
  if (measured.empty()) return handle_.fail("there is no metrics server"), false;
  for (NodeId node : handle_.nodes) {
    std::vector<int64_t> usage;
    for (const UtilizationColumn& c : columns_) {
      int64_t amount = DeschedulerMetrics::kUnknown;
      if (c.id == kPods)
        amount = view_.requested(node)[kPods.value];
      else if (c.id.valid())
        amount = measured[node.value * view_.model().resource_count() + c.id.value];
      if (amount == DeschedulerMetrics::kUnknown) {
        handle_.fail(fmt::format("no metrics of {} on node {}", c.name, view_.object(node).meta.name));
        return false;
      }
      usage.push_back(amount);
    }
    add_node(node, std::move(usage));
  }
  return true;
}

bool NodeUtilizationCycle::read_prometheus(const std::string& query) {
  auto found = view_.metrics().answers.find(query);
  if (found == view_.metrics().answers.end()) return handle_.fail("Prometheus has no answer to the query"), false;
  for (NodeId node : handle_.nodes) {
    double sample = found->second[node.value];
    if (!(sample >= 0 && sample <= 1)) {
      handle_.fail(fmt::format("no sample from 0 to 1 of node {}", view_.object(node).meta.name));
      return false;
    }
    add_node(node, std::vector<int64_t>(columns_.size(), static_cast<int64_t>(sample * 100)));
  }
  return true;
}

void NodeUtilizationCycle::add_node(NodeId node, std::vector<int64_t> usage) {
  NodeUse& use = nodes_.emplace_back();
  use.node = node;
  for (size_t c = 0; c < columns_.size(); ++c) {
    std::optional<int64_t> has = capacity(node, columns_[c]);
    use.percent.push_back(std::nullopt);
    if (has) use.percent[c] = *has > 0 ? static_cast<double>(usage[c]) / static_cast<double>(*has) * 100 : 0;
  }
  use.usage = std::move(usage);
}

std::optional<int64_t> NodeUtilizationCycle::capacity(NodeId node, const UtilizationColumn& column) const {
  if (column.name == kMetricResource) return 100;
  if (!column.id.valid() || !view_.names(node, column.name)) return std::nullopt;
  return view_.node(node).allocatable[column.id.value];
}

void NodeUtilizationCycle::center() {
  for (size_t c = 0; c < columns_.size(); ++c) {
    UtilizationColumn& column = columns_[c];
    double sum = 0;
    int count = 0;
    for (const NodeUse& use : nodes_)
      if (use.percent[c]) sum += *use.percent[c], ++count;
    double mean = sum / count;
    if (column.low) column.low = std::clamp(mean - *column.low, 0.0, 100.0);
    if (column.high) column.high = std::clamp(mean + *column.high, 0.0, 100.0);
    if (count == 0) column.low = column.high = std::nullopt;
  }
}

bool NodeUtilizationCycle::is_below(const NodeUse& use) const {
  for (size_t c = 0; c < columns_.size(); ++c)
    if (columns_[c].low && *columns_[c].low < use.percent[c].value_or(0)) return false;
  return true;
}

bool NodeUtilizationCycle::is_above(const NodeUse& use) const {
  for (size_t c = 0; c < columns_.size(); ++c)
    if (columns_[c].high && *columns_[c].high < use.percent[c].value_or(0)) return true;
  return false;
}

int64_t NodeUtilizationCycle::target(NodeId node, const UtilizationColumn& column) const {
  std::optional<int64_t> has = capacity(node, column);
  if (!has || !column.high) return has.value_or(0);
  return static_cast<int64_t>(*column.high * 0.01 * static_cast<double>(*has));
}

void NodeUtilizationCycle::sort_by_usage(std::vector<NodeUse>& nodes, bool ascending) {
  auto sum = [](const NodeUse& use) { return std::accumulate(use.usage.begin(), use.usage.end(), int64_t{0}); };
  std::stable_sort(nodes.begin(), nodes.end(),
                   [&](const NodeUse& a, const NodeUse& b) { return ascending ? sum(a) < sum(b) : sum(a) > sum(b); });
}

std::string NodeUtilizationCycle::above_target(const NodeUse& use) const {
  for (size_t c = 0; c < columns_.size(); ++c) {
    const UtilizationColumn& column = columns_[c];
    if (use.usage[c] <= target(use.node, column)) continue;
    double has = static_cast<double>(capacity(use.node, column).value_or(0));
    double percent = has > 0 ? 100 * static_cast<double>(use.usage[c]) / has : 0;
    return fmt::format("node is overutilized: {} {:.1f} %, target {:.1f} %", column.name, percent,
                       column.high.value_or(100));
  }
  return "node is overutilized";
}

void NodeUtilizationCycle::evict(const Eviction& eviction) const {
  Room room;
  room.tolerated.resize(view_.model().templates.size());
  room.available.assign(columns_.size(), 0);
  for (const NodeUse& use : eviction.destinations)
    for (size_t c = 0; c < columns_.size(); ++c) room.available[c] += target(use.node, columns_[c]) - use.usage[c];
  for (const NodeUse& source : eviction.sources)
    if (empty_node(eviction, source, room) == DeschedulerResult::TotalLimit) return;
}

bool NodeUtilizationCycle::may_go_on(const Eviction& eviction, const NodeUse& source, const Room& room) const {
  bool above = !eviction.down_to_target;
  for (size_t c = 0; c < columns_.size(); ++c) above |= source.usage[c] > target(source.node, columns_[c]);
  return above && room.any();
}

DeschedulerResult NodeUtilizationCycle::empty_node(const Eviction& eviction, NodeUse source, Room& room) const {
  uint64_t evicted = 0;
  bool go_on = may_go_on(eviction, source, room);
  for (ViewPodId pod : removable_pods(handle_, eviction, source.node)) {
    go_on &= !eviction.node_limit || evicted < *eviction.node_limit;
    KeepReason kept = go_on ? reason_to_keep(eviction, pod, room) : "the node gives no more, or no other has room";
    if (!kept.empty()) handle_.keep(pod, kept);
    if (!kept.empty() || !handle_.pre_eviction_filter(pod)) continue;
    std::optional<std::vector<int64_t>> usage = usage_of(pod);
    if (!usage && source_ != Source::Prometheus) {
      handle_.keep(pod, "no metrics of the pod");
      continue;
    }
    DeschedulerResult result = handle_.evict(pod, eviction.reason(source));
    if (result == DeschedulerResult::NodeLimit || result == DeschedulerResult::TotalLimit) return result;
    if (result != DeschedulerResult::Success) continue;
    ++evicted;
    if (usage) {
      move_out(*usage, source, room);
      go_on = may_go_on(eviction, source, room);
    } else {  // one per node and cycle, or as many as the limit says
      go_on = eviction.node_limit.has_value();
    }
  }
  return DeschedulerResult::Success;
}

KeepReason NodeUtilizationCycle::reason_to_keep(const Eviction& eviction, ViewPodId pod, Room& room) const {
  if (!has_destination(eviction, pod, room)) return "tolerates the taints of no destination";
  if (contains(eviction.exclude_namespaces, view_.template_of(pod).namespace_)) return "namespace is excluded";
  return {};
}

void NodeUtilizationCycle::move_out(const std::vector<int64_t>& usage, NodeUse& source, Room& room) const {
  for (size_t c = 0; c < columns_.size(); ++c) {
    source.usage[c] -= usage[c];
    room.available[c] -= usage[c];
  }
}

std::optional<std::vector<int64_t>> NodeUtilizationCycle::usage_of(ViewPodId pod) const {
  if (source_ == Source::Prometheus) return std::nullopt;
  const std::vector<int64_t>& measured = view_.metrics().pod_usage;
  std::vector<int64_t> out;
  for (const UtilizationColumn& c : columns_) {
    int64_t amount = 0;
    if (c.id == kPods)
      amount = 1;
    else if (c.id.valid() && source_ == Source::Requests)
      amount = view_.template_of(pod).request[c.id.value];
    else if (c.id.valid())
      amount = measured.empty() ? DeschedulerMetrics::kUnknown
                                : measured[pod.value * view_.model().resource_count() + c.id.value];
    if (amount == DeschedulerMetrics::kUnknown) return std::nullopt;
    out.push_back(amount);
  }
  return out;
}

// Stricter than the scheduler: every taint is to be tolerated, and a node with more taints than the pod has
// tolerations is out.
bool NodeUtilizationCycle::has_destination(const Eviction& eviction, ViewPodId pod, Room& room) const {
  std::optional<bool>& known = room.tolerated[view_.pod(pod).pod_template.value];
  if (known) return *known;
  const PodSpec& spec = view_.template_of(pod).spec;
  known = std::any_of(eviction.destinations.begin(), eviction.destinations.end(), [&](const NodeUse& use) {
    const std::vector<Taint>& taints = view_.node(use.node).taints;
    return spec.tolerations.size() >= taints.size() &&
           std::all_of(taints.begin(), taints.end(), [&](const Taint& taint) { return tolerated(spec, taint); });
  });
  return *known;
}

}  // namespace kisim

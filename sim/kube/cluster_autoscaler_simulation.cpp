#include "kube/cluster_autoscaler_simulation.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

// Without scores a cycle ends at the first node that passes.
SchedulerModel filters_of(SchedulerModel model) {
  for (SchedulerModel::Profile& profile : model.profiles) {
    for (ExtensionPoint point : {ExtensionPoint::PreScore, ExtensionPoint::Score, ExtensionPoint::PostFilter})
      profile.at[static_cast<size_t>(point)].clear();
    profile.kept_scores.clear();
  }
  return model;
}

}  // namespace

ClusterSimulation::ClusterSimulation(const SchedulerModel& model, const ClusterModel& cluster)
    : cluster_(cluster),
      model_(filters_of(model)),
      cache_(cluster, model_.counters, snapshot_),
      cycle_(model_, cluster, cache_, memory_) {}

void ClusterSimulation::begin(const SchedulerSnapshot& known) {
  memory_.clear();
  for (const SchedulerModel::Profile& profile : model_.profiles) {
    std::vector<PolicyMemoryBox>& memory = memory_.emplace_back();
    for (const SchedulerModel::Plugin& p : profile.plugins) memory.push_back(PolicyMemoryBox(p.plugin->make_memory()));
  }
  adopt(known);
}

void ClusterSimulation::save() { saved_ = snapshot_; }

void ClusterSimulation::restore() { adopt(saved_); }

// The cycle keeps answers by generation: none may mean two states.
void ClusterSimulation::adopt(const SchedulerSnapshot& from) {
  changes_ = std::max(changes_, snapshot_.changes);
  snapshot_ = from;
  for (uint64_t& generation : snapshot_.generation) generation = ++changes_;
  snapshot_.changes = changes_;
}

void ClusterSimulation::add_node(NodeId node, std::span<const TemplateId> daemons) {
  if (node.value < snapshot_.present.size() && snapshot_.present[node.value]) cache_.remove_node(node);
  cache_.add_node(node, node.value);
  for (TemplateId daemon : daemons) {
    PodId pod(snapshot_.pod_records.size());
    cache_.know_pod(pod, daemon, hash_combine(daemon.value, node.value), node);
    cache_.add_pod(pod, node);
  }
}

void ClusterSimulation::put(PodId pod, NodeId node) {
  forget(pod);
  cache_.add_pod(pod, node);
}

bool ClusterSimulation::place(PodId pod, NodeId node) {
  if (cycle_.run(pod, 0, node) == StatusCode::Success && cycle_.host() == node) return reserve(pod, node);
  note_rejection(node);
  return false;
}

void ClusterSimulation::note_rejection(NodeId node) {
  reasons_.clear();
  if (cycle_.pod_reason() != SchedulingCycle::kPerNode) return reasons_.push_back(cycle_.pod_reason());
  // What PreFilter left out is told without reasons.
  if (!cycle_.verdict(node).narrowed) reasons_ = cycle_.reasons_of(node);
}

// Shares of GPUs are chosen when a place is reserved.
bool ClusterSimulation::reserve(PodId pod, NodeId node) {
  cache_.add_pod(pod, node);
  std::vector<uint16_t> devices;
  for (uint8_t i : cycle_.profile().plugins_at(ExtensionPoint::Reserve)) {
    PluginContext c = cycle_.context(i, pod);
    if (cycle_.profile().plugins[i].plugin->reserve(c, node, devices) == StatusCode::Success) continue;
    cache_.remove_pod(pod);
    reasons_.clear();
    return false;
  }
  if (!devices.empty()) cache_.hold_devices(pod, std::move(devices));
  return true;
}

NodeId ClusterSimulation::place_anywhere(PodId pod, uint32_t& start, const std::function<bool(NodeId)>& acceptable) {
  if (cycle_.run(pod, start) != StatusCode::Success) return {};
  std::span<const NodeId> order = cycle_.view().nodes();
  NodeId found = cycle_.host();
  if (!acceptable(found)) {
    found = {};
    std::unique_ptr<FilterDryRun> trial = cycle_.dry_run();
    for (size_t i = 0; i < order.size() && !found.valid(); ++i) {
      NodeId node = order[(start + i) % order.size()];
      if (!acceptable(node) || cycle_.verdict(node).narrowed) continue;
      if (trial->filter(node).code == StatusCode::Success) found = node;
    }
  }
  if (!found.valid()) return {};
  start = static_cast<uint32_t>(std::find(order.begin(), order.end(), found) - order.begin()) + 1;
  return reserve(pod, found) ? found : NodeId{};
}

}  // namespace kisim

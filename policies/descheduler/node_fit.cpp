#include "node_fit.hpp"

#include "cluster/node_selector.hpp"
#include "pod_anti_affinity.hpp"

#include <algorithm>

namespace kisim {

namespace {

bool has_room(const DeschedulerView& view, TemplateId id, NodeId node) {
  const std::vector<int64_t>& request = view.model().templates[id].request;
  const std::vector<int64_t>& allocatable = view.node(node).allocatable;
  std::span<const int64_t> requested = view.requested(node);
  if (allocatable[kPods.value] <= requested[kPods.value]) return false;
  std::span<const ResourceId> named = view.requests(id);
  return std::all_of(named.begin(), named.end(),
                     [&](ResourceId r) { return request[r.value] <= allocatable[r.value] - requested[r.value]; });
}

bool repelled(const DeschedulerView& view, const PodTemplateModel& pods, ViewPodId pod, NodeId node) {
  for (const PodAffinityTerm& term : pods.spec.pod_anti_affinity.required) {
    if (!find_label(view.object(node).meta.labels, term.topology_key)) continue;
    for (ViewPodId other : view.active_pods_on(node))
      if (other != pod && repels(term, pods.namespace_, view.template_of(other))) return true;
  }
  return false;
}

// Cheap checks first: all of them must hold. `pod` is invalid where the pod is on no node of interest.
bool fits(const DeschedulerView& view, TemplateId id, ViewPodId pod, NodeId node, bool own) {
  const PodTemplateModel& pods = view.model().templates[id];
  if (view.node(node).unschedulable || (!own && !has_room(view, id, node))) return false;
  return tolerates_node(pods.spec, view.node(node)) && matches_required(pods.spec, view.object(node)) &&
         !repelled(view, pods, pod, node);
}

}  // namespace

bool tolerates_node(const PodSpec& spec, const DeschedulerNode& node) {
  return std::all_of(node.taints.begin(), node.taints.end(), [&](const Taint& taint) {
    return taint.effect == TaintEffect::PreferNoSchedule || tolerated(spec, taint);
  });
}

bool fits(const DeschedulerView& view, ViewPodId pod, NodeId node) {
  return fits(view, view.pod(pod).pod_template, pod, node, view.pod(pod).node == node);
}

FittingNodes::FittingNodes(const DeschedulerView& view, std::vector<NodeId> nodes)
    : view_(view), nodes_(std::move(nodes)), found_(view.model().templates.size()) {}

bool FittingNodes::any(ViewPodId pod) {
  NodeId own = view_.pod(pod).node;
  bool own_counts = std::binary_search(nodes_.begin(), nodes_.end(), own);
  return (own_counts && fits(view_, pod, own)) || any_other(pod);
}

bool FittingNodes::any_other(ViewPodId pod) {
  TemplateId id = view_.pod(pod).pod_template;
  Found& found = found_[id.value];
  for (size_t i = 0; !found.searched && i < nodes_.size() && !found.second.valid(); ++i) {
    if (!fits(view_, id, ViewPodId(), nodes_[i], false)) continue;
    (found.first.valid() ? found.second : found.first) = nodes_[i];
  }
  found.searched = true;
  NodeId fitting = found.first == view_.pod(pod).node ? found.second : found.first;
  return fitting.valid();
}

}  // namespace kisim

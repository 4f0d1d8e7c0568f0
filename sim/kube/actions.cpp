#include "kube/actions.hpp"

#include "kube/drain.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kDrain = "kubectl drain";

bool has_empty_dir(const PodSpec& spec) {
  return std::any_of(spec.local_volumes.begin(), spec.local_volumes.end(),
                     [](const LocalVolume& v) { return v.source == LocalVolume::Source::EmptyDir; });
}

}  // namespace

void Actions::start() {
  state_.drains.resize(model_.actions.size());
  for (uint32_t i = 0; i < model_.actions.size(); ++i)
    engine_.schedule(model_.actions[i].at, Priority::Control, events_.act, i);
}

void Actions::on_act(uint32_t i) {
  const Action& action = model_.actions[i];
  using Kind = Action::Kind;
  bool needs_node = action.kind == Kind::DeleteNode || action.kind == Kind::Cordon || action.kind == Kind::Uncordon ||
                    action.kind == Kind::Drain;
  if (needs_node && !cluster_.state.node_present[action.node.value])
    return state_.statistics.decisions.add("NotFound",
                                           fmt::format("nodes \"{}\" not found", api_.node_name(action.node)));
  switch (action.kind) {
    case Kind::ApplyWorkload:
    case Kind::Restart:
      return controllers_.apply(action.workload, action.spec);
    case Kind::Scale:
      return controllers_.scale(action.workload, action.replicas, "kubectl scale");
    case Kind::DeleteWorkload:
      return controllers_.remove(action.workload, action.cascade);
    case Kind::DeleteNamespace:
      return delete_namespace(action);
    case Kind::ApplyNode:
      return apply_node(action);
    case Kind::DeleteNode:
      return api_.remove_node(action.node);
    case Kind::Cordon:
      return api_.cordon(action.node, true);
    case Kind::Uncordon:
      if (action.version.valid()) api_.update_node(action.node, action.version);
      return api_.cordon(action.node, false);
    case Kind::Drain:
      api_.cordon(action.node, true);
      return begin_drain(i);
    case Kind::Reconfigure:
      return mig_.set_config(action.mig_node, action.mig_config, "kubectl label");
  }
}

void Actions::apply_node(const Action& action) {
  if (!cluster_.state.node_present[action.node.value]) return api_.add_node(action.node);
  api_.update_node(action.node, action.version);
  nodes_.apply_taints(action.node);
}

void Actions::delete_namespace(const Action& action) {
  for (size_t w = 0; w < cluster_.model.workloads.size(); ++w)
    if (cluster_.model.workloads[WorkloadId(w)].namespace_ == action.namespace_)
      controllers_.remove_with_pods(WorkloadId(w));
}

// kubectl looks at the node's pods once (pkg/drain/filters.go), and does nothing where one of them may not go.
void Actions::begin_drain(uint32_t i) {
  const Action& action = model_.actions[i];
  DrainState& drain = state_.drains[i];
  drain = {};
  drain.since = engine_.now();
  for (PodId pod : cluster_.state.node_pods[action.node.value]) {
    if (std::string_view why = refusal(pod, action); !why.empty()) return give_up(i, why);
    if (!of_daemon_set(pod)) drain.pods.push_back(pod);
  }
  on_drain(i);
}

bool Actions::of_daemon_set(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  bool daemon = cluster_.model.workloads[pod.workload].kind == WorkloadModel::Kind::DaemonSet;
  return daemon && pod.owner != PodOwner::Nobody && state_.workloads[pod.workload].exists;
}

std::string_view Actions::refusal(PodId pod, const Action& action) const {
  if (of_daemon_set(pod)) return action.ignore_daemon_sets ? "" : "cannot delete DaemonSet-managed Pods";
  if (!action.delete_empty_dir_data && has_empty_dir(api_.template_of(pod).spec))
    return "cannot delete Pods with local storage";
  if (action.force) return "";
  const PodState& p = cluster_.state.pods[pod];
  if (p.owner == PodOwner::Nobody) return "cannot delete Pods that declare no controller";
  bool daemon = cluster_.model.workloads[p.workload].kind == WorkloadModel::Kind::DaemonSet;
  return daemon ? "cannot delete Pods whose DaemonSet is not found" : "";
}

void Actions::give_up(uint32_t i, std::string_view why) {
  state_.drains[i].pods.clear();
  state_.statistics.decisions.add("DrainFailed", why);
}

void Actions::on_drain(uint32_t i) {
  const Action& action = model_.actions[i];
  DrainState& drain = state_.drains[i];
  drain.retry = {};
  evict_all(api_, state_.statistics.decisions, drain, kDrain, action.grace_period);
  if (drain.pods.empty() && drain.failed) return give_up(i, to_string(Eviction::TwoBudgets));
  if (drain.pods.empty()) return state_.statistics.decisions.add("Drained");
  if (action.timeout && engine_.now() + kDrainRetry > drain.since + *action.timeout)
    return give_up(i, "global timeout reached");
  drain.retry = engine_.schedule(engine_.now() + kDrainRetry, Priority::Control, events_.drain, i);
}

}  // namespace kisim

#include "kube/node_lifecycle.hpp"

#include <algorithm>

namespace kisim {

void NodeLifecycle::start() {
  for (size_t i = 0; i < model_.faults.size(); ++i)
    engine_.schedule(model_.faults[i].at, Priority::Failure, events_.stop, static_cast<uint32_t>(i));
}

void NodeLifecycle::stop_node(uint32_t fault) {
  const NodeLoss& loss = model_.faults[fault];
  if (loss.for_.ns > 0) engine_.schedule(engine_.now() + loss.for_, Priority::Failure, events_.start, fault);
  KubeletState& node = state_.nodes[loss.node];
  if (node.losses++ > 0) return;
  kubelet_.node_stopped(loss.node);
  node.monitor = engine_.schedule(engine_.now() + model_.node_monitor_grace_period, Priority::Control,
                                  events_.not_ready, loss.node.value);
}

void NodeLifecycle::start_node(uint32_t fault) {
  NodeId id = model_.faults[fault].node;
  KubeletState& node = state_.nodes[id];
  if (--node.losses > 0) return;
  engine_.cancel(node.monitor);
  kubelet_.node_started(id);
  if (node.monitored_ready) return;
  node.monitored_ready = true;
  cluster_.state.node_ready[id.value] = 1;
  state_.statistics.decisions.add("NodeReady");
  scheduler_.node_changed(id);
}

void NodeLifecycle::not_ready(NodeId id) {
  state_.nodes[id].monitor = {};
  state_.nodes[id].monitored_ready = false;
  cluster_.state.node_ready[id.value] = 0;
  state_.statistics.decisions.add("NodeNotReady");
  scheduler_.node_changed(id);
  for (PodId pod : cluster_.state.node_pods[id.value])
    if (std::optional<Duration> stays = toleration(pod))
      cluster_.state.pods[pod].timer =
          engine_.schedule(engine_.now() + *stays, Priority::Control, events_.evict, pod.value);
}

void NodeLifecycle::evict(PodId pod) {
  cluster_.state.pods[pod].timer = {};
  ++state_.statistics.evicted;
  state_.statistics.decisions.add("TaintManagerEviction");
  kubelet_.kill(pod);
  controllers_.reconcile(cluster_.state.pods[pod].workload);
}

std::optional<Duration> NodeLifecycle::toleration(PodId pod) const {
  const Taint unreachable{"node.kubernetes.io/unreachable", "", TaintEffect::NoExecute};
  std::optional<Duration> shortest;
  bool tolerated = false;
  for (const Toleration& t : cluster_.model.templates[cluster_.state.pods[pod].pod_template].spec.tolerations) {
    if (!t.tolerates(unreachable)) continue;
    tolerated = true;
    if (!t.toleration_seconds) continue;
    Duration stays = 1_s * std::clamp<int64_t>(*t.toleration_seconds, 0, kForever.ns / (1_s).ns);
    shortest = shortest ? std::min(*shortest, stays) : stays;
  }
  // Admission adds the default only where the pod does not tolerate the taint by itself.
  return tolerated ? shortest : model_.unreachable_toleration;
}

}  // namespace kisim

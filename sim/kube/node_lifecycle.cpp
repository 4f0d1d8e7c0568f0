#include "kube/node_lifecycle.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr Duration kLeaseRenewal = 10_s;   // a quarter of the lease's 40 s
constexpr Duration kMonitorPeriod = 5_s;   // --node-monitor-period
constexpr Duration kEvictionGap = 10_s;    // --node-eviction-rate 0.1
constexpr Duration kSecondaryGap = 100_s;  // --secondary-node-eviction-rate 0.01
constexpr uint32_t kLargeCluster = 50;     // --large-cluster-size-threshold
constexpr double kUnhealthyZone = 0.55;    // --unhealthy-zone-threshold
constexpr std::string_view kComponent = "node-controller";

}  // namespace

void NodeLifecycle::start() {
  state_.monitors.resize(cluster_.model.nodes.size());
  for (size_t n = 0; n < cluster_.model.nodes.size(); ++n) {
    const std::string& name = cluster_.model.nodes[NodeId(n)].zone;
    auto zone =
        std::find_if(state_.zones.begin(), state_.zones.end(), [&](const ZoneMonitor& z) { return z.name == name; });
    state_.monitors[NodeId(n)].zone = static_cast<uint32_t>(zone - state_.zones.begin());
    if (zone == state_.zones.end()) state_.zones.push_back({name});
    if (cluster_.state.node_present[n]) node_joined(NodeId(n));
  }
}

void NodeLifecycle::node_joined(NodeId node) {
  ++state_.zones[state_.monitors[node].zone].nodes;
  review_zones();
}

void NodeLifecycle::node_left(NodeId node) {
  NodeMonitor& monitor = state_.monitors[node];
  ZoneMonitor& zone = state_.zones[monitor.zone];
  --zone.nodes;
  if (monitor.noticed) --zone.ill;
  monitor.noticed = false;
  engine_.cancel(monitor.timer);
  cancel_evictions(node);
  std::erase(zone.queue, node);
  state_.nodes[node].losses = 0;
  for (FaultState& fault : state_.faults) {
    std::erase(fault.nodes, node);
    std::erase_if(fault.gpus, [&](GpuId gpu) { return cluster_.state.gpus[gpu].node == node; });
  }
  review_zones();
}

void NodeLifecycle::stop(NodeId node) {
  if (state_.nodes[node].losses++ > 0 || !cluster_.state.node_present[node.value]) return;
  kubelet_.node_stopped(node);
  cluster_.set_running(node, false, engine_.now());
  // The first look after the lease has run out.
  Time overdue = last_heartbeat(node) + kNodeMonitorGracePeriod;
  Time look{(overdue.ns / kMonitorPeriod.ns + 1) * kMonitorPeriod.ns};
  engine_.cancel(state_.monitors[node].timer);
  state_.monitors[node].timer =
      engine_.schedule(std::max(look, engine_.now()), Priority::Control, events_.notice, node.value);
}

// Leases are renewed every 10 s, from an instant of the node's own.
Time NodeLifecycle::last_heartbeat(NodeId node) const {
  Stream stream(model_.seed, hash_text("Node/" + cluster_.model.nodes[node].object.meta.name), Purpose::Heartbeat);
  int64_t phase = static_cast<int64_t>(stream.uniform() * static_cast<double>(kLeaseRenewal.ns));
  int64_t since = engine_.now().ns - phase;
  return Time{since < 0 ? 0 : phase + since / kLeaseRenewal.ns * kLeaseRenewal.ns};
}

void NodeLifecycle::restart(NodeId node) {
  if (--state_.nodes[node].losses > 0 || !cluster_.state.node_present[node.value]) return;
  engine_.cancel(state_.monitors[node].timer);
  if (state_.monitors[node].noticed) recover(node);
  cluster_.set_running(node, true, engine_.now());
  kubelet_.node_started(node);
}

void NodeLifecycle::recover(NodeId node) {
  NodeMonitor& monitor = state_.monitors[node];
  monitor.noticed = false;
  ZoneMonitor& zone = state_.zones[monitor.zone];
  --zone.ill;
  std::erase(zone.queue, node);
  api_.set_condition(node, kNodeUnreachable | kNodeUnreachableNoExecute, false);
  apply_taints(node);
  api_.node_event(node, KubeEvent::Type::Normal, "NodeReady", "kubelet",
                  [&] { return fmt::format("Node {} status is now: NodeReady", api_.node_name(node)); });
  review_zones();
}

bool NodeLifecycle::all_zones_are_down() const {
  return std::all_of(state_.zones.begin(), state_.zones.end(),
                     [&](const ZoneMonitor& z) { return z.nodes == 0 || disruption(z) == Disruption::Full; });
}

// When every zone is down, the controller itself may be cut off: what it began is taken back.
void NodeLifecycle::review_zones() {
  if (all_zones_are_down())
    for (size_t n = 0; n < state_.monitors.size(); ++n) {
      if (!api_.has_condition(NodeId(n), kNodeUnreachableNoExecute)) continue;
      api_.set_condition(NodeId(n), kNodeUnreachableNoExecute, false);
      apply_taints(NodeId(n));
      state_.zones[state_.monitors[NodeId(n)].zone].queue.push_back(NodeId(n));
    }
  for (uint32_t z = 0; z < state_.zones.size(); ++z) arm(z);
}

void NodeLifecycle::on_notice(NodeId node) {
  NodeMonitor& monitor = state_.monitors[node];
  monitor.timer = {};
  monitor.noticed = true;
  ++state_.zones[monitor.zone].ill;
  api_.node_event(node, KubeEvent::Type::Normal, "NodeNotReady", kComponent,
                  [&] { return fmt::format("Node {} status is now: NodeNotReady", api_.node_name(node)); });
  for (PodId pod : cluster_.state.node_pods[node.value])
    api_.note(pod, KubeEvent::Type::Warning, "NodeNotReady", kComponent,
              [] { return std::string("Node is not ready"); });
  kubelet_.pods_not_ready(node);
  api_.set_condition(node, kNodeUnreachable, true);
  state_.zones[monitor.zone].queue.push_back(node);
  review_zones();
}

NodeLifecycle::Disruption NodeLifecycle::disruption(const ZoneMonitor& zone) const {
  if (zone.ill > 0 && zone.ill == zone.nodes) return Disruption::Full;
  if (zone.ill > 2 && static_cast<double>(zone.ill) / zone.nodes >= kUnhealthyZone) return Disruption::Partial;
  return Disruption::None;
}

std::optional<Duration> NodeLifecycle::pace(const ZoneMonitor& zone) const {
  if (all_zones_are_down()) return std::nullopt;
  if (disruption(zone) != Disruption::Partial) return kEvictionGap;
  return zone.nodes > kLargeCluster ? std::optional(kSecondaryGap) : std::nullopt;
}

void NodeLifecycle::arm(uint32_t id) {
  ZoneMonitor& zone = state_.zones[id];
  if (zone.queue.empty() || !pace(zone)) return engine_.cancel(zone.turn);
  if (!zone.turn) zone.turn = engine_.schedule(std::max(zone.next, engine_.now()), Priority::Control, events_.turn, id);
}

void NodeLifecycle::on_turn(uint32_t id) {
  ZoneMonitor& zone = state_.zones[id];
  zone.turn = {};
  std::optional<Duration> gap = pace(zone);
  if (zone.queue.empty() || !gap) return;
  NodeId node = zone.queue.front();
  zone.queue.erase(zone.queue.begin());
  zone.next = engine_.now() + *gap;
  api_.set_condition(node, kNodeUnreachableNoExecute, true);
  apply_taints(node);
  arm(id);
}

// --- pods that do not tolerate

std::optional<Duration> NodeLifecycle::stay(PodId pod, NodeId node) const {
  const std::vector<Toleration>& tolerations = api_.template_of(pod).spec.tolerations;
  std::optional<Duration> shortest;
  auto limit = [&](Duration d) { shortest = shortest ? std::min(*shortest, d) : d; };
  auto look = [&](const Taint& taint) {
    if (taint.effect != TaintEffect::NoExecute) return;
    // The first toleration that matches says how long.
    auto matching =
        std::find_if(tolerations.begin(), tolerations.end(), [&](const Toleration& t) { return t.tolerates(taint); });
    if (matching != tolerations.end()) {
      if (matching->toleration_seconds)
        limit(1_s * std::clamp<int64_t>(*matching->toleration_seconds, 0, kForever.ns / (1_s).ns));
      return;
    }
    // Admission adds these two to every pod that does not tolerate them by itself.
    bool has_default = taint.key == "node.kubernetes.io/unreachable" || taint.key == "node.kubernetes.io/not-ready";
    limit(has_default ? kDefaultUnreachableToleration : Duration{});
  };
  for (const Taint& taint : cluster_.node(node).object.taints) look(taint);
  for_each_taint(cluster_.state.node_conditions[node.value], look);
  return shortest;
}

// An eviction that is planned stays as it is, unless the taints are not tolerated at all, or for ever
// (processPodOnNode).
void NodeLifecycle::apply_taints(NodeId node) {
  std::vector<NodeMonitor::Eviction> before = std::exchange(state_.monitors[node].evictions, {});
  for (PodId pod : cluster_.state.node_pods[node.value]) {
    std::optional<Duration> stays = stay(pod, node);
    auto planned = std::find_if(before.begin(), before.end(), [&](const auto& e) { return e.pod == pod; });
    if (planned == before.end() || !stays || stays->ns == 0 || planned->since == engine_.now()) {
      schedule_eviction(pod, node);
      continue;
    }
    state_.monitors[node].evictions.push_back(*planned);
    before.erase(planned);
  }
  for (NodeMonitor::Eviction& eviction : before) engine_.cancel(eviction.timer);
}

void NodeLifecycle::schedule_eviction(PodId pod, NodeId node) {
  std::optional<Duration> stays = stay(pod, node);
  if (!stays) return;
  Time now = engine_.now();
  state_.monitors[node].evictions.push_back(
      {pod, now, engine_.schedule(now + *stays, Priority::Control, events_.evict, pod.value)});
}

void NodeLifecycle::cancel_evictions(NodeId node) {
  for (NodeMonitor::Eviction& eviction : state_.monitors[node].evictions) engine_.cancel(eviction.timer);
  state_.monitors[node].evictions.clear();
}

void NodeLifecycle::pod_bound(PodId pod) { schedule_eviction(pod, cluster_.state.pods[pod].node); }

void NodeLifecycle::on_evict(PodId pod) {
  PodPhase phase = cluster_.state.pods[pod].phase;
  if (phase >= PodPhase::Terminating) return;
  ++state_.statistics.evicted;
  cluster_.state.pods[pod].disrupted = true;
  api_.pod_event(pod, KubeEvent::Type::Normal, "TaintManagerEviction", "taint-eviction-controller", [&] {
    return fmt::format("Marking for deletion Pod {}/{}", api_.namespace_of(pod), cluster_.pod_name(pod));
  });
  api_.delete_pod(pod);
}

}  // namespace kisim

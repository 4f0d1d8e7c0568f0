#include "kube/cluster_autoscaler_groups.hpp"

#include "core/hash.hpp"
#include "kube/daemon_set_controller.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr Duration kMaxNodeStartupTime = 900_s;      // --max-node-startup-time
constexpr int32_t kOkTotalUnreadyCount = 3;          // --ok-total-unready-count
constexpr double kMaxTotalUnreadyPercentage = 45;    // --max-total-unready-percentage
constexpr Duration kInitialBackoff = 300_s;          // --initial-node-group-backoff-duration
constexpr Duration kMaxBackoff = 1800_s;             // --max-node-group-backoff-duration
constexpr Duration kBackoffResetTimeout = 10'800_s;  // --node-group-backoff-reset-timeout

bool too_many(int32_t unready, int32_t nodes) {
  return unready > kOkTotalUnreadyCount && unready > kMaxTotalUnreadyPercentage / 100.0 * nodes;
}

}  // namespace

std::string go_duration(Duration d) {
  int64_t seconds = d.ns / (1_s).ns, rest = d.ns % (1_s).ns;
  std::string out;
  if (seconds >= 3600) out += fmt::format("{}h", seconds / 3600);
  if (seconds >= 60) out += fmt::format("{}m", seconds / 60 % 60);
  out += std::to_string(seconds % 60);
  if (rest != 0) {
    std::string digits = fmt::format("{:09}", rest);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out + "s";
}

std::vector<ResourceId> gpu_resources(const ClusterModel& cluster) {
  std::vector<ResourceId> out;
  for (const char* gpu :
       {"nvidia.com/gpu", "habana.ai/gaudi", "gpu.intel.com/xe", "amd.com/gpu", "microsoft.com/directx"})
    for (size_t r = 0; r < cluster.resource_count(); ++r)
      if (cluster.resources[r] == gpu) out.push_back(ResourceId(r));
  return out;
}

bool AutoscalingContext::asks_for_gpus(PodId id) const {
  const std::vector<int64_t>& request = template_of(id).request;
  return std::any_of(gpu_resources.begin(), gpu_resources.end(), [&](ResourceId r) { return request[r.value] > 0; });
}

bool AutoscalingContext::of_daemon_set(PodId id) const {
  if (cluster.model.workloads[pod(id).workload].kind == WorkloadModel::Kind::DaemonSet) return true;
  const std::string* mark = find_label(template_of(id).annotations, "cluster-autoscaler.kubernetes.io/daemonset-pod");
  return mark && *mark == "true";
}

NodeGroups::NodeGroups(AutoscalingContext& context, uint16_t joins)
    : c_(context), joins_(joins), group_of_(context.cluster.model.nodes.size(), kNoGroup) {
  for (size_t g = 0; g < size(); ++g)
    for (NodeId node : c_.model.groups[g].nodes) group_of_[node.value] = static_cast<uint32_t>(g);
}

void NodeGroups::start() {
  c_.state.groups.resize(size());
  c_.state.nodes.resize(c_.cluster.model.nodes.size());
  // Those that are there at the start have been for long.
  for (ClusterAutoscalerState::Node& node : c_.state.nodes) node.joined = Time{} - kMaxNodeStartupTime;
}

int32_t NodeGroups::target(size_t group) const {
  const std::vector<NodeId>& nodes = c_.model.groups[group].nodes;
  return static_cast<int32_t>(std::count_if(nodes.begin(), nodes.end(),
                                            [&](NodeId n) { return c_.present(n) || c_.state.nodes[n].requested; }));
}

std::vector<NodeId> NodeGroups::absent(size_t group) const {
  std::vector<NodeId> out;
  for (NodeId n : c_.model.groups[group].nodes)
    if (!c_.present(n) && !c_.state.nodes[n].requested) out.push_back(n);
  return out;
}

int32_t NodeGroups::room(size_t group) const {
  int32_t all = static_cast<int32_t>(c_.model.groups[group].nodes.size());
  return std::max(0, std::min(c_.model.groups[group].max, all) - target(group));
}

bool NodeGroups::not_started(NodeId node) const {
  return c_.present(node) && !c_.cluster.node_ready(node) &&
         c_.state.nodes[node].joined + kMaxNodeStartupTime > c_.now();
}

NodeGroupReadiness NodeGroups::readiness(size_t group) const {
  NodeGroupReadiness out;
  for (NodeId n : c_.model.groups[group].nodes) {
    if (!c_.present(n)) continue;
    ++(c_.cluster.node_ready(n) ? out.ready : not_started(n) ? out.not_started : out.unready);
  }
  return out;
}

bool NodeGroups::backed_off(size_t group) const {
  const ClusterAutoscalerState::Group& state = c_.state.groups[group];
  return state.backoff.ns > 0 && state.backoff_until >= c_.now();
}

// IsNodeGroupHealthy: while nodes are asked for, those that have just joined need not be ready.
bool NodeGroups::healthy(size_t group) const {
  NodeGroupReadiness nodes = readiness(group);
  const std::vector<NodeId>& all = c_.model.groups[group].nodes;
  bool scaling_up = std::any_of(all.begin(), all.end(), [&](NodeId n) { return c_.state.nodes[n].requested; });
  int32_t unjustified = nodes.unready + (scaling_up ? 0 : nodes.not_started);
  return !too_many(unjustified, nodes.ready + nodes.unready + nodes.not_started);
}

bool NodeGroups::cluster_healthy() const {
  int32_t nodes = 0, unready = 0;
  for (size_t n = 0; n < c_.cluster.state.node_present.size(); ++n) {
    if (!c_.present(NodeId(n))) continue;
    ++nodes;
    unready += !c_.cluster.node_ready(NodeId(n)) && !not_started(NodeId(n));
  }
  return !too_many(unready, nodes);
}

std::vector<NodeId> NodeGroups::upcoming(size_t group) const {
  std::vector<NodeId> requested, joined;
  if (backed_off(group)) return requested;
  for (NodeId n : c_.model.groups[group].nodes) {
    if (c_.state.nodes[n].requested) requested.push_back(n);
    if (not_started(n)) joined.push_back(n);
  }
  if (!requested.empty()) requested.insert(requested.end(), joined.begin(), joined.end());
  return requested;
}

std::vector<TemplateId> NodeGroups::daemons(size_t group) const {
  std::vector<TemplateId> out;
  const Node& node = c_.cluster.model.nodes[c_.model.groups[group].nodes.front()].object;
  for (size_t w = 0; w < c_.kube_state.workloads.size(); ++w) {
    const WorkloadControl& control = c_.kube_state.workloads[WorkloadId(w)];
    if (c_.cluster.model.workloads[WorkloadId(w)].kind != WorkloadModel::Kind::DaemonSet) continue;
    if (!control.exists || control.deleting) continue;
    const PodSpec& spec = c_.cluster.model.templates[control.pod_template].spec;
    if (daemon_verdict(spec, node, {}) == DaemonVerdict::Run) out.push_back(control.pod_template);
  }
  return out;
}

void NodeGroups::request(size_t group, int32_t nodes) {
  std::vector<NodeId> absent = this->absent(group);
  for (int32_t i = 0; i < nodes; ++i) ask_for(group, absent[static_cast<size_t>(i)]);
}

void NodeGroups::ask_for(size_t group, NodeId id) {
  const NodeGroup& g = c_.model.groups[group];
  ClusterAutoscalerState::Node& node = c_.state.nodes[id];
  uint64_t entity = hash_combine(hash_text("Node/" + c_.cluster.model.nodes[id].object.meta.name), node.requests++);
  Stream stream(c_.kube.seed, entity, Purpose::ClusterAutoscaling);
  bool fails = stream.uniform() < g.failure;
  Time at = after(c_.now(), g.provision.draw(stream));
  node.requested = true;
  node.requested_at = c_.now();
  if (!fails && at < Time::max()) node.joins = c_.engine.schedule(at, Priority::Control, joins_, id.value);
}

void NodeGroups::joined(NodeId id) {
  ClusterAutoscalerState::Node& node = c_.state.nodes[id];
  uint32_t requests = node.requests;
  node = {};
  node.requests = requests;
  node.joined = c_.now();
  if (!c_.present(id)) c_.api.add_node(id);
}

void NodeGroups::expire() {
  for (size_t g = 0; g < size(); ++g) {
    Duration longest;
    for (NodeId id : c_.model.groups[g].nodes) {
      ClusterAutoscalerState::Node& node = c_.state.nodes[id];
      Duration age = c_.now() - node.requested_at;
      if (!node.requested || age <= c_.model.max_node_provision_time) continue;
      c_.engine.cancel(node.joins);
      node.requested = false;
      longest = std::max(longest, age);
    }
    if (longest.ns == 0) continue;
    back_off(g);
    c_.log_event(KubeEvent::Type::Warning, "ScaleUpTimedOut", [&] {
      return fmt::format("Nodes added to group {} failed to register within {}", c_.model.groups[g].name,
                         go_duration(longest));
    });
  }
}

// utils/backoff/exponential_backoff.go: failures while it lasts do not lengthen it.
void NodeGroups::back_off(size_t group) {
  ClusterAutoscalerState::Group& state = c_.state.groups[group];
  if (state.backoff.ns > 0 && state.last_failure + kBackoffResetTimeout < c_.now()) state.backoff = {};
  if (state.backoff.ns == 0)
    state.backoff = kInitialBackoff;
  else if (state.backoff_until < c_.now())
    state.backoff = std::min(state.backoff * 2, kMaxBackoff);
  state.backoff_until = c_.now() + state.backoff;
  state.last_failure = c_.now();
}

}  // namespace kisim

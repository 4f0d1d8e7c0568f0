#include "kube/mig_loop.hpp"

#include "cluster/node_selector.hpp"
#include "cluster/tolerations.hpp"
#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

void MigLoop::start() {
  if (!model_.mig_policy) return;
  state_.mig_memory = PolicyMemoryBox(model_.mig_policy->policy->make_memory());
  state_.mig_stream = Stream(model_.seed, hash_text("MigPolicy"), Purpose::Policy);
  schedule_next();
}

void MigLoop::schedule_next() {
  engine_.schedule(engine_.now() + model_.mig_policy->interval, Priority::Control, look_, 0);
}

void MigLoop::on_look() {
  schedule_next();
  MigObservation seen = observe();
  for (MigRequest& r : model_.mig_policy->policy->decide(seen, *state_.mig_memory, state_.mig_stream)) {
    const MigPolicyModel::Node& node = model_.mig_policy->nodes[r.node];
    mig_.set_config(node.mig_node, node.first_config + r.config, std::move(r.reason));
  }
}

MigObservation MigLoop::observe() const {
  MigObservation out;
  out.now = engine_.now();
  out.configs = model_.mig_policy->configs;
  std::vector<TemplateId> templates;
  observe_demands(out, templates);
  for (const MigPolicyModel::Node& node : model_.mig_policy->nodes) out.nodes.push_back(observe(node, templates));
  return out;
}

void MigLoop::observe_demands(MigObservation& out, std::vector<TemplateId>& templates) const {
  std::vector<std::pair<MigDemand, TemplateId>> found;
  for (const std::vector<PodId>& pods : cluster_.state.workload_pods)
    for (PodId id : pods) {
      if (!waits(id)) continue;
      const PodState& pod = cluster_.state.pods[id];
      auto at =
          std::find_if(found.begin(), found.end(), [&](const auto& entry) { return entry.second == pod.pod_template; });
      if (at == found.end()) {
        const PodTemplateModel& t = cluster_.model.templates[pod.pod_template];
        found.push_back({{cluster_.model.workloads[pod.workload].name, t.spec.priority, 0, pod.created, t.devices},
                         pod.pod_template});
        at = found.end() - 1;
      }
      ++at->first.pods;
      at->first.since = std::min(at->first.since, pod.created);
    }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    if (a.first.priority != b.first.priority) return a.first.priority > b.first.priority;
    return a.first.since < b.first.since;
  });
  for (const auto& [demand, pod_template] : found) {
    out.demands.push_back(demand);
    templates.push_back(pod_template);
  }
}

// Neither bound nor held back, and where it may run there are too few devices for it.
bool MigLoop::waits(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  const PodTemplateModel& t = cluster_.model.templates[pod.pod_template];
  if (pod.phase != PodPhase::Pending || t.devices.empty() || !t.spec.scheduling_gates.empty()) return false;
  if (state_.scheduler.snapshot.pod_records[id].node.valid()) return false;
  for (size_t n = 0; n < cluster_.state.node_present.size(); ++n) {
    NodeId node(n);
    bool open = cluster_.state.node_present[n] && is_ready(node);
    if (open && admits(node, cluster_.state.node_version[n], pod.pod_template) && !cluster_.missing_devices(id, node))
      return false;
  }
  return true;
}

bool MigLoop::is_ready(NodeId node) const {
  return cluster_.node_ready(node) && !cluster_.state.node_conditions[node.value].any_of(kNodeCordoned);
}

bool MigLoop::admits(NodeId node, NodeId version, TemplateId pods) const {
  const PodTemplateModel& t = cluster_.model.templates[pods];
  const NodeModel& n = cluster_.model.nodes[version];
  if (!matches_required(t.spec, n.object)) return false;
  for (const Taint& taint : n.object.taints)
    if (taint.effect != TaintEffect::PreferNoSchedule && !tolerated(t.spec, taint)) return false;
  size_t columns = cluster_.model.resource_count();
  for (size_t r = 0; r < columns; ++r) {
    if (is_gpu_resource(cluster_.model.resources[r])) continue;
    int64_t wanted = r == kPods.value ? 1 : t.request[r];
    if (wanted > 0 && cluster_.state.requested[node.value * columns + r] + wanted > n.allocatable[r]) return false;
  }
  return true;
}

template <class Stays>
MigCut MigLoop::cut(NodeId node, NodeId version, Stays stays, const std::vector<TemplateId>& templates) const {
  MigCut out;
  out.free.assign(cluster_.model.resource_count(), 0);
  const NodeModel& then = cluster_.model.nodes[version];
  const std::vector<GpuDevice>& now = cluster_.devices(node);
  for (size_t d = 0; d < then.devices.size(); ++d) {
    const GpuDevice& device = then.devices[d];
    if (!cluster_.state.gpus[cluster_.gpu(node, device.gpu)].healthy) continue;
    int64_t taken = 0;
    if (stays(device.gpu)) {
      auto place = static_cast<size_t>(std::find(now.begin(), now.end(), device) - now.begin());
      const DeviceState& held = cluster_.state.devices[node.value][place];
      taken = device.replicas > 1 ? held.taken : held.taken > 0;
    }
    out.free[then.device_column[d].value] += device.replicas - taken;
  }
  for (TemplateId t : templates) out.admits.push_back(admits(node, version, t));
  return out;
}

MigNodeView MigLoop::observe(const MigPolicyModel::Node& of, const std::vector<TemplateId>& templates) const {
  const MigNode& node = model_.mig_nodes[of.mig_node];
  const MigState& mig = state_.mig_nodes[of.mig_node];
  MigNodeView out;
  out.name = cluster_.node(node.node).object.meta.name;
  bool present = cluster_.state.node_present[node.node.value];
  out.ready = present && mig.step == MigState::Step::Idle && is_ready(node.node);
  out.changed = mig.changed;
  if (!out.ready) return out;
  out.now = cut(
      node.node, cluster_.state.device_version[node.node.value], [](uint16_t) { return true; }, templates);
  for (uint32_t c = 0; c < model_.mig_policy->configs.size(); ++c) {
    uint32_t config = of.first_config + c;
    if (!mig_.changes(of.mig_node, config)) continue;
    MigCut& cut = out.cuts.emplace_back(this->cut(
        node.node, node.configs[config].success, [&](uint16_t gpu) { return !mig_.changes(of.mig_node, config, gpu); },
        templates));
    cut.config = c;
    cut.users = static_cast<uint32_t>(mig_.users(of.mig_node, config).size());
  }
  return out;
}

}  // namespace kisim

#include "kube/mig_manager.hpp"

#include "core/hash.hpp"
#include "core/random.hpp"
#include "kube/drain.hpp"

#include <algorithm>
#include <utility>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "nvidia-mig-manager";
constexpr Duration kPoll = 1_s;  // until the pods that were evicted are gone

}  // namespace

void MigManager::start() { state_.mig_nodes.resize(model_.mig_nodes.size()); }

void MigManager::set_config(uint32_t i, uint32_t wanted, std::string reason) {
  MigState& mig = state_.mig_nodes[i];
  if (!cluster_.state.node_present[node(i).node.value])
    return state_.statistics.decisions.add("NotFound",
                                           fmt::format("nodes \"{}\" not found", api_.node_name(node(i).node)));
  if (mig.step == Step::Idle) return begin(i, wanted, std::move(reason));
  mig.next = {wanted, std::move(reason)};
}

void MigManager::begin(uint32_t i, uint32_t wanted, std::string reason) {
  MigState& mig = state_.mig_nodes[i];
  NodeId id = node(i).node;
  mig.config = wanted;
  mig.record = static_cast<uint32_t>(state_.statistics.reconfigurations.size());
  state_.statistics.reconfigurations.push_back({engine_.now(), engine_.now(), id, config(i).name, reason, {}, {}, {}});
  api_.node_event(id, KubeEvent::Type::Normal, "MIGConfigChanged", kComponent,
                  [&] { return fmt::format("nvidia.com/mig.config is now {}: {}", config(i).name, reason); });
  if (!changes(i, wanted)) {
    api_.update_node(id, config(i).success);
    return end(i, Reconfiguration::Outcome::Success);
  }
  mig.cordoned = !api_.has_condition(id, kNodeCordoned);
  api_.cordon(id, true);
  api_.update_node(id, from(i).pending);
  mig.step = Step::Draining;
  mig.drain = {};
  mig.drain.since = engine_.now();
  for (PodId pod : users(i, wanted)) {
    const PodState& p = cluster_.state.pods[pod];
    bool of_daemon_set = cluster_.model.workloads[p.workload].kind == WorkloadModel::Kind::DaemonSet;
    if (!of_daemon_set) mig.drain.pods.push_back(pod);
  }
  record(i).evicted = mig.drain.pods;
  drain(i);
}

void MigManager::on_step(uint32_t i) {
  switch (state_.mig_nodes[i].step) {
    case Step::Idle:
      return;
    case Step::Draining:
      return drain(i);
    case Step::Ending:
      return wait_for_users(i);
    case Step::Cutting:
      return cut(i);
  }
}

void MigManager::drain(uint32_t i) {
  MigState& mig = state_.mig_nodes[i];
  evict_all(api_, state_.statistics.decisions, mig.drain, kComponent, config(i).grace_period);
  if (mig.drain.pods.empty() && mig.drain.failed) return fail(i, to_string(Eviction::TwoBudgets));
  if (mig.drain.pods.empty()) {
    mig.step = Step::Ending;
    return wait_for_users(i);
  }
  if (config(i).timeout && engine_.now() + kDrainRetry > mig.drain.since + *config(i).timeout)
    return fail(i, "its pods could not be evicted in time");
  come_again(i, kDrainRetry);
}

void MigManager::wait_for_users(uint32_t i) {
  MigState& mig = state_.mig_nodes[i];
  std::vector<PodId> left = users(i, mig.config);
  bool ending = std::any_of(left.begin(), left.end(),
                            [&](PodId pod) { return cluster_.state.pods[pod].phase == PodPhase::Terminating; });
  if (ending || !answers(node(i).node)) return come_again(i, kPoll);
  if (std::string why = obstacle(i); !why.empty()) return fail(i, std::move(why));
  mig.step = Step::Cutting;
  Stream stream(model_.seed, hash_combine(node(i).entity, mig.cuts++), Purpose::Run);
  come_again(i, Duration::seconds(std::clamp(config(i).takes.draw(stream), 0.0, kForever.to_seconds())));
}

void MigManager::cut(uint32_t i) {
  NodeId id = node(i).node;
  if (!answers(id)) return come_again(i, kPoll);
  if (std::string why = obstacle(i); !why.empty()) return fail(i, std::move(why));
  api_.update_node(id, config(i).success);
  lifecycle_.apply_taints(id);
  api_.node_event(id, KubeEvent::Type::Normal, "Reconfigured", kComponent,
                  [&] { return fmt::format("GPUs are cut as {}", config(i).name); });
  end(i, Reconfiguration::Outcome::Success);
}

void MigManager::fail(uint32_t i, std::string why) {
  NodeId id = node(i).node;
  api_.update_node(id, from(i).failed);
  api_.node_event(id, KubeEvent::Type::Warning, "MIGConfigFailed", kComponent,
                  [&] { return fmt::format("GPUs are not cut as {}: {}", config(i).name, why); });
  record(i).why = std::move(why);
  end(i, Reconfiguration::Outcome::Failed);
}

void MigManager::end(uint32_t i, Reconfiguration::Outcome outcome) {
  MigState& mig = state_.mig_nodes[i];
  record(i).outcome = outcome;
  record(i).ended = engine_.now();
  mig.changed = engine_.now();
  mig.step = Step::Idle;
  if (std::exchange(mig.cordoned, false)) api_.cordon(node(i).node, false);
  if (auto next = std::exchange(mig.next, std::nullopt)) begin(i, next->config, std::move(next->reason));
}

void MigManager::node_left(NodeId left) {
  for (uint32_t i = 0; i < model_.mig_nodes.size(); ++i) {
    MigState& mig = state_.mig_nodes[i];
    if (node(i).node != left || mig.step == Step::Idle) continue;
    engine_.cancel(mig.drain.retry);
    record(i).why = "the node is gone";
    record(i).outcome = Reconfiguration::Outcome::Failed;
    record(i).ended = engine_.now();
    mig = {.cuts = mig.cuts};
  }
}

std::string MigManager::obstacle(uint32_t i) const {
  const MigState& mig = state_.mig_nodes[i];
  if (std::vector<PodId> left = users(i, mig.config); !left.empty())
    return fmt::format("a GPU is in use by pod {}/{}", api_.namespace_of(left.front()),
                       cluster_.pod_name(left.front()));
  for (uint16_t g = 0; g < cluster_.gpus(node(i).node); ++g)
    if (!cluster_.state.gpus[cluster_.gpu(node(i).node, g)].healthy && changes(i, mig.config, g))
      return fmt::format("GPU {} is unhealthy", g);
  return {};
}

// Whatever was applied before may have left the labels of a config that was pending or has failed.
const MigNode::From& MigManager::from(uint32_t i) const {
  NodeId now = cluster_.state.device_version[node(i).node.value];
  for (const MigNode::Config& c : node(i).configs)
    for (const MigNode::From& f : c.from)
      if (f.pending == now || f.failed == now) now = f.before;
  const std::vector<MigNode::From>& all = config(i).from;
  auto found = std::find_if(all.begin(), all.end(), [&](const MigNode::From& f) { return f.before == now; });
  KISIM_INVARIANT(found != all.end(), "node {} has devices of no object of its own", api_.node_name(node(i).node));
  return *found;
}

std::vector<PodId> MigManager::users(uint32_t i, uint32_t wanted) const {
  std::vector<PodId> out;
  for (PodId pod : cluster_.state.node_pods[node(i).node.value]) {
    const std::vector<uint16_t>& held = cluster_.state.pods[pod].devices;
    bool in_the_way = std::any_of(held.begin(), held.end(), [&](uint16_t d) {
      return changes(i, wanted, cluster_.devices(node(i).node)[d].gpu);
    });
    if (in_the_way) out.push_back(pod);
  }
  return out;
}

bool MigManager::changes(uint32_t i, uint32_t wanted) const {
  for (uint16_t g = 0; g < cluster_.gpus(node(i).node); ++g)
    if (changes(i, wanted, g)) return true;
  return false;
}

bool MigManager::changes(uint32_t i, uint32_t wanted, uint16_t gpu) const {
  auto of_gpu = [&](const std::vector<GpuDevice>& devices) {
    std::vector<GpuDevice> out;
    std::copy_if(devices.begin(), devices.end(), std::back_inserter(out),
                 [&](const GpuDevice& d) { return d.gpu == gpu; });
    return out;
  };
  return of_gpu(cluster_.devices(node(i).node)) !=
         of_gpu(cluster_.model.nodes[node(i).configs[wanted].success].devices);
}

void MigManager::come_again(uint32_t i, Duration after) {
  state_.mig_nodes[i].drain.retry = engine_.schedule(engine_.now() + after, Priority::Control, step_, i);
}

bool MigManager::answers(NodeId id) const { return state_.nodes[id].alive(); }

}  // namespace kisim

#pragma once
// NVIDIA's mig-manager on every node (NVIDIA/mig-parted), and what an operator does around it. When the label
// nvidia.com/mig.config changes,
//
// 1. the node is cordoned, and nvidia.com/mig.config.state says `pending`;
// 2. pods that hold a device of a GPU whose layout changes are evicted within their disruption budgets, as kubectl
//    drain does; those of other GPUs stay, for mig-parted touches no GPU that is cut as asked already;
// 3. once they have ended, the GPUs are cut and the device plugin starts again, which takes its time; then the node has
//    its new devices and the state is `success`. Where a GPU is still in use, as by a pod of a DaemonSet, or is broken,
//    or the drain gives up, the state is `failed` and the devices are those of before;
// 4. the node takes pods again, unless somebody else had cordoned it.
//
// A label that changes meanwhile is acted on afterwards; of several the last. The state `rebooting` (WITH_REBOOT, for
// machines whose GPUs cannot be reset) does not occur.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/node_lifecycle.hpp"

#include <string_view>
#include <vector>

namespace kisim {

class MigManager {
 public:
  // `step` is the kind of event that comes back as on_step(); target: entry of KubeModel::mig_nodes.
  MigManager(const KubeModel& model, KubeState& state, Cluster& cluster, NodeLifecycle& lifecycle, ApiServer& api,
             Engine& engine, uint16_t step)
      : model_(model),
        state_(state),
        cluster_(cluster),
        lifecycle_(lifecycle),
        api_(api),
        engine_(engine),
        step_(step) {}

  void start();
  // The label is to have the value of that entry of MigNode::configs; `reason` says who wants it and why.
  void set_config(uint32_t mig_node, uint32_t config, std::string reason);
  void on_step(uint32_t mig_node);
  // Its machine stops; what was under way there is over.
  void node_left(NodeId node);

  // Pods that hold a device of a GPU that the config would cut otherwise, those of DaemonSets among them.
  std::vector<PodId> users(uint32_t mig_node, uint32_t config) const;
  // Whether it would cut any GPU otherwise than it is.
  bool changes(uint32_t mig_node, uint32_t config) const;
  // The same of one GPU.
  bool changes(uint32_t mig_node, uint32_t config, uint16_t gpu) const;

 private:
  using Step = MigState::Step;

  const MigNode& node(uint32_t i) const { return model_.mig_nodes[i]; }
  const MigNode::Config& config(uint32_t i) const { return node(i).configs[state_.mig_nodes[i].config]; }
  Reconfiguration& record(uint32_t i) const { return state_.statistics.reconfigurations[state_.mig_nodes[i].record]; }
  const MigNode::From& from(uint32_t i) const;
  void begin(uint32_t i, uint32_t config, std::string reason);
  void drain(uint32_t i);
  // Why the GPUs cannot be cut now; empty: nobody is in the way.
  std::string obstacle(uint32_t i) const;
  void wait_for_users(uint32_t i);
  void cut(uint32_t i);
  void fail(uint32_t i, std::string why);
  void end(uint32_t i, Reconfiguration::Outcome outcome);
  void come_again(uint32_t i, Duration after);
  bool answers(NodeId node) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  NodeLifecycle& lifecycle_;
  ApiServer& api_;
  Engine& engine_;
  uint16_t step_;
};

}  // namespace kisim

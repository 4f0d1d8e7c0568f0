#pragma once
// What the cluster autoscaler's parts work on, and the sizes and health of its node groups
// (cluster-autoscaler/clusterstate). The cloud is part of it: it delivers nodes after the group's provision time, and
// takes back those that it has not delivered within max_node_provision_time.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/cluster_autoscaler_simulation.hpp"

#include <span>
#include <string>
#include <vector>

namespace kisim {

inline constexpr std::string_view kClusterAutoscaler = "cluster-autoscaler";

// The extended resources that are GPUs (cluster-autoscaler/utils/gpu/gpu.go).
std::vector<ResourceId> gpu_resources(const ClusterModel& cluster);

// The nodes of a group now.
struct NodeGroupReadiness {
  int32_t ready = 0, unready = 0;
  int32_t not_started = 0;  // unready, but joined no longer than 15 minutes ago (--max-node-startup-time)
};

struct AutoscalingContext {
  const KubeModel& kube;
  const ClusterAutoscalerModel& model;
  KubeState& kube_state;
  ClusterAutoscalerState& state;
  Cluster& cluster;
  const Scheduler& scheduler;
  ApiServer& api;
  Engine& engine;
  ClusterSimulation& simulation;
  std::vector<ResourceId> gpu_resources;  // of any vendor, in the order in which a node's are looked for

  Time now() const { return engine.now(); }
  bool present(NodeId node) const { return cluster.state.node_present[node.value] != 0; }
  const PodState& pod(PodId id) const { return cluster.state.pods[id]; }
  const PodTemplateModel& template_of(PodId id) const { return cluster.model.templates[pod(id).pod_template]; }
  bool of_daemon_set(PodId id) const;
  // Of so little priority that nobody grows or keeps a node for it (--expendable-pods-priority-cutoff).
  bool expendable(PodId id) const { return template_of(id).spec.priority < -10; }

  bool asks_for_gpus(PodId id) const;

  // Events on the ConfigMap cluster-autoscaler-status, as those of the autoscaler's own log.
  template <class Message>
  void log_event(KubeEvent::Type type, std::string_view reason, Message&& message) {
    static const ObjectMeta kStatus = [] {
      ObjectMeta meta;
      meta.namespace_ = "kube-system";
      meta.name = "cluster-autoscaler-status";
      return meta;
    }();
    api.event(type, reason, "ConfigMap", kStatus, kClusterAutoscaler, message);
  }
};

// Its recorder lets one event per reason and object pass in this time (utils/kubernetes/factory.go).
inline constexpr Duration kEventInterval = 300_s;

class NodeGroups {
 public:
  static constexpr uint32_t kNoGroup = 0xffffffffu;

  // `joins` is the kind of event that comes back as joined().
  NodeGroups(AutoscalingContext& context, uint16_t joins);

  void start();
  size_t size() const { return c_.model.groups.size(); }
  const NodeGroup& operator[](size_t group) const { return c_.model.groups[group]; }
  uint32_t of(NodeId node) const { return node.value < group_of_.size() ? group_of_[node.value] : kNoGroup; }

  // Nodes that are there or asked for: what upstream asks the cloud for as TargetSize.
  int32_t target(size_t group) const;
  // How many more it may get, and which they are.
  int32_t room(size_t group) const;
  std::vector<NodeId> absent(size_t group) const;
  NodeGroupReadiness readiness(size_t group) const;
  bool not_started(NodeId node) const;
  bool backed_off(size_t group) const;
  bool healthy(size_t group) const;
  bool cluster_healthy() const;
  // Nodes on their way that count as capacity: asked for, or joined but not ready yet.
  std::vector<NodeId> upcoming(size_t group) const;
  // The DaemonSets that a fresh node of the group gets a pod of.
  std::vector<TemplateId> daemons(size_t group) const;

  void request(size_t group, int32_t nodes);
  void joined(NodeId node);
  // Gives up nodes that are overdue, and backs off from their groups.
  void expire();

 private:
  void ask_for(size_t group, NodeId node);
  void back_off(size_t group);

  AutoscalingContext& c_;
  uint16_t joins_;
  std::vector<uint32_t> group_of_;  // by NodeId
};

// As Go prints a duration: "15m10s".
std::string go_duration(Duration d);

}  // namespace kisim

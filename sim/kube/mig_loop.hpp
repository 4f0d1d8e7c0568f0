#pragma once
// The loop around a MIG policy: every interval it shows the policy which pods wait for devices and how nodes could be
// cut, and hands what it asks for to mig-manager.

#include "core/engine.hpp"
#include "kube/mig_manager.hpp"
#include "policy/mig.hpp"

namespace kisim {

class MigLoop {
 public:
  // `look` is the kind of event that comes back as on_look().
  MigLoop(const KubeModel& model, KubeState& state, Cluster& cluster, MigManager& mig, Engine& engine, uint16_t look)
      : model_(model), state_(state), cluster_(cluster), mig_(mig), engine_(engine), look_(look) {}

  // The first look is one interval away.
  void start();
  void on_look();

 private:
  MigObservation observe() const;
  void observe_demands(MigObservation& out, std::vector<TemplateId>& templates) const;
  MigNodeView observe(const MigPolicyModel::Node& node, const std::vector<TemplateId>& templates) const;
  // Of devices that nobody would hold if the node were `version`, whose GPUs are cut as they are where `stays` says so.
  template <class Stays>
  MigCut cut(NodeId node, NodeId version, Stays stays, const std::vector<TemplateId>& templates) const;
  bool admits(NodeId node, NodeId version, TemplateId pods) const;
  bool waits(PodId pod) const;
  bool is_ready(NodeId node) const;
  void schedule_next();

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  MigManager& mig_;
  Engine& engine_;
  uint16_t look_;
};

}  // namespace kisim

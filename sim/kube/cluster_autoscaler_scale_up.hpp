#pragma once
// Scaling up (cluster-autoscaler/core/scaleup/orchestrator, estimator/binpacking_estimator.go): for every group that
// may grow, how many empty nodes of it would take how many of the pods, first fit, the biggest pods first; the expander
// chooses among the groups. Similar groups are not balanced (--balance-similar-node-groups=false).

#include "kube/cluster_autoscaler_expander.hpp"
#include "kube/cluster_autoscaler_groups.hpp"

#include <vector>

namespace kisim {

class ScaleUp {
 public:
  ScaleUp(AutoscalingContext& context, NodeGroups& groups) : c_(context), groups_(groups) {}

  // `pods` fit on no node of the simulation, upcoming ones included. True if nodes were asked for.
  bool run(const std::vector<PodId>& pods);
  // No attempt: the cluster has as many nodes as it may.
  void refuse_for_max_nodes(const std::vector<PodId>& pods);

 private:
  // Pods of one owner and template: what one of them says of a node, all do (core/scaleup/equivalence).
  struct PodGroup {
    TemplateId pod_template;
    std::vector<PodId> pods;
    bool schedulable = false;           // on an empty node of some group
    std::vector<uint8_t> fits;          // by node group
    std::vector<uint32_t> rejected_by;  // reasons of the groups that were asked, one after another
  };
  struct Option : ExpansionOption {
    std::vector<PodId> helped;
  };

  std::vector<PodGroup> group_pods(const std::vector<PodId>& pods) const;
  NoScaleUp skip_reason(size_t group) const;
  void find_schedulable(size_t group, std::vector<PodGroup>& pods);
  Option estimate(size_t group, const std::vector<PodGroup>& pods);
  int32_t limit(size_t group) const;
  double score(const PodGroup& pods, size_t group) const;
  int32_t capped(int32_t nodes);
  void tell_max_nodes();
  void execute(const Option& best, int32_t nodes);
  void tell_no_scale_up(const std::vector<PodGroup>& pods);
  std::string reasons_text(const PodGroup& pods) const;
  template <class Message>
  void not_triggered(PodId pod, Message&& message);

  AutoscalingContext& c_;
  NodeGroups& groups_;
  int32_t nodes_ = 0;  // in the simulation before anything is tried: those that are there, and upcoming ones
};

}  // namespace kisim

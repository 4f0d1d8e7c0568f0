#pragma once
// Whether a pod would fit another node, as far as the descheduler looks: a part of the scheduler's predicates
// (pkg/descheduler/node/node.go, NodeFit).

#include "cluster/tolerations.hpp"
#include "policy/descheduler_view.hpp"

#include <vector>

namespace kisim {

// Every NoSchedule and NoExecute taint of the node.
bool tolerates_node(const PodSpec& spec, const DeschedulerNode& node);

// The node is not cordoned, matches nodeSelector and required affinity, has no taint that keeps the pod away, runs no
// other pod of its required anti-affinity (there the topology key need only exist) and has room. On the pod's own node
// the room is not asked for. No spread constraints, ports, volumes or preferences.
bool fits(const DeschedulerView& view, ViewPodId pod, NodeId node);

// Which pods fit any of some nodes. Pods of one template differ only by the node that is their own, so two nodes that
// fit are enough to answer for all of them; they are looked for once.
class FittingNodes {
 public:
  // Precondition: `nodes` ascend.
  FittingNodes(const DeschedulerView& view, std::vector<NodeId> nodes);
  bool any(ViewPodId pod);
  bool any_other(ViewPodId pod);  // besides its own node

 private:
  struct Found {
    bool searched = false;
    NodeId first, second;  // invalid: none
  };
  const DeschedulerView& view_;
  std::vector<NodeId> nodes_;
  std::vector<Found> found_;  // by TemplateId
};

}  // namespace kisim

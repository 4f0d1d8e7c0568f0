#pragma once
// StatefulSets (pkg/controller/statefulset): pods with ordinals, one after another unless podManagementPolicy is
// Parallel; updates from the highest ordinal down to the partition, one pod at a time.

#include "kube/replica_set_controller.hpp"

#include <vector>

namespace kisim {

class StatefulSetController {
 public:
  explicit StatefulSetController(const ControlPlane& plane) : plane_(plane) {}

  void sync(WorkloadId workload);

 private:
  struct Turn {
    WorkloadId workload;
    const StatefulSet& object;
    WorkloadControl& control;
    int32_t replicas;
    bool monotonic;
    bool stopped = false;          // a refusal or the client's limit stopped it
    std::vector<PodId> wanted;     // by ordinal from first_ordinal on; invalid: no pod
    std::vector<PodId> condemned;  // highest ordinal first
  };

  Turn look(WorkloadId workload) const;
  // Each returns whether the next part of the turn may go on.
  bool fill(Turn& turn);
  bool condemn(Turn& turn);
  void update(Turn& turn);
  bool create(Turn& turn, size_t place);
  bool name_is_taken(const Turn& turn, uint32_t ordinal) const;
  bool available(const Turn& turn, PodId pod) const;
  TemplateId template_of(const Turn& turn, int32_t ordinal) const;

  ControlPlane plane_;
};

}  // namespace kisim

#pragma once
// One record of the descheduler's: its cluster as a view, its policies, and the Eviction API of the runs.

#include "conformance/records.hpp"
#include "kube/descheduler_cycle.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim::conformance {

class DeschedulerRecord {
 public:
  // Throws InputError if an object cannot be read.
  explicit DeschedulerRecord(const Json& record);

  // The policy `key` of the record as loaded, or nothing if it does not load; `problems` has the messages then.
  std::optional<DeschedulerPolicy> policy(const Json& record, const char* key,
                                          std::vector<std::string>& problems) const;

  const ClusterModel& model() const { return model_; }
  const DeschedulerSnapshot& snapshot() const { return snapshot_; }
  const std::string& pod_name(PodId pod) const { return names_[pod.value]; }
  const std::string& node_name(NodeId node) const { return model_.nodes[node].object.meta.name; }

  // Answers as the runs' API did: a Running or Unknown pod that is not being deleted is refused when the one budget
  // that covers it allows no more disruptions, of which every eviction takes one, and always when two cover it. A pod
  // that is not ready passes while the budget has its healthy pods. Counts what it grants.
  std::optional<std::string> evict(PodId pod);

 private:
  struct Budget {
    int64_t allowed = 0, healthy = 0, desired = 0;
  };

  void read_nodes(const Json& record, ClusterBuilder& builder);
  void read_pods(const Json& record, ClusterBuilder& builder);
  void read_budgets(const Json& record, ClusterBuilder& builder);
  Manifests read(const Json& object) const;
  Time time(const Json& object, const char* key) const;
  void read_status(const Json& status, DeschedulerPod& pod) const;

  std::string id_;
  std::vector<PriorityClass> classes_;
  ClusterModel model_;
  DeschedulerSnapshot snapshot_;
  std::vector<std::string> names_;   // of the pods
  std::vector<uint8_t> pod_ready_;   // by PodId
  std::vector<uint8_t> node_ready_;  // by NodeId
  std::vector<DeschedulerTemplate> facts_;
  std::vector<Budget> budgets_;  // as ClusterModel::budgets
};

}  // namespace kisim::conformance

#pragma once
// One cycle of the descheduler (pkg/descheduler/descheduler.go, runProfiles): the Deschedule plugins of all profiles,
// then all their Balance plugins, over one snapshot of the cluster and within the limits of the policy.

#include "policy/descheduler.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// As the label `result` of descheduler_pods_evicted has it: "success", "error", or which maximum is reached.
std::string_view to_string(DeschedulerResult result);

struct DeschedulerEviction {
  PodId pod;
  NodeId node;
  std::string profile, strategy, reason;  // strategy: the plugin
  DeschedulerResult result = DeschedulerResult::Success;
  std::string refusal;  // of result Error: what the Eviction API said
};

// What one plugin of one profile did.
struct DeschedulerStrategy {
  std::string profile, strategy;
  int64_t evicted = 0;  // requests accepted
  // Pods that it looked at and asked nobody to evict, by reason.
  std::map<std::string_view, int64_t> kept;
  std::string error;  // why it could not do its work; empty: it could
};

struct DeschedulerReport {
  bool skipped = false;                         // fewer than two nodes are ready and admitted
  int64_t evicted = 0;                          // requests accepted; a pod that two plugins pick counts twice
  std::vector<DeschedulerEviction> evictions;   // every request, in order
  std::vector<DeschedulerStrategy> strategies;  // in order of execution
};

// Asks the Eviction API for a pod. Returns why it refuses, or nothing.
using EvictPod = std::function<std::optional<std::string>(const DeschedulerEviction&)>;

class Descheduler {
 public:
  // Builds the plugins. Precondition: the policy is valid, as its reader checks.
  explicit Descheduler(DeschedulerPolicy policy);

  // Without `evict`, a dry run: every request within the limits is accepted, nobody is asked. (Upstream's dry run takes
  // the pods away as it goes; here they stay, as in a real cycle.)
  DeschedulerReport run(const DeschedulerView& view, const EvictPod& evict) const;

  const DeschedulerPolicy& policy() const { return policy_; }

 private:
  struct Profile {
    std::vector<std::unique_ptr<const DeschedulerPlugin>> deschedule, balance;  // in order of execution
    std::map<std::string, std::unique_ptr<const DeschedulerPlugin>> evictors;   // by name
  };

  DeschedulerPolicy policy_;
  std::vector<Profile> profiles_;  // as in the policy
};

}  // namespace kisim

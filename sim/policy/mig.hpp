#pragma once
// Role: how the GPUs of nodes are cut into MIG instances while the cluster runs. Called once per interval; what it asks
// for goes the way of a changed label nvidia.com/mig.config (kube/mig_manager.hpp).

#include "cluster/cluster.hpp"
#include "core/random.hpp"
#include "policy/memory.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// Pods of one template that wait because no node that may run them has the devices they ask for.
struct MigDemand {
  std::string_view name;  // of their workload
  int32_t priority = 0;
  int32_t pods = 0;
  Time since;  // creation of the oldest
  std::span<const PodTemplateModel::DeviceRequest> devices;
};

// A node with its GPUs cut in some way.
struct MigCut {
  uint32_t config = 0;          // of MigObservation::configs
  uint32_t users = 0;           // pods that would have to go first
  std::vector<int64_t> free;    // by ResourceId: devices that nobody would hold
  std::vector<uint8_t> admits;  // by demand: whether labels, taints and other resources let its pods run there
};

struct MigNodeView {
  std::string_view name;
  bool ready = false;           // and schedulable, with no reconfiguration under way
  std::optional<Time> changed;  // when its last reconfiguration ended, well or not
  MigCut now;                   // `config` and `users` mean nothing
  std::vector<MigCut> cuts;     // other ones that it may have
};

struct MigObservation {
  Time now;
  std::span<const std::string> configs;  // values of the label nvidia.com/mig.config
  std::vector<MigDemand> demands;        // the highest priority first, then the oldest
  std::vector<MigNodeView> nodes;
};

struct MigRequest {
  uint32_t node = 0, config = 0;  // of the observation
  std::string reason;
};

// Policies are const and shared by all threads.
class MigPolicy {
 public:
  virtual ~MigPolicy() = default;
  // Never null.
  virtual std::unique_ptr<PolicyMemory> make_memory() const = 0;
  // At most one request per node.
  virtual std::vector<MigRequest> decide(const MigObservation& observation, PolicyMemory& memory,
                                         Stream& stream) const = 0;
};

}  // namespace kisim

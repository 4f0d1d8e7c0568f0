#pragma once
// How many pods of certain templates run in each topology domain, kept up to date as pods come and go: what
// PodTopologySpread and InterPodAffinity ask, at a cost that does not depend on the number of running pods.

#include "cluster/cluster.hpp"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace kisim {

using TopologyKeyId = Id<struct TopologyKeyTag>;
using CounterId = Id<struct CounterTag>;

// The domains of one label key: a number for each of its values, by entry of ClusterModel::nodes.
struct TopologyKey {
  static constexpr int32_t kAbsent = -1;
  std::string name;
  std::vector<int32_t> domain;  // kAbsent: the node lacks the label
  size_t domains = 0;
};

struct DomainCounter {
  TopologyKeyId key;
  // By template: what one of its pods adds to its domain. Those that are not counted at all have no entry, so a weight
  // of 0 still counts as a pod.
  std::vector<std::pair<TemplateId, int32_t>> weights;
  // By entry of ClusterModel::nodes: whether its pods, and the node as part of its domain, count. Empty: all do.
  std::vector<uint8_t> eligible;
  uint16_t refused_conditions = 0;  // a node with any of these does not count
  bool terminating = true;          // pods that are being deleted count, too
  bool dry_runs_only = false;       // only pods that a dry run takes off or puts on change it
  size_t first = 0;                 // of its domains among all counters'
};

// What the plugins of a scheduler count. Equal counters are kept once.
class DomainCounters {
 public:
  DomainCounters() = default;
  explicit DomainCounters(const ClusterModel& model) : model_(&model) {}

  // The empty name stands for the node itself: a domain for each node.
  TopologyKeyId key(const std::string& name);
  CounterId add(DomainCounter counter);

  const TopologyKey& key(TopologyKeyId id) const { return keys_[id]; }
  const DomainCounter& counter(CounterId id) const { return counters_[id]; }
  size_t size() const { return counters_.size(); }
  size_t domains() const { return domains_; }  // of all counters together
  // The counters that count pods of a template, and with what weight. After finish().
  std::span<const std::pair<CounterId, int32_t>> counting(TemplateId id) const { return counting_[id]; }
  void finish();

 private:
  const ClusterModel* model_ = nullptr;  // until finish()
  IdVector<TopologyKeyId, TopologyKey> keys_;
  IdVector<CounterId, DomainCounter> counters_;
  std::map<std::string, TopologyKeyId> key_names_;
  std::map<std::vector<int64_t>, CounterId> known_;
  IdVector<TemplateId, std::vector<std::pair<CounterId, int32_t>>> counting_;
  size_t domains_ = 0;
};

}  // namespace kisim

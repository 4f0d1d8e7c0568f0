#pragma once
// Why a pod is where it is, or why it waits: worked out by replay, so that a run need not record it.

#include "run/world.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

// What one score plugin made of one node.
struct ScoreExplanation {
  std::string plugin;
  int64_t raw = 0, normalized = 0, weight = 1, weighted = 0;
};

struct NodeExplanation {
  std::string node;
  // Rejected: the first plugin that did, its status and its reasons in Kubernetes' words. Empty for a feasible node.
  std::string plugin, code;
  std::vector<std::string> reasons;
  // Feasible, and at least two nodes were: a row per score plugin that ran.
  std::vector<ScoreExplanation> scores;
  int64_t total = 0;
};

// All of it together makes the pod fit the node.
struct FitExplanation {
  std::string node;
  std::vector<std::string> changes;
  std::vector<std::function<void(PodTemplate&)>> apply;
};

struct PreemptionExplanation {
  std::string message;               // why it does not help; empty where it does
  std::string node;                  // where room would be made
  std::vector<std::string> victims;  // most important first
};

// One scheduling cycle in full.
struct CycleExplanation {
  Time at;
  uint64_t attempt = 0;
  bool scheduled = false;
  std::string node;                    // scheduled
  std::string message;                 // not scheduled: as the event FailedScheduling says
  std::vector<NodeExplanation> nodes;  // that were looked at, in visiting order
  size_t nodes_in_cluster = 0;
  std::string tie;                                  // how one of several best nodes was chosen; empty without a tie
  std::vector<FitExplanation> fits;                 // not scheduled: smallest change first
  std::optional<PreemptionExplanation> preemption;  // not scheduled
};

// Pods that were evicted to make room, at one moment.
struct EvictionExplanation {
  Time at;
  std::string preemptor, node;
  std::vector<std::string> victims;  // most important first
};

// GPUs that were to be cut anew while the pod waited, or for which it was evicted.
struct ReconfigurationExplanation {
  Reconfiguration told;
  std::string node;
  bool evicted = false;  // the pod
};

struct PodExplanation {
  std::string pod;  // namespace/name
  Time at;
  std::string phase;  // of the pod at that time
  std::string node;   // where it runs
  Time created, bound;
  std::string start_phase;  // of the start of its containers that is under way; empty: none is
  Time start_phase_since;
  std::string waits;  // where in the scheduling queue and until what, for a pod that is not bound
  uint64_t attempts = 0;
  std::vector<EvictionExplanation> evictions;  // that it caused, or that it was a victim of
  std::vector<ReconfigurationExplanation> reconfigurations;
  std::optional<CycleExplanation> cycle;  // that bound it, or that it would go through now
};

// Replays the model to `at` and explains the pod with that name, "namespace/name" or the name alone. Throws InputError,
// with the names that are closest, if there is no such pod by then.
PodExplanation explain_pod(std::shared_ptr<const Model> model, const std::string& name, Time at);

}  // namespace kisim

#pragma once
// Where evicting pods of lower priority would make room for a pod: pkg/scheduler/framework/preemption/preemption.go and
// plugins/defaultpreemption/default_preemption.go. The search changes nothing; the plugin DefaultPreemption acts on it.

#include "policy/scheduler.hpp"
#include "policy/scheduler_args.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace kisim {

// Why there is no help, in the order of preemption_reasons().
enum class PreemptionReason : uint8_t { NotHelpful, NoVictims, PolicyNever, TerminatingVictim };
// As Kubernetes words them.
std::vector<std::string> preemption_reasons();

// A node that fits the pod once the victims are gone.
struct PreemptionCandidate {
  NodeId node;
  std::vector<PodId> victims;  // most important first: by priority, then by earlier start
  int32_t pdb_violations = 0;  // victims whose eviction breaks a PodDisruptionBudget

  // What the choice looks at after pdb_violations, in this order.
  int32_t highest_priority = 0;  // of a victim
  int64_t priority_sum = 0;      // of all victims, each counted from the lowest possible one
  Time earliest_start;           // of the victims of the highest priority; the later, the better

  // Less is better; equal candidates are equally good.
  auto cost() const {
    return std::make_tuple(pdb_violations, highest_priority, priority_sum, victims.size(), -earliest_start.ns);
  }
};

// A node that would not fit the pod even without any pod of lower priority.
struct PreemptionFailure {
  NodeId node;
  bool no_victims = false;  // it runs none; `verdict` says nothing then
  NodeVerdict verdict;      // of the filters with all of them gone
};

struct PreemptionSearch {
  bool eligible = true;                                    // the pod may evict others
  PreemptionReason reason = PreemptionReason::NotHelpful;  // unless there is a candidate
  std::vector<NodeId> potential_nodes;                     // where evictions might help, in visiting order
  std::vector<PreemptionCandidate> candidates;             // in visiting order
  std::vector<PreemptionFailure> failures;                 // likewise
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t best = kNone;  // of `candidates`; the first of several that are equally good
};

// `verdicts` are by NodeId, of a cycle that left no node for the pod of `c`. With very many potential nodes not all of
// them are tried, from a random one on (DefaultPreemptionArgs). `on_failure` is called for each failed node while its
// pods are still away, so that the reasons can be asked.
PreemptionSearch find_preemption(const PluginContext& c, const DefaultPreemptionArgs& args,
                                 std::span<const NodeVerdict> verdicts, FilterDryRun& trial,
                                 const std::function<void(const PreemptionFailure&)>& on_failure = {});

}  // namespace kisim

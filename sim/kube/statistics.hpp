#pragma once
// What the control plane did, counted: for the summary and the report.

#include "cluster/cluster.hpp"
#include "kube/pod_start.hpp"
#include "stats/time_weighted.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// Decisions by reason, "reason" or "reason: detail". The list is short and grows only when a reason is new.
class DecisionCounts {
 public:
  struct Entry {
    std::string reason, detail;
    uint64_t count = 0;
    std::string text() const { return detail.empty() ? reason : reason + ": " + detail; }
  };

  void add(std::string_view reason, std::string_view detail = {}, uint64_t count = 1) {
    for (Entry& e : entries_)
      if (e.reason == reason && e.detail == detail) return void(e.count += count);
    entries_.push_back({std::string(reason), std::string(detail), count});
  }
  // In order of first appearance.
  const std::vector<Entry>& entries() const { return entries_; }
  // 0 if it never came.
  uint64_t count(std::string_view text) const {
    for (const Entry& e : entries_)
      if (e.text() == text) return e.count;
    return 0;
  }

 private:
  std::vector<Entry> entries_;
};

// One change of spec.replicas.
struct Scaling {
  Time at;
  WorkloadId workload;
  int32_t from = 0, to = 0;
  std::string reason;
};

// GPUs of a node that were to be cut anew.
struct Reconfiguration {
  Time at, ended;
  NodeId node;
  std::string config, reason;  // nvidia.com/mig.config; who wanted it and why
  std::vector<PodId> evicted;
  enum class Outcome : uint8_t { Pending, Success, Failed } outcome = Outcome::Pending;
  std::string why;  // it failed
};

struct KubeStatistics {
  // Since the end of warm-up.
  struct Workload {
    TimeWeighted ready;
    uint64_t scale_ups = 0, scale_downs = 0;
  };
  IdVector<WorkloadId, Workload> workloads;
  TimeWeighted pending;  // pods not bound
  TimeWeighted nodes;    // objects, ready or not: what is paid for

  // Of the whole run: pods and decisions are told one by one, and those of the warm-up explain the rest.
  uint64_t scheduled = 0, preempted = 0, evicted = 0, restarts = 0;
  DecisionCounts decisions;
  std::vector<Scaling> scalings;
  std::vector<Reconfiguration> reconfigurations;  // likewise
  std::vector<PodStart> starts;                   // that became ready, in this order
};

}  // namespace kisim

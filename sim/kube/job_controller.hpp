#pragma once
// Jobs (pkg/controller/job): pods that run to an end, as many at a time as parallelism says, until completions have
// succeeded or more than backoffLimit have failed. Pods that are deleted before their end count as failed.

#include "kube/replica_set_controller.hpp"

#include <vector>

namespace kisim {

class JobController {
 public:
  explicit JobController(const ControlPlane& plane) : plane_(plane) {}

  void sync(WorkloadId workload);

 private:
  // Failures in a row, and when the last of them was.
  struct Failures {
    uint32_t count = 0;
    Time last;
    Time backoff_ends() const;  // when pods may be created again
  };
  // One completion index.
  struct Index {
    bool done = false, taken = false;
    Failures failures;
  };
  struct Turn {
    WorkloadId workload;
    const Job& object;
    WorkloadControl& control;
    std::vector<PodId> active;
    int32_t terminating = 0;
    uint32_t succeeded = 0, failed = 0, restarts = 0;
    Time last_success;
    std::vector<Time> ends;      // of the pods that failed
    std::vector<Index> indexes;  // Indexed
    uint32_t failed_indexes = 0;

    bool indexed() const { return object.completion_mode == Job::Completion::Indexed; }
    // More failures than backoffLimitPerIndex.
    bool given_up(const Index& index) const {
      return object.backoff_limit_per_index &&
             index.failures.count > static_cast<uint32_t>(*object.backoff_limit_per_index);
    }
  };

  Turn look(WorkloadId workload) const;
  void count_end(Turn& turn, const JobState::Gone& pod) const;
  // The condition that ends it, and why; nothing: it goes on.
  struct End {
    bool complete;
    std::string_view reason;
    const char* message;
  };
  std::optional<End> end_of(const Turn& turn) const;
  void finish(Turn& turn, const End& end);
  void suspend(Turn& turn);
  void give_up(Turn& turn, PodId pod);
  void manage(Turn& turn);
  int32_t wanted_active(const Turn& turn) const;
  Failures failures_since_success(const Turn& turn) const;
  uint32_t next_index(Turn& turn) const;

  ControlPlane plane_;
};

}  // namespace kisim

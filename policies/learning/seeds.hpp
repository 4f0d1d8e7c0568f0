#pragma once
// The same training with several seeds, side by side.

#include "trainer.hpp"

#include <atomic>
#include <exception>
#include <string>
#include <vector>

namespace kisim::learning {

struct SeedsRequest {
  // Of each; its seed and directory are set by the seeds. `threads`: of all together, 0: as many as there are cores.
  TrainRequest training;
  std::vector<uint64_t> seeds;
  bool resume = false;      // go on after the newest checkpoints in the directory
  std::string description;  // for training.json, unless this goes on
};

// Steps of all seeds so far.
struct SeedsProgress {
  std::atomic<int64_t> before = 0;  // of the trainings that these go on from
  std::atomic<int64_t> done = 0;    // since then
};

struct SeedsResult {
  std::vector<TrainResult> results;          // of those that came to their end, in the order of the seeds
  std::vector<std::exception_ptr> failures;  // what the others threw; a TrainingError says which of several seeds it is
};

// Side by side where the machine's BLAS allows it (threads_may_multiply), else one after another.
// Training of seed s writes to <directory>/seed-<s>. `stop` ends them early, with a checkpoint; they are then in
// neither list. Throws UsageError where the directory holds an earlier training that it does not go on from, InputError
// where one of its checkpoints is damaged; what is refused writes nothing.
SeedsResult train_seeds(const SeedsRequest& request, SeedsProgress& progress, const std::atomic<bool>& stop);

}  // namespace kisim::learning

#pragma once
// The same training with several seeds, side by side.

#include "trainer.hpp"

#include <atomic>
#include <string>
#include <vector>

namespace kisim::learning {

// In the directory: what a later training that goes on has to know.
inline constexpr const char* kTrainingFile = "training.json";

struct SeedsRequest {
  // Of each; its seed and directory are set by the seeds. `threads`: of all together, 0: as many as there are cores.
  TrainRequest training;
  std::vector<uint64_t> seeds;
  bool resume = false;      // go on after the newest checkpoints in the directory
  std::string description;  // for kTrainingFile, unless this goes on
};

// Steps of all seeds so far.
struct SeedsProgress {
  std::atomic<int64_t> before = 0;  // of the trainings that these go on from
  std::atomic<int64_t> done = 0;    // since then
};

// Side by side where the machine's BLAS allows it (threads_may_multiply), else one after another.
// Training of seed s writes to <directory>/seed-<s>. `stop` ends them early, with a checkpoint; their results are then
// left out. In the order of the seeds. Throws what a training throws, of several the first seed's, and UsageError where
// the directory holds an earlier training that it does not go on from; what is refused writes nothing.
std::vector<TrainResult> train_seeds(const SeedsRequest& request, SeedsProgress& progress,
                                     const std::atomic<bool>& stop);

}  // namespace kisim::learning

#pragma once
// The same training with several seeds, side by side.

#include "trainer.hpp"

#include <atomic>
#include <functional>
#include <vector>

namespace kisim::learning {

struct SeedsRequest {
  // Of each; its seed and directory are set by the seeds. `threads`: of all together, 0: as many as there are cores.
  TrainRequest training;
  std::vector<uint64_t> seeds;
  bool resume = false;  // go on after the newest checkpoints in the directory
};

// Training of seed s writes to <directory>/seed-<s>. `steps`: of all seeds so far. `stop` ends them early, with a
// checkpoint; their results are then left out. In the order of the seeds. Throws what a training throws, of several
// the first seed's.
std::vector<TrainResult> train_seeds(const SeedsRequest& request, std::atomic<int64_t>& steps,
                                     const std::atomic<bool>& stop);

}  // namespace kisim::learning

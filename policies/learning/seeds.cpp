#include "seeds.hpp"

#include "core/parallel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>

namespace kisim::learning {
namespace {

std::optional<TrainResult> train_one(const TrainRequest& request, bool resume, std::atomic<int64_t>& steps,
                                     const std::atomic<bool>& stop) {
  Trainer trainer(request);
  int64_t counted = 0;
  auto count = [&](int64_t done) {
    steps += done - counted;
    counted = done;
    return !stop;
  };
  if (resume && trainer.resume()) count(trainer.steps());
  trainer.run(request.steps, count);
  if (!trainer.done()) return std::nullopt;
  return trainer.finish();
}

}  // namespace

std::vector<TrainResult> train_seeds(const SeedsRequest& request, std::atomic<int64_t>& steps,
                                     const std::atomic<bool>& stop) {
  const size_t threads = thread_count(request.training.threads);
  const size_t workers = std::min(threads, request.seeds.size());
  std::vector<std::optional<TrainResult>> results(request.seeds.size());
  std::vector<std::exception_ptr> failures(request.seeds.size());
  // One that fails leaves the others to finish: their files are worth having.
  parallel_for(request.seeds.size(), workers, [&](size_t i) {
    if (stop) return;
    TrainRequest one = request.training;
    one.seed = request.seeds[i];
    one.threads = std::max<size_t>(1, threads / workers);
    if (!one.directory.empty()) one.directory += fmt::format("/seed-{}", one.seed);
    try {
      results[i] = train_one(one, request.resume, steps, stop);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });

  std::vector<TrainResult> out;
  for (size_t i = 0; i < results.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    if (results[i]) out.push_back(*results[i]);
  }
  return out;
}

}  // namespace kisim::learning

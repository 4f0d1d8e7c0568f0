#include "seeds.hpp"

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "tensor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>

namespace kisim::learning {
namespace {

class SeedsTraining {
 public:
  SeedsTraining(const SeedsRequest& request, SeedsProgress& progress, const std::atomic<bool>& stop)
      : request_(request),
        progress_(progress),
        stop_(stop),
        described_(request.resume || request.training.directory.empty()) {
    if (!described_) refuse_earlier();
    // A damaged checkpoint is told before hours of the others' training.
    if (request_.resume) {
      for (uint64_t seed : request_.seeds) {
        const std::vector<std::string> paths = checkpoint_paths(directory_of(seed));
        if (!paths.empty()) Checkpoint::read(paths[0]);
      }
    }
  }

  // Nothing where it was stopped.
  std::optional<TrainResult> train(uint64_t seed, size_t threads) {
    TrainRequest one = request_.training;
    one.seed = seed;
    one.threads = threads;
    if (!one.directory.empty()) one.directory = directory_of(seed);
    Trainer trainer(one);
    if (request_.resume && trainer.resume()) progress_.before += trainer.steps();
    describe();
    int64_t counted = trainer.steps();
    trainer.run(one.steps, [&](int64_t steps) {
      progress_.done += steps - counted;
      counted = steps;
      return !stop_;
    });
    if (!trainer.done()) return std::nullopt;
    return trainer.finish();
  }

 private:
  std::string directory_of(uint64_t seed) const { return fmt::format("{}/seed-{}", request_.training.directory, seed); }
  std::string description_path() const { return request_.training.directory + "/training.json"; }

  void refuse_earlier() const {
    std::error_code none;
    bool found = std::filesystem::exists(description_path(), none);
    for (uint64_t seed : request_.seeds) found = found || !checkpoint_paths(directory_of(seed)).empty();
    if (!found) return;
    throw UsageError(
        fmt::format("{0} holds an earlier training: go on with it (--resume {0}), or choose another directory",
                    request_.training.directory));
  }

  // Once there is a training, nothing is left to be refused.
  void describe() {
    const std::lock_guard lock(describing_);
    if (described_) return;
    make_directories(request_.training.directory);
    write_file(description_path(), request_.description);
    described_ = true;
  }

  const SeedsRequest& request_;
  SeedsProgress& progress_;
  const std::atomic<bool>& stop_;
  std::mutex describing_;
  bool described_;
};

}  // namespace

SeedsResult train_seeds(const SeedsRequest& request, SeedsProgress& progress, const std::atomic<bool>& stop) {
  SeedsTraining training(request, progress, stop);
  const size_t threads = thread_count(request.training.threads), n = request.seeds.size();
  const size_t workers = threads_may_multiply() ? std::min(threads, n) : 1;
  std::vector<std::optional<TrainResult>> results(n);
  std::vector<std::exception_ptr> failures(n);
  // One that fails leaves the others to finish: what they found is worth having.
  parallel_for(n, workers, [&](size_t i) {
    if (stop) return;
    try {
      results[i] = training.train(request.seeds[i], std::max<size_t>(1, threads / workers));
    } catch (const TrainingError& error) {
      const std::string which = n > 1 ? fmt::format("seed {}: ", request.seeds[i]) : "";
      failures[i] = std::make_exception_ptr(TrainingError(which + error.what()));
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });

  SeedsResult out;
  for (size_t i = 0; i < n; ++i) {
    if (failures[i]) out.failures.push_back(failures[i]);
    if (results[i]) out.results.push_back(*results[i]);
  }
  return out;
}

}  // namespace kisim::learning

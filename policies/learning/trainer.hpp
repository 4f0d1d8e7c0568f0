#pragma once
// One training from its first step to its files: the loop, evaluations, curves, checkpoints and policies.

#include "algorithm.hpp"
#include "logger.hpp"

#include <functional>
#include <optional>
#include <string>

namespace kisim::learning {

struct TrainRequest {
  std::string environment;  // its name
  VectorEnv::Factory make;
  std::string algorithm;
  int64_t steps = 0;
  uint64_t seed = 0;
  std::map<std::string, std::string> values;  // parameters, as train_values() has them
  size_t threads = 1;                         // of the environments; changes no result
  std::string directory;                      // for files; empty: none
  std::string version;                        // of kisim
  // For the policy file: its name, how observations are made (PolicyFile::coding), and more of where it comes from.
  std::string policy_name, coding = "{}";
  std::map<std::string, std::string> provenance;
};

struct TrainResult {
  uint64_t seed = 0;
  int64_t steps = 0;
  double evaluation = 0;       // mean return at the end
  double best_evaluation = 0;  // of all evaluations
  double samples_per_s = 0;    // steps by the time that acting and learning took in this process
};

class Trainer {
 public:
  // Writes nothing yet. Throws UsageError where the algorithm cannot do with the environment.
  explicit Trainer(const TrainRequest& request);

  // Continues after the newest checkpoint in the directory; false if there is none. Throws InputError where it is
  // damaged or of another training, naming what differs.
  bool resume();
  // Trains until `steps` are done, or those of the request if that is less. `goes_on` is asked after each iteration,
  // with the steps so far; if it says no, a checkpoint is written. Throws TrainingError, the last checkpoint stays.
  void run(int64_t steps, const std::function<bool(int64_t)>& goes_on);
  int64_t steps() const { return steps_; }
  bool done() const { return steps_ >= request_.steps; }
  // After the last step: evaluates, and writes the last policy and checkpoint.
  TrainResult finish();

  void save_checkpoint();
  PolicyNetwork policy() const { return algorithm_->policy(); }

 private:
  bool files() const { return !request_.directory.empty(); }
  bool due(int64_t interval, int64_t before) const;
  std::string identity() const;
  std::string path(const std::string& name) const { return request_.directory + '/' + name; }
  void archive(Checkpoint& checkpoint);
  void iterate();
  double evaluate_now();
  void log(const Metrics& metrics, double samples_per_s);
  void write_policy(const std::string& file, double evaluation);
  void drop_old_checkpoints();

  TrainRequest request_;
  Params params_;
  std::unique_ptr<Algorithm> algorithm_;
  int64_t steps_ = 0;
  uint64_t curve_bytes_ = 0;
  double best_ = -std::numeric_limits<double>::infinity();
  // By this process.
  int64_t own_steps_ = 0;
  double own_seconds_ = 0;
  std::optional<CurvesFile> curves_;
  std::optional<EventFile> events_;
};

// Checkpoints of a directory, the newest first.
std::vector<std::string> checkpoint_paths(const std::string& directory);

}  // namespace kisim::learning

#pragma once
// What the trainer sees of an algorithm.

#include "checkpoint.hpp"
#include "environments.hpp"
#include "rl/actor.hpp"
#include "train_settings.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace kisim::learning {

// Learning has come to nothing: a loss that is no number.
class TrainingError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Figures of one iteration by CleanRL's tags, in the order of the columns; NaN: there is none.
using Metrics = std::vector<std::pair<std::string, double>>;

struct TrainingPlan {
  Params params;
  int64_t steps = 0;  // of all environments together
  uint64_t seed = 0;
  size_t threads = 1;        // of the environments
  bool checkpoints = false;  // archive() will be called
};

// Of the parameters that all algorithms have.
EnvironmentsSettings environments_settings(const TrainingPlan& plan);

class Algorithm {
 public:
  virtual ~Algorithm() = default;

  // Acts and learns for a while. Returns the environment steps that it took. Throws TrainingError.
  virtual int64_t iterate(Metrics& metrics) = 0;
  // The policy as it is to be deployed: its normaliser, and outputs whose likeliest action is meant.
  virtual PolicyNetwork policy() const = 0;
  // What the discounted rewards from an observation on are thought to be worth, with nothing in mind: the critic's V,
  // or the largest Q.
  virtual double value(std::span<const float> observation) const = 0;
  virtual Environments& environments() = 0;
  virtual void archive(Checkpoint& checkpoint) = 0;
};

// Throws UsageError if the algorithm cannot do with the environment's actions, or without memory.
std::unique_ptr<Algorithm> make_algorithm(const std::string& name, const VectorEnv::Factory& make,
                                          const TrainingPlan& plan);

// From `first` to 0 over the training if linear: `done` of `all` iterations are over.
inline double scheduled(double first, bool linear, int64_t done, int64_t all) {
  return linear ? first * (1 - static_cast<double>(done) / static_cast<double>(all)) : first;
}

}  // namespace kisim::learning

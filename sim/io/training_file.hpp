#pragma once
// The documents that say what a policy is trained on (kind: Training) and where policies are compared (kind:
// Evaluation). Both name families of scenarios; what a scenario lacks, such as an autoscaler or the agent that is
// trained, is laid over it.

#include "gym/autoscaling.hpp"
#include "io/input.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kisim {

// Beside and over a scenario: manifests, and values of its spec by path.
struct ScenarioOverlay {
  std::vector<std::string> files;
  std::vector<std::pair<std::string, std::string>> set;
};

struct TrainingFile {
  std::string name;
  AutoscalingSpec environment;
  std::string algorithm = "ppo", preset;
  std::map<std::string, std::string> parameters;  // of the algorithm
  int64_t steps = 0;
  std::vector<uint64_t> seeds;
  std::string coding;  // of the agent, as its policy files keep it
  std::string text;    // as read, for the record
};
// Throws InputError, IoError.
TrainingFile read_training(const std::string& path);

struct EvaluationFile {
  struct Contestant {
    std::string name;
    ScenarioOverlay overlay;
  };
  std::string name;
  std::vector<std::string> families;  // files of scenarios
  ScenarioOverlay overlay;            // of all contestants
  // Of policy files that are compared, too: the workloads that they scale.
  std::string agent = "agent";
  std::vector<std::string> workloads;
  std::vector<Contestant> contestants;
  std::string baseline;  // a contestant; empty: the first
  std::vector<uint64_t> seeds;
  VariationRange variation;  // that each run draws, the same for all contestants
};
// Throws InputError, IoError.
EvaluationFile read_evaluation(const std::string& path);
// A policy file as a contestant. Throws UsageError where the evaluation does not say whose agent it is.
EvaluationFile::Contestant policy_contestant(const EvaluationFile& evaluation, const std::string& name,
                                             const std::string& file);
// What the contestant runs in a family.
Scenario scenario_of(const EvaluationFile& evaluation, const EvaluationFile::Contestant& contestant,
                     const std::string& family, uint64_t seed);

}  // namespace kisim

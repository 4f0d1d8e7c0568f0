#pragma once
// The documents that say what a policy is trained on (kind: Training) and where policies are compared (kind:
// Evaluation). Both name families of scenarios; what a scenario lacks, such as an autoscaler or the agent that is
// trained, is laid over it.

#include "gym/autoscaling.hpp"
#include "io/input.hpp"
#include "run/comparison.hpp"
#include "run/search.hpp"

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
  std::string coding;                 // of the agent, as its policy files keep it
  Duration interval;                  // from decision to decision of the agent
  std::string text;                   // as read, for the record
  std::vector<std::string> warnings;  // of the document, of its scenarios and of compiling them
  // Where the algorithm, its preset and its parameters stand: "algorithm", "preset", "parameters.<name>"; whoever
  // knows the algorithms checks them.
  std::map<std::string, SourceMark> marks;
};
// `strict`: unknown fields and other warnings, of the document and of its scenarios, are errors. Throws InputError,
// IoError.
TrainingFile read_training(const std::string& path, bool strict = false);

struct EvaluationFile {
  struct Family {
    std::string file;  // of its scenario
    SourceMark mark;   // where it is named
  };
  struct Contestant {
    std::string name;
    std::vector<ScenarioOverlay> trainings;  // one, if it is no policy that was trained several times
    std::vector<std::string> policies;       // files of them; none: the document says what it is
  };
  std::string path, name;
  bool strict = false;
  std::vector<Family> families;
  ScenarioOverlay overlay;  // of all contestants
  // Of policy files that are compared, too: the workloads that they scale.
  std::string agent = "agent";
  std::vector<std::string> workloads;
  std::vector<Contestant> contestants;
  std::string baseline;      // a contestant
  bool clairvoyant = false;  // beside them the bound of who knows the load to come
  std::vector<uint64_t> seeds;
  VariationRange variation;  // that each run draws, the same for all contestants
  std::vector<std::string> warnings;
};
// `strict`: unknown fields and other warnings, of the document and of its scenarios, are errors. Throws InputError,
// IoError.
EvaluationFile read_evaluation(const std::string& path, bool strict = false);
// A policy file as a contestant, or as one more training of the one that has this name. Throws InputError, IoError, and
// UsageError where the evaluation does not say whose agent it is, has a contestant of its own of this name, or is given
// a training twice.
void add_policy(EvaluationFile& evaluation, const std::string& name, const std::string& file);

struct CompiledEvaluation {
  std::vector<kisim::Contestant> contestants;
  std::vector<std::string> families;  // names of the scenarios
  size_t baseline = 0;
  std::vector<std::string> warnings;  // each text once
};
// Reads and compiles what each contestant runs in each family. Throws InputError, IoError.
CompiledEvaluation compile_evaluation(const EvaluationFile& evaluation);

struct SearchFile {
  std::string path;
  std::vector<std::string> families;  // files of scenarios
  ScenarioOverlay overlay;            // in which ${name} stands for the value of a parameter
  SearchSpec spec;
  std::vector<std::string> warnings;
};
// Throws InputError, IoError.
SearchFile read_search(const std::string& path);
// What runs with these settings, by family. Throws InputError, IoError.
std::vector<std::shared_ptr<const Model>> compile_candidate(const SearchFile& file, const Settings& settings);

}  // namespace kisim

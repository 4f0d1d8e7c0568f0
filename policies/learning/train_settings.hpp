#pragma once
// The parameters of each algorithm, declared once, and the presets that publications and other trainers use.

#include "policy/param.hpp"

#include <map>
#include <string>
#include <vector>

namespace kisim::learning {

struct AlgorithmSpec {
  std::string name, doc;
  std::vector<ParamSpec> params;
};

// ppo, a2c, reinforce, dqn.
const std::vector<AlgorithmSpec>& algorithms();
// Throws UsageError for an unknown name.
const AlgorithmSpec& find_algorithm(const std::string& name);

struct TrainPreset {
  std::string name, algorithm, doc;
  int64_t steps = 0;  // that it was published with
  std::map<std::string, std::string> values;
};

const std::vector<TrainPreset>& train_presets();

// The algorithm's defaults, the preset's values (none: "") over them, and `given` over both. Throws UsageError that
// names the parameter, what was found and what is allowed.
Params train_params(const AlgorithmSpec& algorithm, const std::string& preset,
                    const std::map<std::string, std::string>& given);
// The same as text, for files; reading it back gives the same.
std::map<std::string, std::string> train_values(const AlgorithmSpec& algorithm, const std::string& preset,
                                                const std::map<std::string, std::string>& given);
// "64,64"; empty: none. Throws UsageError.
std::vector<int64_t> layer_sizes(const std::string& text);

}  // namespace kisim::learning

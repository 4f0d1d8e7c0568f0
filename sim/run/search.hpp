#pragma once
// Settings of a policy that are searched for, so that it is compared at its best: of candidates drawn from a space
// those with the least total cost (what the GPUs cost and what missed SLOs cost), by successive halving (Jamieson and
// Talwalkar, Non-stochastic best arm identification, AISTATS 2016). All candidates run in the same few scenarios and
// seeds; the best third of them runs in thrice as many, and so on, until one is left or the budget is spent.

#include "run/model.hpp"
#include "run/variant.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kisim {

struct SearchParameter {
  std::string name;
  double low = 0, high = 0;  // drawn evenly from [low, high], where there are no values
  bool integer = false;
  std::vector<std::string> values;  // each equally likely
};
using Settings = std::map<std::string, std::string>;  // text by parameter

struct SearchSpec {
  std::vector<SearchParameter> parameters;
  size_t budget = 0;  // runs
  uint64_t seed = 0;  // of the candidates; the n-th run of each family has the seed `seed` + n
  VariationRange variation;
};

struct SearchedCandidate {
  Settings settings;
  size_t runs = 0;
  // Means over them.
  double total = 0, cost = 0, attainment = 0;
};

struct SearchResult {
  std::vector<SearchedCandidate> candidates;  // those with most runs first, then by total cost
  size_t runs = 0;
  double simulated_hours = 0;
};

// The settings of the n-th candidate: all of the space, in order, if it has no more than `most`, or drawn.
std::vector<Settings> candidates_of(const SearchSpec& spec, size_t most);
// How many candidates the budget lasts for, if each family is run once in the first round.
size_t first_round(size_t budget, size_t families);

// `compiled`: what runs with these settings in each family. Throws InputError where a run has no cost or no penalty,
// and what `compiled` throws. Results do not depend on `threads`. Once `stop` is set they are of no use.
SearchResult search(const SearchSpec& spec,
                    const std::function<std::vector<std::shared_ptr<const Model>>(const Settings&)>& compiled,
                    size_t families, size_t threads, const std::atomic<bool>& stop);

}  // namespace kisim

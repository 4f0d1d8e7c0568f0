#pragma once
// Policies or settings compared on equal terms: the same scenarios, the same seeds, and of each figure the differences
// run by run, with bootstrap intervals.

#include "run/scenario.hpp"
#include "run/summary.hpp"
#include "run/variant.hpp"
#include "stats/interval.hpp"

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// A figure of a run. `better`: which way is; `per_cent`: printed as such.
struct ComparedFigure {
  enum class Better : uint8_t { Less, More, Neither } better = Better::Less;
  std::string_view name, unit;
  bool per_cent = false;
  std::optional<double> (*of)(const Summary&);  // none: the run has no such figure
};
std::span<const ComparedFigure> compared_figures();

struct Estimate {
  double mean = 0;
  Interval interval;  // the middle 95 % of the mean over resampled runs
};

enum class Verdict : uint8_t { Better, Worse, NoDifferenceShown };
std::string_view to_string(Verdict verdict);

// One side of a comparison: what it runs in each family of scenarios.
struct Contestant {
  std::string name;
  std::vector<Scenario> families;
};

struct Comparison {
  std::vector<std::string> contestants, families;
  std::vector<uint64_t> seeds;
  std::vector<Summary> runs;  // by contestant, family, seed
  size_t baseline = 0;

  const Summary& run(size_t contestant, size_t family, size_t seed) const {
    return runs[(contestant * families.size() + family) * seeds.size() + seed];
  }
  // Over all families, or one. None where a run lacks the figure.
  std::optional<Estimate> estimate(const ComparedFigure& figure, size_t contestant,
                                   std::optional<size_t> family = {}) const;
  // Of the contestant less the baseline, by pairs of runs of one family and seed.
  std::optional<Estimate> difference(const ComparedFigure& figure, size_t contestant,
                                     std::optional<size_t> family = {}) const;
  Verdict verdict(const ComparedFigure& figure, const Estimate& difference) const;

 private:
  std::vector<double> values(const ComparedFigure& figure, size_t contestant, std::optional<size_t> family) const;
};

// Runs all of them on `threads` threads (0: as many as there are cores); results do not depend on it. Each seed draws
// its variation, the same for all. `done` counts finished runs. Throws InputError, of several the first contestant's.
Comparison compare(const std::vector<Contestant>& contestants, const std::vector<std::string>& families,
                   const std::vector<uint64_t>& seeds, const VariationRange& variation, size_t threads,
                   std::atomic<size_t>& done, const std::atomic<bool>& stop);

}  // namespace kisim

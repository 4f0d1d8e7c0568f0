#pragma once
// Policies or settings compared on equal terms: the same scenarios, the same seeds, and of each figure the differences
// run by run, with bootstrap intervals.
//
// What chance has made is resampled, what was asked for is not:
//   seeds      are drawn anew. A seed comes with its runs of all families, since its variation and its arrivals are
//              theirs together, and with those of all contestants: differences stay paired.
//   trainings  of a contestant that was trained several times are drawn anew, too, by themselves: its interval is that
//              of the algorithm. Of a single training it is that of this one policy.
//   families   stay as they are, each with the same weight.

#include "run/model.hpp"
#include "run/summary.hpp"
#include "run/variant.hpp"
#include "stats/interval.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// A figure of a run. `better`: which way is; `per_cent`: a share, printed as such.
struct ComparedFigure {
  enum class Better : uint8_t { Less, More, Neither } better = Better::Less;
  std::string_view name, unit;
  bool per_cent = false;
  std::optional<double> (*of)(const Summary&);  // none: the run has no such figure
};
std::span<const ComparedFigure> compared_figures();

struct Estimate {
  double mean = 0;
  Interval interval;  // the middle 95 % of the mean over resamples
};

enum class Verdict : uint8_t { Better, Worse, NoDifferenceShown };
std::string_view to_string(Verdict verdict);

// One side of a comparison: what it runs, by training (one, if it does not learn) and family.
struct Contestant {
  std::string name;
  std::vector<std::vector<std::shared_ptr<const Model>>> trainings;
  // In place of runs the clairvoyant bound (run/clairvoyant.hpp) of these scenarios, by family.
  std::vector<Scenario> bounds;
};

struct Comparison {
  struct Side {
    std::string name;
    size_t trainings = 1;
    std::vector<Summary> runs;  // by training, family, seed
    bool bound = false;         // no policy
  };
  std::vector<Side> contestants;
  std::vector<std::string> families;
  std::vector<uint64_t> seeds;
  size_t baseline = 0;

  const Summary& run(size_t contestant, size_t training, size_t family, size_t seed) const {
    return contestants[contestant].runs[(training * families.size() + family) * seeds.size() + seed];
  }
  // Over all families, or one. None where a run lacks the figure.
  std::optional<Estimate> estimate(const ComparedFigure& figure, size_t contestant,
                                   std::optional<size_t> family = {}) const;
  // Of the contestant less the baseline, by pairs of runs of one family and seed.
  std::optional<Estimate> difference(const ComparedFigure& figure, size_t contestant,
                                     std::optional<size_t> family = {}) const;
  // A difference is shown where its interval does not hold 0, of at least so many seeds, and of a single training or
  // so many.
  static constexpr size_t kFewestPoints = 5;
  Verdict verdict(const ComparedFigure& figure, size_t contestant, const Estimate& difference) const;

 private:
  using Table = std::vector<std::vector<double>>;  // by training and seed: the mean over the families
  std::optional<Table> values(const ComparedFigure& figure, size_t contestant, std::optional<size_t> family) const;
};

// Runs all of them on `threads` threads (0: as many as there are cores); results do not depend on it. Each seed draws
// its variation, the same for all. Once `stop` is set the runs end early and are of no use.
Comparison compare(const std::vector<Contestant>& contestants, const std::vector<std::string>& families,
                   const std::vector<uint64_t>& seeds, const VariationRange& variation, size_t threads,
                   const std::atomic<bool>& stop);

}  // namespace kisim

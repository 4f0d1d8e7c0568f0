#pragma once
// A bound on what scaling can reach at the fluid level, for an agent's workloads: nobody who keeps within their limits
// has a lower total cost (GPUs and missed SLOs) there. It is none for runs that follow single requests.
//
// Who knows the load to come chooses, by dynamic programming, how many replicas of each workload are ready in each
// interval between decisions. What makes it a bound, not a schedule that could be run:
//   misses    are those of a load that begins with empty queues, measured in the simulator itself for each number of
//             replicas at ascending rates, of which the next lower one stands for a rate
//   starting  a replica is paid for from its start on, for the shortest time in which one starts with its image
//             present, less one interval, since what becomes ready within an interval counts from its begin
//   the rest  the first replicas are there already, those that go are gone at once, and nothing else ever fails

#include "run/scenario.hpp"
#include "run/variant.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct ClairvoyantBound {
  double cost = 0, penalty = 0, gpu_hours = 0;  // after warm-up
  double attainment = 1;
  double total() const { return cost + penalty; }
};

class Clairvoyant {
 public:
  // The scenario has one agent, whose workloads are all that costs anything and serve all its traffic; every model is
  // fluid, GPUs have prices and the SLO a penalty. Throws InputError otherwise. It outlives this.
  explicit Clairvoyant(const Scenario& scenario);
  ClairvoyantBound bound(uint64_t seed, const Variation& variation);

 private:
  // What has been measured: it does not depend on the seed.
  struct Probed {
    double service = 1, startup = 1;          // of the variation
    double top = 0;                           // the highest rate
    std::vector<std::vector<double>> misses;  // by choice and rate
    std::vector<Duration> starts;             // by target
  };
  const Probed& probe(const Variation& variation, double most);

  const Scenario& scenario_;
  ModelVariant variant_;
  std::vector<std::vector<int32_t>> choices_;  // replicas by target
  std::vector<Probed> probed_;
};

}  // namespace kisim

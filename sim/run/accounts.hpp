#pragma once
// What the GPUs and nodes of a run cost and emit, at prices and a carbon intensity that may change at given times:
//
//   cost   = Σ over GPUs ∫ price(t) · share held(t) dt
//   carbon = PUE · ∫ intensity(t) · power(t) dt
//
// Settled at each change and when somebody asks, so that each interval has one price.

#include "cluster/cluster.hpp"

#include <optional>
#include <vector>

namespace kisim {

inline constexpr double kGpuHour = 3.6e12 * kWholeGpu;  // of the integrals of a GPU: shares of it × ns
inline constexpr double kKilowattHour = 3.6e18;         // of an integral of power: mW × ns

// A figure that changes in steps, ascending in time; the first step is at 0.
struct Tariff {
  struct Step {
    Time at;
    double value = 0;
  };
  std::vector<Step> steps;

  double at(Time t) const;
};

struct AccountsModel {
  bool priced = false;
  IdVector<GpuModelId, Tariff> price;      // per GPU and hour; where priced
  std::optional<Tariff> carbon_intensity;  // grams of CO2 equivalent per kWh
  double pue = 1;                          // power of the site / power of its machines

  // When any of them changes after the start; ascending, each once.
  std::vector<Time> changes() const;
};

struct AccountsState {
  Time since;
  double cost = 0, carbon_g = 0;
  std::vector<__int128> held_before;  // by GPU: of the integral of `allocated`
  __int128 energy_before = 0;         // mW × ns, of all
};

class Accounts {
 public:
  Accounts(const AccountsModel& model, AccountsState& state, const Cluster& cluster)
      : model_(model), state_(state), cluster_(cluster) {}

  // Adds what has come since the last time, at the figures that held then.
  void settle(Time now);
  void reset(Time now);  // after Cluster::reset_statistics()
  // Whether there is anything that draws power, and that of every GPU that is or was there is known.
  bool energy_known() const;
  // ∫ power of all GPUs and nodes since the end of warm-up, in mW × ns.
  __int128 energy(Time now) const;

 private:
  const AccountsModel& model_;
  AccountsState& state_;
  const Cluster& cluster_;
};

}  // namespace kisim

#include "run/accounts.hpp"

#include <algorithm>

namespace kisim {

double Tariff::at(Time t) const {
  auto after = std::upper_bound(steps.begin(), steps.end(), t, [](Time x, const Step& s) { return x < s.at; });
  return after == steps.begin() ? 0 : std::prev(after)->value;
}

std::vector<Time> AccountsModel::changes() const {
  std::vector<Time> out;
  auto add = [&](const Tariff& tariff) {
    for (const Tariff::Step& step : tariff.steps)
      if (step.at > Time{}) out.push_back(step.at);
  };
  for (const Tariff& tariff : price) add(tariff);
  if (carbon_intensity) add(*carbon_intensity);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void Accounts::settle(Time now) {
  const ClusterState& cluster = cluster_.state;
  state_.held_before.resize(cluster.gpus.size());
  for (size_t g = 0; g < cluster.gpus.size(); ++g) {
    const GpuState& gpu = cluster.gpus[GpuId(g)];
    __int128 held = gpu.allocated.integral(now);
    GpuModelId gpu_model = cluster_.model.nodes[gpu.node].gpu_model;
    if (model_.priced && gpu_model.valid())
      state_.cost +=
          static_cast<double>(held - state_.held_before[g]) / kGpuHour * model_.price[gpu_model].at(state_.since);
    state_.held_before[g] = held;
  }
  __int128 all = energy(now);
  if (model_.carbon_intensity)
    state_.carbon_g += static_cast<double>(all - state_.energy_before) / kKilowattHour *
                       model_.carbon_intensity->at(state_.since) * model_.pue;
  state_.energy_before = all;
  state_.since = now;
}

void Accounts::reset(Time now) {
  state_ = {};
  state_.since = now;
}

bool Accounts::energy_known() const {
  bool any = cluster_.model.node_power.idle > 0 || cluster_.model.node_power.per_core > 0;
  for (size_t g = 0; g < cluster_.state.gpus.size(); ++g) {
    if (!cluster_.state.node_joined[cluster_.state.gpus[GpuId(g)].node.value]) continue;
    if (!cluster_.power_law_of(GpuId(g))) return false;
    any = true;
  }
  return any;
}

__int128 Accounts::energy(Time now) const {
  __int128 sum = 0;
  for (const GpuState& gpu : cluster_.state.gpus) sum += gpu.power.integral(now);
  for (const TimeWeighted& power : cluster_.state.node_power) sum += power.integral(now);
  return sum;
}

}  // namespace kisim

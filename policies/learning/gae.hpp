#pragma once
// Generalised advantage estimation (Schulman et al., ICLR 2016).

#include <cstddef>
#include <cstdint>
#include <span>

namespace kisim::learning {

// Time-major rows of `environments` each. `ended`: 1 where the episode has ended with this step. A truncated episode
// is worth what would have followed: its last reward has γ V(final observation) added before.
struct Trajectories {
  size_t environments = 1;
  std::span<const double> rewards, values;
  std::span<const uint8_t> ended;
  std::span<const double> last_values;  // V of the observation after the last row, by environment
};

//   δ_t = r_t + γ V_{t+1} (1 − d_t) − V_t,  A_t = δ_t + γλ (1 − d_t) A_{t+1}   with d_t = ended;  R_t = A_t + V_t
void compute_gae(const Trajectories& in, double gamma, double lambda, std::span<double> advantages,
                 std::span<double> returns);

// 1 − Var(returns − values) / Var(returns); NaN where all returns are equal.
double explained_variance(std::span<const double> values, std::span<const double> returns);

}  // namespace kisim::learning

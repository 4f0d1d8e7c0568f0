#pragma once
// Proximal policy optimisation (Schulman et al., arXiv 1707.06347) with the details that CleanRL lists; with one epoch
// over one minibatch A2C.
//   ρ = π(a)/π_old(a);  L_π = mean max(−A ρ, −A clip(ρ, 1 ± ε))
//   L_V = ½ mean (V − R)², with clipping ½ mean max((V − R)², (V_old + clip(V − V_old, ±ε) − R)²)
//   L = L_π − c_H H + c_V L_V
// A truncated episode is worth what its last observation's value says (bootstrap) or nothing more (terminate).

#include "algorithm.hpp"
#include "rollout_buffer.hpp"

namespace kisim::learning {

// Of one minibatch, all [rows].
struct PpoBatch {
  Tensor log_probs, values, entropy;  // of the network as it is
  Tensor old_log_probs, old_values;   // of the network that acted
  Tensor advantages, returns;
};

struct PpoCoefficients {
  double clip = 0.2, entropy = 0, value = 0.5;
  bool normalise_advantages = true, clip_values = false;
};

struct PpoLoss {
  Tensor total;
  double policy = 0, value = 0, entropy = 0;
  double old_approx_kl = 0, approx_kl = 0;  // k1 = mean −log ρ; k3 = mean ρ − 1 − log ρ (Schulman, 2020)
  double clip_fraction = 0;                 // of rows with |ρ − 1| > ε
  double ratio_error = 0;                   // max |ρ − 1|
};

PpoLoss ppo_loss(const PpoBatch& batch, const PpoCoefficients& coefficients);

std::unique_ptr<Algorithm> make_ppo(const VectorEnv::Factory& make, const TrainingPlan& plan);

}  // namespace kisim::learning

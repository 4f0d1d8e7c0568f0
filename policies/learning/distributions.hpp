#pragma once
// Distributions of actions by row, with gradients. Their numbers are drawn elsewhere (rl/actor.hpp).

#include "rl/space.hpp"
#include "tensor.hpp"

namespace kisim::learning {

// Logarithms of the probabilities of categories, [n, k]. Of those that `allowed` ([n, k] of bool, or undefined: all)
// does not allow −∞, so that their probability is exactly 0.
Tensor categorical_log_probs(const Tensor& logits, const Tensor& allowed);
// −Σ p log p over what is allowed: [n].
Tensor categorical_entropy(const Tensor& log_probs);

// Diagonal Gaussian: Σ −½ ((x − μ)/σ)² − log σ − ½ log 2π, [n]; its entropy Σ ½ + ½ log 2π + log σ, a scalar.
Tensor gaussian_log_prob(const Tensor& mean, const Tensor& log_std, const Tensor& x);
Tensor gaussian_entropy(const Tensor& log_std);

// Σ log(1 − tanh²x) = Σ 2 (log 2 − x − softplus(−2x)), [n]: what tanh takes from a log-probability (Haarnoja et al.,
// ICML 2018, appendix C).
Tensor squash_correction(const Tensor& x);

struct ActionOdds {
  Tensor log_prob;  // [n]
  Tensor entropy;   // [n], or one for all
};

// Of `actions` ([n, size]) under a network's `outputs` ([n, space.outputs()]); components are independent. Box:
// `log_std` ([size]); squashed, an action is tanh of the Gaussian's x, `actions` holds the x, and −log_prob stands for
// the entropy, which has no closed form.
ActionOdds action_odds(const ActionSpace& space, const Tensor& outputs, const Tensor& log_std, bool squashed,
                       const Tensor& allowed, const Tensor& actions);

}  // namespace kisim::learning

#include "distributions.hpp"

#include <cmath>
#include <limits>

namespace kisim::learning {
namespace {

const double kHalfLogTwoPi = 0.91893853320467274178;

ActionOdds choices_odds(const ActionSpace& space, const Tensor& outputs, const Tensor& allowed, const Tensor& actions) {
  ActionOdds odds;
  int64_t begin = 0;
  for (size_t component = 0; component < space.choices.size(); ++component) {
    const int64_t n = space.choices[component];
    const Tensor log_probs =
        categorical_log_probs(outputs.narrow(1, begin, n), allowed.defined() ? allowed.narrow(1, begin, n) : Tensor());
    const Tensor chosen = actions.narrow(1, static_cast<int64_t>(component), 1).to(torch::kInt64);
    const Tensor log_prob = log_probs.gather(1, chosen).squeeze(1), entropy = categorical_entropy(log_probs);
    odds.log_prob = component == 0 ? log_prob : odds.log_prob + log_prob;
    odds.entropy = component == 0 ? entropy : odds.entropy + entropy;
    begin += n;
  }
  return odds;
}

}  // namespace

Tensor categorical_log_probs(const Tensor& logits, const Tensor& allowed) {
  if (!allowed.defined()) return torch::log_softmax(logits, 1);
  return torch::log_softmax(logits.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity()), 1);
}

Tensor categorical_entropy(const Tensor& log_probs) {
  // 0 · −∞ would be NaN, and so would its gradient.
  const Tensor finite = log_probs.masked_fill(log_probs.isneginf(), 0);
  return -(log_probs.exp() * finite).sum(1);
}

Tensor gaussian_log_prob(const Tensor& mean, const Tensor& log_std, const Tensor& x) {
  const Tensor z = (x - mean) * torch::exp(-log_std);
  return (-0.5 * z.square() - log_std - kHalfLogTwoPi).sum(1);
}

Tensor gaussian_entropy(const Tensor& log_std) { return (log_std + (0.5 + kHalfLogTwoPi)).sum(); }

Tensor squash_correction(const Tensor& x) { return (2 * (std::log(2.0) - x - torch::softplus(-2 * x))).sum(1); }

ActionOdds action_odds(const ActionSpace& space, const Tensor& outputs, const Tensor& log_std, bool squashed,
                       const Tensor& allowed, const Tensor& actions) {
  if (!space.continuous()) return choices_odds(space, outputs, allowed, actions);
  const Tensor log_prob = gaussian_log_prob(outputs, log_std, actions);
  if (!squashed) return {log_prob, gaussian_entropy(log_std)};
  const Tensor corrected = log_prob - squash_correction(actions);
  return {corrected, -corrected};
}

}  // namespace kisim::learning

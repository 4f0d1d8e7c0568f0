#include "rl/actor.hpp"

#include "core/distribution.hpp"
#include "core/error.hpp"
#include "core/math.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {
namespace {

using Eigen::Map;
using Eigen::VectorXd;
using Eigen::VectorXf;

std::string layer_inconsistency(const Layer& layer, size_t inputs) {
  const Eigen::Index out = layer.weight.rows();
  if (out == 0) return "no outputs";
  if (layer.inputs() != inputs) return fmt::format("takes {} inputs, found {}", layer.inputs(), inputs);
  if (layer.bias.size() != out) return fmt::format("{} biases of {} outputs", layer.bias.size(), out);
  if (layer.kind == Layer::Kind::Linear) return "";
  if (layer.activation != Activation::None) return "an activation after an LSTM";
  if (layer.recurrent.rows() != out || layer.recurrent.cols() * 4 != out)
    return fmt::format("[{}, {}] recurrent weights of {} gates", layer.recurrent.rows(), layer.recurrent.cols(), out);
  return "";
}

void activate(Activation activation, VectorXf& y) {
  if (activation == Activation::Tanh) y = y.array().tanh();
  if (activation == Activation::Relu) y = y.cwiseMax(0.0f);
}

// Hochreiter, Schmidhuber, Neural Computation 9(8), 1997, with the forget gates of Gers et al. (2000):
//   c ← σ(f) c + σ(i) tanh(g),  h ← σ(o) tanh(c).
void lstm_step(const Layer& layer, const Map<const VectorXf>& x, VectorXf& gates, VectorXf& hidden, VectorXf& cell) {
  gates = layer.bias;
  gates.noalias() += layer.weight * x;
  gates.noalias() += layer.recurrent * hidden;
  const Eigen::Index n = hidden.size();
  auto i = gates.segment(0, n).array(), f = gates.segment(n, n).array(), g = gates.segment(2 * n, n).array(),
       o = gates.segment(3 * n, n).array();
  cell = f.logistic() * cell.array() + i.logistic() * g.tanh();
  hidden = o.logistic() * cell.array().tanh();
}

// The choices of one component: their logits, and which of them are allowed.
struct Choices {
  std::span<const float> logits;
  std::span<const uint8_t> allowed;

  bool is_allowed(size_t i) const { return allowed.empty() || allowed[i]; }
  size_t likeliest() const {
    size_t best = logits.size();
    for (size_t i = 0; i < logits.size(); ++i)
      if (is_allowed(i) && (best == logits.size() || logits[i] > logits[best])) best = i;
    KISIM_INVARIANT(best < logits.size(), "none of {} choices is allowed", logits.size());
    return best;
  }
};

// f(component, choices)
template <class F>
void for_each_component(const ActionSpace& space, std::span<const float> outputs, std::span<const uint8_t> allowed,
                        const F& f) {
  size_t offset = 0;
  for (size_t c = 0; c < space.choices.size(); ++c) {
    const auto n = static_cast<size_t>(space.choices[c]);
    f(c, Choices{outputs.subspan(offset, n), allowed.empty() ? allowed : allowed.subspan(offset, n)});
    offset += n;
  }
}

// The first choice at which the distribution function exceeds `u`; its log-probability is added to `log_prob`.
size_t sample_choice(const Choices& choices, double u, double& log_prob) {
  // Odds to the likeliest: no overflow, and a sum of at least 1.
  const size_t likeliest = choices.likeliest();
  const double top = static_cast<double>(choices.logits[likeliest]);
  auto log_odds = [&](size_t i) { return static_cast<double>(choices.logits[i]) - top; };
  double total = 0;
  for (size_t i = 0; i < choices.logits.size(); ++i)
    if (choices.is_allowed(i)) total += math::exp(log_odds(i));
  KISIM_INVARIANT(std::isfinite(total), "logits that are no numbers");
  size_t chosen = likeliest;
  double below = 0;
  for (size_t i = 0; i < choices.logits.size() && below <= u * total; ++i) {
    if (!choices.is_allowed(i)) continue;
    const double odds = math::exp(log_odds(i));
    if (odds > 0) chosen = i;
    below += odds;
  }
  log_prob += log_odds(chosen) - math::log(total);
  return chosen;
}

}  // namespace

std::string inconsistency(const PolicyNetwork& network, size_t observation) {
  const ObservationNormaliser& normaliser = network.normaliser;
  if (normaliser.mean.size() != normaliser.variance.size() ||
      (normaliser.on() && normaliser.mean.size() != observation))
    return fmt::format("a normaliser of {} means and {} variances for {} elements", normaliser.mean.size(),
                       normaliser.variance.size(), observation);
  if (observation == 0) return "nothing observed";
  if (network.layers.empty()) return "no layers";
  size_t width = observation;
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const std::string wrong = layer_inconsistency(network.layers[l], width);
    if (!wrong.empty()) return fmt::format("layer {}: {}", l, wrong);
    width = network.layers[l].outputs();
  }
  const ActionSpace& actions = network.actions;
  if (actions.size() == 0) return "no actions";
  if (actions.kind == ActionSpace::Kind::Discrete && actions.size() > 1)
    return "a Discrete action of several components";
  if (actions.low.size() != actions.high.size() || (actions.continuous() ? actions.choices.size() : actions.low.size()))
    return "actions with both choices and bounds, or unequal bounds";
  if (std::any_of(actions.choices.begin(), actions.choices.end(), [](int32_t n) { return n < 1; }))
    return "a component without choices";
  if (width != actions.outputs()) return fmt::format("{} outputs for actions that take {}", width, actions.outputs());
  if (actions.continuous() ? network.log_std.size() != actions.size() : !network.log_std.empty())
    return fmt::format("{} logarithms of deviations for {} components", network.log_std.size(), actions.size());
  return "";
}

Actor::Actor(const PolicyNetwork& network) : network_(network) {
  KISIM_INVARIANT(!network.layers.empty(), "a policy without layers");
  const size_t inputs = network.layers[0].inputs();
  const std::string wrong = inconsistency(network, inputs);
  KISIM_INVARIANT(wrong.empty(), "{}", wrong);
  if (network.normaliser.on()) {
    deviation_.resize(static_cast<Eigen::Index>(inputs));
    input_.resize(static_cast<Eigen::Index>(inputs));
  }
  for (const Layer& layer : network.layers) activation_.emplace_back(layer.bias.size());
}

RecurrentState Actor::initial_state() const {
  RecurrentState out;
  for (const Layer& layer : network_.layers)
    if (layer.kind == Layer::Kind::Lstm) {
      out.hidden.push_back(VectorXf::Zero(layer.recurrent.cols()));
      out.cell.push_back(VectorXf::Zero(layer.recurrent.cols()));
    }
  return out;
}

void Actor::forward(std::span<const float> observations, size_t n, std::span<float> outputs) {
  const size_t width = network_.layers[0].inputs(), out = network_.layers.back().outputs();
  KISIM_INVARIANT(observations.size() == n * width && outputs.size() == n * out,
                  "{} numbers to {} outputs for {} observations of [{}] to [{}]", observations.size(), outputs.size(),
                  n, width, out);
  prepare();
  for (size_t i = 0; i < n; ++i)
    forward_row(observations.subspan(i * width, width), nullptr, outputs.subspan(i * out, out));
}

void Actor::forward(std::span<const float> observation, RecurrentState& state, std::span<float> outputs) {
  KISIM_INVARIANT(
      observation.size() == network_.layers[0].inputs() && outputs.size() == network_.layers.back().outputs(),
      "an observation of {} elements to {} outputs", observation.size(), outputs.size());
  prepare();
  forward_row(observation, &state, outputs);
}

void Actor::prepare() {
  const ObservationNormaliser& normaliser = network_.normaliser;
  for (size_t i = 0; i < normaliser.variance.size(); ++i)
    deviation_[static_cast<Eigen::Index>(i)] = std::sqrt(normaliser.variance[i] + normaliser.epsilon);
}

void Actor::forward_row(std::span<const float> observation, RecurrentState* state, std::span<float> outputs) {
  const ObservationNormaliser& normaliser = network_.normaliser;
  const float* in = observation.data();
  if (normaliser.on()) {
    const Map<const VectorXf> x(in, input_.size());
    const Map<const VectorXd> mean(normaliser.mean.data(), input_.size());
    input_ = ((x.cast<double>() - mean).array() / deviation_.array())
                 .max(-normaliser.clip)
                 .min(normaliser.clip)
                 .cast<float>();
    in = input_.data();
  }
  size_t lstm = 0;
  for (size_t l = 0; l < network_.layers.size(); ++l) {
    const Layer& layer = network_.layers[l];
    const Map<const VectorXf> x(in, layer.weight.cols());
    VectorXf& y = activation_[l];
    if (layer.kind == Layer::Kind::Lstm) {
      KISIM_INVARIANT(state && lstm < state->hidden.size(), "an LSTM without its state");
      lstm_step(layer, x, y, state->hidden[lstm], state->cell[lstm]);
      in = state->hidden[lstm++].data();
      continue;
    }
    y = layer.bias;
    y.noalias() += layer.weight * x;
    activate(layer.activation, y);
    in = y.data();
  }
  std::copy_n(in, outputs.size(), outputs.begin());
}

void likeliest_action(const ActionSpace& space, std::span<const float> outputs, std::span<const uint8_t> allowed,
                      std::span<float> action) {
  for_each_component(space, outputs, allowed,
                     [&](size_t c, const Choices& choices) { action[c] = static_cast<float>(choices.likeliest()); });
  for (size_t c = 0; c < space.low.size(); ++c) action[c] = std::clamp(outputs[c], space.low[c], space.high[c]);
}

double sample_action(const ActionSpace& space, std::span<const float> outputs, std::span<const float> log_std,
                     std::span<const uint8_t> allowed, Stream& stream, std::span<float> action) {
  static const double kHalfLogTurn = 0.5 * math::log(2 * math::kPi);
  double log_prob = 0;
  for_each_component(space, outputs, allowed, [&](size_t c, const Choices& choices) {
    action[c] = static_cast<float>(sample_choice(choices, stream.uniform(), log_prob));
  });
  for (size_t c = 0; c < space.low.size(); ++c) {
    const double mean = static_cast<double>(outputs[c]), log_deviation = static_cast<double>(log_std[c]),
                 deviation = math::exp(log_deviation);
    action[c] = static_cast<float>(mean + deviation * normal_quantile(stream.uniform_open()));
    const double z = (static_cast<double>(action[c]) - mean) / deviation;  // of what is returned: rounding counts
    log_prob -= 0.5 * z * z + log_deviation + kHalfLogTurn;
  }
  return log_prob;
}

}  // namespace kisim

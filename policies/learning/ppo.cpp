#include "ppo.hpp"

#include "core/error.hpp"
#include "core/hash.hpp"
#include "distributions.hpp"
#include "gae.hpp"
#include "networks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace kisim::learning {
namespace {

struct PpoSettings {
  explicit PpoSettings(const Params& p);

  int64_t environments, steps, minibatch, epochs;
  double learning_rate, gamma, lambda, clip, max_grad_norm, target_kl;
  bool linear_learning_rate, linear_clip, bootstrap, squash;
  PpoCoefficients coefficients;
  NetworkShape shape;
};

PpoSettings::PpoSettings(const Params& p)
    : environments(p.integer("numEnvs")),
      steps(p.integer("numSteps")),
      minibatch(p.integer("minibatchSize")),
      epochs(p.integer("updateEpochs")),
      learning_rate(p.number("learningRate")),
      gamma(p.number("gamma")),
      lambda(p.number("gaeLambda")),
      clip(p.number("clipCoef")),
      max_grad_norm(p.number("maxGradNorm")),
      target_kl(p.number("targetKl")),
      linear_learning_rate(p.text("learningRateSchedule") == "linear"),
      linear_clip(p.text("clipSchedule") == "linear"),
      bootstrap(p.text("truncation") == "bootstrap"),
      squash(p.flag("squash")),
      coefficients{.clip = clip,
                   .entropy = p.number("entCoef"),
                   .value = p.number("vfCoef"),
                   .normalise_advantages = p.flag("normAdv"),
                   .clip_values = p.flag("clipVloss")},
      shape{.hidden = layer_sizes(p.text("hidden")),
            .activation = p.text("activation") == "tanh" ? Activation::Tanh : Activation::Relu,
            .lstm = p.integer("lstm"),
            .shared = p.flag("sharedNetwork")} {
  const int64_t rows = environments * steps;
  if (minibatch == 0 || minibatch > rows) minibatch = rows;
}

// Fisher and Yates' shuffle.
void shuffle(std::vector<int64_t>& order, Stream stream) {
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[stream.below(static_cast<uint32_t>(i))]);
}

class Ppo final : public Algorithm {
 public:
  Ppo(const VectorEnv::Factory& make, const TrainingPlan& plan);

  int64_t iterate(Metrics& metrics) override;
  PolicyNetwork policy() const override;
  double value(std::span<const float> observation) const override;
  Environments& environments() override { return environments_; }
  void archive(Checkpoint& checkpoint) override;

 private:
  void collect();
  void act(int64_t step);
  double sample(size_t i, std::span<float> action);
  void forward(size_t row);
  void remember(int64_t step);
  void estimate();
  PpoLoss update(double& clip_fraction);
  bool update_epoch(int64_t epoch, PpoLoss& loss, double& clip_fractions, int64_t& minibatches);
  PpoLoss minibatch_loss(const Tensor& index);
  double ratio_tolerance() const;
  [[noreturn]] void diverged(const std::string& what, double value) const;
  Tensor pick(const Tensor& column, const Tensor& index) const;
  LstmState pick(const LstmState& state, const Tensor& index) const;
  LstmState actor_states() const;
  void archive_memory(Checkpoint& checkpoint);

  TrainingPlan plan_;
  PpoSettings settings_;
  Environments environments_;
  ActorCritic network_;
  Adam adam_;
  RolloutBuffer buffer_;
  int64_t iteration_ = 0, iterations_;

  // The policy that acts, and what it has in mind of each episode. The critic looks on after the rollout.
  PolicyNetwork acting_;
  std::optional<Actor> actor_;
  std::vector<RecurrentState> memories_;
  LstmState actor_before_, critic_before_, critic_after_;  // of this rollout
  std::vector<float> outputs_, env_actions_;
  double largest_output_ = 0;  // of this rollout
  std::vector<Stream> streams_;
  std::vector<uint8_t> starting_;

  // Where an episode was cut in this rollout, and what would have been seen next.
  std::vector<int64_t> cut_rows_;
  std::vector<float> cut_observations_;
  std::vector<double> values_, advantages_, returns_;
};

Ppo::Ppo(const VectorEnv::Factory& make, const TrainingPlan& plan)
    : plan_(plan),
      settings_(plan.params),
      environments_(make, environments_settings(plan)),
      network_(environments_.spec(), settings_.shape, plan.params.number("logStd"), plan.seed),
      adam_(network_.parameters(), plan.params.number("adamEpsilon")),
      buffer_(environments_.spec(), settings_.steps, settings_.environments) {
  const EnvSpec& spec = environments_.spec();
  const size_t n = environments_.size();
  if (settings_.squash && !spec.actions.continuous())
    throw UsageError(fmt::format("parameter 'squash': {} has no actions of kind Box", spec.name));
  iterations_ =
      (plan.steps + settings_.environments * settings_.steps - 1) / (settings_.environments * settings_.steps);
  acting_.actions = spec.actions;
  network_.copy_to(acting_);
  actor_.emplace(acting_);
  memories_.assign(n, actor_->initial_state());
  if (network_.recurrent()) critic_before_ = network_.zero_state(settings_.environments);
  outputs_.resize(n * spec.actions.outputs());
  env_actions_.resize(n * spec.actions.size());
  streams_.resize(n);
  starting_.assign(n, 1);
  for (std::vector<double>* column : {&values_, &advantages_, &returns_}) column->resize(buffer_.rows());
}

// ---- acting

void Ppo::collect() {
  network_.copy_to(acting_);
  if (network_.recurrent()) actor_before_ = actor_states();
  for (size_t i = 0; i < streams_.size(); ++i)
    streams_[i] = Stream(plan_.seed, hash_combine(static_cast<uint64_t>(iteration_), i), Purpose::Exploration);
  cut_rows_.clear();
  cut_observations_.clear();
  largest_output_ = 0;
  for (int64_t step = 0; step < settings_.steps; ++step) {
    act(step);
    environments_.step(env_actions_);
    remember(step);
  }
}

void Ppo::act(int64_t step) {
  const size_t n = environments_.size(), row = static_cast<size_t>(step) * n;
  const size_t features = environments_.spec().observation.size(), size = acting_.actions.size();
  std::ranges::copy(environments_.observations(), elements<float>(buffer_.observations).begin() + row * features);
  if (buffer_.masks.defined())
    std::ranges::transform(environments_.masks(),
                           elements<bool>(buffer_.masks).begin() + row * acting_.actions.outputs(),
                           [](uint8_t allowed) { return allowed != 0; });
  std::ranges::copy(starting_, elements<float>(buffer_.starts).begin() + row);
  forward(row);
  for (float output : outputs_) largest_output_ = std::max(largest_output_, std::fabs(static_cast<double>(output)));
  for (size_t i = 0; i < n; ++i) {
    const auto action = elements<float>(buffer_.actions).subspan((row + i) * size, size);
    elements<float>(buffer_.log_probs)[row + i] = static_cast<float>(sample(i, action));
  }
}

void Ppo::forward(size_t row) {
  const size_t n = environments_.size(), features = environments_.spec().observation.size();
  const auto seen = elements<float>(buffer_.observations).subspan(row * features, n * features);
  if (!network_.recurrent()) return actor_->forward(seen, n, outputs_);
  const size_t outputs = acting_.actions.outputs();
  for (size_t i = 0; i < n; ++i) {
    if (starting_[i]) memories_[i] = actor_->initial_state();
    actor_->forward(seen.subspan(i * features, features), memories_[i],
                    std::span(outputs_).subspan(i * outputs, outputs));
  }
}

// Draws the action of environment i, as the distribution has it into `action`, as the environment takes it into
// env_actions_; returns its log-probability.
double Ppo::sample(size_t i, std::span<float> action) {
  const ActionSpace& space = acting_.actions;
  const size_t outputs = space.outputs(), size = space.size();
  const std::span<const uint8_t> masks = environments_.masks();
  double log_prob =
      sample_action(space, std::span<const float>(outputs_).subspan(i * outputs, outputs), acting_.log_std,
                    masks.empty() ? masks : masks.subspan(i * outputs, outputs), streams_[i], action);
  if (!std::isfinite(log_prob)) diverged("the log-probability of an action", log_prob);
  for (size_t j = 0; j < size; ++j) {
    float& taken = env_actions_[i * size + j];
    taken = action[j];
    if (!space.continuous()) continue;
    if (!settings_.squash) {
      taken = std::clamp(action[j], space.low[j], space.high[j]);
      continue;
    }
    const double x = action[j];
    taken =
        static_cast<float>((space.low[j] + space.high[j]) / 2.0 + (space.high[j] - space.low[j]) / 2.0 * std::tanh(x));
    log_prob -= 2 * (std::log(2.0) - x - (std::max(-2 * x, 0.0) + std::log1p(std::exp(-std::fabs(2 * x)))));
  }
  return log_prob;
}

void Ppo::remember(int64_t step) {
  const size_t n = environments_.size(), row = static_cast<size_t>(step) * n;
  const size_t features = environments_.spec().observation.size();
  for (size_t i = 0; i < n; ++i) {
    buffer_.rewards[row + i] = environments_.rewards()[i];
    buffer_.ended[row + i] = starting_[i] = environments_.ended(i);
    if (!environments_.truncated(i) || !settings_.bootstrap) continue;
    const auto last = environments_.final_observations().subspan(i * features, features);
    cut_rows_.push_back(static_cast<int64_t>(row + i));
    cut_observations_.insert(cut_observations_.end(), last.begin(), last.end());
  }
}

LstmState Ppo::actor_states() const {
  LstmState out = network_.zero_state(settings_.environments);
  for (size_t i = 0; i < memories_.size(); ++i) {
    std::ranges::copy(memories_[i].hidden[0], elements<float>(out.hidden).begin() + i * memories_[i].hidden[0].size());
    std::ranges::copy(memories_[i].cell[0], elements<float>(out.cell).begin() + i * memories_[i].cell[0].size());
  }
  return out;
}

// ---- values and advantages

void Ppo::estimate() {
  torch::NoGradGuard guard;
  const int64_t features = static_cast<int64_t>(environments_.spec().observation.size());
  auto tensor_of = [&](std::span<const float> rows) {
    return torch::from_blob(const_cast<float*>(rows.data()), {static_cast<int64_t>(rows.size()) / features, features});
  };
  LstmState after, at_cuts;
  const Tensor cuts = torch::tensor(cut_rows_, torch::kInt64);
  if (network_.recurrent()) {
    const NetworkOutput out = network_.forward({buffer_.observations, buffer_.starts, actor_before_, critic_before_});
    buffer_.values.copy_(out.values);
    at_cuts = {out.critic.hidden.flatten(0, 1).index_select(0, cuts),
               out.critic.cell.flatten(0, 1).index_select(0, cuts)};
    Tensor keeps = torch::ones({settings_.environments, 1});
    for (size_t i = 0; i < starting_.size(); ++i) elements<float>(keeps)[i] = starting_[i] ? 0 : 1;
    after = {out.critic.last().hidden * keeps, out.critic.last().cell * keeps};
  } else {
    buffer_.values.copy_(network_.values(buffer_.observations, {}));
  }
  const Tensor last = network_.values(tensor_of(environments_.observations()), after).to(torch::kFloat64);
  if (!cut_rows_.empty()) {
    Tensor beyond = network_.values(tensor_of(cut_observations_), at_cuts);
    for (size_t k = 0; k < cut_rows_.size(); ++k)
      buffer_.rewards[static_cast<size_t>(cut_rows_[k])] += settings_.gamma * elements<float>(beyond)[k];
  }
  critic_after_ = after;

  std::ranges::copy(elements<float>(buffer_.values), values_.begin());
  compute_gae({.environments = environments_.size(),
               .rewards = buffer_.rewards,
               .values = values_,
               .ended = buffer_.ended,
               .last_values = {last.data_ptr<double>(), static_cast<size_t>(last.numel())}},
              settings_.gamma, settings_.lambda, advantages_, returns_);
  std::ranges::copy(advantages_, elements<float>(buffer_.advantages).begin());
  std::ranges::copy(returns_, elements<float>(buffer_.returns).begin());
}

// ---- learning

// Rows, or with an LSTM the whole stretches of environments.
Tensor Ppo::pick(const Tensor& column, const Tensor& index) const {
  if (!network_.recurrent()) return column.index_select(0, index);
  return column.unflatten(0, {settings_.steps, settings_.environments}).index_select(1, index).flatten(0, 1);
}

LstmState Ppo::pick(const LstmState& state, const Tensor& index) const {
  return {state.hidden.index_select(0, index), state.cell.index_select(0, index)};
}

PpoLoss Ppo::minibatch_loss(const Tensor& index) {
  NetworkInput input{.rows = pick(buffer_.observations, index)};
  if (network_.recurrent()) {
    input.starts = buffer_.starts.index_select(1, index);
    input.actor = pick(actor_before_, index);
    input.critic = pick(critic_before_, index);
  }
  const NetworkOutput out = network_.forward(input);
  const ActionOdds odds =
      action_odds(acting_.actions, out.outputs, network_.log_std(), settings_.squash,
                  buffer_.masks.defined() ? pick(buffer_.masks, index) : Tensor(), pick(buffer_.actions, index));
  PpoCoefficients coefficients = settings_.coefficients;
  coefficients.clip = scheduled(settings_.clip, settings_.linear_clip, iteration_, iterations_);
  return ppo_loss({.log_probs = odds.log_prob,
                   .values = out.values,
                   .entropy = odds.entropy,
                   .old_log_probs = pick(buffer_.log_probs, index),
                   .old_values = pick(buffer_.values, index),
                   .advantages = pick(buffer_.advantages, index),
                   .returns = pick(buffer_.returns, index)},
                  coefficients);
}

void Ppo::diverged(const std::string& what, double value) const {
  throw TrainingError(fmt::format("{} is {} in iteration {}; a smaller learningRate or normalizeObservations may help",
                                  what, value, iteration_));
}

// How far from 1 the first ratios may be: a rounding of the outputs counts for more the larger they are, and the
// narrower a Gaussian is.
double Ppo::ratio_tolerance() const {
  double narrowest = 1;
  for (float log_std : acting_.log_std) narrowest = std::min(narrowest, std::exp(static_cast<double>(log_std)));
  return std::min(0.1, 1e-4 * std::max(1.0, largest_output_) / narrowest);
}

// False where the policy has moved too far for another epoch.
bool Ppo::update_epoch(int64_t epoch, PpoLoss& loss, double& clip_fractions, int64_t& minibatches) {
  const int64_t units = network_.recurrent() ? settings_.environments : static_cast<int64_t>(buffer_.rows());
  const int64_t rows_per_unit = network_.recurrent() ? settings_.steps : 1;
  const int64_t size = std::max<int64_t>(1, settings_.minibatch / rows_per_unit);
  std::vector<int64_t> order(static_cast<size_t>(units));
  shuffle(order, Stream(plan_.seed, hash_combine(static_cast<uint64_t>(iteration_), static_cast<uint64_t>(epoch)),
                        Purpose::Minibatches));
  for (int64_t begin = 0; begin < units; begin += size) {
    loss = minibatch_loss(torch::from_blob(order.data() + begin, {std::min(size, units - begin)}, torch::kInt64));
    const double total = loss.total.item<double>();
    if (!std::isfinite(total)) diverged("the loss", total);
    if (!std::isfinite(loss.ratio_error)) diverged("a ratio of probabilities", loss.ratio_error);
    if (minibatches++ == 0)
      KISIM_INVARIANT(loss.ratio_error < ratio_tolerance(),
                      "iteration {}: the policy that learns is not the one that acted, ratios are off by {}",
                      iteration_, loss.ratio_error);
    clip_fractions += loss.clip_fraction;
    network_.parameters().clear_gradients();
    loss.total.backward();
    const double norm = network_.parameters().clip_gradients(settings_.max_grad_norm);
    if (!std::isfinite(norm)) diverged("the norm of the gradient", norm);
    adam_.step(scheduled(settings_.learning_rate, settings_.linear_learning_rate, iteration_, iterations_));
  }
  return settings_.target_kl == 0 || loss.approx_kl <= settings_.target_kl;
}

PpoLoss Ppo::update(double& clip_fraction) {
  PpoLoss loss;
  double clip_fractions = 0;
  int64_t minibatches = 0;
  for (int64_t epoch = 0; epoch < settings_.epochs; ++epoch) {
    if (!update_epoch(epoch, loss, clip_fractions, minibatches)) break;
  }
  clip_fraction = clip_fractions / static_cast<double>(minibatches);
  return loss;
}

int64_t Ppo::iterate(Metrics& metrics) {
  collect();
  estimate();
  double clip_fraction = 0;
  const PpoLoss loss = update(clip_fraction);
  critic_before_ = critic_after_;
  metrics = {
      {"charts/learning_rate",
       scheduled(settings_.learning_rate, settings_.linear_learning_rate, iteration_, iterations_)},
      {"losses/value_loss", loss.value},
      {"losses/policy_loss", loss.policy},
      {"losses/entropy", loss.entropy},
      {"losses/old_approx_kl", loss.old_approx_kl},
      {"losses/approx_kl", loss.approx_kl},
      {"losses/clipfrac", clip_fraction},
      {"losses/explained_variance", explained_variance(values_, returns_)},
  };
  ++iteration_;
  return settings_.environments * settings_.steps;
}

// ---- what comes out

// A squashed mean is two layers more: tanh, then from ±1 to the bounds.
void add_squash(PolicyNetwork& network) {
  const ActionSpace& space = network.actions;
  network.layers.back().activation = Activation::Tanh;
  Layer scale;
  const auto n = static_cast<Eigen::Index>(space.size());
  scale.weight = Eigen::MatrixXf::Zero(n, n);
  scale.bias.resize(n);
  for (Eigen::Index j = 0; j < n; ++j) {
    const float low = space.low[static_cast<size_t>(j)], high = space.high[static_cast<size_t>(j)];
    scale.weight(j, j) = (high - low) / 2;
    scale.bias(j) = (low + high) / 2;
  }
  network.layers.push_back(std::move(scale));
}

double Ppo::value(std::span<const float> observation) const {
  torch::NoGradGuard guard;
  const Tensor row = torch::tensor(environments_.normalised(observation)).unsqueeze(0);
  return network_.values(row, network_.recurrent() ? network_.zero_state(1) : LstmState{}).item<double>();
}

PolicyNetwork Ppo::policy() const {
  PolicyNetwork out;
  out.normaliser = environments_.normaliser();
  out.actions = acting_.actions;
  network_.copy_to(out);
  if (settings_.squash) add_squash(out);
  return out;
}

void Ppo::archive_memory(Checkpoint& checkpoint) {
  checkpoint.item("memory/starting", std::span(starting_));
  if (!network_.recurrent()) return;
  checkpoint.item("memory/critic/hidden", elements<float>(critic_before_.hidden));
  checkpoint.item("memory/critic/cell", elements<float>(critic_before_.cell));
  for (size_t i = 0; i < memories_.size(); ++i) {
    for (auto [part, state] : {std::pair("hidden", &memories_[i].hidden[0]), std::pair("cell", &memories_[i].cell[0])})
      checkpoint.item(fmt::format("memory/actor/{}/{}", i, part),
                      std::span(state->data(), static_cast<size_t>(state->size())));
  }
}

void Ppo::archive(Checkpoint& checkpoint) {
  checkpoint.item("iteration", iteration_);
  checkpoint.item("network/weights", network_.parameters().values());
  adam_.archive(checkpoint);
  environments_.archive(checkpoint);
  archive_memory(checkpoint);
}

}  // namespace

PpoLoss ppo_loss(const PpoBatch& batch, const PpoCoefficients& c) {
  PpoLoss out;
  const Tensor log_ratio = batch.log_probs - batch.old_log_probs, ratio = log_ratio.exp();
  {
    torch::NoGradGuard guard;
    const Tensor distance = (ratio - 1).abs();
    out.old_approx_kl = -log_ratio.mean().item<double>();
    out.approx_kl = (ratio - 1 - log_ratio).mean().item<double>();
    out.clip_fraction = (distance > c.clip).to(torch::kFloat64).mean().item<double>();
    out.ratio_error = distance.max().item<double>();
  }
  Tensor advantages = batch.advantages;
  // One row has no deviation.
  if (c.normalise_advantages && advantages.numel() > 1)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8);
  const Tensor policy = torch::max(-advantages * ratio, -advantages * ratio.clamp(1 - c.clip, 1 + c.clip)).mean();

  Tensor value_errors = (batch.values - batch.returns).square();
  if (c.clip_values) {
    const Tensor clipped = batch.old_values + (batch.values - batch.old_values).clamp(-c.clip, c.clip);
    value_errors = torch::max(value_errors, (clipped - batch.returns).square());
  }
  const Tensor value = 0.5 * value_errors.mean(), entropy = batch.entropy.mean();
  out.total = policy - c.entropy * entropy + c.value * value;
  out.policy = policy.item<double>();
  out.value = value.item<double>();
  out.entropy = entropy.item<double>();
  return out;
}

std::unique_ptr<Algorithm> make_ppo(const VectorEnv::Factory& make, const TrainingPlan& plan) {
  return std::make_unique<Ppo>(make, plan);
}

}  // namespace kisim::learning

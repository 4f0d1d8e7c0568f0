#include "dqn.hpp"

#include "core/error.hpp"
#include "core/hash.hpp"
#include "networks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kisim::learning {
namespace {

struct DqnSettings {
  explicit DqnSettings(const Params& p);

  int64_t environments, batch, starts, train_every, gradient_steps, target_every, n_step;
  double learning_rate, gamma, tau, first_epsilon, last_epsilon, exploration_fraction, max_grad_norm;
  bool double_q, huber;
};

DqnSettings::DqnSettings(const Params& p)
    : environments(p.integer("numEnvs")),
      batch(p.integer("batchSize")),
      starts(p.integer("learningStarts")),
      train_every(p.integer("trainFrequency")),
      gradient_steps(p.integer("gradientSteps")),
      target_every(p.integer("targetNetworkFrequency")),
      n_step(p.integer("nStep")),
      learning_rate(p.number("learningRate")),
      gamma(p.number("gamma")),
      tau(p.number("tau")),
      first_epsilon(p.number("startE")),
      last_epsilon(p.number("endE")),
      exploration_fraction(p.number("explorationFraction")),
      max_grad_norm(p.number("maxGradNorm")),
      double_q(p.flag("doubleQ")),
      huber(p.text("loss") == "huber") {}

// Q of every action: fully connected layers.
class QNetwork {
 public:
  QNetwork(const EnvSpec& spec, const Params& params, uint64_t seed);

  Tensor forward(Tensor rows) const {
    for (const LinearLayer& layer : layers_) rows = layer.forward(rows);
    return rows;
  }
  Parameters& parameters() { return parameters_; }
  void copy_to(PolicyNetwork& network) const { copy_layers(layers_, network.layers); }

 private:
  Parameters parameters_;
  std::vector<LinearLayer> layers_;
};

QNetwork::QNetwork(const EnvSpec& spec, const Params& params, uint64_t seed) {
  const Initial initial{Initial::Kind::FanIn};
  const Activation activation = params.text("activation") == "tanh" ? Activation::Tanh : Activation::Relu;
  NetworkBuilder builder(parameters_, seed);
  int64_t inputs = static_cast<int64_t>(spec.observation.size());
  for (int64_t size : layer_sizes(params.text("hidden"))) {
    layers_.push_back(builder.linear(fmt::format("q/{}", layers_.size()), inputs, size, activation, initial));
    inputs = size;
  }
  layers_.push_back(builder.linear("q/head", inputs, spec.actions.choices[0], Activation::None, initial));
  builder.finish();
}

// A step of one environment that is not yet n steps old.
struct Recent {
  std::vector<float> observation;
  int64_t action = 0;
  double reward = 0;    // summed so far
  double discount = 1;  // of what comes next
};

class Dqn final : public Algorithm {
 public:
  Dqn(const VectorEnv::Factory& make, const TrainingPlan& plan);

  int64_t iterate(Metrics& metrics) override;
  PolicyNetwork policy() const override;
  double value(std::span<const float> observation) const override;
  Environments& environments() override { return environments_; }
  void archive(Checkpoint& checkpoint) override;

 private:
  void act();
  void remember();
  void store(size_t i, const Recent& recent, std::span<const float> next);
  void learn();
  double learn_from(const ReplayBuffer::Batch& batch);
  void follow();
  double epsilon() const;
  int64_t random_action(size_t i, Stream& stream) const;
  void archive_recent(Checkpoint& checkpoint);

  TrainingPlan plan_;
  DqnSettings settings_;
  Environments environments_;
  QNetwork online_, target_;
  Adam adam_;
  ReplayBuffer replay_;
  PolicyNetwork acting_;
  std::optional<Actor> actor_;
  std::vector<float> outputs_, actions_, seen_;
  std::vector<std::deque<Recent>> recent_;
  int64_t steps_ = 0, updates_ = 0;
  double loss_ = 0, mean_q_ = 0;  // of the last update
};

EnvSpec checked(const Environments& environments) {
  if (environments.spec().actions.kind != ActionSpace::Kind::Discrete)
    throw UsageError(
        fmt::format("--algorithm dqn: {} has actions of another kind than Discrete", environments.spec().name));
  return environments.spec();
}

Dqn::Dqn(const VectorEnv::Factory& make, const TrainingPlan& plan)
    : plan_(plan),
      settings_(plan.params),
      environments_(make, environments_settings(plan)),
      online_(checked(environments_), plan.params, plan.seed),
      target_(environments_.spec(), plan.params, plan.seed),
      adam_(online_.parameters(), plan.params.number("adamEpsilon")),
      replay_(static_cast<size_t>(plan.params.integer("bufferSize")), environments_.spec().observation.size(),
              environments_.masks().size() / environments_.size()) {
  acting_.actions = environments_.spec().actions;
  online_.copy_to(acting_);
  actor_.emplace(acting_);
  outputs_.resize(environments_.size() * acting_.actions.outputs());
  actions_.resize(environments_.size());
  recent_.resize(environments_.size());
}

double Dqn::epsilon() const {
  const double over = settings_.exploration_fraction * static_cast<double>(plan_.steps);
  const double share = over > 0 ? std::min(1.0, static_cast<double>(steps_) / over) : 1;
  return settings_.first_epsilon + share * (settings_.last_epsilon - settings_.first_epsilon);
}

int64_t Dqn::random_action(size_t i, Stream& stream) const {
  const auto choices = static_cast<uint32_t>(acting_.actions.choices[0]);
  if (environments_.masks().empty()) return stream.below(choices);
  const auto allowed = environments_.masks().subspan(i * choices, choices);
  uint32_t left = stream.below(static_cast<uint32_t>(std::ranges::count_if(allowed, [](uint8_t a) { return a != 0; })));
  for (uint32_t a = 0;; ++a) {
    if (allowed[a] && left-- == 0) return a;
  }
}

void Dqn::act() {
  const size_t n = environments_.size(), choices = acting_.actions.outputs();
  seen_.assign(environments_.observations().begin(), environments_.observations().end());
  actor_->forward(seen_, n, outputs_);
  for (size_t i = 0; i < n; ++i) {
    Stream stream(plan_.seed, hash_combine(static_cast<uint64_t>(steps_), i), Purpose::Exploration);
    const auto masks = environments_.masks();
    if (stream.uniform() < epsilon()) {
      actions_[i] = static_cast<float>(random_action(i, stream));
      continue;
    }
    likeliest_action(acting_.actions, std::span<const float>(outputs_).subspan(i * choices, choices),
                     masks.empty() ? masks : masks.subspan(i * choices, choices), std::span(actions_).subspan(i, 1));
  }
}

void Dqn::store(size_t i, const Recent& recent, std::span<const float> next) {
  const size_t choices = acting_.actions.outputs();
  const std::span<const uint8_t> masks = environments_.ended(i) ? environments_.final_masks() : environments_.masks();
  replay_.add({.observation = recent.observation,
               .next = next,
               .action = recent.action,
               .reward = recent.reward,
               .discount = environments_.terminated(i) ? 0 : recent.discount,
               .next_mask = masks.empty() ? masks : masks.subspan(i * choices, choices)});
}

// What has just been done joins those that are not n steps old; the oldest is, or the episode has ended and all are.
void Dqn::remember() {
  const size_t features = environments_.spec().observation.size();
  for (size_t i = 0; i < environments_.size(); ++i) {
    std::deque<Recent>& recent = recent_[i];
    recent.push_back(
        {{seen_.begin() + i * features, seen_.begin() + (i + 1) * features}, static_cast<int64_t>(actions_[i])});
    for (Recent& step : recent) {
      step.reward += step.discount * environments_.rewards()[i];
      step.discount *= settings_.gamma;
    }
    const bool ended = environments_.ended(i);
    const auto all = ended ? environments_.final_observations() : environments_.observations();
    while (!recent.empty() && (ended || static_cast<int64_t>(recent.size()) >= settings_.n_step)) {
      store(i, recent.front(), all.subspan(i * features, features));
      recent.pop_front();
    }
  }
}

double Dqn::learn_from(const ReplayBuffer::Batch& batch) {
  Tensor targets;
  {
    torch::NoGradGuard guard;
    const Tensor next = target_.forward(batch.next_observations);
    targets = td_targets(batch, next, settings_.double_q ? online_.forward(batch.next_observations) : Tensor());
  }
  const Tensor q = online_.forward(batch.observations).gather(1, batch.actions.unsqueeze(1)).squeeze(1);
  const Tensor loss = settings_.huber ? torch::smooth_l1_loss(q, targets) : torch::mse_loss(q, targets);
  mean_q_ = q.mean().item<double>();
  const double value = loss.item<double>();
  online_.parameters().clear_gradients();
  loss.backward();
  const double norm = online_.parameters().clip_gradients(settings_.max_grad_norm);
  if (!std::isfinite(value) || !std::isfinite(norm))
    throw TrainingError(
        fmt::format("the loss is {} and the norm of its gradient {} after {} steps; a smaller "
                    "learningRate may help",
                    value, norm, steps_));
  adam_.step(settings_.learning_rate);
  return value;
}

void Dqn::learn() {
  for (int64_t k = 0; k < settings_.gradient_steps; ++k) {
    Stream stream(plan_.seed, static_cast<uint64_t>(updates_++), Purpose::Replay);
    loss_ = learn_from(replay_.sample(static_cast<size_t>(settings_.batch), stream));
  }
  online_.copy_to(acting_);
}

// The target network takes a share of the weights that have been learned.
void Dqn::follow() {
  const auto from = online_.parameters().values();
  const auto to = target_.parameters().values();
  const auto tau = static_cast<float>(settings_.tau);
  for (size_t j = 0; j < to.size(); ++j) to[j] = tau * from[j] + (1 - tau) * to[j];
}

int64_t Dqn::iterate(Metrics& metrics) {
  constexpr int64_t kSteps = 1000;  // from one row of figures to the next
  auto passed = [&](int64_t every) { return steps_ / every != (steps_ - settings_.environments) / every; };
  const int64_t begin = steps_;
  while (steps_ - begin < kSteps && steps_ < plan_.steps) {
    act();
    environments_.step(actions_);
    remember();
    steps_ += settings_.environments;
    if (steps_ > settings_.starts && replay_.size() > 0 && passed(settings_.train_every)) learn();
    if (passed(settings_.target_every)) follow();
  }
  metrics = {
      {"charts/learning_rate", settings_.learning_rate},
      {"charts/epsilon", epsilon()},
      {"losses/td_loss", updates_ > 0 ? loss_ : std::numeric_limits<double>::quiet_NaN()},
      {"losses/q_values", updates_ > 0 ? mean_q_ : std::numeric_limits<double>::quiet_NaN()},
  };
  return steps_ - begin;
}

double Dqn::value(std::span<const float> observation) const {
  torch::NoGradGuard guard;
  return online_.forward(torch::tensor(environments_.normalised(observation)).unsqueeze(0)).max().item<double>();
}

PolicyNetwork Dqn::policy() const {
  PolicyNetwork out;
  out.normaliser = environments_.normaliser();
  out.actions = acting_.actions;
  online_.copy_to(out);
  return out;
}

void Dqn::archive_recent(Checkpoint& checkpoint) {
  for (size_t i = 0; i < recent_.size(); ++i) {
    const std::string name = fmt::format("recent/{}/", i);
    uint64_t count = recent_[i].size();
    checkpoint.item(name + "count", count);
    recent_[i].resize(count);
    for (uint64_t k = 0; k < count; ++k) {
      Recent& step = recent_[i][k];
      const std::string prefix = fmt::format("{}{}/", name, k);
      checkpoint.item(prefix + "observation", step.observation);
      checkpoint.item(prefix + "action", step.action);
      checkpoint.item(prefix + "reward", step.reward);
      checkpoint.item(prefix + "discount", step.discount);
    }
  }
}

void Dqn::archive(Checkpoint& checkpoint) {
  checkpoint.item("steps", steps_);
  checkpoint.item("updates", updates_);
  checkpoint.item("loss", loss_);
  checkpoint.item("mean_q", mean_q_);
  checkpoint.item("network/weights", online_.parameters().values());
  checkpoint.item("target/weights", target_.parameters().values());
  adam_.archive(checkpoint);
  replay_.archive(checkpoint);
  archive_recent(checkpoint);
  environments_.archive(checkpoint);
  online_.copy_to(acting_);
}

}  // namespace

ReplayBuffer::ReplayBuffer(size_t capacity, size_t features, size_t masks)
    : capacity_(capacity), features_(features), masks_(masks) {
  observations_.resize(capacity * features);
  next_observations_.resize(capacity * features);
  rewards_.resize(capacity);
  discounts_.resize(capacity);
  actions_.resize(capacity);
  next_masks_.resize(capacity * masks);
}

void ReplayBuffer::add(const Transition& transition) {
  std::ranges::copy(transition.observation, observations_.begin() + next_ * features_);
  std::ranges::copy(transition.next, next_observations_.begin() + next_ * features_);
  std::ranges::copy(transition.next_mask, next_masks_.begin() + next_ * masks_);
  actions_[next_] = transition.action;
  rewards_[next_] = static_cast<float>(transition.reward);
  discounts_[next_] = static_cast<float>(transition.discount);
  next_ = (next_ + 1) % capacity_;
  size_ = std::max(size_, next_ == 0 ? capacity_ : next_);
}

ReplayBuffer::Batch ReplayBuffer::sample(size_t n, Stream& stream) const {
  const auto rows = static_cast<int64_t>(n), features = static_cast<int64_t>(features_);
  Batch out{torch::empty({rows, features}), torch::empty({rows}, torch::kInt64), torch::empty({rows}),
            torch::empty({rows}),           torch::empty({rows, features}),      {}};
  if (masks_ > 0) out.next_masks = torch::empty({rows, static_cast<int64_t>(masks_)}, torch::kBool);
  for (size_t i = 0; i < n; ++i) {
    const size_t k = stream.below(static_cast<uint32_t>(size_));
    std::copy_n(&observations_[k * features_], features_, out.observations.data_ptr<float>() + i * features_);
    std::copy_n(&next_observations_[k * features_], features_, out.next_observations.data_ptr<float>() + i * features_);
    for (size_t j = 0; j < masks_; ++j) out.next_masks.data_ptr<bool>()[i * masks_ + j] = next_masks_[k * masks_ + j];
    out.actions.data_ptr<int64_t>()[i] = actions_[k];
    out.rewards.data_ptr<float>()[i] = rewards_[k];
    out.discounts.data_ptr<float>()[i] = discounts_[k];
  }
  return out;
}

void ReplayBuffer::archive(Checkpoint& checkpoint) {
  checkpoint.item("replay/size", size_);
  checkpoint.item("replay/next", next_);
  checkpoint.item("replay/observations", std::span(observations_));
  checkpoint.item("replay/next_observations", std::span(next_observations_));
  checkpoint.item("replay/rewards", std::span(rewards_));
  checkpoint.item("replay/discounts", std::span(discounts_));
  checkpoint.item("replay/actions", std::span(actions_));
  checkpoint.item("replay/next_masks", std::span(next_masks_));
}

Tensor td_targets(const ReplayBuffer::Batch& batch, const Tensor& next_target, const Tensor& next_online) {
  Tensor chooser = next_online.defined() ? next_online : next_target;
  if (batch.next_masks.defined())
    chooser = chooser.masked_fill(batch.next_masks.logical_not(), -std::numeric_limits<double>::infinity());
  const Tensor next = next_target.gather(1, chooser.argmax(1, true)).squeeze(1);
  return batch.rewards + batch.discounts * next;
}

std::unique_ptr<Algorithm> make_dqn(const VectorEnv::Factory& make, const TrainingPlan& plan) {
  return std::make_unique<Dqn>(make, plan);
}

}  // namespace kisim::learning

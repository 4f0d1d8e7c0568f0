#include "rl/actor.hpp"

#include "allocations.hpp"
#include "core/error.hpp"
#include "core/math.hpp"
#include "core/statistics.hpp"
#include "rl/random_network.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Memory of the reference: h and c by LSTM layer.
struct Memory {
  std::vector<std::vector<double>> hidden, cell;
};

// The definition, in loops and doubles.
std::vector<double> reference(const PolicyNetwork& network, std::span<const float> observation,
                              Memory* memory = nullptr) {
  std::vector<double> x(observation.begin(), observation.end());
  const ObservationNormaliser& n = network.normaliser;
  for (size_t i = 0; n.on() && i < x.size(); ++i)
    x[i] = std::clamp((x[i] - n.mean[i]) / std::sqrt(n.variance[i] + n.epsilon), -n.clip, n.clip);
  size_t lstm = 0;
  for (const Layer& layer : network.layers) {
    std::vector<double> y;
    for (Eigen::Index r = 0; r < layer.weight.rows(); ++r) {
      double sum = layer.bias[r];
      for (Eigen::Index c = 0; c < layer.weight.cols(); ++c) sum += layer.weight(r, c) * x[static_cast<size_t>(c)];
      if (layer.kind == Layer::Kind::Lstm)
        for (Eigen::Index c = 0; c < layer.recurrent.cols(); ++c)
          sum += layer.recurrent(r, c) * memory->hidden[lstm][static_cast<size_t>(c)];
      if (layer.activation == Activation::Tanh) sum = std::tanh(sum);
      if (layer.activation == Activation::Relu) sum = std::max(sum, 0.0);
      y.push_back(sum);
    }
    if (layer.kind == Layer::Kind::Lstm) {
      auto &h = memory->hidden[lstm], &c = memory->cell[lstm++];
      const size_t k = h.size();
      for (size_t i = 0; i < k; ++i) {
        c[i] = sigmoid(y[k + i]) * c[i] + sigmoid(y[i]) * std::tanh(y[2 * k + i]);
        h[i] = sigmoid(y[3 * k + i]) * std::tanh(c[i]);
      }
      y = h;
    }
    x = y;
  }
  return x;
}

void check_near(std::span<const float> found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    REQUIRE(std::abs(static_cast<double>(found[i]) - expected[i]) < 1e-6 * std::max(1.0, std::abs(expected[i])));
}

std::vector<float> observations_near(const ObservationNormaliser& normaliser, size_t n, test::RandomNetwork& random) {
  std::vector<float> out;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < normaliser.mean.size(); ++j)
      out.push_back(static_cast<float>(normaliser.mean[j] + 2 * random.normal(std::sqrt(normaliser.variance[j]))));
  return out;
}

}  // namespace

TEST_CASE("a batch goes through a network as the definition says") {
  test::RandomNetwork random("batch");
  for (Activation activation : {Activation::Tanh, Activation::Relu, Activation::None})
    for (size_t width : {1, 7, 64}) {
      PolicyNetwork network = random.mlp(5, width, activation, ActionSpace::multi_discrete({3, 2}));
      network.normaliser = random.normaliser(5);
      Actor actor(network);
      constexpr size_t kRows = 33;
      const std::vector<float> observations = observations_near(network.normaliser, kRows, random);
      std::vector<float> outputs(kRows * 5), alone(5);
      actor.forward(observations, kRows, outputs);
      for (size_t i = 0; i < kRows; ++i) {
        const std::span<const float> row = std::span(observations).subspan(5 * i, 5);
        check_near(std::span(outputs).subspan(5 * i, 5), reference(network, row));
        actor.forward(row, 1, alone);
        REQUIRE(std::equal(alone.begin(), alone.end(), outputs.begin() + static_cast<long>(5 * i)));
      }
    }
}

TEST_CASE("the normaliser clips") {
  test::RandomNetwork random("clip");
  PolicyNetwork network = random.mlp(2, 8, Activation::Tanh, ActionSpace::discrete(3));
  network.normaliser = {{1, 1000}, {4, 1e-4}, 1e-8, 3};
  Actor actor(network);
  std::vector<float> far(3), at_the_edge(3);
  actor.forward(std::vector<float>{1e9f, 900}, 1, far);
  check_near(far, reference(network, std::vector<float>{1e9f, 900}));
  // 1 + 3·2 and 1000 − 3·0.01 are the edges.
  actor.forward(std::vector<float>{7.1f, 999.9f}, 1, at_the_edge);
  CHECK(far == at_the_edge);
}

TEST_CASE("an LSTM remembers as the definition says") {
  test::RandomNetwork random("lstm");
  PolicyNetwork network;
  network.layers = {random.linear(4, 16, Activation::Tanh), random.lstm(16, 12), random.lstm(12, 5),
                    random.linear(5, 3, Activation::None)};
  network.actions = ActionSpace::discrete(3);
  Actor actor(network);
  RecurrentState state = actor.initial_state(), other = actor.initial_state();
  Memory memory{{std::vector<double>(12), std::vector<double>(5)}, {std::vector<double>(12), std::vector<double>(5)}};
  std::vector<float> outputs(3);
  for (int step = 0; step < 200; ++step) {
    const std::vector<float> observation = random.normals(4);
    actor.forward(observation, state, outputs);
    check_near(outputs, reference(network, observation, &memory));
    check_near({state.cell[1].data(), 5}, memory.cell[1]);
    // Another episode in between leaves no trace.
    actor.forward(random.normals(4), other, outputs);
  }
  CHECK_THROWS_AS(actor.forward(random.normals(4), 1, outputs), InvariantError);
}

TEST_CASE("acting allocates nothing") {
  test::RandomNetwork random("allocations");
  PolicyNetwork mlp = random.mlp(9, 256, Activation::Tanh, ActionSpace::multi_discrete({3, 4}));
  mlp.normaliser = random.normaliser(9);
  PolicyNetwork lstm;
  lstm.layers = {random.lstm(9, 64), random.linear(64, 2, Activation::None)};
  lstm.actions = ActionSpace::box({-1, -1}, {1, 1});
  lstm.log_std = {0, 0};
  Actor one(mlp), two(lstm);
  RecurrentState state = two.initial_state();
  const std::vector<float> observations = random.normals(9 * 512);
  std::vector<float> outputs(7 * 512), action(2);
  const std::vector<uint8_t> allowed{1, 0, 1, 0, 1, 1, 0};
  Stream stream(1, 1, Purpose::Policy);
  const std::span<float> first = std::span(outputs).first(7), pair = std::span(outputs).first(2);
  sample_action(lstm.actions, pair, lstm.log_std, {}, stream, action);
  const uint64_t before = test::allocations();
  one.forward(observations, 512, outputs);
  sample_action(mlp.actions, first, {}, allowed, stream, action);
  likeliest_action(mlp.actions, first, allowed, action);
  two.forward(std::span(observations).first(9), state, pair);
  sample_action(lstm.actions, pair, lstm.log_std, {}, stream, action);
  likeliest_action(lstm.actions, pair, {}, action);
  const uint64_t after = test::allocations();
  CHECK(after == before);
}

TEST_CASE("the likeliest action is the first of the best that are allowed") {
  const ActionSpace space = ActionSpace::multi_discrete({3, 4});
  const std::vector<float> logits{1, 3, 3, -1, -2, -1, -3};
  std::vector<float> action(2);
  likeliest_action(space, logits, {}, action);
  CHECK(action == std::vector<float>{1, 0});
  likeliest_action(space, logits, std::vector<uint8_t>{1, 0, 1, 0, 1, 0, 1}, action);
  CHECK(action == std::vector<float>{2, 1});
  likeliest_action(space, logits, std::vector<uint8_t>{1, 0, 0, 0, 0, 0, 1}, action);
  CHECK(action == std::vector<float>{0, 3});
  CHECK_THROWS_AS(likeliest_action(space, logits, std::vector<uint8_t>(7), action), InvariantError);

  const ActionSpace box = ActionSpace::box({-1, 0, -2}, {1, 5, 2});
  action.resize(3);
  likeliest_action(box, std::vector<float>{3, 2.5f, -7}, {}, action);
  CHECK(action == std::vector<float>{1, 2.5f, -2});
}

TEST_CASE("draws are as frequent as the softmax says, and masks are never violated") {
  const ActionSpace space = ActionSpace::multi_discrete({4, 3, 2});
  const std::vector<float> logits{0.3f, -1.2f, 80, 79, 2, 1, 0, -300, 500};
  const std::vector<uint8_t> allowed{1, 1, 0, 0, 1, 0, 1, 1, 0};
  for (bool masked : {true, false}) {
    // The law, component by component.
    std::vector<double> odds(logits.size());
    for (size_t i = 0; i < odds.size(); ++i)
      odds[i] = masked && !allowed[i] ? 0 : std::exp(static_cast<double>(logits[i]) - (i < 4 ? 80 : i < 7 ? 2 : 500));
    if (masked) odds[0] = std::exp(0.3), odds[1] = std::exp(-1.2), odds[7] = 1;
    auto share = [&](size_t from, size_t n) {
      double sum = 0;
      for (size_t i = from; i < from + n; ++i) sum += odds[i];
      for (size_t i = from; i < from + n; ++i) odds[i] /= sum;
    };
    share(0, 4), share(4, 3), share(7, 2);

    constexpr size_t kDraws = 100'000;
    Stream stream(1, masked, Purpose::Policy);
    std::vector<uint64_t> seen(logits.size());
    std::vector<float> action(3);
    for (size_t draw = 0; draw < kDraws; ++draw) {
      const double log_prob =
          sample_action(space, logits, {}, masked ? std::span(allowed) : std::span<const uint8_t>(), stream, action);
      double expected = 0;
      for (size_t c = 0, offset = 0; c < 3; offset += static_cast<size_t>(space.choices[c++])) {
        const size_t i = offset + static_cast<size_t>(action[c]);
        REQUIRE((!masked || allowed[i]));
        ++seen[i];
        expected += std::log(odds[i]);
      }
      REQUIRE(log_prob == Approx(expected).margin(1e-12));
    }
    for (size_t from : {0, 4}) {
      const size_t n = from == 0 ? 4 : 3;
      std::vector<double> awaited;
      for (size_t i = from; i < from + n; ++i) awaited.push_back(odds[i] * kDraws);
      CHECK(chi_square_deviate({seen.begin() + static_cast<long>(from), seen.begin() + static_cast<long>(from + n)},
                               awaited) < kNormalLimit);
    }
    CHECK(seen[masked ? 7 : 8] == kDraws);
  }
  std::vector<float> action(3);
  Stream stream(1, 1, Purpose::Policy);
  CHECK_THROWS_AS(sample_action(space, std::vector<float>(9, NAN), {}, allowed, stream, action), InvariantError);
  CHECK_THROWS_AS(sample_action(space, logits, {}, std::vector<uint8_t>(9), stream, action), InvariantError);
}

TEST_CASE("draws of a Box are normal, with the density that is told") {
  const ActionSpace box = ActionSpace::box({-1, -1}, {1, 1});
  const std::vector<float> mean{0.5f, -2}, log_std{-1, 0.7f};
  Stream stream(1, 2, Purpose::Policy);
  std::vector<double> first, second;
  std::vector<float> action(2);
  for (int draw = 0; draw < 100'000; ++draw) {
    const double log_prob = sample_action(box, mean, log_std, {}, stream, action);
    double expected = 0;
    for (size_t c = 0; c < 2; ++c) {
      const double sd = std::exp(static_cast<double>(log_std[c])), z = (action[c] - mean[c]) / sd;
      expected += std::log(std::exp(-0.5 * z * z) / (sd * std::sqrt(2 * math::kPi)));
    }
    REQUIRE(log_prob == Approx(expected).epsilon(1e-6).margin(1e-6));
    first.push_back((static_cast<double>(action[0]) - 0.5) / std::exp(-1));
    second.push_back((static_cast<double>(action[1]) + 2) / std::exp(static_cast<double>(0.7f)));
  }
  auto normal = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2)); };
  CHECK(kolmogorov(first, normal) < kKolmogorovLimit);
  CHECK(kolmogorov(second, normal) < kKolmogorovLimit);
}

TEST_CASE("a network whose parts do not fit is refused") {
  test::RandomNetwork random("shapes");
  const PolicyNetwork good = random.mlp(3, 4, Activation::Tanh, ActionSpace::discrete(2));
  CHECK(inconsistency(good, 3).empty());
  CHECK_THAT(inconsistency(good, 4), Contains("layer 0: takes 3 inputs, found 4"));
  auto broken = [&](auto change) {
    PolicyNetwork network = good;
    change(network);
    CHECK_THROWS_AS(Actor(network), InvariantError);
    return inconsistency(network, 3);
  };
  CHECK_THAT(broken([](PolicyNetwork& n) { n.layers.clear(); }), Contains("no layers"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.layers.pop_back(); }), Contains("4 outputs for actions that take 2"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.layers[1].bias.resize(3); }), Contains("layer 1: 3 biases of 4 outputs"));
  CHECK_THAT(broken([&](PolicyNetwork& n) { n.layers[1] = random.linear(5, 4, Activation::Relu); }),
             Contains("layer 1: takes 5 inputs, found 4"));
  CHECK_THAT(broken([&](PolicyNetwork& n) {
               n.layers[1] = random.lstm(4, 4);
               n.layers[1].recurrent.resize(16, 3);
             }),
             Contains("[16, 3] recurrent weights of 16 gates"));
  CHECK_THAT(broken([&](PolicyNetwork& n) {
               n.layers[1] = random.lstm(4, 4);
               n.layers[1].activation = Activation::Tanh;
             }),
             Contains("an activation after an LSTM"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.normaliser.mean = {1, 2}; }), Contains("2 means and 0 variances"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.actions.choices = {0}; }), Contains("without choices"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.actions.choices = {1, 1}; }), Contains("Discrete action of several"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.actions.choices.clear(); }), Contains("no actions"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.actions.low = {1}; }), Contains("bounds"));
  CHECK_THAT(broken([](PolicyNetwork& n) { n.log_std = {1}; }), Contains("1 logarithms of deviations"));
}

#pragma once
// Networks of fully connected layers, with an LSTM before the head where episodes need memory. Rows of a rollout are
// time-major: row t·n + i is environment i at step t.

#include "core/random.hpp"
#include "parameters.hpp"
#include "rl/actor.hpp"
#include "rl/env.hpp"
#include "tensor.hpp"

#include <optional>
#include <vector>

namespace kisim::learning {

// How weights begin.
struct Initial {
  // Orthogonal: rows or columns of a random matrix made orthonormal (Saxe, McClelland, Ganguli, ICLR 2014) times a
  // gain, biases 0. FanIn: all uniform on ±1/√inputs, as torch.nn.Linear.
  enum class Kind : uint8_t { Orthogonal, FanIn } kind = Kind::Orthogonal;
  double gain = 1;
};

struct LinearLayer {
  Tensor weight, bias;  // [out, in], [out]
  Activation activation = Activation::None;

  Tensor forward(const Tensor& rows) const;
};

// What an LSTM has in mind: [n, hidden] each.
struct LstmState {
  Tensor hidden, cell;
};

// The same after each step: [steps, n, hidden].
struct LstmTrace {
  Tensor hidden, cell;

  LstmState last() const { return {hidden[-1], cell[-1]}; }
};

struct LstmLayer {
  Tensor weight, recurrent, bias;  // gates i, f, g, o as in rl/actor.hpp

  int64_t hidden() const { return recurrent.size(1); }
  LstmState zero_state(int64_t n) const;
  // `starts`: [steps, n], 1 where an episode begins, which forgets `before`.
  LstmTrace forward(const Tensor& rows, const Tensor& starts, const LstmState& before) const;
};

struct NetworkShape {
  std::vector<int64_t> hidden = {64, 64};
  Activation activation = Activation::Tanh;
  int64_t lstm = 0;     // its size; 0: none
  bool shared = false;  // one trunk for policy and value
};

// Makes layers whose weights depend on the seed and on their name alone.
class NetworkBuilder {
 public:
  NetworkBuilder(Parameters& parameters, uint64_t seed) : parameters_(parameters), seed_(seed) {}

  LinearLayer linear(const std::string& name, int64_t inputs, int64_t outputs, Activation activation, Initial initial);
  LstmLayer lstm(const std::string& name, int64_t inputs, int64_t hidden);
  Tensor constant(int64_t size, double value);
  // After the last layer.
  void finish();

 private:
  Tensor weight(const std::string& name, std::vector<int64_t> shape, Initial initial);

  Parameters& parameters_;
  uint64_t seed_;
  std::vector<std::pair<Tensor, Tensor>> initial_values_;
};

// All layers but the head.
struct Trunk {
  std::vector<LinearLayer> layers;
  std::optional<LstmLayer> lstm;

  Trunk() = default;
  Trunk(NetworkBuilder& builder, const std::string& name, int64_t inputs, const NetworkShape& shape, Initial initial);
  Tensor forward(const Tensor& rows) const;  // the layers before the LSTM
};

// Observations as a network gets them. Without an LSTM the order of rows does not matter.
struct NetworkInput {
  Tensor rows;              // [steps·n, features]
  Tensor starts;            // [steps, n], with an LSTM
  LstmState actor, critic;  // before the first step, with an LSTM; of a shared trunk only `actor`
};

struct NetworkOutput {
  Tensor outputs;           // [rows, action outputs]
  Tensor values;            // [rows]
  LstmTrace actor, critic;  // with an LSTM
};

class ActorCritic {
 public:
  ActorCritic(const EnvSpec& spec, const NetworkShape& shape, double log_std, uint64_t seed);

  NetworkOutput forward(const NetworkInput& input) const;
  // V of single observations, each after what the critic had in mind.
  Tensor values(const Tensor& rows, const LstmState& critic) const;

  bool recurrent() const { return actor_.lstm.has_value(); }
  bool shared() const { return shared_; }
  LstmState zero_state(int64_t n) const { return actor_.lstm->zero_state(n); }
  const Tensor& log_std() const { return log_std_; }  // [size], Box only
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  // Copies the policy's weights; allocates only the first time.
  void copy_to(PolicyNetwork& network) const;

 private:
  Parameters parameters_;
  bool shared_;
  Trunk actor_, critic_;
  LinearLayer policy_head_, value_head_;
  Tensor log_std_;
};

// Layers as the torch-free actor has them.
void copy_layers(const std::vector<LinearLayer>& layers, std::vector<Layer>& out);

}  // namespace kisim::learning

#pragma once
// A trained policy at work, without libtorch: normaliser, network and choice of an action in one fused pass.

#include "core/random.hpp"
#include "rl/space.hpp"

#include <Eigen/Core>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// x -> clip((x − mean) / √(variance + ε), ±clip). Without means: x as it is.
struct ObservationNormaliser {
  std::vector<double> mean, variance;
  double epsilon = 1e-8, clip = 10;

  bool on() const { return !mean.empty(); }
};

enum class Activation : uint8_t { None, Tanh, Relu };

// Linear: y = f(W x + b). Lstm: gates i, f, g, o one below the other in W, U and b, as torch.nn.LSTM with its two
// biases added; y = h.
struct Layer {
  enum class Kind : uint8_t { Linear, Lstm } kind = Kind::Linear;
  Activation activation = Activation::None;
  Eigen::MatrixXf weight;     // [out, in]; Lstm: [4·hidden, in]
  Eigen::MatrixXf recurrent;  // Lstm: [4·hidden, hidden]
  Eigen::VectorXf bias;       // [out]; Lstm: [4·hidden]

  size_t inputs() const { return static_cast<size_t>(weight.cols()); }
  size_t outputs() const { return static_cast<size_t>(kind == Kind::Lstm ? recurrent.cols() : weight.rows()); }
};

// From observations to logits, or to means of a Gaussian.
struct PolicyNetwork {
  ObservationNormaliser normaliser;
  std::vector<Layer> layers;
  ActionSpace actions;
  std::vector<float> log_std;  // Box: by component
};

// What an LSTM remembers of one episode: h and c of each of its layers. Empty for other networks.
struct RecurrentState {
  std::vector<Eigen::VectorXf> hidden, cell;
};

// What does not fit together, layers and all else with an observation of that many elements; "" if nothing.
std::string inconsistency(const PolicyNetwork& network, size_t observation);

// A network with room to compute in: one for each thread. Its numbers may change between two calls, its shape may not.
// Rows of a batch are computed alike and apart, so that what is seen elsewhere does not move a bit. Allocates only when
// it is made.
class Actor {
 public:
  explicit Actor(const PolicyNetwork& network);  // keeps a reference

  const PolicyNetwork& network() const { return network_; }
  RecurrentState initial_state() const;

  // `observations`: [n, inputs], row by row; `outputs`: [n, outputs]. Without LSTM layers.
  void forward(std::span<const float> observations, size_t n, std::span<float> outputs);
  // One observation, with the memory of its episode.
  void forward(std::span<const float> observation, RecurrentState& state, std::span<float> outputs);

 private:
  void prepare();
  void forward_row(std::span<const float> observation, RecurrentState* state, std::span<float> outputs);

  const PolicyNetwork& network_;
  Eigen::VectorXd deviation_;                // √(variance + ε)
  Eigen::VectorXf input_;                    // normalised
  std::vector<Eigen::VectorXf> activation_;  // by layer; of an LSTM its gates
};

// Outputs of a network to an action. `allowed` ([outputs]) may be empty: all are. A choice that is not allowed has the
// probability 0; at least one of each component is.
// The likeliest action; of equals the first. Of a Box the mean, clipped to it.
void likeliest_action(const ActionSpace& space, std::span<const float> outputs, std::span<const uint8_t> allowed,
                      std::span<float> action);
// Drawn by inverse distribution function, one number of `stream` for each component; returns its log-probability (of a
// Box before it is clipped: `action` is not clipped).
double sample_action(const ActionSpace& space, std::span<const float> outputs, std::span<const float> log_std,
                     std::span<const uint8_t> allowed, Stream& stream, std::span<float> action);

}  // namespace kisim

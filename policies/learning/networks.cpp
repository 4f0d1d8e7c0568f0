#include "networks.hpp"

#include "core/distribution.hpp"
#include "core/hash.hpp"
#include "rl/row_major.hpp"

#include <fmt/format.h>

#include <Eigen/QR>

#include <cmath>

namespace kisim::learning {
namespace {

// Q of a QR decomposition of normals, with the signs that make it unique, as torch.nn.init.orthogonal_.
Eigen::MatrixXd orthogonal(int64_t rows, int64_t columns, Stream& stream) {
  const bool wide = rows < columns;
  Eigen::MatrixXd normals(wide ? columns : rows, wide ? rows : columns);
  for (double& x : normals.reshaped()) x = draw_normal(stream, 0, 1);
  Eigen::HouseholderQR<Eigen::MatrixXd> qr(normals);
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(normals.rows(), normals.cols());
  for (Eigen::Index c = 0; c < q.cols(); ++c) {
    if (qr.matrixQR()(c, c) < 0) q.col(c) *= -1;
  }
  if (wide) q.transposeInPlace();
  return q;
}

Tensor initial_value(const std::vector<int64_t>& shape, Initial initial, double bound, Stream stream) {
  Tensor out = torch::zeros(shape);
  std::span values(out.data_ptr<float>(), static_cast<size_t>(out.numel()));
  if (initial.kind == Initial::Kind::FanIn) {
    for (float& x : values) x = static_cast<float>(bound * (2 * stream.uniform() - 1));
    return out;
  }
  Eigen::Map<RowMajor>(values.data(), shape[0], shape[1]) =
      (initial.gain * orthogonal(shape[0], shape[1], stream)).cast<float>();
  return out;
}

Eigen::Map<const RowMajor> matrix(const Tensor& weight) {
  return {weight.data_ptr<float>(), weight.size(0), weight.size(1)};
}

Eigen::Map<const Eigen::VectorXf> vector(const Tensor& weight) { return {weight.data_ptr<float>(), weight.size(0)}; }

void copy_layer(const LinearLayer& from, Layer& to) {
  to.kind = Layer::Kind::Linear;
  to.activation = from.activation;
  to.weight = matrix(from.weight);
  to.bias = vector(from.bias);
}

void copy_layer(const LstmLayer& from, Layer& to) {
  to.kind = Layer::Kind::Lstm;
  to.weight = matrix(from.weight);
  to.recurrent = matrix(from.recurrent);
  to.bias = vector(from.bias);
}

}  // namespace

Tensor LinearLayer::forward(const Tensor& rows) const {
  Tensor out = torch::addmm(bias, rows, weight.t());
  if (activation == Activation::Tanh) return out.tanh_();
  if (activation == Activation::Relu) return out.relu_();
  return out;
}

LstmState LstmLayer::zero_state(int64_t n) const { return {torch::zeros({n, hidden()}), torch::zeros({n, hidden()})}; }

LstmTrace LstmLayer::forward(const Tensor& rows, const Tensor& starts, const LstmState& before) const {
  const int64_t steps = starts.size(0), n = starts.size(1);
  const Tensor from_inputs = torch::addmm(bias, rows, weight.t()).view({steps, n, 4 * hidden()});
  const Tensor keeps = (1 - starts).unsqueeze(2);
  std::vector<Tensor> hidden_states, cells;
  Tensor h = before.hidden, c = before.cell;
  for (int64_t t = 0; t < steps; ++t) {
    h = h * keeps[t];
    c = c * keeps[t];
    const std::vector<Tensor> gates = torch::addmm(from_inputs[t], h, recurrent.t()).chunk(4, 1);
    c = torch::sigmoid(gates[1]) * c + torch::sigmoid(gates[0]) * torch::tanh(gates[2]);
    h = torch::sigmoid(gates[3]) * torch::tanh(c);
    hidden_states.push_back(h);
    cells.push_back(c);
  }
  return {torch::stack(hidden_states), torch::stack(cells)};
}

Tensor NetworkBuilder::weight(const std::string& name, std::vector<int64_t> shape, Initial initial) {
  Tensor out = parameters_.add(shape);
  const double bound = 1 / std::sqrt(static_cast<double>(shape.back()));
  initial_values_.emplace_back(
      out, initial_value(shape, initial, bound, Stream(seed_, hash_text(name), Purpose::InitialWeights)));
  return out;
}

LinearLayer NetworkBuilder::linear(const std::string& name, int64_t inputs, int64_t outputs, Activation activation,
                                   Initial initial) {
  LinearLayer out{weight(name + "/weight", {outputs, inputs}, initial), parameters_.add({outputs}), activation};
  if (initial.kind == Initial::Kind::FanIn) {
    const double bound = 1 / std::sqrt(static_cast<double>(inputs));
    initial_values_.emplace_back(
        out.bias,
        initial_value({outputs}, initial, bound, Stream(seed_, hash_text(name + "/bias"), Purpose::InitialWeights)));
  }
  return out;
}

LstmLayer NetworkBuilder::lstm(const std::string& name, int64_t inputs, int64_t hidden) {
  return {weight(name + "/weight", {4 * hidden, inputs}, {}), weight(name + "/recurrent", {4 * hidden, hidden}, {}),
          parameters_.add({4 * hidden})};
}

Tensor NetworkBuilder::constant(int64_t size, double value) {
  Tensor out = parameters_.add({size});
  initial_values_.emplace_back(out, torch::full({size}, value));
  return out;
}

void NetworkBuilder::finish() {
  parameters_.join();
  torch::NoGradGuard guard;
  for (auto& [weight, value] : initial_values_) weight.copy_(value);
}

Trunk::Trunk(NetworkBuilder& builder, const std::string& name, int64_t inputs, const NetworkShape& shape,
             Initial initial) {
  for (int64_t size : shape.hidden) {
    layers.push_back(
        builder.linear(fmt::format("{}/{}", name, layers.size()), inputs, size, shape.activation, initial));
    inputs = size;
  }
  if (shape.lstm > 0) lstm = builder.lstm(name + "/lstm", inputs, shape.lstm);
}

Tensor Trunk::forward(const Tensor& rows) const {
  Tensor out = rows;
  for (const LinearLayer& layer : layers) out = layer.forward(out);
  return out;
}

ActorCritic::ActorCritic(const EnvSpec& spec, const NetworkShape& shape, double log_std, uint64_t seed)
    : shared_(shape.shared) {
  // √2 before tanh and ReLU, 0.01 before actions, so that all are about equally likely at first, 1 before values.
  const Initial hidden{Initial::Kind::Orthogonal, std::sqrt(2.0)};
  const auto inputs = static_cast<int64_t>(spec.observation.size());
  const int64_t features = shape.lstm > 0 ? shape.lstm : shape.hidden.empty() ? inputs : shape.hidden.back();
  NetworkBuilder builder(parameters_, seed);
  actor_ = Trunk(builder, "actor", inputs, shape, hidden);
  if (!shared_) critic_ = Trunk(builder, "critic", inputs, shape, hidden);
  policy_head_ = builder.linear("policy", features, static_cast<int64_t>(spec.actions.outputs()), Activation::None,
                                {Initial::Kind::Orthogonal, 0.01});
  value_head_ = builder.linear("value", features, 1, Activation::None, {Initial::Kind::Orthogonal, 1});
  if (spec.actions.continuous()) log_std_ = builder.constant(static_cast<int64_t>(spec.actions.size()), log_std);
  builder.finish();
}

NetworkOutput ActorCritic::forward(const NetworkInput& input) const {
  NetworkOutput out;
  auto features = [&](const Trunk& trunk, const LstmState& before, LstmTrace& trace) {
    Tensor rows = trunk.forward(input.rows);
    if (!trunk.lstm) return rows;
    trace = trunk.lstm->forward(rows, input.starts, before);
    return trace.hidden.view({-1, trunk.lstm->hidden()});
  };
  const Tensor seen = features(actor_, input.actor, out.actor);
  out.outputs = policy_head_.forward(seen);
  out.values = value_head_.forward(shared_ ? seen : features(critic_, input.critic, out.critic)).flatten();
  if (shared_) out.critic = out.actor;
  return out;
}

Tensor ActorCritic::values(const Tensor& rows, const LstmState& critic) const {
  const Trunk& trunk = shared_ ? actor_ : critic_;
  Tensor seen = trunk.forward(rows);
  if (trunk.lstm) seen = trunk.lstm->forward(seen, torch::zeros({1, rows.size(0)}), critic).hidden[0];
  return value_head_.forward(seen).flatten();
}

void ActorCritic::copy_to(PolicyNetwork& network) const {
  network.layers.resize(actor_.layers.size() + (recurrent() ? 2 : 1));
  size_t i = 0;
  for (const LinearLayer& layer : actor_.layers) copy_layer(layer, network.layers[i++]);
  if (recurrent()) copy_layer(*actor_.lstm, network.layers[i++]);
  copy_layer(policy_head_, network.layers[i]);
  if (log_std_.defined())
    network.log_std.assign(log_std_.data_ptr<float>(), log_std_.data_ptr<float>() + log_std_.numel());
}

void copy_layers(const std::vector<LinearLayer>& layers, std::vector<Layer>& out) {
  out.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) copy_layer(layers[i], out[i]);
}

}  // namespace kisim::learning

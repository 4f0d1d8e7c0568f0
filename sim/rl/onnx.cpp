// The policy as an ONNX graph (github.com/onnx/onnx: onnx.proto for the numbers of fields and types, Operators.md for
// the operators).

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "rl/policy_file.hpp"
#include "rl/protobuf.hpp"
#include "rl/row_major.hpp"
#include "rl/safetensors.hpp"

#include <cmath>
#include <initializer_list>
#include <limits>

namespace kisim {
namespace {

constexpr int64_t kIrVersion = 8, kOpset = 17;

enum class ElementType : int64_t { Float = 1, Int64 = 7, Bool = 9, Double = 11 };

template <class T>
constexpr ElementType kElementType = ElementType::Float;
template <>
constexpr ElementType kElementType<int64_t> = ElementType::Int64;
template <>
constexpr ElementType kElementType<double> = ElementType::Double;

using Names = std::vector<std::string>;

struct Attribute {
  const char* name;
  int64_t value;
};

// A graph that grows by nodes. Each node's result has the node's name.
class Graph {
 public:
  template <class T>
  std::string constant(const std::string& name, const std::vector<int64_t>& shape, const T* values, size_t n) {
    ProtobufMessage tensor;
    for (int64_t size : shape) tensor.integer(1, size);
    tensor.integer(2, static_cast<int64_t>(kElementType<T>)).text(8, name);
    tensor.text(9, {reinterpret_cast<const char*>(values), n * sizeof(T)});
    graph_.message(5, tensor);
    return name;
  }
  template <class T>
  std::string constant(const std::string& name, const std::vector<T>& values) {
    return constant(name, {static_cast<int64_t>(values.size())}, values.data(), values.size());
  }
  template <class T>
  std::string scalar(const std::string& name, T value) {
    return constant(name, {}, &value, 1);
  }

  void node(const char* op, const Names& inputs, const Names& outputs,
            std::initializer_list<Attribute> attributes = {}) {
    constexpr int64_t kInt = 2;  // AttributeProto.AttributeType
    ProtobufMessage node;
    for (const std::string& input : inputs) node.text(1, input);
    for (const std::string& output : outputs) node.text(2, output);
    // The first result that is there.
    for (const std::string& output : outputs)
      if (!output.empty()) {
        node.text(3, output);
        break;
      }
    node.text(4, op);
    for (const Attribute& a : attributes)
      node.message(5, ProtobufMessage().text(1, a.name).integer(3, a.value).integer(20, kInt));
    graph_.message(1, node);
  }
  std::string node(const char* op, const Names& inputs, const std::string& output,
                   std::initializer_list<Attribute> attributes = {}) {
    node(op, inputs, Names{output}, attributes);
    return output;
  }

  // [batch, width]
  std::string input(const std::string& name, ElementType type, size_t width) { return value(11, name, type, width); }
  void output(const std::string& name, ElementType type, size_t width) { value(12, name, type, width); }

  std::string model(const PolicyFile& policy) const {
    ProtobufMessage graph = graph_;
    graph.text(2, policy.name);
    ProtobufMessage out;
    out.integer(1, kIrVersion).text(2, "kisim");
    out.message(7, graph).message(8, ProtobufMessage().text(1, "").integer(2, kOpset));
    for (const auto& [key, text] : metadata_of(policy)) out.message(14, ProtobufMessage().text(1, key).text(2, text));
    return out.bytes();
  }

 private:
  std::string value(uint32_t field, const std::string& name, ElementType type, size_t width) {
    ProtobufMessage shape, tensor;
    shape.message(1, ProtobufMessage().text(2, "batch"));
    shape.message(1, ProtobufMessage().integer(1, static_cast<int64_t>(width)));
    tensor.integer(1, static_cast<int64_t>(type)).message(2, shape);
    graph_.message(field, ProtobufMessage().text(1, name).message(2, ProtobufMessage().message(1, tensor)));
    return name;
  }

  static std::map<std::string, std::string> metadata_of(const PolicyFile& policy) {
    std::map<std::string, std::string> out = policy.provenance;
    out["algorithm"] = policy.algorithm;
    out["coding"] = policy.coding;
    Json features = Json::array();
    for (const Feature& feature : policy.observation) features.push_back(feature.name);
    out["observation"] = json_text(features);
    return out;
  }

  ProtobufMessage graph_;
};

// In double precision, as the actor does it.
std::string add_normaliser(Graph& graph, const ObservationNormaliser& normaliser, const std::string& x) {
  std::vector<double> deviation;
  for (double variance : normaliser.variance) deviation.push_back(std::sqrt(variance + normaliser.epsilon));
  auto cast = [&](const std::string& from, const char* to, ElementType type) {
    return graph.node("Cast", {from}, to, {{"to", static_cast<int64_t>(type)}});
  };
  std::string y = cast(x, "observation_double", ElementType::Double);
  y = graph.node("Sub", {y, graph.constant("mean", normaliser.mean)}, "centred");
  y = graph.node("Div", {y, graph.constant("deviation", deviation)}, "scaled");
  y = graph.node("Clip", {y, graph.scalar("clip_low", -normaliser.clip), graph.scalar("clip_high", normaliser.clip)},
                 "clipped");
  return cast(y, "normalised", ElementType::Float);
}

std::string add_matrix(Graph& graph, const std::string& name, const Eigen::MatrixXf& matrix, bool directions) {
  const RowMajor rows = matrix;
  std::vector<int64_t> shape{rows.rows(), rows.cols()};
  if (directions) shape.insert(shape.begin(), 1);
  return graph.constant(name, shape, rows.data(), static_cast<size_t>(rows.size()));
}

std::string add_linear(Graph& graph, const Layer& layer, const std::string& x, const std::string& name) {
  const std::string w = add_matrix(graph, name + "_weight", layer.weight, false);
  const std::string b =
      graph.constant(name + "_bias", {layer.bias.size()}, layer.bias.data(), static_cast<size_t>(layer.bias.size()));
  std::string y = graph.node("Gemm", {x, w, b}, name, {{"transB", 1}});
  if (layer.activation == Activation::Tanh) y = graph.node("Tanh", {y}, name + "_tanh");
  if (layer.activation == Activation::Relu) y = graph.node("Relu", {y}, name + "_relu");
  return y;
}

// Rows of the gates i, f, g, o in ONNX's order i, o, f, c (which is g).
Eigen::MatrixXf in_onnx_order(const Eigen::MatrixXf& gates) {
  const Eigen::Index n = gates.rows() / 4;
  Eigen::MatrixXf out(gates.rows(), gates.cols());
  Eigen::Index to = 0;
  for (Eigen::Index from : {0, 3, 1, 2}) out.middleRows(n * to++, n) = gates.middleRows(n * from, n);
  return out;
}

// One step: a sequence of length 1, in one direction. `l`: the number of the LSTM.
std::string add_lstm(Graph& graph, const Layer& layer, const std::string& x, const std::string& name, size_t l) {
  const std::string number = std::to_string(l);
  const std::string first_axis = graph.constant(name + "_axis", std::vector<int64_t>{0});
  const std::string w = add_matrix(graph, name + "_weight", in_onnx_order(layer.weight), true);
  const std::string r = add_matrix(graph, name + "_recurrent", in_onnx_order(layer.recurrent), true);
  // Biases of both products, of which ours are the sum.
  Eigen::MatrixXf biases(1, 2 * layer.bias.size());
  biases << in_onnx_order(layer.bias).transpose(), Eigen::RowVectorXf::Zero(layer.bias.size());
  const std::string b = add_matrix(graph, name + "_bias", biases, false);
  auto lifted = [&](const std::string& from, const std::string& to) {
    return graph.node("Unsqueeze", {from, first_axis}, to);
  };
  Names inputs{lifted(x, name + "_x"), w, r, b, ""};
  for (const char* state : {"hidden_", "cell_"})
    inputs.push_back(
        lifted(graph.input(state + number, ElementType::Float, layer.outputs()), name + "_initial_" + state));
  const Names results{"", name + "_hidden", name + "_cell"};
  graph.node("LSTM", inputs, results, {{"hidden_size", static_cast<int64_t>(layer.outputs())}});
  for (size_t state : {1, 2}) {
    const std::string next = (state == 1 ? "next_hidden_" : "next_cell_") + number;
    graph.node("Squeeze", {results[state], first_axis}, next);
    graph.output(next, ElementType::Float, layer.outputs());
  }
  return "next_hidden_" + number;
}

// The likeliest choice of each component.
void add_choices(Graph& graph, const std::vector<int32_t>& choices, const std::string& logits) {
  Names parts{logits}, actions;
  if (choices.size() > 1) {
    parts.clear();
    for (size_t c = 0; c < choices.size(); ++c) parts.push_back(fmt::format("logits_{}", c));
    const std::string sizes = graph.constant("choices", std::vector<int64_t>(choices.begin(), choices.end()));
    graph.node("Split", {logits, sizes}, parts, {{"axis", 1}});
  }
  for (size_t c = 0; c < parts.size(); ++c)
    actions.push_back(graph.node("ArgMax", {parts[c]}, fmt::format("action_{}", c), {{"axis", 1}, {"keepdims", 1}}));
  graph.node("Concat", actions, "action", {{"axis", 1}});
}

void add_actions(Graph& graph, const PolicyFile& policy, std::string outputs) {
  const ActionSpace& space = policy.network.actions;
  const size_t width = space.outputs();
  if (space.continuous()) {
    graph.node("Identity", {outputs}, "mean");
    outputs = graph.node("Max", {"mean", graph.constant("low", space.low)}, "raised");
    graph.node("Min", {outputs, graph.constant("high", space.high)}, "action");
    graph.output("action", ElementType::Float, space.size());
    graph.output("mean", ElementType::Float, width);
    return;
  }
  if (policy.masked) {
    graph.input("mask", ElementType::Bool, width);
    const std::string never = graph.scalar("never", -std::numeric_limits<float>::infinity());
    graph.node("Where", {"mask", outputs, never}, "logits");
  } else {
    graph.node("Identity", {outputs}, "logits");
  }
  add_choices(graph, space.choices, "logits");
  graph.output("action", ElementType::Int64, space.size());
  graph.output("logits", ElementType::Float, width);
}

}  // namespace

std::string onnx_bytes(const PolicyFile& policy) {
  const PolicyNetwork& network = policy.network;
  const std::string wrong = inconsistency(network, policy.observation.size());
  KISIM_INVARIANT(wrong.empty(), "policy {}: {}", policy.name, wrong);
  Graph graph;
  std::string x = graph.input("observation", ElementType::Float, policy.observation.size());
  if (network.normaliser.on()) x = add_normaliser(graph, network.normaliser, x);
  size_t lstms = 0;
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    const std::string name = fmt::format("layer_{}", l);
    x = layer.kind == Layer::Kind::Lstm ? add_lstm(graph, layer, x, name, lstms++) : add_linear(graph, layer, x, name);
  }
  add_actions(graph, policy, x);
  return graph.model(policy);
}

void write_onnx(const std::string& path, const PolicyFile& policy) { write_file(path, onnx_bytes(policy)); }

}  // namespace kisim

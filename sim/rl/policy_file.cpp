#include "rl/policy_file.hpp"

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "rl/safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace kisim {
namespace {

constexpr const char* kFormat = "kisim policy";
constexpr const char* kVersion = "1";

struct ActivationName {
  Activation activation;
  const char* name;
};
constexpr ActivationName kActivations[] = {
    {Activation::None, "none"}, {Activation::Tanh, "tanh"}, {Activation::Relu, "relu"}};

std::string tensor_name(size_t layer, const char* part) { return fmt::format("layers.{}.{}", layer, part); }

std::vector<std::string> names_of(const std::vector<Feature>& features) {
  std::vector<std::string> out;
  for (const Feature& feature : features) out.push_back(feature.name);
  return out;
}

std::vector<float> bounds_of(const std::vector<Feature>& features, float Feature::*bound) {
  std::vector<float> out;
  for (const Feature& feature : features) out.push_back(feature.*bound);
  return out;
}

Json layers_of(const PolicyNetwork& network) {
  Json out = Json::array();
  for (const Layer& layer : network.layers) {
    const auto* named = std::find_if(std::begin(kActivations), std::end(kActivations),
                                     [&](const ActivationName& a) { return a.activation == layer.activation; });
    out.push_back({{"kind", layer.kind == Layer::Kind::Lstm ? "lstm" : "linear"}, {"activation", named->name}});
  }
  return out;
}

const char* name_of(ActionSpace::Kind kind) {
  return kind == ActionSpace::Kind::Box ? "Box" : kind == ActionSpace::Kind::Discrete ? "Discrete" : "MultiDiscrete";
}

// Beyond what fits: numbers that are numbers.
std::string not_finite(const PolicyFile& policy) {
  const PolicyNetwork& network = policy.network;
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    if (!layer.weight.allFinite() || !layer.recurrent.allFinite() || !layer.bias.allFinite())
      return fmt::format("layer {} has weights that are not finite", l);
  }
  auto all = [](const auto& values, auto good) { return std::all_of(values.begin(), values.end(), good); };
  auto finite = [](auto x) { return std::isfinite(x); };
  auto no_nan = [](auto x) { return !std::isnan(x); };
  const ObservationNormaliser& normaliser = network.normaliser;
  if (!all(normaliser.mean, finite) || !all(normaliser.variance, [](double x) { return std::isfinite(x) && x >= 0; }) ||
      !(normaliser.epsilon > 0) || !(normaliser.clip > 0))
    return "the normaliser's numbers are not finite or negative";
  if (!all(network.log_std, finite)) return "log_std is not finite";
  if (!all(network.actions.low, no_nan) || !all(network.actions.high, no_nan) ||
      !all(bounds_of(policy.observation, &Feature::low), no_nan) ||
      !all(bounds_of(policy.observation, &Feature::high), no_nan) || !all(policy.seen_low, no_nan) ||
      !all(policy.seen_high, no_nan))
    return "a bound is no number";
  return "";
}

std::string problem_of(const PolicyFile& policy) {
  const size_t n = policy.observation.size();
  std::string wrong = inconsistency(policy.network, n);
  if (wrong.empty()) wrong = not_finite(policy);
  if (wrong.empty() &&
      (policy.seen_low.size() != policy.seen_high.size() || (!policy.seen_low.empty() && policy.seen_low.size() != n)))
    wrong = fmt::format("seen in training: {} lowest and {} highest values of {} elements", policy.seen_low.size(),
                        policy.seen_high.size(), n);
  if (wrong.empty() && policy.masked && policy.network.actions.continuous()) wrong = "a mask of a Box";
  if (wrong.empty() && !Json::parse(policy.coding, nullptr, false).is_object()) wrong = "the coding is no JSON object";
  return wrong;
}

Layer read_layer(SafetensorsReader& in, size_t l, const Json& described) {
  Layer out;
  const std::string kind = text_of(described, "kind"), activation = text_of(described, "activation");
  if (kind != "linear" && kind != "lstm")
    in.refuse("__metadata__.layers", fmt::format("found the kind '{}', allowed: linear, lstm", kind));
  const auto* named = std::find_if(std::begin(kActivations), std::end(kActivations),
                                   [&](const ActivationName& a) { return a.name == activation; });
  if (named == std::end(kActivations))
    in.refuse("__metadata__.layers", fmt::format("found the activation '{}', allowed: none, tanh, relu", activation));
  out.activation = named->activation;
  out.weight = in.take_matrix(tensor_name(l, "weight"));
  if (kind == "lstm") {
    out.kind = Layer::Kind::Lstm;
    out.recurrent = in.take_matrix(tensor_name(l, "recurrent"));
  }
  const std::vector<float> bias = in.take<float>(tensor_name(l, "bias"));
  out.bias = Eigen::Map<const Eigen::VectorXf>(bias.data(), static_cast<Eigen::Index>(bias.size()));
  return out;
}

ActionSpace read_actions(SafetensorsReader& in) {
  const std::string kind = in.text("actions");
  ActionSpace out;
  if (kind == "Box") return ActionSpace::box(in.take<float>("actions.low"), in.take<float>("actions.high"));
  if (kind != "Discrete" && kind != "MultiDiscrete")
    in.refuse("__metadata__.actions", fmt::format("found '{}', allowed: Discrete, MultiDiscrete, Box", kind));
  out = ActionSpace::multi_discrete(
      in.take<int32_t>("actions.choices", kind == "Discrete" ? 1 : SafetensorsReader::kAny));
  if (kind == "Discrete") out.kind = ActionSpace::Kind::Discrete;
  return out;
}

std::vector<Feature> read_observation(SafetensorsReader& in) {
  std::vector<Feature> out;
  for (const Json& name : in.json("observation", Json::value_t::array)) {
    if (!name.is_string()) in.refuse("__metadata__.observation", "a name is no text");
    out.push_back({name.get<std::string>()});
  }
  const auto low = in.take<float>("observation.low", out.size()), high = in.take<float>("observation.high", out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].low = low[i];
    out[i].high = high[i];
  }
  return out;
}

ObservationNormaliser read_normaliser(SafetensorsReader& in) {
  ObservationNormaliser out;
  if (!in.has("normaliser.mean")) return out;
  out.mean = in.take<double>("normaliser.mean");
  out.variance = in.take<double>("normaliser.variance");
  out.epsilon = in.take<double>("normaliser.epsilon", 1)[0];
  out.clip = in.take<double>("normaliser.clip", 1)[0];
  return out;
}

}  // namespace

std::string policy_file_bytes(const PolicyFile& policy) {
  const std::string wrong = problem_of(policy);
  KISIM_INVARIANT(wrong.empty(), "policy {}: {}", policy.name, wrong);
  const PolicyNetwork& network = policy.network;
  SafetensorsWriter out;
  // Doubles first: then every tensor is aligned.
  if (network.normaliser.on()) {
    out.add("normaliser.mean", network.normaliser.mean);
    out.add("normaliser.variance", network.normaliser.variance);
    out.add("normaliser.epsilon", std::vector<double>{network.normaliser.epsilon});
    out.add("normaliser.clip", std::vector<double>{network.normaliser.clip});
  }
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    out.add(tensor_name(l, "weight"), layer.weight);
    if (layer.kind == Layer::Kind::Lstm) out.add(tensor_name(l, "recurrent"), layer.recurrent);
    out.add(tensor_name(l, "bias"), layer.bias);
  }
  if (network.actions.continuous()) {
    out.add("actions.low", network.actions.low);
    out.add("actions.high", network.actions.high);
    out.add("log_std", network.log_std);
  } else {
    out.add("actions.choices", network.actions.choices);
  }
  out.add("observation.low", bounds_of(policy.observation, &Feature::low));
  out.add("observation.high", bounds_of(policy.observation, &Feature::high));
  if (!policy.seen_low.empty()) {
    out.add("seen.low", policy.seen_low);
    out.add("seen.high", policy.seen_high);
  }
  return out.bytes({{"format", kFormat},
                    {"version", kVersion},
                    {"name", policy.name},
                    {"algorithm", policy.algorithm},
                    {"observation", json_text(names_of(policy.observation))},
                    {"actions", name_of(network.actions.kind)},
                    {"masked", policy.masked ? "true" : "false"},
                    {"layers", json_text(layers_of(network))},
                    {"coding", policy.coding},
                    {"provenance", json_text(policy.provenance)}});
}

PolicyFile parse_policy_file(std::string_view bytes, const std::string& path) {
  SafetensorsReader in(bytes, path);
  if (in.text("format") != kFormat)
    in.refuse("__metadata__.format", fmt::format("found '{}', allowed: {}", in.text("format"), kFormat));
  if (in.text("version") != kVersion)
    in.refuse("__metadata__.version", fmt::format("found '{}', allowed: {}", in.text("version"), kVersion));
  PolicyFile out;
  out.name = in.text("name");
  out.algorithm = in.text("algorithm");
  out.observation = read_observation(in);
  out.masked = in.json("masked", Json::value_t::boolean).get<bool>();
  out.network.normaliser = read_normaliser(in);
  const Json layers = in.json("layers", Json::value_t::array);
  for (size_t l = 0; l < layers.size(); ++l) out.network.layers.push_back(read_layer(in, l, layers[l]));
  out.network.actions = read_actions(in);
  if (in.has("log_std")) out.network.log_std = in.take<float>("log_std");
  out.coding = in.text("coding");
  const Json provenance = in.json("provenance", Json::value_t::object);
  for (const auto& [key, value] : provenance.items()) {
    if (!value.is_string()) in.refuse("__metadata__.provenance." + key, "is no text");
    out.provenance[key] = value.get<std::string>();
  }
  if (in.has("seen.low") || in.has("seen.high")) {
    out.seen_low = in.take<float>("seen.low", out.observation.size());
    out.seen_high = in.take<float>("seen.high", out.observation.size());
  }
  in.check_all_taken();
  const std::string wrong = problem_of(out);
  if (!wrong.empty()) in.refuse("", wrong);
  return out;
}

void write_policy_file(const std::string& path, const PolicyFile& policy) {
  write_file(path, policy_file_bytes(policy));
}

PolicyFile read_policy_file(const std::string& path) { return parse_policy_file(read_file(path), path); }

}  // namespace kisim

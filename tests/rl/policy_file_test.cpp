#include "rl/policy_file.hpp"

#include "core/error.hpp"
#include "folder.hpp"
#include "rl/random_network.hpp"
#include "rl/safetensors.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <fstream>
#include <iterator>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

PolicyFile policy(const std::string& name, PolicyNetwork network) {
  PolicyFile out;
  out.name = name;
  out.algorithm = "ppo";
  for (size_t i = 0; i < network.layers[0].inputs(); ++i)
    out.observation.push_back({fmt::format("feature {} [1/s]", i)});
  out.observation[0].low = -1.5f;
  out.network = std::move(network);
  return out;
}

// One of everything: LSTM, normaliser, masks, bounds seen.
PolicyFile whole() {
  test::RandomNetwork random("whole");
  PolicyNetwork network;
  network.normaliser = random.normaliser(3);
  network.layers = {random.linear(3, 4, Activation::Relu), random.lstm(4, 5), random.linear(5, 7, Activation::None)};
  network.actions = ActionSpace::multi_discrete({3, 4});
  PolicyFile out = policy("whole", network);
  out.masked = true;
  out.coding = R"({"name": "replicas", "step": 1e-3})";
  out.seen_low = {-INFINITY, 0, 1};
  out.seen_high = {1, 2, INFINITY};
  out.provenance = {{"seed", "7"}, {"note", "“quoted” \"text\" \\ \n"}};
  return out;
}

PolicyFile box() {
  test::RandomNetwork random("box");
  return policy("box", random.mlp(2, 6, Activation::Tanh, ActionSpace::box({-1, 0}, {1, INFINITY})));
}

void check_same(const PolicyFile& a, const PolicyFile& b) {
  CHECK(a.name == b.name);
  CHECK(a.algorithm == b.algorithm);
  CHECK(a.observation == b.observation);
  CHECK(a.masked == b.masked);
  CHECK(a.coding == b.coding);
  CHECK(a.seen_low == b.seen_low);
  CHECK(a.seen_high == b.seen_high);
  CHECK(a.provenance == b.provenance);
  const PolicyNetwork &m = a.network, &n = b.network;
  CHECK(m.normaliser.mean == n.normaliser.mean);
  CHECK(m.normaliser.variance == n.normaliser.variance);
  CHECK(m.normaliser.epsilon == n.normaliser.epsilon);
  CHECK(m.normaliser.clip == n.normaliser.clip);
  CHECK(m.actions == n.actions);
  CHECK(m.log_std == n.log_std);
  REQUIRE(m.layers.size() == n.layers.size());
  for (size_t l = 0; l < m.layers.size(); ++l) {
    CHECK(m.layers[l].kind == n.layers[l].kind);
    CHECK(m.layers[l].activation == n.layers[l].activation);
    CHECK(m.layers[l].weight == n.layers[l].weight);
    CHECK(m.layers[l].recurrent == n.layers[l].recurrent);
    CHECK(m.layers[l].bias == n.layers[l].bias);
  }
}

// The header of a file and the numbers after it.
struct Parts {
  Json header;
  std::string data;

  explicit Parts(const std::string& bytes) {
    uint64_t length;
    std::memcpy(&length, bytes.data(), 8);
    header = Json::parse(bytes.substr(8, length));
    data = bytes.substr(8 + length);
  }
  std::string bytes() const { return with(header.dump(), data); }
  static std::string with(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
  }
};

std::string complaint(const std::string& bytes) {
  try {
    parse_policy_file(bytes, "p.kisim");
  } catch (const InputError& e) {
    return e.what();
  }
  return "read";
}

// What is said of whole() with `change` made to its parts.
template <class Change>
std::string changed(const Change& change) {
  Parts parts(policy_file_bytes(whole()));
  change(parts);
  return complaint(parts.bytes());
}

}  // namespace

TEST_CASE("a policy file is read back to the bit") {
  test::Folder folder;
  for (const PolicyFile& file : {whole(), box()}) {
    const std::string path = folder.path(file.name);
    write_policy_file(path, file);
    check_same(read_policy_file(path), file);
    CHECK(policy_file_bytes(read_policy_file(path)) == policy_file_bytes(file));
  }
}

TEST_CASE("the container is what other readers of safetensors expect") {
  const std::string bytes = policy_file_bytes(whole());
  const Parts parts(bytes);
  CHECK((bytes.size() - parts.data.size()) % 8 == 0);
  const Json& weight = parts.header["layers.0.weight"];
  CHECK(weight["dtype"] == "F32");
  CHECK(weight["shape"] == Json({4, 3}));
  // Row by row.
  float second = 0;
  std::memcpy(&second, parts.data.data() + weight["data_offsets"][0].get<size_t>() + sizeof(float), sizeof(float));
  CHECK(second == whole().network.layers[0].weight(0, 1));
  for (const auto& [key, value] : parts.header["__metadata__"].items()) CHECK(value.is_string());
}

TEST_CASE("a damaged container is refused with what is wrong") {
  const std::string bytes = policy_file_bytes(whole());
  CHECK(complaint(bytes) == "read");
  CHECK_THAT(complaint(""), Contains("p.kisim: found 0 bytes"));
  CHECK_THAT(complaint(bytes.substr(0, 7)), Contains("found 7 bytes"));
  CHECK_THAT(complaint(bytes.substr(0, 100)), Contains("is cut off or no safetensors"));
  CHECK_THAT(complaint(bytes.substr(0, bytes.size() - 1)), Contains("outside of"));
  CHECK_THAT(complaint(bytes + "x"), Contains("1 bytes after the last tensor"));
  CHECK_THAT(complaint(Parts::with("{", "")), Contains("the header is no JSON"));
  CHECK_THAT(complaint(Parts::with("[]", "")), Contains("the header is no JSON object"));
  CHECK_THAT(complaint(Parts::with("{\"__metadata__\": {\"format\": \"\xff\"}}", "")), Contains("no JSON"));
  CHECK_THAT(complaint(Parts::with("{}", "")), Contains("__metadata__: is missing"));
  CHECK_THAT(complaint(std::string(8, '\xff') + "{}"), Contains("a header of 18446744073709551615 bytes, found 2"));
  // No beginning of it is a policy, and no crash.
  for (size_t n = 0; n < bytes.size(); ++n) REQUIRE(complaint(bytes.substr(0, n)) != "read");
}

TEST_CASE("tensors that lie wrongly are refused by name") {
  auto tensor = [](const char* name, auto change) { return changed([&](Parts& p) { change(p.header[name]); }); };
  CHECK_THAT(tensor("layers.0.bias", [](Json& t) { t["dtype"] = "F16"; }),
             Contains("layers.0.bias: found the dtype 'F16', allowed: F64, F32, I32"));
  CHECK_THAT(tensor("layers.0.bias", [](Json& t) { t["dtype"] = "I32"; }),
             Contains("found the dtype I32, allowed: F32"));
  CHECK_THAT(tensor("layers.0.bias", [](Json& t) { t.erase("shape"); }), Contains("layers.0.bias: has no shape"));
  CHECK_THAT(tensor("layers.0.bias", [](Json& t) { t["shape"] = {-4}; }), Contains("whole numbers"));
  CHECK_THAT(tensor("layers.0.bias",
                    [](Json& t) {
                      t["shape"] = {2, 2};
                    }),
             Contains("found the shape [2, 2], allowed: [n]"));
  CHECK_THAT(tensor("layers.0.weight", [](Json& t) { t["shape"] = {12}; }),
             Contains("layers.0.weight: found the shape [12], allowed: [n, m]"));
  CHECK_THAT(tensor("layers.0.weight",
                    [](Json& t) {
                      t["shape"] = {3, 4};
                    }),
             Contains("layer 0: takes 4 inputs, found 3"));
  CHECK_THAT(tensor("layers.0.weight",
                    [](Json& t) {
                      t["shape"] = {4, 4};
                    }),
             Contains("found 48 bytes for [4, 4] of F32, allowed: 64"));
  CHECK_THAT(tensor("layers.0.weight",
                    [](Json& t) {
                      t["shape"] = {1ull << 33, 1ull << 33};
                    }),
             Contains("is larger than the file"));
  CHECK_THAT(tensor("layers.0.weight", [](Json& t) { t["shape"] = {0, ~0ull}; }), Contains("is larger than the file"));
  CHECK_THAT(tensor("layers.0.weight", [](Json& t) { t = 1; }), Contains("layers.0.weight: is no tensor"));
  CHECK_THAT(tensor("seen.high",
                    [](Json& t) {
                      t["data_offsets"] = {1 << 20, (1 << 20) + 12};
                    }),
             Contains("outside of"));
  CHECK_THAT(tensor("seen.high", [](Json& t) { t["data_offsets"] = {12, 0}; }), Contains("outside of"));
  CHECK_THAT(tensor("seen.high", [](Json& t) { t["data_offsets"] = {0, 12}; }), Contains("overlaps another tensor"));
  CHECK_THAT(changed([](Parts& p) { p.header.erase("normaliser.mean"); }), Contains("bytes before it unused"));
  CHECK_THAT(changed([](Parts& p) {
               p.header["extra"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}};
             }),
             Contains("extra: is unknown"));
  CHECK_THAT(changed([](Parts& p) {
               p.header["layers.9.bias"] = p.header["layers.2.bias"];
               p.header.erase("layers.2.bias");
             }),
             Contains("layers.2.bias: is missing"));
}

TEST_CASE("what a policy must not say is refused") {
  auto metadata = [](const char* key, const Json& value) {
    return changed([&](Parts& p) { p.header["__metadata__"][key] = value; });
  };
  CHECK_THAT(metadata("format", "pt"), Contains("__metadata__.format: found 'pt', allowed: kisim policy"));
  CHECK_THAT(metadata("version", "2"), Contains("__metadata__.version: found '2', allowed: 1"));
  CHECK_THAT(metadata("name", 3), Contains("__metadata__.name: is no text"));
  CHECK_THAT(metadata("actions", "Tuple"), Contains("found 'Tuple', allowed: Discrete, MultiDiscrete, Box"));
  CHECK_THAT(metadata("actions", "Discrete"), Contains("actions.choices: found the shape [2], allowed: [1]"));
  CHECK_THAT(metadata("masked", "perhaps"), Contains("__metadata__.masked: is no JSON"));
  CHECK_THAT(metadata("masked", "1"), Contains("found number, allowed: boolean"));
  CHECK_THAT(metadata("layers", "[{\"kind\": \"gru\"}]"), Contains("found the kind 'gru', allowed: linear, lstm"));
  CHECK_THAT(metadata("layers", "[7]"), Contains("found the kind ''"));
  CHECK_THAT(metadata("layers", "[{\"kind\": \"linear\", \"activation\": \"gelu\"}]"),
             Contains("found the activation 'gelu'"));
  CHECK_THAT(metadata("layers", "[]"), Contains("is unknown"));
  CHECK_THAT(metadata("observation", "[1, 2, 3]"), Contains("a name is no text"));
  CHECK_THAT(metadata("observation", "[\"a\"]"), Contains("observation.low: found the shape [3], allowed: [1]"));
  CHECK_THAT(metadata("provenance", "{\"seed\": 7}"), Contains("__metadata__.provenance.seed: is no text"));
  CHECK_THAT(metadata("coding", "7"), Contains("the coding is no JSON object"));
  for (const char* key :
       {"format", "version", "name", "algorithm", "observation", "actions", "masked", "layers", "coding", "provenance"})
    CHECK_THAT(changed([&](Parts& p) { p.header["__metadata__"].erase(key); }),
               Contains(fmt::format("__metadata__.{}: is missing", key)));
}

TEST_CASE("numbers that are none are refused") {
  auto with = [](const char* name, auto value) {
    return changed([&](Parts& p) {
      std::memcpy(p.data.data() + p.header[name]["data_offsets"][0].get<size_t>(), &value, sizeof value);
    });
  };
  CHECK_THAT(with("layers.0.weight", NAN), Contains("layer 0 has weights that are not finite"));
  CHECK_THAT(with("layers.1.recurrent", INFINITY), Contains("layer 1 has weights that are not finite"));
  CHECK_THAT(with("layers.2.bias", NAN), Contains("layer 2 has weights that are not finite"));
  CHECK_THAT(with("normaliser.mean", double{NAN}), Contains("the normaliser's numbers"));
  CHECK_THAT(with("normaliser.variance", -1.0), Contains("the normaliser's numbers"));
  CHECK_THAT(with("normaliser.clip", 0.0), Contains("the normaliser's numbers"));
  CHECK_THAT(with("seen.low", NAN), Contains("a bound is no number"));
  CHECK_THAT(with("observation.high", NAN), Contains("a bound is no number"));
  CHECK_THAT(with("actions.choices", int32_t{0}), Contains("a component without choices"));
  CHECK_THAT(with("actions.choices", int32_t{4}), Contains("7 outputs for actions that take 8"));
}

TEST_CASE("a policy that could not be read back is not written") {
  test::Folder folder;
  PolicyFile broken = whole();
  broken.network.layers[0].bias[0] = NAN;
  const std::string path = folder.path("broken");
  CHECK_THROWS_AS(write_policy_file(path, broken), InvariantError);
  CHECK_FALSE(std::ifstream(path).good());
  PolicyFile masked_box = box();
  masked_box.masked = true;
  CHECK_THROWS_AS(policy_file_bytes(masked_box), InvariantError);
  PolicyFile seen = whole();
  seen.seen_low.pop_back();
  CHECK_THROWS_AS(policy_file_bytes(seen), InvariantError);
  CHECK_THROWS_AS(write_policy_file(folder.path("absent/file"), box()), IoError);
  CHECK_THROWS_AS(read_policy_file(folder.path("absent")), IoError);
  CHECK_THROWS_AS(read_policy_file(folder.path(".")), IoError);
}

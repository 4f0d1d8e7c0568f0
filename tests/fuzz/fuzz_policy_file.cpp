// Whatever bytes come in, the reader of policies returns one that it writes back as it was, or throws InputError.

#include "core/error.hpp"
#include "rl/policy_file.hpp"
#include "rl/random_network.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace kisim;

namespace {

void read(const std::string& bytes) {
  try {
    const std::string written = policy_file_bytes(parse_policy_file(bytes, "policy"));
    if (policy_file_bytes(parse_policy_file(written, "again")) != written) std::abort();
  } catch (const InputError&) {
  }
}

std::string good_policy() {
  test::RandomNetwork random("fuzz");
  PolicyFile out;
  out.observation = {{"a"}, {"b"}};
  out.network.normaliser = random.normaliser(2);
  out.network.layers = {random.lstm(2, 1), random.linear(1, 3, Activation::Tanh)};
  out.network.actions = ActionSpace::multi_discrete({2, 1});
  return policy_file_bytes(out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read({reinterpret_cast<const char*>(data), size});
  // A good policy with some bytes changed: three bytes say where and to what.
  static const std::string good = good_policy();
  std::string changed = good;
  for (size_t i = 0; i + 3 <= size; i += 3)
    changed[(data[i] + 256u * data[i + 1]) % changed.size()] = static_cast<char>(data[i + 2]);
  read(changed);
  return 0;
}

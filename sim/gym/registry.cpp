#include "gym/registry.hpp"

#include "core/error.hpp"
#include "core/names.hpp"
#include "gym/classic_control.hpp"
#include "gym/probes.hpp"

#include <functional>
#include <map>

namespace kisim {
namespace {

using Factories = std::map<std::string, std::function<std::unique_ptr<Env>()>>;

template <class T>
void add(Factories& out) {
  out.emplace(T().spec().name, [] { return std::make_unique<T>(); });
}

const Factories& factories() {
  static const Factories all = [] {
    Factories out;
    add<CartPole>(out);
    add<Acrobot>(out);
    add<MountainCar>(out);
    add<Pendulum>(out);
    add<IdentityBox>(out);
    for (const TabularModel& probe : tabular_probes())
      out.emplace(probe.spec.name, [probe] { return std::make_unique<TabularEnv>(probe); });
    return out;
  }();
  return all;
}

}  // namespace

std::unique_ptr<Env> make_env(const std::string& name) {
  auto found = factories().find(name);
  if (found != factories().end()) return found->second();
  throw UsageError("environment: " + not_allowed(name, env_names()));
}

std::vector<std::string> env_names() {
  std::vector<std::string> out;
  for (const auto& entry : factories()) out.push_back(entry.first);
  return out;
}

}  // namespace kisim

// Environments for learning. Spaces, checks and autoreset's bookkeeping in Gymnasium's terms are in kisim/envs.py.

#include "action.hpp"
#include "bind.hpp"
#include "core/names.hpp"
#include "gym/autoscaling.hpp"
#include "gym/kiscaler_reward.hpp"
#include "gym/registry.hpp"
#include "io/training_file.hpp"
#include "io/value.hpp"
#include "rl/vector_env.hpp"

#include <filesystem>

namespace kisim::python {
namespace {

// What makes environments of one kind.
struct EnvSource {
  VectorEnv::Factory make;
  std::vector<std::string> warnings = {};
};

EnvSource named(const std::string& name) {
  make_env(name);
  return {[name] { return make_env(name); }};
}

// "Scenario", "Training" …; empty where none stands at the top of the file.
std::string document_kind(const std::string& path) {
  if (std::filesystem::is_directory(path) || path.ends_with(".h5")) return "";
  for (const Value& document : read_yaml(path))
    if (const Value* kind = document.find("kind")) return kind->text;
  return "";
}

EnvSource autoscaling(AutoscalingSpec spec) {
  auto shared = std::make_shared<const AutoscalingSpec>(std::move(spec));
  return {[shared] { return std::make_unique<AutoscalingEnv>(shared); }};
}

using Ranges = std::map<std::string, std::pair<double, double>>;

VariationRange variation_range(const Ranges& ranges) {
  VariationRange out;
  struct Field {
    VariationRange::Range* range;
    double least, most;
  };
  const std::map<std::string, Field> fields{{"load", {&out.load, 1e-3, 1e3}},
                                            {"service", {&out.service, 1e-2, 1e2}},
                                            {"startup", {&out.startup, 1e-2, 1e2}},
                                            {"failures", {&out.failures, 1e-3, 1e3}},
                                            {"metrics_delay", {&out.metrics_delay, 0, 3600}},
                                            {"metrics_noise", {&out.metrics_noise, 0, 1}},
                                            {"metrics_dropout", {&out.metrics_dropout, 0, 1}}};
  std::vector<std::string> names;
  for (const auto& field : fields) names.push_back(field.first);
  for (const auto& [name, given] : ranges) {
    const auto field = fields.find(name);
    if (field == fields.end()) throw UsageError("variation: " + not_allowed(name, names));
    const auto [low, high] = given;
    const auto [range, least, most] = field->second;
    if (!(least <= low && low <= high && high <= most))
      throw UsageError(fmt::format("variation: found {} from {} to {}, allowed: rising, from {} to {}", name, low, high,
                                   least, most));
    *range = {low, high};
  }
  return out;
}

void check_pattern(const std::string& name) {
  if (name.empty() || find_kiscaler_pattern(name)) return;
  std::vector<std::string> names;
  for (const KiscalerPattern& pattern : kiscaler_patterns()) names.emplace_back(pattern.name);
  throw UsageError("kiscaler: " + not_allowed(name, names));
}

py::dict describe(const EnvSpec& spec) {
  py::list names;
  std::vector<float> low, high;
  for (const Feature& feature : spec.observation) {
    names.append(feature.name);
    low.push_back(feature.low);
    high.push_back(feature.high);
  }
  py::list costs;
  for (const CostSpec& cost : spec.costs) costs.append(cost.name);
  auto floats = [](const std::vector<float>& v) {
    return py::array_t<float>(static_cast<py::ssize_t>(v.size()), v.data());
  };
  py::dict out;
  out["name"] = spec.name;
  out["features"] = names;
  out["low"] = floats(low);
  out["high"] = floats(high);
  out["action_kind"] = kind_name(spec.actions);
  out["choices"] = spec.actions.choices;
  out["action_low"] = floats(spec.actions.low);
  out["action_high"] = floats(spec.actions.high);
  out["max_episode_steps"] = spec.max_episode_steps;
  out["reward_threshold"] = spec.reward_threshold;
  out["masked"] = spec.masked;
  out["costs"] = costs;
  return out;
}

template <class T>
std::span<T> span_of(py::array_t<T>& array) {
  return {array.mutable_data(), static_cast<size_t>(array.size())};
}

class SingleEnv {
 public:
  explicit SingleEnv(const EnvSource& source) : env_(source.make()) {}

  py::dict spec() const { return describe(env_->spec()); }

  py::array_t<float> reset(uint64_t seed, uint64_t episode) {
    py::array_t<float> observation = new_observation();
    const std::span<float> out = span_of(observation);
    py::gil_scoped_release released;
    env_->reset(seed, episode, out);
    return observation;
  }

  py::tuple step(py::handle action) {
    action_.clear();
    append_action(env_->spec().actions, action, action_);
    py::array_t<float> observation = new_observation();
    const std::span<float> out = span_of(observation);
    Transition t;
    {
      py::gil_scoped_release released;
      t = env_->step(action_, out);
    }
    return py::make_tuple(observation, t.reward, t.terminated, t.truncated);
  }

  py::array_t<bool> mask() const {
    std::vector<uint8_t> allowed(env_->spec().actions.outputs());
    env_->mask(allowed);
    return bools(allowed);
  }

  std::vector<double> costs() const {
    std::vector<double> out(env_->spec().costs.size());
    env_->costs(out);
    return out;
  }

 private:
  py::array_t<float> new_observation() const {
    return py::array_t<float>(static_cast<py::ssize_t>(env_->spec().observation.size()));
  }

  std::unique_ptr<Env> env_;
  std::vector<float> action_;
};

// The arrays are written in place by each reset and step.
class NativeVectorEnv {
 public:
  NativeVectorEnv(const EnvSource& source, size_t n, size_t threads, Autoreset autoreset)
      : env_(source.make, n, threads, autoreset),
        observations({n, env_.spec().observation.size()}),
        final_observations({n, env_.spec().observation.size()}),
        costs({n, env_.spec().costs.size()}),
        rewards(n),
        terminated(n),
        truncated(n),
        masks({n, env_.spec().actions.outputs()}) {
    out_.observations = observations.mutable_data();
    out_.rewards = rewards.mutable_data();
    out_.terminated = reinterpret_cast<uint8_t*>(terminated.mutable_data());
    out_.truncated = reinterpret_cast<uint8_t*>(truncated.mutable_data());
    out_.final_observations = final_observations.mutable_data();
    if (env_.spec().masked) out_.masks = reinterpret_cast<uint8_t*>(masks.mutable_data());
    if (!env_.spec().costs.empty()) out_.costs = costs.mutable_data();
  }

  py::dict spec() const { return describe(env_.spec()); }

  // The first episodes of these seeds.
  void reset(const std::vector<uint64_t>& seeds) {
    std::vector<EpisodeSoFar> begun;
    for (uint64_t seed : seeds) begun.push_back({seed, 0, false, {}});
    py::gil_scoped_release released;
    env_.resume(begun, out_);
  }

  void reset_some(const py::array_t<bool, py::array::c_style | py::array::forcecast>& which) {
    const std::vector<uint8_t> chosen(which.data(), which.data() + which.size());
    py::gil_scoped_release released;
    env_.reset(chosen, out_);
  }

  void step(py::handle actions) {
    actions_.clear();
    append_actions(env_.spec().actions, env_.size(), actions, actions_);
    py::gil_scoped_release released;
    env_.step(actions_, out_);
  }

 private:
  VectorEnv env_;
  std::vector<float> actions_;
  StepBuffers out_;

 public:
  py::array_t<float> observations, final_observations;
  py::array_t<double> costs, rewards;
  py::array_t<bool> terminated, truncated, masks;
};

}  // namespace

void bind_envs(py::module_& m) {
  static_assert(sizeof(bool) == 1, "NumPy's");
  using Released = py::call_guard<py::gil_scoped_release>;

  m.def("env_names", &env_names);
  m.def("document_kind", &document_kind, Released());
  py::class_<EnvSource>(m, "EnvSource")
      .def_static("named", &named)
      .def_static(
          "training",
          [](const std::string& path) {
            TrainingFile file = read_training(path);
            EnvSource source = autoscaling(std::move(file.environment));
            source.warnings = std::move(file.warnings);
            return source;
          },
          Released())
      .def_static(
          "autoscaling",
          [](const std::vector<std::shared_ptr<Scenario>>& scenarios, const std::string& name, const std::string& agent,
             double cost, double penalty, double slo, double churn, const std::vector<double>& replica_prices,
             const std::string& kiscaler, const Ranges& variation, bool in_turn) {
            check_pattern(kiscaler);
            AutoscalingSpec spec;
            spec.name = name;
            spec.scenarios.assign(scenarios.begin(), scenarios.end());
            spec.agent = agent;
            spec.reward = {cost, penalty, slo, churn, replica_prices, kiscaler};
            spec.variation = variation_range(variation);
            spec.in_turn = in_turn;
            return autoscaling(std::move(spec));
          },
          Released())
      .def_readonly("warnings", &EnvSource::warnings);

  py::class_<SingleEnv>(m, "Env")
      .def(py::init<const EnvSource&>(), Released())
      .def("spec", &SingleEnv::spec)
      .def("reset", &SingleEnv::reset)
      .def("step", &SingleEnv::step)
      .def("mask", &SingleEnv::mask)
      .def("costs", &SingleEnv::costs);

  py::enum_<Autoreset>(m, "Autoreset")
      .value("NEXT_STEP", Autoreset::NextStep)
      .value("SAME_STEP", Autoreset::SameStep)
      .value("DISABLED", Autoreset::Disabled);
  py::class_<NativeVectorEnv>(m, "VectorEnv")
      .def(py::init<const EnvSource&, size_t, size_t, Autoreset>())
      .def("spec", &NativeVectorEnv::spec)
      .def("reset", &NativeVectorEnv::reset)
      .def("reset_some", &NativeVectorEnv::reset_some)
      .def("step", &NativeVectorEnv::step)
      .def_readonly("observations", &NativeVectorEnv::observations)
      .def_readonly("final_observations", &NativeVectorEnv::final_observations)
      .def_readonly("costs", &NativeVectorEnv::costs)
      .def_readonly("rewards", &NativeVectorEnv::rewards)
      .def_readonly("terminated", &NativeVectorEnv::terminated)
      .def_readonly("truncated", &NativeVectorEnv::truncated)
      .def_readonly("masks", &NativeVectorEnv::masks);
}

}  // namespace kisim::python

// Trained policies at work outside of the simulator.

#include "action.hpp"
#include "bind.hpp"
#include "core/error.hpp"
#include "rl/policy_file.hpp"

namespace kisim::python {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Bools = py::array_t<bool, py::array::c_style | py::array::forcecast>;

class Policy {
 public:
  explicit Policy(const std::string& path)
      : file_(read_policy_file(path)), actor_(file_.network), state_(actor_.initial_state()) {}

  const PolicyFile& file() const { return file_; }

  // Forgets the episode; matters to networks with a memory.
  void reset() { state_ = actor_.initial_state(); }

  py::array_t<float> outputs(const Floats& observation) {
    check("observation", observation.size(), file_.observation.size());
    py::array_t<float> out(static_cast<py::ssize_t>(file_.network.actions.outputs()));
    actor_.forward({observation.data(), file_.observation.size()}, state_,
                   {out.mutable_data(), static_cast<size_t>(out.size())});
    return out;
  }

  py::array_t<float> act(const Floats& observation, const std::optional<Bools>& mask) {
    const ActionSpace& space = file_.network.actions;
    std::vector<uint8_t> allowed;
    if (mask) {
      check("mask", mask->size(), space.outputs());
      allowed.assign(mask->data(), mask->data() + mask->size());
    }
    const py::array_t<float> out = outputs(observation);
    py::array_t<float> action(static_cast<py::ssize_t>(space.size()));
    likeliest_action(space, {out.data(), space.outputs()}, allowed, {action.mutable_data(), space.size()});
    return action;
  }

 private:
  static void check(const char* what, py::ssize_t found, size_t wanted) {
    if (static_cast<size_t>(found) != wanted)
      throw UsageError(fmt::format("{}: found {} elements, allowed: {}", what, found, wanted));
  }

  PolicyFile file_;
  Actor actor_;
  RecurrentState state_;
};

std::vector<std::string> feature_names(const Policy& policy) {
  std::vector<std::string> out;
  for (const Feature& feature : policy.file().observation) out.push_back(feature.name);
  return out;
}

}  // namespace

void bind_policy(py::module_& m) {
  py::class_<Policy>(m, "Policy")
      .def(py::init<const std::string&>())
      .def_property_readonly("name", [](const Policy& p) { return p.file().name; })
      .def_property_readonly("algorithm", [](const Policy& p) { return p.file().algorithm; })
      .def_property_readonly("masked", [](const Policy& p) { return p.file().masked; })
      .def_property_readonly("provenance", [](const Policy& p) { return p.file().provenance; })
      .def_property_readonly("feature_names", &feature_names)
      .def_property_readonly("action_kind", [](const Policy& p) { return kind_name(p.file().network.actions); })
      .def("reset", &Policy::reset)
      .def("outputs", &Policy::outputs)
      .def("act", &Policy::act)
      .def("write_onnx", [](const Policy& p, const std::string& path) { write_onnx(path, p.file()); });
}

}  // namespace kisim::python

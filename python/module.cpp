#include "bind.hpp"
#include "io/output.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The simulator behind the package kisim.";
  m.attr("__version__") = kisim::version();
  kisim::python::bind_errors(m);
  kisim::python::bind_scenario(m);
  kisim::python::bind_run(m);
  kisim::python::bind_envs(m);
  kisim::python::bind_policy(m);
}

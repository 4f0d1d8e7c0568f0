#pragma once
// The extension module kisim._core: what the package's Python files stand on. One bind_<area>.cpp for each area.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <vector>

namespace kisim::python {

namespace py = pybind11;

void bind_errors(py::module_& m);
void bind_scenario(py::module_& m);
void bind_run(py::module_& m);
void bind_envs(py::module_& m);
void bind_policy(py::module_& m);

// A Python object in the hands of threads that do not hold the GIL: it may be copied and dropped without it.
class SharedObject {
 public:
  explicit SharedObject(py::object object)
      : object_(new py::object(std::move(object)), [](py::object* o) {
          py::gil_scoped_acquire gil;
          delete o;
        }) {}
  // Only with the GIL.
  const py::object& operator*() const { return *object_; }
  const py::object* operator->() const { return object_.get(); }

 private:
  std::shared_ptr<py::object> object_;
};

// An array that looks at the memory of `owner`, which it keeps alive; read-only.
template <class T>
py::array view(const T* first, py::array::ShapeContainer shape, py::array::StridesContainer strides, py::object owner) {
  py::array out(py::dtype::of<T>(), std::move(shape), std::move(strides), first, std::move(owner));
  out.attr("setflags")(py::arg("write") = false);
  return out;
}

}  // namespace kisim::python

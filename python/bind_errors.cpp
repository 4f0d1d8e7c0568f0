// What the simulator throws, as the exceptions of kisim/errors.py.

#include "bind.hpp"
#include "core/error.hpp"

#include <exception>

namespace kisim::python {
namespace {

const char* severity_name(Severity severity) {
  switch (severity) {
    case Severity::Note:
      return "note";
    case Severity::Warning:
      return "warning";
    case Severity::Error:
      return "error";
  }
  return "";
}

py::object make_diagnostic(const py::module_& errors, const Diagnostic& d) {
  return errors.attr("Diagnostic")(severity_name(d.severity), d.mark.file, d.mark.line, d.mark.column, d.field,
                                   d.message);
}

void raise(const py::object& error) { PyErr_SetObject(py::type::of(error).ptr(), error.ptr()); }

}  // namespace

void bind_errors(py::module_&) {
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const InputError& e) {
      const auto errors = py::module_::import("kisim.errors");
      py::list diagnostics;
      for (const Diagnostic& d : e.diagnostics()) diagnostics.append(make_diagnostic(errors, d));
      raise(errors.attr("InputError")(e.what(), diagnostics));
    } catch (const IoError& e) {
      raise(py::module_::import("kisim.errors").attr("IoError")(e.what()));
    } catch (const UsageError& e) {
      raise(py::module_::import("kisim.errors").attr("UsageError")(e.what()));
    } catch (const InvariantError& e) {
      raise(py::module_::import("kisim.errors").attr("InvariantError")(e.what()));
    }
  });
}

}  // namespace kisim::python

#include "core/error.hpp"

namespace kisim {

std::string Diagnostic::text() const {
  std::string out;
  if (!mark.file.empty()) {
    out += mark.file;
    if (mark.line > 0) out += fmt::format(":{}:{}", mark.line, mark.column);
    out += ": ";
  }
  if (!field.empty()) out += field + ": ";
  return out + message;
}

namespace {

std::string join(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) {
    if (d.severity != Severity::Error) continue;
    if (!out.empty()) out += '\n';
    out += d.text();
  }
  return out;
}

}  // namespace

InputError::InputError(std::vector<Diagnostic> diagnostics)
    : std::runtime_error(join(diagnostics)), diagnostics_(std::move(diagnostics)) {}

InputError::InputError(Diagnostic diagnostic) : InputError(std::vector<Diagnostic>{std::move(diagnostic)}) {}

void invariant_failed(const char* file, int line, const char* condition, const std::string& detail) {
  throw InvariantError(fmt::format("{}:{}: invariant broken: {}: {}", file, line, condition, detail));
}

}  // namespace kisim

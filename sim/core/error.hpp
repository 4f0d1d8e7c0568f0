#pragma once
// Three kinds of failure, kept apart:
//   a user's mistake     InputError (exit 3), UsageError (2), IoError (4): a message that says what to change
//   a broken invariant   KISIM_INVARIANT: always checked, exit 5
//   a debug assert       assert(): free in release

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace kisim {

// Where in the user's files something stands. Lines and columns count from 1; 0 = unknown.
struct SourceMark {
  std::string file;
  int line = 0;
  int column = 0;
};

// A Note is told like a warning, but is no mistake: --strict leaves it alone.
enum class Severity { Note, Warning, Error };

// One complaint about the input: where it is, which field, what was found and what is allowed.
struct Diagnostic {
  Severity severity = Severity::Error;
  SourceMark mark;
  std::string field;    // "spec.traffic.chat.pattern"; may be empty
  std::string message;  // "found 'x', allowed: a, b"

  // "file:line:col: field: message"
  std::string text() const;
};

// Input that cannot be used. Carries every complaint, not only the first.
class InputError : public std::runtime_error {
 public:
  explicit InputError(std::vector<Diagnostic> diagnostics);
  explicit InputError(Diagnostic diagnostic);
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

// A file that cannot be read or written.
class IoError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A command line that makes no sense.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A broken invariant: a defect of kisim, never of the input.
class InvariantError : public std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void invariant_failed(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace kisim

#define KISIM_INVARIANT(condition, ...)                                                      \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::kisim::invariant_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (0)

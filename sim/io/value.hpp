#pragma once
// A parsed document as a small tree that remembers where everything stood. YAML and JSON give the same tree.

#include "core/error.hpp"
#include "core/names.hpp"

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

// A node of the tree. Scalars keep their text; the reader of a field decides what it means. A plain (unquoted) `~`,
// `null` or empty scalar is Null. Columns count bytes, as compilers do.
struct Value {
  enum class Kind : uint8_t { Null, Scalar, Sequence, Mapping };
  struct Member;

  Kind kind = Kind::Null;
  bool quoted = false;  // a quoted scalar is never a number
  std::string text;
  std::vector<Value> items;     // Sequence
  std::vector<Member> members;  // Mapping, in the order written, keys unique
  std::shared_ptr<const std::string> file;
  int line = 0, column = 0;  // from 1

  // nullptr if this is no mapping or has no such key.
  const Value* find(const std::string& key) const;
  Value* find(const std::string& key);
  SourceMark mark() const;
  // "a mapping", "a list", "'fast'", "nothing": for messages
  std::string describe() const;
};

struct Value::Member {
  std::string key;
  int line = 0, column = 0;  // of the key
  Value value;
};

// Every document of a YAML (or JSON) text. Throws InputError with line and column on bad syntax, on a duplicate key, on
// nesting deeper than 64 and on aliases that would expand to more than a million nodes.
std::vector<Value> parse_yaml(const std::string& text, const std::string& file);

// The same from a file; "-" is standard input. Throws IoError if it cannot be read.
std::vector<Value> read_yaml(const std::string& path);

// Block-style YAML that parses to the same tree (comments, anchors and layout are gone).
std::string to_yaml(const Value& value);

// "text", with what YAML, JSON and Go escape between double quotes.
std::string quote(std::string_view text);

// Collects complaints while a document is read; `strict` turns warnings into errors, but not notes.
class Diagnostics {
 public:
  explicit Diagnostics(bool strict = false) : strict_(strict) {}

  // "found 'x', allowed: a, b" and the like. The same text at the same mark is kept once.
  void error(const SourceMark& mark, const std::string& field, const std::string& message);
  void warn(const SourceMark& mark, const std::string& field, const std::string& message);
  void note(const SourceMark& mark, const std::string& field, const std::string& message);

  bool has_errors() const { return errors_ > 0; }
  const std::vector<Diagnostic>& all() const { return diagnostics_; }
  // Throws InputError with everything collected if there is any error.
  void throw_if_errors() const;

 private:
  void add(Severity severity, const SourceMark& mark, const std::string& field, const std::string& message);

  bool strict_;
  size_t errors_ = 0;
  std::vector<Diagnostic> diagnostics_;
  std::set<std::string> seen_;  // their texts
};

}  // namespace kisim

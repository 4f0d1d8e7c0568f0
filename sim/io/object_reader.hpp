#pragma once
// Reads the mappings of Kubernetes objects field by field. What was not asked for is an unknown field.

#include "cluster/objects.hpp"
#include "core/quantity.hpp"
#include "io/value.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// Where the complaints about one object go.
struct ObjectContext {
  Diagnostics& diagnostics;
  Manifests& out;
  std::string kind;

  void error(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics.error(mark, field, message);
  }
  // A counted warning, told once by finish_manifests.
  void ignore(const SourceMark& mark, const std::string& field, const std::string& what);
};

// A mapping, or nothing: a field that is absent reads as an empty mapping.
class ObjectReader {
 public:
  // `value` may be null; anything but a mapping is an error. `mark` is where a missing field is reported.
  ObjectReader(ObjectContext& context, const Value* value, std::string path, SourceMark mark);
  ObjectReader(ObjectContext& context, const Value& value, std::string path)
      : ObjectReader(context, &value, std::move(path), value.mark()) {}

  bool exists() const { return value_ != nullptr; }
  const SourceMark& mark() const { return mark_; }
  std::string path(std::string_view key) const;
  ObjectContext& context() const { return context_; }

  // The field's value; nullptr if it is absent or null.
  const Value* find(std::string_view key);

  // Absent fields leave the default; wrong ones are complained about and leave it too.
  std::string text(std::string_view key);
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max);
  void integer(std::string_view key, int64_t min, int64_t max, int32_t& out);
  bool flag(std::string_view key);
  void seconds(std::string_view key, int64_t min, int64_t max, Duration& out);
  std::optional<Quantity> quantity(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  ObjectReader object(std::string_view key);
  std::vector<ObjectReader> objects(std::string_view key);
  // A mapping of text to text, sorted by key.
  Labels texts_by_key(std::string_view key);

  // One of `names`; `out` becomes the enumerator of the same place. Complains if absent, unless `optional`.
  template <class Enum>
  bool choice(std::string_view key, std::initializer_list<std::string_view> names, Enum& out, bool optional = false) {
    int place = choose(key, names, optional);
    if (place >= 0) out = static_cast<Enum>(place);
    return place >= 0;
  }

  // Fields that Kubernetes knows and that change nothing here.
  void harmless(std::initializer_list<std::string_view> keys);
  // Fields that would change the outcome but are not modelled: a counted warning if they say anything.
  void unmodelled(std::initializer_list<std::string_view> keys);
  void unmodelled(std::string_view key) { unmodelled({key}); }
  // Complains about every field that was not read; call it last.
  void finish();

  void error(std::string_view key, const std::string& message);
  void required(std::string_view key) { error(key, "missing: required"); }

 private:
  int choose(std::string_view key, std::initializer_list<std::string_view> names, bool optional);
  SourceMark mark_of(std::string_view key) const;

  ObjectContext& context_;
  const Value* value_;
  std::string path_;
  SourceMark mark_;
  std::vector<std::string> known_;
};

// "found 'x', allowed: a, b"
std::string found_allowed(const Value& value, const std::string& allowed);
// A scalar that YAML reads as text, not as a number, a boolean or a null.
bool is_text(const Value& value);
// Complains and returns nothing if `value` is no quantity.
std::optional<Quantity> read_quantity(ObjectContext& context, const Value& value, const std::string& path);

}  // namespace kisim

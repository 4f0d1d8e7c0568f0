#pragma once
// Reads the mappings of Kubernetes objects field by field. What was not asked for is an unknown field.

#include "cluster/objects.hpp"
#include "core/quantity.hpp"
#include "io/kube_names.hpp"
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
  std::vector<Ignored>& ignored;
  // An unknown field is an error, as where kube-scheduler decodes its configuration.
  bool strict_decoding = false;

  void error(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics.error(mark, field, message);
  }
  // Counted, and told once by tell_ignored.
  void ignore(const SourceMark& mark, const std::string& field, const std::string& what,
              Severity severity = Severity::Warning);
};

void tell_ignored(Diagnostics& diagnostics, const std::vector<Ignored>& ignored);

// What Kubernetes says of a choice that is absent or empty. It lists some choices in alphabetical order (`sorted`),
// others in their own.
enum class Absent : uint8_t { Required, Unsupported, Allowed };
struct ChoiceRule {
  Absent absent = Absent::Required;
  bool sorted = false;
};
inline constexpr ChoiceRule kOptional{Absent::Allowed};

// A mapping, or nothing: a field that is absent reads as an empty mapping.
class ObjectReader {
 public:
  // `value` may be null; anything but a mapping is an error. `mark` is where a missing field is reported.
  ObjectReader(ObjectContext& context, const Value* value, std::string path, SourceMark mark);
  ObjectReader(ObjectContext& context, const Value& value, std::string path)
      : ObjectReader(context, &value, std::move(path), value.mark()) {}

  bool exists() const { return value_ != nullptr; }
  const SourceMark& mark() const { return mark_; }
  std::string shown() const;  // as JSON on one line
  std::string path(std::string_view key) const;
  std::string path(std::string_view key, size_t index) const;
  ObjectContext& context() const { return context_; }

  // The field's value; nullptr if it is absent or null.
  const Value* find(std::string_view key);

  // Absent fields leave the default; wrong ones are complained about and leave it too. Numbers outside the bounds are
  // told with `reason`, or that they must be greater or less than or equal to the bound.
  std::string text(std::string_view key);
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max, const char* reason = nullptr);
  void integer(std::string_view key, int64_t min, int64_t max, int32_t& out, const char* reason = nullptr);
  void integer(std::string_view key, int64_t min, int64_t max, std::optional<int32_t>& out);
  bool flag(std::string_view key);
  void seconds(std::string_view key, int64_t min, int64_t max, Duration& out, const char* reason = nullptr);
  void seconds(std::string_view key, int64_t min, int64_t max, std::optional<Duration>& out);
  std::optional<Quantity> quantity(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  ObjectReader object(std::string_view key);
  std::vector<ObjectReader> objects(std::string_view key);
  // A mapping of text to text, sorted by key.
  Labels texts_by_key(std::string_view key);
  // The same, of valid keys and values of labels.
  Labels labels(std::string_view key);

  // One of `names`; `out` becomes the enumerator of the same place.
  template <class Enum>
  bool choice(std::string_view key, std::initializer_list<std::string_view> names, Enum& out, ChoiceRule rule = {}) {
    int place = choose(key, names, rule);
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

  // Complaints about the field `key`, or about the whole mapping if `key` is empty.
  void error(std::string_view key, const std::string& message);
  void required(std::string_view key, const std::string& detail = {});
  void invalid(std::string_view key, const std::string& detail);
  void forbidden(std::string_view key, const std::string& detail);
  void duplicate(std::string_view key, const std::string& shown);
  // About an item of the list `key`.
  void invalid_item(std::string_view key, size_t index, const std::string& detail);
  // About the text of the field `key`, or of an item of the list `key`, for everything that the rule finds.
  void check_name(std::string_view key, const std::string& name, NameRule rule);
  void check_names(std::string_view key, const std::vector<std::string>& names, NameRule rule);

 private:
  int choose(std::string_view key, std::initializer_list<std::string_view> names, ChoiceRule rule);
  const Value* look(std::string_view key) const;
  const Value* look(std::string_view key, size_t index) const;
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

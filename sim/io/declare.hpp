#pragma once
// Each field of the Scenario document is declared once: its name, what it fills, its unit, bounds, allowed values and
// a line of doc. The reader (field_reader.hpp), the JSON Schema and `kisim describe` (schema.cpp) walk the same table.
// A field's default is what its target holds before anything is read.

#include "cluster/objects.hpp"
#include "core/distribution.hpp"
#include "core/time.hpp"
#include "io/amount.hpp"
#include "io/value.hpp"

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace kisim {

class Fields;

// Something with fields of its own.
struct Nested {
  enum class Shape : uint8_t {
    One,     // a mapping
    OneOf,   // a mapping with exactly one of the fields
    ByName,  // name -> mapping
    List,    // a list of mappings
  } shape = Shape::One;
  // Makes room for the entry and declares its fields; `name` is empty unless ByName or a word.
  std::function<Fields(const std::string& name, const SourceMark& mark)> open;
  std::string shorthand;  // a value that is no such mapping is read as this field of it
  // Words that stand for a whole mapping: opened with the word as the name. The first is the default.
  std::vector<std::string> words;
};

using Target = std::variant<int32_t*, uint64_t*, double*,
                            std::optional<double>*,  // none: left out
                            bool*,
                            std::optional<bool>*,  // none: left out
                            Duration*,
                            std::optional<Duration>*,  // none: left out, or the field's only choice as a word
                            Distribution*,
                            std::optional<Distribution>*,  // none: left out
                            std::string*,
                            std::vector<std::string>*,  // one text or a list of them
                            Value*,  // a file name, kept with the place that it is relative to; or a mapping
                            Labels*, std::map<std::string, double>*, std::map<std::string, bool>*,
                            std::vector<int32_t>*, std::vector<double>*,
                            std::vector<Value>*,  // file names and inline mappings; a mapping alone with or_mapping()
                            Nested>;

struct Field {
  std::string name;
  Target target;
  std::string doc;
  Unit base = Unit::None;
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool exclusive = false;  // more than `least`, not equal
  bool needed = false;
  bool fixed = false;                // no distribution
  bool whole = false;                // an integer
  bool fitted = false;               // an entry of a coefficient file may stand here
  bool mapping = false;              // of a file name: what the file would hold may stand here
  std::vector<std::string> choices;  // of a text; empty: anything

  Field& in(Unit unit);  // never negative; seconds end at kLongest
  Field& min(double value);
  Field& above(double value);
  Field& max(double value);
  Field& one_of(std::vector<std::string> values);
  Field& required();
  Field& no_distribution();
  Field& integer();
  Field& or_fitted();
  Field& or_mapping();

  bool is_number() const;  // may be a distribution
  bool allows(double value) const;
  // "an integer, at least 1", "a duration (90s, 1h30m or seconds)", "iteration, linear"
  std::string allowed_text() const;
};

// What a clock of int64 nanoseconds holds with room to spare: a hundred years.
constexpr double kLongest = 100 * 365.25 * 86400;

class Fields {
 public:
  Field& add(std::string name, Target target, std::string doc);
  const Field* find(const std::string& name) const;
  std::vector<std::string> names() const;

  std::vector<Field> list;
  std::map<std::string, std::string>* others = nullptr;  // where scalars of any other name go, as text
};

}  // namespace kisim
